"""Taking over a project that another team made by hand, on a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from retrue.acts.adopting_label_studio import ProjectReport, Wishes, adopt_project
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.label_studio_project import LabelStudioProjects
from retrue.errors import ConfigError
from retrue.reading.ballots import gather
from retrue.steps.validate import judge_answers
from services.label_studio import LabelStudioServer
from small_world import SmallWorld

pytestmark = pytest.mark.service

PAGE = """<View>
  <Header value="Obst &amp; Gem&#252;se"/>
  <Text name="beschreibung" value="$text"/>
  <Choices name="frucht" toName="beschreibung" choice="single-radio" required="true">
    <Choice value="Apfel" alias="apple"/>
    <Choice value="Birne"/>
    <Choice value="Quitte"/>
  </Choices>
  <Choices name="reif" toName="beschreibung"><Choice value="ja"/><Choice value="nein"/></Choices>
  <TextArea name="bemerkung" toName="beschreibung"/>
</View>"""
READ = Wishes(key="teil", from_name="frucht", classes={"Birne": "pear"})


class Office:
    """A team at work in Label Studio, everything by its API."""

    def __init__(self, server: LabelStudioServer, title: str) -> None:
        self._server = server
        made = {"title": title, "label_config": PAGE, "maximum_annotations": 3}
        self.project = int(self.call("POST", "/api/projects/", made)["id"])
        rows = [{"data": {"teil": f"a-{i}", "text": f"fruit {i}"}} for i in range(5)]
        rows.append({"data": {"teil": "z-9", "text": "another shop's"}})
        rows[4]["predictions"] = [{"result": said("apple"), "score": 0.9}]
        self.call("POST", f"/api/projects/{self.project}/import", rows)
        found = self.call("GET", f"/api/tasks/?project={self.project}&page_size=100")["tasks"]
        self.tasks = {task["data"]["teil"]: int(task["id"]) for task in found}

    def answer(self, part: str, person: str, label: str | None, note: str = "") -> int:
        body = {
            "result": [] if label is None else said(label, note),
            "was_cancelled": label is None,
            "lead_time": 2.5,
            "completed_by": self._user(person),
        }
        return int(self.call("POST", f"/api/tasks/{self.tasks[part]}/annotations/", body)["id"])

    def draft(self, part: str, person: str) -> None:
        body = {"result": said("apple"), "lead_time": 1.0, "user": self._user(person)}
        self.call("POST", f"/api/tasks/{self.tasks[part]}/drafts", body)

    def everything(self) -> Any:
        project = self.call("GET", f"/api/projects/{self.project}/")
        found = self.call("GET", f"/api/tasks/?project={self.project}&fields=all&page_size=100")
        views = self.call("GET", f"/api/dm/views/?project={self.project}")
        hooks = self.call("GET", f"/api/webhooks/?project={self.project}")
        return without_ages([project, found, views, hooks])

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {self._server.token}"}
        url = f"{self._server.url}{path}"
        reply = httpx.request(method, url, json=body, headers=headers, timeout=60)
        assert not reply.is_error, reply.text
        return reply.json() if reply.content else None

    def _user(self, name: str) -> int:
        email = f"{name}@example.com"
        known = {user["email"]: user["id"] for user in self.call("GET", "/api/users/")}
        if email not in known:
            body = {"email": email, "username": name}
            known[email] = self.call("POST", "/api/users/", body)["id"]
        return int(known[email])


def said(label: str, note: str = "") -> list[dict[str, Any]]:
    place = {"to_name": "beschreibung"}
    parts: list[dict[str, Any]] = [
        {"from_name": "reif", "type": "choices", "value": {"choices": ["ja"]}, **place},
        {"from_name": "frucht", "type": "choices", "value": {"choices": [label]}, **place},
    ]
    if note:
        written = {"from_name": "bemerkung", "type": "textarea", "value": {"text": [note]}}
        parts.append({**written, **place})
    return parts


def without_ages(value: Any) -> Any:
    """How long ago things were changes by itself."""
    if isinstance(value, dict):
        return {name: without_ages(item) for name, item in value.items() if name != "created_ago"}
    return [without_ages(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    world = SmallWorld(tmp_path)
    world.arrive("a")
    world.ingest()
    return world


@pytest.fixture
def office(label_studio_server: LabelStudioServer) -> Office:
    return Office(label_studio_server, f"Obst {uuid4().hex}")


@pytest.fixture
def adopt(
    world: SmallWorld, label_studio_server: LabelStudioServer
) -> Callable[..., ProjectReport]:
    server = label_studio_server
    projects = LabelStudioProjects(LabelStudioClient(server.url, server.token), server.url)

    def adopted(wanted: object, *, wishes: Wishes = READ, dry_run: bool = False) -> ProjectReport:
        return adopt_project(
            world.workspace("pat"),
            projects,
            str(wanted),
            now=world.sleep(),
            wishes=wishes,
            dry_run=dry_run,
        )

    return adopted


def votes(world: SmallWorld, sample: str) -> dict[str, str | None]:
    found = gather(world.workspace(), now=world.sleep())[sample].ballot.votes
    return {vote.annotator.partition("@")[0]: vote.label for vote in found}


def test_a_project_made_by_hand_is_taken_over_with_its_answers_and_left_as_it_is(
    world: SmallWorld, office: Office, adopt: Callable[..., ProjectReport]
):
    office.answer("a-0", "ada", "apple", note="a bruise")
    office.answer("a-0", "ben", "Birne")
    office.answer("a-0", "cem", "apple")
    office.answer("a-1", "ada", None)
    office.answer("a-2", "ben", "Quitte")
    office.answer("z-9", "cem", "apple")
    office.draft("a-3", "ada")
    before = office.everything()

    looked = adopt(office.project, dry_run=True)
    report = adopt(office.project)

    assert office.everything() == before
    assert (looked.new, looked.round_id) == (report.new, report.round_id)
    assert (report.tasks, report.unanswered, report.answers) == (6, 2, 6)
    assert (report.new, report.skipped, report.samples, report.annotators) == (5, 1, 3, 3)
    assert report.unknown_classes == ("Quitte",)
    assert [(one.annotator, "Quitte" in one.reason) for one in report.outside] == [
        ("ben@example.com", True)
    ]
    assert [one.reason for one in report.unmatched] == ["sample z-9: in no window"]
    assert votes(world, "a-0") == {"ada": '"apple"', "ben": '"pear"', "cem": '"apple"'}
    assert report.round_id is not None
    kept = {
        (answer.annotator, answer.status, answer.value, answer.note, answer.lead_seconds)
        for answer in world.records.answers(report.round_id)
    }
    assert ("ada@example.com", "answered", '"apple"', "a bruise", 2.5) in kept
    assert ("ada@example.com", "skipped", None, "", 2.5) in kept


def test_what_happens_there_afterwards_is_brought_by_running_it_again(
    world: SmallWorld, office: Office, adopt: Callable[..., ProjectReport]
):
    edited = office.answer("a-0", "ada", "apple")
    gone = office.answer("a-1", "ben", "Birne")
    skipped = office.answer("a-2", "cem", None)
    first = adopt(office.project)
    office.call("PATCH", f"/api/annotations/{edited}/", {"result": said("Birne")})
    office.call("DELETE", f"/api/annotations/{gone}/")
    body = {"result": said("apple"), "was_cancelled": False}
    office.call("PATCH", f"/api/annotations/{skipped}/", body)
    office.answer("a-0", "ben", "apple")
    office.answer("a-3", "cem", "apple")

    second = adopt(office.project)
    third = adopt(office.project)
    judge_answers(world.workspace(), now=world.sleep())

    assert (first.new, second.new, second.changed, second.deleted) == (3, 2, 2, 1)
    assert (third.new, third.changed, third.deleted, third.known) == (0, 0, 0, 4)
    assert votes(world, "a-0") == {"ada": '"pear"', "ben": '"apple"'}
    assert votes(world, "a-1") == {}
    assert votes(world, "a-2") == {"cem": '"apple"'}
    assert votes(world, "a-3") == {"cem": '"apple"'}


def test_a_project_is_named_by_its_id_its_title_or_its_address(
    office: Office, adopt: Callable[..., ProjectReport], label_studio_server: LabelStudioServer
):
    office.answer("a-0", "ada", "apple")
    title = office.call("GET", f"/api/projects/{office.project}/")["title"]
    address = f"{label_studio_server.url}/projects/{office.project}"

    named = [adopt(name, dry_run=True) for name in (office.project, title, f"{address}/data?tab=3")]

    assert {report.project for report in named} == {address}
    with pytest.raises(ConfigError, match="found none"):
        adopt("no such title")
    with pytest.raises(ConfigError, match="expected an address like"):
        adopt(f"http://elsewhere.example.org/projects/{office.project}")


def test_a_page_that_asks_several_things_wants_one_of_them_named(
    office: Office, adopt: Callable[..., ProjectReport]
):
    with pytest.raises(ConfigError, match=r"'frucht'.*'reif'.*--from-name"):
        adopt(office.project, wishes=Wishes(key="teil"))
    with pytest.raises(ConfigError, match=r"ja, nein.*apple, pear.*no class is in both"):
        adopt(office.project, wishes=Wishes(key="teil", from_name="reif"))
