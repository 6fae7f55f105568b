"""The queue over a Label Studio that exists only here; real replies are in the golden files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from retrue.adapters.label_studio_config import Page
from retrue.adapters.queue_label_studio import FULL, LabelStudioQueue
from retrue.config import Guideline, Labels
from retrue.errors import QueueError, ServiceUnavailable
from retrue.records import ProjectKey, QueueTask

GOLDEN = Path(__file__).parent / "label_studio_golden"
CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=2, group="crowd")
LABELS = Labels(kind="choice", classes=("pos", "neg"), guideline=Guideline(text="a < b"))


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


class FakeStudio:
    """Keeps projects and tasks as the server does; filters by key and number, nothing else."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.users = [{"id": 3, "email": "u2@example.com"}]
        self.views: dict[int, Any] = {}
        self.actions: list[Any] = []
        self.asked: list[str] = []  # method and path
        self.ignores_filters = False
        self.ignores_numbers = False
        self.counted: Callable[[], None] = lambda: None  # what happens before a page is read
        self.fault: Callable[[str], httpx.Response | None] = lambda _: None
        self.now = datetime(2026, 11, 20, 21, 0, 0, tzinfo=UTC)
        self.while_asleep: Callable[[], None] = lambda: None

    def queue(self, **settings: Any) -> LabelStudioQueue:
        return LabelStudioQueue(
            "http://ls.test",
            "0" * 40,
            **{
                "project_prefix": "fruit",
                "schema_of": lambda _: LABELS,
                "link": lambda uri: f"https://media/{uri}",
                "settle": 1.0,
                "transport": httpx.MockTransport(self),
                "sleep": lambda _: self.while_asleep(),
                **settings,
            },
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        self.asked.append(call)
        body = json.loads(request.content) if request.content else None
        reply = self.fault(call)
        if reply is None:
            reply = httpx.Response(200, json=self._answer(call, request.url.params, body))
        reply.headers["Date"] = self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return reply

    def _answer(self, call: str, params: httpx.QueryParams, body: Any) -> Any:
        if call == "GET /api/projects/":
            return self._projects_page(params)
        if call == "POST /api/projects/":
            self.projects.append({"id": len(self.projects) + 1, **body})
            return self.projects[-1]
        if call.endswith("/import"):
            self.add(int(call.split("/")[3]), *[item["data"] for item in body])
            return {"task_count": len(body)}
        if call == "POST /api/dm/views/":
            self.views[len(self.asked)] = body["data"]["filters"]
            return {"id": len(self.asked)}
        if call.startswith("DELETE /api/dm/views/"):
            return self.views.pop(int(call.split("/")[4]))
        if call == "POST /api/dm/actions/":
            self.actions.append((dict(params), body))
            return {"processed_items": 0}
        if call == "GET /api/users/":
            return self.users
        assert call == "GET /api/tasks/"
        return self._tasks_page(params)

    def _counted(self, project: dict[str, Any]) -> dict[str, Any]:
        mine = [task for task in self.tasks if task["project"] == project["id"]]
        given = [one["was_cancelled"] for task in mine for one in task["annotations"]]
        return {
            "task_number": len(mine),
            "total_annotations_number": given.count(False),
            "skipped_annotations_number": given.count(True),
            **project,
        }

    def _matching(self, params: httpx.QueryParams) -> list[dict[str, Any]]:
        found = [task for task in self.tasks if task["project"] == int(params["project"])]
        filters = self.views.get(int(params.get("view", 0)), json.loads(params.get("query", "{}")))
        for item in filters.get("filters", filters).get("items", []):
            if item["filter"] == "filter:tasks:data.retrue_key" and not self.ignores_filters:
                found = [t for t in found if t["data"].get("retrue_key") in item["value"]]
            if item["filter"] == "filter:tasks:id" and not self.ignores_numbers:
                found = [t for t in found if t["id"] > item["value"]]
            if item["filter"] == "filter:tasks:annotations_ids" and item["operator"] == "greater":
                found = [t for t in found if t["annotations"]]
        return found

    def _tasks_page(self, params: httpx.QueryParams) -> Any:
        total = len(self._matching(params))
        self.counted()
        return {"total": total, "tasks": _sliced(self._matching(params), params, total)}

    def _projects_page(self, params: httpx.QueryParams) -> Any:
        total = len(self.projects)
        self.counted()
        newest_first = params.get("ordering") != "id"
        listed = sorted(self.projects, key=lambda one: one["id"], reverse=newest_first)
        return {"count": total, "results": [*map(self._counted, _sliced(listed, params, total))]}

    def add(self, project: int, *data: dict[str, Any], annotations: Any = ()) -> None:
        self.tasks += [
            {
                "id": len(self.tasks) + place,
                "project": project,
                "data": item,
                "annotations": list(annotations),
                "annotations_ids": ",".join(str(one["id"]) for one in annotations),
                "total_annotations": 0,  # the counters of a task that was answered early lie
                "cancelled_annotations": 0,
                "draft_exists": False,
                "updated_at": "2026-11-20T20:59:23.182646Z",
            }
            for place, item in enumerate(data, start=1)
        ]


def _sliced(
    found: list[dict[str, Any]], params: httpx.QueryParams, total: int
) -> list[dict[str, Any]]:
    """A page as Django cuts it: never behind what was counted."""
    size, page = int(params["page_size"]), int(params["page"])
    return found[(page - 1) * size : min(page * size, total)]


def task(key: str, **display: str) -> QueueTask:
    return QueueTask(task_key=key, project=CROWD, display=display, media_uri=None)


def test_a_real_page_of_answers_is_read():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    page = golden("tasks_list_fields_all_completed")["tasks"][0]
    studio.tasks[0].update(annotations=page["annotations"], updated_at=page["updated_at"])

    observed = queue.answers("")

    first, second = observed.answers
    assert (first.answer_id, first.value, first.annotator) == ("1", '"neg"', "u2@example.com")
    assert (second.answer_id, second.value) == ("2", '"pos"')
    assert second.annotator == "user-4"  # no longer in the organisation
    assert (first.lead_seconds, first.task_key, first.status) == (12.5, "t1", "answered")
    assert first.revision == "2026-11-20T20:59:22.860804Z"
    assert observed.cursor == "2026-11-20T20:59:23.182646Z"
    assert queue.count() == 2
    assert queue.answer_ids(["t1", "t2"]) == {"1", "2"}


def test_a_real_skip_is_read():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.tasks[0].update(annotations=[golden("annotation_skipped")], cancelled_annotations=1)

    (answer,) = queue.answers("").answers

    assert (answer.status, answer.value, answer.lead_seconds) == ("skipped", None, 2.0)


def test_nothing_that_is_sent_tells_more_than_the_key_and_the_display_fields():
    studio = FakeStudio()
    image = QueueTask(task_key="k", project=CROWD, display={"size": 3}, media_uri="a b.png")

    studio.queue(page=Page(shown="image")).add([image])

    assert studio.tasks[0]["data"] == {
        "retrue_key": "k",
        "fields": {"size": "3"},
        "media": "https://media/a b.png",
    }
    (project,) = studio.projects
    assert project["maximum_annotations"] == 2
    assert project["expert_instruction"] == "<div>a &lt; b</div>"
    assert project["show_instruction"]
    assert len(project["title"]) <= 50
    # How often something is asked tells audits apart, so the title may not say it.
    other = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
    studio.queue().add([QueueTask(task_key="j", project=other, display={}, media_uri=None)])
    assert [title.rpartition(" ")[0] for title in (p["title"] for p in studio.projects)] == [
        "fruit crowd",
        "fruit crowd",
    ]


def test_tool_ids_do_not_show_the_order_in_which_tasks_were_picked():
    studio = FakeStudio()

    studio.queue().add([task("c"), task("a"), task("b")])

    assert [item["data"]["retrue_key"] for item in studio.tasks] == ["a", "b", "c"]


def test_long_names_still_make_a_title_that_the_tool_takes():
    studio = FakeStudio()

    studio.queue(project_prefix="x" * 80).add([task("t1")])

    assert len(studio.projects[0]["title"]) == 50


def test_projects_of_other_workspaces_and_strangers_are_left_alone():
    studio = FakeStudio()
    other, ours = studio.queue(project_prefix="other"), studio.queue()
    other.add([task("t1")])
    studio.projects.append({"id": 9, **golden("project_detail"), "description": None})

    assert ours.tasks(["t1"]) == []
    assert ours.count() == 0


def test_a_full_project_is_followed_by_another():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("first")])
    studio.projects[0]["task_number"] = FULL - 1

    queue.add([task("b"), task("a"), task("c")])

    assert [(item["data"]["retrue_key"], item["project"]) for item in studio.tasks[1:]] == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
    ]
    assert studio.projects[0]["title"] != studio.projects[1]["title"]


