"""What only a real Label Studio can show: run by `make test-services`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrue.adapters.label_studio_api import LabelStudioApi
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.label_studio_config import Page
from retrue.adapters.queue_label_studio import FULL, LabelStudioQueue
from retrue.config import Guideline, Labels
from retrue.errors import QueueError, ServiceUnavailable
from retrue.records import ProjectKey, QueueTask
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from services.label_studio import LabelStudioServer
from services.label_studio_annotator import Annotator
from services.label_studio_people import LabelStudioPeople
from world import World

pytestmark = pytest.mark.service

CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=2, group="crowd")
LABELS = Labels(
    kind="choice", classes=("cat", "costs $5"), guideline=Guideline(text="a < b\nand so on")
)
LEFT_OR_RIGHT = Labels(kind="choice", classes=("left", "right"))
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


@pytest.fixture
def ann(label_studio_server: LabelStudioServer) -> Iterator[Annotator]:
    """An annotator with an account of her own."""
    with closing(Annotator(label_studio_server, "ann")) as annotator:
        yield annotator


def selected(world: World) -> World:
    """A round that is open and not pushed yet."""
    world.arrive("first", 40)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    return world


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


def test_full_pages_are_followed_by_number_to_the_end(
    people: LabelStudioPeople, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    for name in ("PAGE", "LIGHT_PAGE"):
        monkeypatch.setattr(f"retrue.adapters.label_studio_api.{name}", 2)
    # So long that the question is a view, and each page a question of its own.
    keys = [f"{number}-{'x' * 400}" for number in range(5)]
    queue = connect()
    queue.add([task(key) for key in keys])
    for key in keys:
        people.answer(key, "ann", '"cat"')

    assert [copy.task_key for copy in queue.tasks(keys)] == keys
    assert len(queue.answers("").answers) == len(queue.answer_ids(keys)) == len(keys)


def test_projects_are_listed_oldest_first(label_studio_server: LabelStudioServer, connect: Connect):
    for overlap in (1, 2):
        key = replace(CROWD, overlap=overlap)
        connect().add([QueueTask(task_key=str(overlap), project=key, display={}, media_uri=None)])
    client = LabelStudioClient(label_studio_server.url, label_studio_server.token)

    numbers = [project.id for project in LabelStudioApi(client).projects()]

    assert numbers == sorted(numbers)
    assert len(numbers) > 1


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


TELLING = {"audit", "gold", "active", "random", "relabel", "dispute", "bootstrap", "probe"}
# What differs between any two tasks, and between any two projects.
OWN_OF_TASK = ("id", "inner_id", "created_at", "updated_at")
OWN_OF_PROJECT = ("id", "title", "description", "created_at", "config_suitable_for_bulk_annotation")


def test_an_annotator_sees_the_same_of_every_task(connect: Connect, ann: Annotator):
    queue = connect()
    arms = ["audit0", "gold00", "active"]
    queue.add([task(key, text="a") for key in arms])

    seen = [ann.see(f"/api/tasks/{copy.tool_id}/") for copy in queue.tasks(arms)]
    page = ann.see("/api/tasks/", project=seen[0]["project"], fields="all")["tasks"]

    for item in [*seen, *page]:
        assert set(item["data"]) == {"retrue_key", "fields"}
        item["data"].pop("retrue_key")
        for name in OWN_OF_TASK:
            item.pop(name)
    assert seen[0] == seen[1] == seen[2]
    assert page[0] == page[1] == page[2]


def test_an_annotator_sees_no_word_and_no_order_of_arms_in_the_list_of_projects(
    connect: Connect, ann: Annotator
):
    queue = connect(project_prefix="fruit")
    queue.add([task("audit0"), one("active0"), one("active1")])

    ours = [
        item
        for item in ann.see("/api/projects/")["results"]
        if item["title"].startswith("fruit crowd")
    ]

    assert len(ours) == 2
    words = " ".join(f"{it['title']} {it['description']} {it['label_config']}" for it in ours)
    assert not TELLING & set(re.findall(r"[a-z]+", words.lower()))
    # No number of answers either; the tool's own settings page shows it (see the how-to).
    assert [re.sub(r"[0-9a-f]{4}-1$", "", item["title"]) for item in ours] == ["fruit crowd "] * 2
    details = [ann.see(f"/api/projects/{item['id']}/") for item in ours]
    differing = {name for name in details[0] if details[0][name] != details[1][name]}
    counters = {"task_number", "queue_total", "maximum_annotations"}
    assert differing <= {*OWN_OF_PROJECT, *counters}


def test_equal_numbers_of_answers_put_all_arms_into_one_project(connect: Connect):
    queue = connect()
    queue.add([task("audit0"), task("active")])

    assert len(queue._projects()) == 1


def test_the_guideline_is_shown_as_it_is_written(connect: Connect, ann: Annotator):
    queue = connect()
    queue.add([task("t1")])
    (project,) = queue._projects()

    seen = ann.see(f"/api/projects/{project.id}/")

    assert seen["expert_instruction"] == "<div>a &lt; b<br>and so on</div>"
    assert seen["show_instruction"] is True


OWN_PAGE = """<View>
  <Text name="words" value="$body"/><Image name="photo" value="$media"/>
  <Choices name="label" toName="words" required="true">
    <Choice value="cat"/><Choice value="price" alias="costs $5"/>
    <Choice value="none_of_these"/><Choice value="cannot_tell"/>
  </Choices>
