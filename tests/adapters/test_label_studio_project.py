"""Reading a foreign project while it changes; a real server is in `..._project_server.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from retrue.adapters.hints_webhook import SECRET_HEADER
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.label_studio_hooks import HooksReport, LabelStudioHooks
from retrue.adapters.label_studio_project import Control, LabelStudioProjects
from retrue.errors import ConfigError, ServiceUnavailable
from retrue.records import short_hash

URL = "http://ls.test/sub"
TOKEN = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - of nothing
PAGE = '<View><Text name="t" value="$t"/><Number name="n" toName="t"/></View>'
Rows = list[dict[str, Any]]


class Server:
    """A project with tasks whose first readings miss some; webhooks that can be added."""

    def __init__(self, *, page: str = PAGE, description: str = "", missed: int = 0) -> None:
        self.page, self.description, self.missed = page, description, missed
        self.annotations: Rows = [self._annotation(number) for number in range(1, 4)]
        self.hooks: Rows = []
        self.readings = 0

    def client(self) -> LabelStudioClient:
        transport = httpx.MockTransport(self)
        return LabelStudioClient(URL, TOKEN, transport=transport, sleep=lambda _: None)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/sub")
        known: dict[str, Callable[[httpx.Request], Any]] = {
            "/api/projects/": self._projects,
            "/api/tasks/": self._tasks,
            "/api/users/": lambda _: [{"id": 5, "email": "ada@example.com"}],
            "/api/webhooks/": self._webhooks,
        }
        if path in known:
            return httpx.Response(200, json=known[path](request))
        if request.method == "DELETE":
            self.hooks = [hook for hook in self.hooks if path != f"/api/webhooks/{hook['id']}/"]
            return httpx.Response(204)
        there = [one for one in self.annotations if path == f"/api/annotations/{one['id']}/"]
        return httpx.Response(200, json=there[0]) if there else httpx.Response(404)

    def _projects(self, _: httpx.Request) -> Any:
        project = {
            "id": 7,
            "title": "Parts",
            "description": self.description,
            "label_config": self.page,
            "task_number": 9,
            "total_annotations_number": len(self.annotations),
            "skipped_annotations_number": 0,
        }
        return {"count": 1, "results": [project]}

    def _tasks(self, request: httpx.Request) -> Any:
        filters = json.loads(request.url.params["query"])["filters"]["items"]
        (last,) = [item["value"] for item in filters if item["filter"] == "filter:tasks:id"]
        self.readings += last == 0
        lost = 1 if self.readings <= self.missed else 0
        tasks = [
            {"id": one["id"], "data": {"t": "x"}, "annotations": [one]}
            for one in self.annotations[lost:]
        ]
        # A filter that is not obeyed brings tasks nobody answered.
        tasks.append({"id": 99, "data": {"t": "y"}, "annotations": []})
        tasks = [task for task in tasks if task["id"] > last]
        return {"total": len(tasks), "tasks": tasks}

    def _webhooks(self, request: httpx.Request) -> Any:
        if request.method == "GET":
            return self.hooks
        hook = {
            "id": len(self.hooks) + 50,
            **dict(httpx.Response(200, content=request.content).json()),
        }
        self.hooks.append(hook)
        return hook

    def _annotation(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "result": [{"from_name": "n", "value": {"number": number}}],
            "completed_by": 5 if number < 3 else 6,
            "updated_at": f"2026-03-01T09:00:0{number}Z",
            "lead_time": 1.5,
        }


def projects(server: Server) -> LabelStudioProjects:
    return LabelStudioProjects(server.client(), URL)


def test_answers_come_with_emails_and_who_left_has_a_number():
    reading = projects(Server())

    tasks = reading.tasks(reading.find("7"))

    assert [task.number for task in tasks] == [1, 2, 3]
    assert [one.annotator for task in tasks for one in task.answers] == [
        "ada@example.com",
        "ada@example.com",
        "user-6",
    ]


def test_a_reading_that_missed_answers_is_read_again():
    server = Server(missed=2)
    reading = projects(server)

    tasks = reading.tasks(reading.find("7"))

    assert (len(tasks), server.readings) == (3, 3)


def test_a_project_that_never_rests_is_given_up_with_nothing_adopted():
    reading = projects(Server(missed=99))

    with pytest.raises(ServiceUnavailable, match="expected 3 answers, read 2"):
        reading.tasks(reading.find("7"))


def test_an_answer_counts_as_deleted_only_when_the_server_says_so():
    assert projects(Server()).deleted(["1", "2", "77"]) == {"77"}


def test_a_project_is_found_below_the_path_of_its_server():
    reading = projects(Server())

    assert reading.find(f"{URL}/projects/7/data?tab=1").address == f"{URL}/projects/7"
    with pytest.raises(ConfigError, match="expected an address like"):
        reading.find("http://ls.test/other/projects/7")
    with pytest.raises(ConfigError, match="There are: 7 'Parts'"):
        reading.find("Pars")


def test_our_own_project_is_not_adopted():
    reading = projects(Server(description="mark: retrue:0123abcd:0123456789ab"))

    with pytest.raises(ConfigError, match="made by retrue: `retrue collect`"):
        reading.find("7")


@pytest.mark.parametrize(
    "page", ["<View>", '<!DOCTYPE x [<!ENTITY a "b">]><View><Text name="&a;"/></View>', ""]
)
def test_a_page_that_cannot_be_read_safely_is_refused(page: str):
    with pytest.raises(ConfigError, match="expected a labeling page in XML"):
        projects(Server(page=page)).find("7")


def test_a_pages_questions_are_told_with_their_options_as_answers_say_them():
    page = """<View><Image name="i" value="$i"/><Choices name="c" toName="i" choice="multiple">
      <Choice value="A" alias="a"/><Choice value="B"/></Choices>
      <Taxonomy name="t" toName="i"><Choice value="x"><Choice value="y"/></Choice></Taxonomy>
      <Choices name="d" toName="i" value="$options"/></View>"""

    found = projects(Server(page=page)).find("Parts").controls

    assert found == (
        Control(name="c", tag="Choices", several=True, options=(("a",), ("B",))),
        Control(name="t", tag="Taxonomy", several=False, options=(("x",), ("x", "y"))),
        Control(name="d", tag="Choices", several=False, options=()),
    )


# --- webhooks --------------------------------------------------------------------------------


def test_a_webhook_is_added_once_renewed_with_the_secret_and_removed():
    server = Server(description=f"mark: retrue:{short_hash('parts', digits=8)}:0123456789ab")
    theirs = {"id": 1, "project": 7, "url": "http://chat.test", "headers": {"X": "1"}}
    server.hooks = [theirs]

    def hooks(secret: str) -> LabelStudioHooks:
        return LabelStudioHooks(server.client(), project_prefix="parts", secret=secret)

    reports = [
        hooks("first").register("http://a.test/hint", dry_run=True),
        hooks("first").register("http://a.test/hint"),
        hooks("first").register("http://a.test/hint"),
        hooks("second").register("http://a.test/hint"),
        hooks("second").register("http://b.test/hint"),
    ]

    assert [(one.added, one.removed, one.kept) for one in reports] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 0, 1),
        (1, 1, 0),
        (1, 1, 0),
    ]
    assert [(hook["url"], hook["headers"].get(SECRET_HEADER)) for hook in server.hooks] == [
        ("http://chat.test", None),
        ("http://b.test/hint", "second"),
    ]
    assert hooks("").unregister() == HooksReport(projects=1, added=0, removed=1, kept=0)
    assert server.hooks == [theirs]


def test_projects_of_another_workspace_get_no_webhook():
    server = Server(description=f"mark: retrue:{short_hash('others', digits=8)}:0123456789ab")

    hooks = LabelStudioHooks(server.client(), project_prefix="parts", secret=TOKEN)

    assert hooks.register("http://a.test/hint").projects == 0