EARLIER = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="adjudicator")


def test_a_project_of_an_earlier_version_takes_the_page_of_another_of_that_version():
    studio = FakeStudio()
    studio.queue().add([task("t1")])
    late = QueueTask(task_key="t2", project=EARLIER, display={}, media_uri=None)

    studio.queue(schema_of=lambda _: None).add([late])

    first, second = studio.projects
    assert second["label_config"] == first["label_config"]
    assert second["expert_instruction"] == first["expert_instruction"]
    assert (first["maximum_annotations"], second["maximum_annotations"]) == (2, 1)


def test_a_project_of_an_earlier_version_that_nobody_knows_is_refused_with_what_to_do():
    studio = FakeStudio()
    other = ProjectKey(schema_version=2, guideline_version="1", overlap=1, group="crowd")
    studio.queue().add([QueueTask(task_key="t1", project=other, display={}, media_uri=None)])

    with pytest.raises(QueueError, match=r"schema 1 and guideline 1.*earlier"):
        studio.queue(schema_of=lambda _: None).add([task("t2")])

    assert [item["data"]["retrue_key"] for item in studio.tasks] == ["t1"]


def test_one_request_per_project_counts_the_tasks_that_are_there():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task(f"t{number}") for number in range(9)])
    studio.asked.clear()

    assert queue.held([f"t{number}" for number in range(3, 20)]) == 6

    assert studio.asked == ["GET /api/projects/", "GET /api/tasks/"]


