"""push: put the tasks of open rounds into the annotation queue, each exactly once.

Ask what is there, add the rest, ask again. How many there are is asked cheaply; each is looked at
only where something was there before, or the numbers do not fit. After an ambiguous reply the tool
may still be at work, so the next run waits until it rests; of copies the lowest tool id stays and
unanswered ones are removed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retrue.config import Config
from retrue.core.answers import live_answers
from retrue.errors import ServiceUnavailable
from retrue.ports import Lease, TaskInQueue
from retrue.reading.pushing import COMPLETE, STARTED, push_mark
from retrue.records import Json, ProjectKey, QueueTask, Sample, Task
from retrue.workspace import Workspace

__all__ = ["PushReport", "push_tasks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What one round's push did."""

    round_id: str
    tasks: int  # in the plan, that want an answer
    added: int  # by this call
    copies_removed: int


def push_tasks(
    workspace: Workspace, *, now: datetime, dry_run: bool = False
) -> tuple[PushReport, ...]:
    """Put every task of every open round into the queue; returns one report per round.

    Tasks whose answers were all given in earlier rounds are not asked again. A task that somebody
    took out of the tool is put back while it waits for answers.

    Raises:
        ServiceUnavailable: The queue did not take everything; run it again.
        LeaseHeld: Another process is pushing.
    """
    rounds = [item for item in workspace.records.rounds() if item.state in ("open", "collecting")]
    if dry_run:
        return tuple(_missing_report(workspace, item.plan.round_id) for item in rounds)
    with workspace.lease("push", now=now) as lease:
        return tuple(_push_round(workspace, item.plan.round_id, lease) for item in rounds)


def _missing_report(workspace: Workspace, round_id: str) -> PushReport:
    wanting = _wanting(workspace, round_id)
    waiting = _waiting(workspace, round_id, wanting)
    there = {copy.task_key for copy in workspace.queue.tasks(task.task_key for task in waiting)}
    missing = sum(task.task_key not in there for task in waiting)
    return _report(round_id, wanting, added=missing)


def _push_round(workspace: Workspace, round_id: str, lease: Lease) -> PushReport:
    done = push_mark(round_id)
    queue, state = workspace.queue, workspace.state.value(done)
    wanting = _wanting(workspace, round_id)
    waiting = _waiting(workspace, round_id, wanting)
    # Those with enough answers, too: a copy of one may come late, and somebody would answer it.
    keys = [task.task_key for task in wanting]
    # An earlier push may have been cut while the tool went on importing.
    held = None if state == STARTED else queue.held(keys)
    if state == COMPLETE and held == len(keys):
        return _report(round_id, wanting)
    there = queue.settled(keys) if held is None else queue.tasks(keys) if held else []
    workspace.state.set_value(done, STARTED, lease)
    workspace.state.add_tasks(wanting, lease)
    present = {copy.task_key for copy in there}
    missing = [task for task in waiting if task.task_key not in present]
    grown = _add(workspace, round_id, missing)
    # None was there, every call was answered, and now there are as many more: each is there once.
    proven = not there and grown == len(missing)
    needed = {task.task_key for task in waiting}
    removed = 0 if proven else _look_at_each(workspace, round_id, keys, needed)
    workspace.state.set_value(done, COMPLETE, lease)
    return _report(round_id, wanting, added=len(missing), removed=removed)


def _report(
    round_id: str, wanting: Sequence[Task], *, added: int = 0, removed: int = 0
) -> PushReport:
    return PushReport(round_id=round_id, tasks=len(wanting), added=added, copies_removed=removed)


def _wanting(workspace: Workspace, round_id: str) -> list[Task]:
    """Tasks that want an answer; an overlap of 0 means that earlier answers suffice."""
    return [task for task in workspace.records.tasks(round_id) if task.overlap > 0]


def _waiting(workspace: Workspace, round_id: str, wanting: Sequence[Task]) -> list[Task]:
    """Tasks without enough answers yet, in an order that tells nothing of their arms."""
    people: defaultdict[str, set[str]] = defaultdict(set)
    for answer in live_answers(workspace.records.answers(round_id)):
        if answer.status == "answered":
            people[answer.task_key].add(answer.annotator)
    waiting = [task for task in wanting if len(people[task.task_key]) < task.overlap]
    return sorted(waiting, key=lambda task: task.task_key)


def _add(workspace: Workspace, round_id: str, tasks: Sequence[Task]) -> int:
    if not tasks:
        return 0
    samples = {sample.sample_id: sample for sample in workspace.records.samples(round_id)}
    return workspace.queue.add(
        [_shown(task, samples[task.sample_id], workspace.config) for task in tasks]
    )


def _shown(task: Task, sample: Sample, config: Config) -> QueueTask:
    """What annotators may see: declared display fields, and nothing that tells the arm."""
    fields = cast("dict[str, Json]", json.loads(sample.fields))
    display = config.data.display
    return QueueTask(
        task_key=task.task_key,
        project=ProjectKey(
            schema_version=task.schema_version,
            guideline_version=task.guideline_version,
            overlap=task.overlap,
            group=task.group,
        ),
        display=fields if display is None else {name: fields.get(name) for name in display},
        media_uri=sample.media_uri,
    )


def _look_at_each(
    workspace: Workspace, round_id: str, keys: Sequence[str], needed: Set[str]
) -> int:
    """See that every needed task is there, and remove copies of any; returns how many it removed.

    Of copies one stays: an answered one if there is any, else the lowest tool id.
    """
    copies = _copies(workspace, round_id, keys, needed)
    spare = [tool_id for group in copies.values() for tool_id in _spare(group)]
    if spare:
        workspace.queue.remove(spare)
        _copies(workspace, round_id, keys, needed)
    return len(spare)


def _copies(
    workspace: Workspace, round_id: str, keys: Sequence[str], needed: Set[str]
) -> dict[str, list[TaskInQueue]]:
    copies: dict[str, list[TaskInQueue]] = {}
    for copy in workspace.queue.tasks(keys):
        copies.setdefault(copy.task_key, []).append(copy)
    if lost := len(needed - copies.keys()):
        raise ServiceUnavailable(
            f"push of {round_id}: expected {len(needed)} tasks in the queue, {lost} are not there. "
            "Run `retrue push` again: what is there is not added twice."
        )
    return copies


def _spare(copies: Sequence[TaskInQueue]) -> list[str]:
    kept = next((copy for copy in copies if copy.answered), copies[0])
    return [copy.tool_id for copy in copies if copy is not kept and not copy.answered]
