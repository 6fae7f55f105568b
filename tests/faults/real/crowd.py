"""What people do in Label Studio in a run: the same whatever goes wrong meanwhile.

Everybody answers directly, not through the proxies: their browsers are not the ones that fail.
Who answers which task, what they say, and whether they change or take back an answer follows from
the task's key; only which copy of a task they meet does not.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from faults.real.stack import PEOPLE, Stack
from retrue.adapters.label_studio_api import KEY
from retrue.records import Sample, Task, short_hash

__all__ = ["Crowd", "Habit", "habits"]

TRIES = 40  # of a call that people make
LOOK_AGAIN = 0.7  # seconds after which somebody without a task looks for one
CHANGES, TAKES_BACK = 0.15, 0.08  # shares of answers that are changed; deleted and given anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What one person will do with one task."""

    task_key: str
    person: str
    label: str  # what stands in the end
    changed: bool  # says something else first
    taken_back: bool  # deletes the first answer and gives another


def habits(tasks: Sequence[Task], samples: Sequence[Sample]) -> list[Habit]:
    """Everything people will do, in the order in which they come to it."""
    fields = {item.sample_id: json.loads(item.fields) for item in samples}
    found: list[Habit] = []
    for task in tasks:
        chance = random.Random(task.task_key)  # noqa: S311 - no secret
        right = "right" if fields[task.sample_id]["x"] > 0 else "left"
        for person in sorted(PEOPLE, key=lambda name: short_hash(task.task_key, name))[
            : task.overlap
        ]:
            habit = chance.random()
            found.append(
                Habit(
                    task_key=task.task_key,
                    person=person,
                    label=right,
                    changed=habit < CHANGES,
                    taken_back=CHANGES <= habit < CHANGES + TAKES_BACK,
                )
            )
    return sorted(found, key=lambda item: short_hash(item.task_key, item.person, "order"))


@dataclass
class Crowd:
    """Does all habits in one run's projects, as soon as the tasks are there."""

    stack: Stack
    prefix: str
    todo: list[Habit]
    seed: int
    given: list[tuple[Habit, str]] = field(default_factory=list)  # and the answer's id
    told: Callable[[], None] = lambda: None  # after every answer
    error: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Token {self.stack.token}"}
        self._http = httpx.Client(
            base_url=self.stack.label_studio,
            headers=headers,
            timeout=60,
            transport=httpx.HTTPTransport(verify=False),
        )
        self._chance = random.Random(self.seed)  # noqa: S311 - no secret

    def start(self) -> threading.Thread:
        """Work beside whatever else goes on."""
        thread = threading.Thread(target=self._guarded, daemon=True)
        thread.start()
        return thread

    def _guarded(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001 - told by who waits for the thread
            self.error = error

    def stop(self) -> None:
        """Do not wait for tasks that are not there."""
        self._stop.set()

    def work(self, share: float = 1.0) -> None:
        """Answer until this share of everything is done."""
        done_before = {habit for habit, _ in self.given}
        first = self.todo[: round(share * len(self.todo))]
        left = [habit for habit in first if habit not in done_before]
        while left and not self._stop.is_set():
            there = self.copies()
            done = [habit for habit in left if there.get(habit.task_key)]
            for habit in done:
                if self._do(habit, there[habit.task_key]):
                    left.remove(habit)
            if not done:
                time.sleep(LOOK_AGAIN)

    def copies(self) -> dict[str, list[int]]:
        """Task key -> tool ids, as a person sees them now."""
        found: dict[str, list[int]] = {}
        for task in self.tasks():
            found.setdefault(str(task["data"].get(KEY)), []).append(int(task["id"]))
        return found

    def projects(self) -> list[dict[str, Any]]:
        """The run's projects, by their titles."""
        names = "id,title,task_number,total_annotations_number"
        # Oldest first: one made while they are listed pushes the last one out.
        params = {"page_size": 100, "ordering": "id", "include": names}
        listed = self.call("GET", "/api/projects/", params=params)["results"]
        return [one for one in listed if one["title"].startswith(self.prefix + " ")]

    def tasks(self, fields: str = "") -> list[dict[str, Any]]:
        """All tasks of the run."""
        more = {"fields": "all"} if fields else {"include": "id,data"}
        return [
            task
            for project in self.projects()
            if project["task_number"]
            for task in self.call(
                "GET", "/api/tasks/", params={"project": project["id"], "page_size": 1000, **more}
            )["tasks"]
        ]

    def _do(self, habit: Habit, copies: Sequence[int]) -> bool:
        """Whether it was done; a copy may vanish while somebody looks at it."""
        task = self._chance.choice(list(copies))
        other = {"left": "right", "right": "left"}[habit.label]
        first = other if habit.changed or habit.taken_back else habit.label
        answer = self._submit(task, habit, first, "1")
        if answer is None:
            return False
        if habit.changed:
            self.call("PATCH", f"/api/annotations/{answer}/", {"result": parts(habit.label)})
        if habit.taken_back:
            self.call("DELETE", f"/api/annotations/{answer}/", gone_is_fine=True)
            answer = self._submit(task, habit, habit.label, "2")
            if answer is None:
                return False
        self.given.append((habit, answer))
        self.told()
        return True

    def _submit(self, task: int, habit: Habit, label: str, time: str) -> str | None:
        """The answer's id; None: the task is gone."""
        # The tool knows an answer again by this name, so a call that failed may be made again.
        name = short_hash(self.prefix, str(task), habit.task_key, habit.person, time)
        body = {
            "result": parts(label),
            "lead_time": 2.5,
            "completed_by": self.stack.people[habit.person],
            "unique_id": f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:32]}",
        }
        made = self.call("POST", f"/api/tasks/{task}/annotations/", body, gone_is_fine=True)
        if made is None:
            return None
        if "id" in made:
            return str(made["id"])
        there = self.call("GET", f"/api/tasks/{task}/annotations/", gone_is_fine=True) or []
        mine = [one for one in there if one["completed_by"] == self.stack.people[habit.person]]
        return str(mine[-1]["id"]) if mine else None

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        gone_is_fine: bool = False,
    ) -> Any:
        """A call of a browser that is tried until it is answered."""
        said = ""
        for _ in range(TRIES):
            try:
                reply = self._http.request(method, path, json=body, params=params)
            except httpx.TransportError as error:
                said = repr(error)
                time.sleep(0.2)
                continue
            if reply.status_code == 404 and gone_is_fine:
                return None
            if reply.status_code == 409:
                return {}
            if not reply.is_error:
                return reply.json() if reply.content else {}
            said = f"{reply.status_code} {reply.text[:300]}"
            time.sleep(0.2)
        raise RuntimeError(f"{method} {path}: {said}")

    def clean(self) -> None:
        """Remove the run's projects: listing them is what every question begins with."""
        for project in self.projects():
            self.call("DELETE", f"/api/projects/{project['id']}/", gone_is_fine=True)

    def close(self) -> None:
        self._http.close()


def parts(label: str) -> list[dict[str, Any]]:
    """An answer as the labeling page would send it."""
    choice = {"choices": [label]}
    return [{"from_name": "label", "to_name": "sample", "type": "choices", "value": choice}]