def test_counting_notices_a_filter_without_effect():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1"), task("t2"), task("t3")])
    studio.ignores_filters = True

    assert queue.held(["t2"]) == 1


def test_a_filter_without_effect_is_noticed_and_done_here():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1"), task("t2"), task("t3")])
    studio.ignores_filters = True

    found = queue.tasks(["t2"])

    assert [copy.task_key for copy in found] == ["t2"]


def test_a_draft_nobody_looked_for_protects_a_task():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    del studio.tasks[0]["draft_exists"]

    (copy,) = queue.tasks(["t1"])

    assert copy.answered


def test_a_task_that_is_answered_while_a_page_is_read_pushes_no_other_answer_out():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1"), task("t2"), task("t3")])
    skipped = golden("annotation_skipped")
    for late in studio.tasks[1:]:
        late["annotations"] = [{**skipped, "id": late["id"]}]

    def somebody_answers() -> None:
        if studio.asked[-1] == "GET /api/tasks/":
            studio.tasks[0].update(annotations=[{**skipped, "id": 1}])

    studio.counted = somebody_answers

    observed = queue.answers("")

    # The page has room for two; the first task is a third that begins to match.
    assert {answer.task_key for answer in observed.answers} >= {"t2", "t3"}


def test_a_project_that_is_made_while_they_are_listed_hides_none_of_ours():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    others = iter(range(7, 99))
    studio.counted = lambda: studio.projects.append({"id": next(others), "title": "a stranger's"})

    assert [copy.task_key for copy in queue.tasks(["t1"])] == ["t1"]


def test_projects_on_several_pages_are_listed_until_two_lists_agree():
    studio = FakeStudio()
    queue = studio.queue()
    studio.projects = [{"id": number, "title": "a stranger's"} for number in range(1, 101)]
    queue.add([task("t1")])
    studio.projects += [{"id": number, "title": "a stranger's"} for number in range(102, 151)]
    pages = iter(range(99))

    def one_goes() -> None:
        if next(pages) == 1:  # ours was the first of the second page, and slips to the first
            del studio.projects[0]

    studio.counted = one_goes

    assert queue.held(["t1"]) == 1


def test_tasks_behind_a_full_page_are_read_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("retrue.adapters.label_studio_api.LIGHT_PAGE", 2)
    studio = FakeStudio()
    queue = studio.queue()
    keys = [f"t{number}" for number in range(5)]
    queue.add([task(key) for key in keys])

    assert [copy.task_key for copy in queue.tasks(keys)] == keys


