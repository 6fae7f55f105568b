"""What only a real Label Studio can show: run by `make test-services`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.label_studio_config import Page
from retrue.adapters.queue_label_studio import FULL, LabelStudioQueue
from retrue.config import Guideline, Labels
from retrue.errors import QueueError, ServiceUnavailable
from retrue.records import ProjectKey, QueueTask
from services.label_studio import LabelStudioServer
from services.label_studio_people import LabelStudioPeople

pytestmark = pytest.mark.service

CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=2, group="crowd")
LABELS = Labels(
    kind="choice", classes=("cat", "costs $5"), guideline=Guideline(text="a < b\nand so on")
)
Connect = Callable[..., LabelStudioQueue]


def task(key: str, **display: str) -> QueueTask:
    return QueueTask(task_key=key, project=CROWD, display=display, media_uri=None)


@pytest.fixture
def connect(label_studio_server: LabelStudioServer, tmp_path: Path) -> Connect:
    """Connections to a workspace that no other test sees."""

    def connected(**settings: Any) -> LabelStudioQueue:
        server = label_studio_server
        usual = {
            "project_prefix": str(tmp_path),
            "schema_of": lambda _: LABELS,
            "link": lambda uri: uri,
            "settle": 0.2,
        }
        token = settings.pop("token", server.token)
        return LabelStudioQueue(server.url, token, **{**usual, **settings})

    return connected


@pytest.fixture
def people(label_studio_server: LabelStudioServer, connect: Connect) -> LabelStudioPeople:
    return LabelStudioPeople(label_studio_server, connect())


def test_a_personal_access_token_works(people: LabelStudioPeople, connect: Connect):
    token = people.call("POST", "/api/token/")["token"]

    queue = connect(token=token)
    queue.add([task("t1")])

    assert [copy.task_key for copy in queue.tasks(["t1"])] == ["t1"]


@pytest.mark.parametrize("token", ["0" * 40, "eyJhbGciOi.eyJ0b2tlbl90.c2lnbmF0dXJl"])
def test_a_wrong_token_is_explained(token: str, connect: Connect):
    with pytest.raises(QueueError, match="two kinds of token") as caught:
        connect(token=token).count()

    assert token not in str(caught.value)


def test_nobody_there_is_for_later(label_studio_server: LabelStudioServer):
    client = LabelStudioClient(
        "http://127.0.0.1:9", label_studio_server.token, sleep=lambda _: None
    )

    with pytest.raises(ServiceUnavailable):
        client.get("/api/projects/", dict[str, object])


@pytest.mark.parametrize(
    ("labels", "page"),
    [
        (LABELS, Page()),
        (Labels(kind="choices", classes=("a & <b>", 'c"d')), Page(shown="text", text="body")),
        (Labels(kind="taxonomy", classes=("x/y", "x/z", "w")), Page(shown="html")),
        (Labels(kind="number", minimum=0, maximum=1.5, unit="mm"), Page(shown="image")),
        (Labels(kind="number"), Page(shown="audio")),
        (Labels(kind="number"), Page(shown="video")),
    ],
)
def test_every_page_we_make_is_taken_by_the_server(labels: Labels, page: Page, connect: Connect):
    queue = connect(schema_of=lambda _: labels, page=page)

    queue.add([task("t1", body="<b>x</b>")])

    assert len(queue.tasks(["t1"])) == 1


def test_a_draft_protects_a_task(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1"), task("t2")])
    people.draft("t1", "ann")

    copies = queue.tasks(["t1", "t2"])
    queue.remove(copy.tool_id for copy in copies)

    assert [copy.answered for copy in copies] == [True, False]
    assert [copy.task_key for copy in queue.tasks(["t1", "t2"])] == ["t1"]


def test_removing_never_reaches_another_workspace(connect: Connect):
    ours, theirs = connect(), connect(project_prefix="somebody else")
    ours.add([task("t1")])
    theirs.add([task("t1")])

    ours.remove(copy.tool_id for copy in theirs.tasks(["t1"]))

    assert len(theirs.tasks(["t1"])) == 1


def test_what_nobody_checks_is_told_as_it_is(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1")])
    label = {"from_name": "label", "to_name": "sample", "type": "choices"}
    people.submit("t1", "ann", [{**label, "value": {"choices": ["no such class"]}}])
    people.submit("t1", "bob", [])
    people.submit("t1", "cid", [{**label, "from_name": "other", "value": {"choices": ["cat"]}}])
    people.submit("t1", "dan", [{**label, "value": {"choices": ["costs $5"]}}])

    values = {answer.annotator: answer.value for answer in queue.answers("").answers}

    assert values == {
        "ann@example.com": '"no such class"',
        "bob@example.com": "null",
        "cid@example.com": '[{"choices":["cat"]}]',
        "dan@example.com": '"costs $5"',
    }


def test_a_change_of_name_changes_no_annotator(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1")])
    people.answer("t1", "eve", '"cat"')
    (user,) = (u for u in people.call("GET", "/api/users/") if u["email"] == "eve@example.com")
    people.call("PATCH", f"/api/users/{user['id']}/", {"first_name": "Eva", "last_name": "New"})

    (answer,) = connect().answers("").answers

    assert answer.annotator == "eve@example.com"


def test_an_answer_goes_with_its_task_and_its_project(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1"), task("t2"), task("t3")])
    for key in ("t1", "t2"):
        people.answer(key, "ann", '"cat"')
    (first, second, _) = queue.tasks(["t1", "t2", "t3"])
    people.call("DELETE", f"/api/tasks/{first.tool_id}/")

    assert queue.count() == 1
    assert queue.answer_ids(["t1"]) == set()
    assert [answer.task_key for answer in queue.answers("").answers] == ["t2"]

    project = people.call("GET", f"/api/tasks/{second.tool_id}/")["project"]
    people.call("DELETE", f"/api/projects/{project}/")

    assert queue.count() == 0
    assert queue.tasks(["t1", "t2", "t3"]) == []


def test_new_answers_cost_what_is_new_and_not_what_is_there(
    people: LabelStudioPeople, connect: Connect
):
    queue = connect()
    queue.add([task(f"t{number}") for number in range(30)])
    for number in range(3):
        people.answer(f"t{number}", "ann", '"cat"')
    cursor = queue.answers("").cursor
    later = "2099-01-01T00:00:00.000000Z"  # past every look-back

    assert len(queue.answers(cursor).answers) == 3  # seen again: within the look-back
    assert queue.answers(later).answers == ()


def test_a_project_is_followed_by_another_when_it_is_full(connect: Connect):
    queue = connect()
    keys = [f"t{number:05}" for number in range(FULL + 1)]

    queue.add([task(key) for key in keys])

    assert [copy.task_key for copy in queue.tasks(keys)] == keys
    assert len(queue._projects()) == 2


def test_an_annotator_sees_the_same_of_every_task(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("audit0", text="a"), task("gold00", text="a"), task("active", text="a")])

    seen = [
        people.call("GET", f"/api/tasks/{copy.tool_id}/")
        for copy in queue.tasks(["audit0", "gold00", "active"])
    ]

    own = ("id", "inner_id", "created_at", "updated_at")
    for item in seen:
        assert set(item["data"]) == {"retrue_key", "fields"}
        item["data"].pop("retrue_key")
        for name in own:
            item.pop(name)
    assert seen[0] == seen[1] == seen[2]
    project = people.call("GET", f"/api/projects/{seen[0]['project']}/")
    words = f"{project['title']} {project['description']} {project['label_config']}"
    assert not {"audit", "gold", "active", "random"} & set(words.lower().split())
