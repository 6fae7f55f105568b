"""push: put the tasks of open rounds into the annotation queue, each exactly once.

Ask what is there, add the rest, ask again. After an ambiguous reply the tool may still be at work,
so we wait until it rests; of copies the lowest tool id stays and unanswered ones are removed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retrue.config import Config
from retrue.errors import ServiceUnavailable
from retrue.ports import Lease, TaskInQueue
from retrue.records import Json, ProjectKey, QueueTask, Sample, Task
from retrue.workspace import Workspace

__all__ = ["PushReport", "push_tasks"]

BATCH = 1_000  # tasks per call; a cut costs at most one batch of questions again


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

    Tasks whose answers were all given in earlier rounds are not asked again.

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
    tasks = _wanting(workspace, round_id)
    there = {copy.task_key for copy in workspace.queue.tasks(task.task_key for task in tasks)}
    missing = sum(task.task_key not in there for task in tasks)
    return PushReport(round_id=round_id, tasks=len(tasks), added=missing, copies_removed=0)


def _push_round(workspace: Workspace, round_id: str, lease: Lease) -> PushReport:
    done = f"push/{round_id}"
    tasks = _wanting(workspace, round_id)
    if workspace.state.value(done) == "complete":
        return PushReport(round_id=round_id, tasks=len(tasks), added=0, copies_removed=0)
    queue, keys = workspace.queue, [task.task_key for task in tasks]
    # An earlier push may have been cut while the tool went on importing.
    interrupted = workspace.state.value(done) == "started"
    there = queue.settled(keys) if interrupted else queue.tasks(keys)
    workspace.state.set_value(done, "started", lease)
    workspace.state.add_tasks(tasks, lease)
    present = {copy.task_key for copy in there}
    missing = [task for task in tasks if task.task_key not in present]
    _add(workspace, round_id, missing)
    removed = _remove_copies(workspace, keys)
    _verify(workspace, round_id, keys)
    workspace.state.set_value(done, "complete", lease)
    return PushReport(
        round_id=round_id, tasks=len(tasks), added=len(missing), copies_removed=removed
    )


def _wanting(workspace: Workspace, round_id: str) -> list[Task]:
    """Tasks that want an answer; an overlap of 0 means that earlier answers suffice."""
    return [task for task in workspace.records.tasks(round_id) if task.overlap > 0]


def _add(workspace: Workspace, round_id: str, tasks: Sequence[Task]) -> None:
    samples = {sample.sample_id: sample for sample in workspace.records.samples(round_id)}
    for start in range(0, len(tasks), BATCH):
        batch = tasks[start : start + BATCH]
        workspace.queue.add(
            [_shown(task, samples[task.sample_id], workspace.config) for task in batch]
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


def _remove_copies(workspace: Workspace, keys: Sequence[str]) -> int:
    """Keep one copy per key: an answered one if there is any, else the lowest tool id."""
    copies: dict[str, list[TaskInQueue]] = {}
    for copy in workspace.queue.tasks(keys):
        copies.setdefault(copy.task_key, []).append(copy)
    spare = [tool_id for group in copies.values() for tool_id in _spare(group)]
    if spare:
        workspace.queue.remove(spare)
    return len(spare)


def _spare(copies: Sequence[TaskInQueue]) -> list[str]:
    kept = next((copy for copy in copies if copy.answered), copies[0])
    return [copy.tool_id for copy in copies if copy is not kept and not copy.answered]


def _verify(workspace: Workspace, round_id: str, keys: Sequence[str]) -> None:
    present = {copy.task_key for copy in workspace.queue.tasks(keys)}
    lost = len(set(keys) - present)
    if lost:
        raise ServiceUnavailable(
            f"push of {round_id}: expected {len(keys)} tasks in the queue, {lost} are not there. "
            "Run `retrue push` again: what is there is not added twice."
        )