</View>"""


def test_a_teams_own_page_is_taken_and_its_answers_are_read(
    connect: Connect, people: LabelStudioPeople, ann: Annotator
):
    queue = connect(page=Page(own=OWN_PAGE, columns=("body",)))
    photo = "https://example.com/a.png"
    shown = QueueTask(task_key="t1", project=CROWD, display={"body": "x"}, media_uri=photo)
    queue.add([shown])
    people.submit("t1", "ann", [choice("costs $5", about="words")])

    (answer,) = queue.answers("").answers
    (copy,) = queue.tasks(["t1"])
    seen = ann.see(f"/api/tasks/{copy.tool_id}/")

    assert answer.value == '"costs $5"'
    assert seen["data"]["media"] == photo
    assert ann.see(f"/api/projects/{seen['project']}/")["label_config"] == OWN_PAGE


def choice(name: str, *, about: str) -> dict[str, Any]:
    value = {"choices": [name]}
    return {"from_name": "label", "to_name": about, "type": "choices", "value": value}


def one(key: str) -> QueueTask:
    """A task that wants one answer."""
    crowd = replace(CROWD, overlap=1)
    return QueueTask(task_key=key, project=crowd, display={}, media_uri=None)


def test_a_project_of_an_earlier_version_takes_its_page_from_its_neighbour(connect: Connect):
    connect().add([task("t1")])
    late = connect(schema_of=lambda _: None)

    late.add([one("t2")])

    first, second = late._projects()
    assert second.label_config == first.label_config
    assert late.held(["t1", "t2"]) == 2


def test_a_project_that_a_person_hides_is_still_read(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1")])
    (project,) = queue._projects()
    hidden = {"is_published": False, "is_draft": True, "title": "Old stuff", "color": "#000000"}
    people.call("PATCH", f"/api/projects/{project.id}/", hidden)

    people.answer("t1", "ann", '"cat"')

    assert connect().count() == 1
    assert [answer.task_key for answer in connect().answers("").answers] == ["t1"]


def test_a_task_without_our_key_is_never_removed(people: LabelStudioPeople, connect: Connect):
    queue = connect()
    queue.add([task("t1")])
    (project,) = queue._projects()
    path = f"/api/projects/{project.id}/import?return_task_ids=true"
    (stranger,) = people.call("POST", path, [{"data": {"fields": {}}}])["task_ids"]

    queue.remove([str(stranger)])

    assert people.call("GET", f"/api/tasks/{stranger}/")["id"] == stranger
    assert queue.held(["t1"]) == 1


def test_a_project_that_a_person_deleted_loses_no_collected_answer_and_its_rest_is_asked_again(
    people: LabelStudioPeople, connect: Connect, tmp_path: Path
):
    world = selected(World(tmp_path))
    world.queue = connect(schema_of=lambda _: LEFT_OR_RIGHT)
    workspace = world.workspace()
    push_tasks(workspace, now=world.now)
    (opened,) = world.records.rounds()
    planned = world.records.tasks(opened.plan.round_id)
    quick = [item.task_key for item in planned if item.overlap == 1][:3]
    for key in quick:
        people.submit(key, "ann", [choice("left", about="sample")])
    collected = collect_answers(workspace, now=world.sleep(hours=1))
    for project in world.queue._projects():
        people.call("DELETE", f"/api/projects/{project.id}/")

    swept = collect_answers(workspace, now=world.sleep(hours=1))
    (pushed,) = push_tasks(workspace, now=world.sleep(hours=1))

    assert (collected.new, swept.deleted) == (3, 0)
    assert pushed.added == len(planned) - 3
    assert world.queue.held(item.task_key for item in planned) == len(planned) - 3
    assert world.queue.held(quick) == 0