def test_a_server_that_does_not_look_at_numbers_is_refused():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.ignores_numbers = True

    with pytest.raises(QueueError, match="behind number 1"):
        queue.tasks(["t1"])


def test_a_view_made_for_a_question_is_taken_away_also_when_the_answer_fails():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task(f"t{number:04}") for number in range(200)])
    studio.fault = lambda call: httpx.Response(500) if call == "GET /api/tasks/" else None

    with pytest.raises(ServiceUnavailable):
        queue.tasks(f"t{number:04}" for number in range(200))

    assert "POST /api/dm/views/" in studio.asked
    assert studio.views == {}


def test_an_import_that_was_cut_is_asked_for_once():
    studio = FakeStudio()
    studio.fault = lambda call: httpx.Response(504) if call.endswith("/import") else None

    with pytest.raises(ServiceUnavailable):
        studio.queue().add([task("t1")])

    assert sum(call.endswith("/import") for call in studio.asked) == 1


def test_what_the_tool_refuses_is_told_in_its_words():
    studio = FakeStudio()
    refusal = golden("error_import_missing_field")
    studio.fault = lambda call: (
        httpx.Response(400, json=refusal) if call.endswith("/import") else None
    )

    with pytest.raises(QueueError, match="key is expected in task data"):
        studio.queue().add([task("t1")])


def test_settling_waits_while_an_import_goes_on():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t0")])
    coming = [["t1"], ["t2"]]
    studio.while_asleep = lambda: (
        studio.add(1, *[{"retrue_key": key} for key in coming.pop(0)]) if coming else None
    )

    there = queue.settled(["t0", "t1", "t2"])

    assert [copy.task_key for copy in there] == ["t0", "t1", "t2"]


def test_settling_gives_up_on_a_tool_that_never_rests():
    studio = FakeStudio()
    queue = studio.queue(settle=100.0)
    queue.add([task("t0")])
    studio.while_asleep = lambda: studio.add(1, {"retrue_key": "more"})

    with pytest.raises(ServiceUnavailable, match="still importing"):
        queue.settled(["t0"])


def test_removing_names_the_tasks_twice_and_leaves_the_check_to_the_tool():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])

    queue.remove(["1", "abc", "7"])
    queue.remove([])

    ((params, body),) = studio.actions
    assert params == {"id": "delete_tasks", "project": "1"}
    assert body["selectedItems"] == {"all": False, "included": [1, 7]}
    conditions = {item["filter"].rpartition(":")[2]: item for item in body["filters"]["items"]}
    assert body["filters"]["conjunction"] == "and"
    assert conditions["id"]["value"] == [1, 7]
    assert conditions["annotations_ids"]["operator"] == "empty"
    assert conditions["annotations_ids"]["value"] is True
    assert conditions["draft_exists"]["value"] is False
    assert conditions["data.retrue_key"]["operator"] == "empty"
    assert conditions["data.retrue_key"]["value"] is False


def test_a_project_without_tasks_is_not_asked_to_remove_any():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.tasks.clear()

    queue.remove(["1"])

    assert studio.actions == []


def test_the_cursor_never_runs_ahead_of_when_reading_began():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.tasks[0].update(annotations=[golden("annotation_skipped")], cancelled_annotations=1)
    studio.tasks[0]["updated_at"] = "2026-11-20T21:07:00.000000Z"

    cursor = queue.answers("").cursor

    assert cursor == "2026-11-20T21:00:01.000000Z"
    studio.now = datetime(2026, 11, 20, 20, 0, 0, tzinfo=UTC)  # its clock was set back
    assert queue.answers(cursor).cursor == cursor


@pytest.mark.parametrize("cursor", ["", "17", "nonsense", "2026-11-20"])
def test_a_cursor_of_another_tool_starts_from_the_beginning(cursor: str):
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.tasks[0].update(annotations=[golden("annotation_skipped")], cancelled_annotations=1)

    assert len(queue.answers(cursor).answers) == 1


def test_answers_to_a_strangers_task_in_our_project_are_kept_by_its_number():
    studio = FakeStudio()
    queue = studio.queue()
    queue.add([task("t1")])
    studio.add(1, {"fields": {}}, annotations=[golden("annotation_skipped")])

    (answer,) = queue.answers("").answers

    assert answer.task_key == "label-studio-task-2"
