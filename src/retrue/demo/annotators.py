"""Simulated annotators in Label Studio, each a user of their own.

They do what people do, through the public API and as themselves: list what is open, open the
picture by the task's own link, answer. They know a digit by its picture; nothing else tells them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.core.simulate import SimulatedAnnotator, annotator_rng, answer_of, lead_of
from retrue.demo.accounts import Account
from retrue.errors import QueueError
from retrue.kinds import LabelSchema
from retrue.records import AnnotatorGroup, Json, short_hash
from retrue.workspace import Workspace

__all__ = ["Project", "StudioPeople", "projects_of"]

PAGE = 200  # tasks asked for at once
TELL_SECONDS = 10.0
SKIPPED = 0.02  # share of tasks somebody would rather leave to somebody else
DRAFTED = 0.03  # share of answers that are saved as a draft first
OPEN: Json = {
    "filters": {
        "conjunction": "and",
        "items": [
            {
                "filter": "filter:tasks:completed_at",
                "operator": "empty",
                "type": "Datetime",
                "value": True,
            }
        ],
    }
}


class Project(BaseModel):
    """A project as its list shows it."""

    id: int
    title: str
    task_number: int | None = 0
    finished_task_number: int | None = 0

    @property
    def finished(self) -> bool:
        """Whether nobody is asked any more."""
        return self.task_number == self.finished_task_number


class _Projects(BaseModel):
    results: list[Project]


class _Given(BaseModel):
    completed_by: int | None
    was_cancelled: bool = False


class _Task(BaseModel):
    """What a person sees of a task."""

    id: int
    data: dict[str, object]
    overlap: int
    is_labeled: bool = False
    annotations: list[_Given] = []


class _Tasks(BaseModel):
    total: int
    tasks: list[_Task]


class _Id(BaseModel):
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioPeople:
    """Simulated annotators with accounts, who work at the same time.

    Who answers which task is dealt by hash, as in the embedded queue: the same in every run.
    """

    accounts: Mapping[str, Account]  # by the annotator's name
    annotators: tuple[SimulatedAnnotator, ...]  # a name may stand in several groups
    seen: Mapping[str, str]  # what a picture shows, by the SHA-256 of its bytes
    seed: str
    say: Callable[[str], None]  # told every ten seconds how far they are

    def answer(self, workspace: Workspace, *, now: datetime) -> int:  # noqa: ARG002 - its own clock
        """Answer until nobody finds anything more; a task that one skipped goes to the next."""
        schema, given = workspace.labels.label_schema, list[int]()
        with ThreadPoolExecutor(len(self.annotators)) as pool:
            while True:
                before = len(given)
                sittings = [pool.submit(self._sit, who, schema, given) for who in self.annotators]
                while wait(sittings, timeout=TELL_SECONDS).not_done:
                    self.say(f"  {len(given)} answers so far")
                for sitting in sittings:
                    sitting.result()  # raises what went wrong
                if len(given) == before:
                    return before

    def _sit(self, person: SimulatedAnnotator, schema: LabelSchema, given: list[int]) -> None:
        """One person answers all that is theirs to answer, and notes each task in `given`."""
        me = self.accounts[person.name]
        for project in projects_of(me.client, person.group):
            if project.finished:
                continue
            for task in _open_tasks(me.client, project):
                rest = self._dealt(task, person.group)
                if person.name in rest[: task.overlap] and me.user_id not in _who(task):
                    self._answer(person, task, schema, last=len(rest) <= task.overlap)
                    given.append(task.id)

    def _dealt(self, task: _Task, group: AnnotatorGroup) -> list[str]:
        """Who is to answer a task, in turn, less those who skipped it."""
        key = str(task.data["retrue_key"])
        names = [person.name for person in self.annotators if person.group == group]
        skipped = {given.completed_by for given in task.annotations if given.was_cancelled}
        rest = [name for name in names if self.accounts[name].user_id not in skipped]
        return sorted(rest, key=lambda name: short_hash(self.seed, key, name))

    def _answer(
        self, person: SimulatedAnnotator, task: _Task, schema: LabelSchema, *, last: bool
    ) -> None:
        me, key = self.accounts[person.name], str(task.data["retrue_key"])
        rng = annotator_rng(self.seed, person.name, key)
        value, note = answer_of(person, self._look(me, task), schema, rng=rng)
        answer: dict[str, Json] = {
            "result": _parts(value, note),
            "lead_time": lead_of(person, rng=rng),
        }
        place = f"/api/tasks/{task.id}"
        habit = rng.random()
        if habit < SKIPPED and not last:
            answer |= {"result": [], "was_cancelled": True}
        elif habit > 1 - DRAFTED:
            draft = me.client.post(f"{place}/drafts", _Id, dict(answer), again=False)
            answer["draft_id"] = draft.id
        me.client.post(f"{place}/annotations/", _Id, answer, again=False)

    def _look(self, me: Account, task: _Task) -> str:
        """What the picture of a task shows.

        Raises:
            QueueError: The task's link leads to no picture of this world.
        """
        picture = me.open_link(str(task.data["media"]))
        shown = self.seen.get(hashlib.sha256(picture).hexdigest())
        if shown is None:
            raise QueueError(f"task {task.id}: its link leads to something that is not the picture")
        return shown


def projects_of(client: LabelStudioClient, group: AnnotatorGroup) -> list[Project]:
    """Projects of a group, the newest first: the group is a word of their title."""
    names = "id,title,task_number,finished_task_number"
    reply = client.get("/api/projects/", _Projects, {"page_size": 100, "include": names})
    return [item for item in reply.results if group in item.title.split()]


def _open_tasks(client: LabelStudioClient, project: Project) -> list[_Task]:
    """Tasks of a project that still want an answer of somebody, all pages."""
    found: list[_Task] = []
    page, total = 1, 1
    while (page - 1) * PAGE < total:
        asked: dict[str, str | int] = {
            "project": project.id,
            "page": page,
            "page_size": PAGE,
            "fields": "all",
            "query": json.dumps(OPEN),
        }
        reply = client.get("/api/tasks/", _Tasks, asked)
        found += [task for task in reply.tasks if not task.is_labeled]
        page, total = page + 1, reply.total
    return found


def _who(task: _Task) -> set[int | None]:
    return {given.completed_by for given in task.annotations}


def _parts(value: str, note: str) -> list[Json]:
    """An answer as the labeling page sends it."""
    label: Json = {
        "from_name": "label",
        "to_name": "sample",
        "type": "choices",
        "value": {"choices": [json.loads(value)]},
    }
    said: Json = {
        "from_name": "note",
        "to_name": "sample",
        "type": "textarea",
        "value": {"text": [note]},
    }
    return [label, said] if note else [label]
