"""push and collect as written by somebody who never saw a cut: what the cuts must find out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from retrue.records import ProjectKey, QueueTask
from retrue.steps.collect import CURSOR
from retrue.workspace import Workspace


def naive_push(workspace: Workspace, now: datetime) -> None:
    """Add everything that is not marked as pushed, in two calls; mark it; never ask."""
    with workspace.lease("push", now=now) as lease:
        for item in workspace.records.rounds():
            done = f"push/{item.plan.round_id}"
            if workspace.state.value(done) == "complete":
                continue
            tasks = [
                QueueTask(
                    task_key=task.task_key,
                    project=ProjectKey(
                        schema_version=1, guideline_version="1", overlap=1, group="crowd"
                    ),
                    display={},
                    media_uri=None,
                )
                for task in workspace.records.tasks(item.plan.round_id)
            ]
            half = len(tasks) // 2
            workspace.queue.add(tasks[:half])
            workspace.queue.add(tasks[half:])
            workspace.state.set_value(done, "complete", lease)


def naive_collect(workspace: Workspace, now: datetime, *, cursor_first: bool) -> None:
    """Write what was observed without looking what is on file; move the cursor before or after."""
    with workspace.lease("collect", now=now) as lease:
        cursor = workspace.state.value(CURSOR)
        observed = workspace.queue.answers(cursor if isinstance(cursor, str) else "")
        if cursor_first:
            workspace.state.set_value(CURSOR, observed.cursor, lease)
        homes = {
            task.task_key: task.round_id
            for item in workspace.records.rounds()
            for task in workspace.records.tasks(item.plan.round_id)
        }
        for round_id in sorted({homes[a.task_key] for a in observed.answers}):
            mine = [a for a in observed.answers if homes[a.task_key] == round_id]
            seq = len(workspace.records.answers(round_id))
            workspace.records.append_answers(
                round_id,
                [replace(a, seq=seq + i, observed_at=now) for i, a in enumerate(mine, start=1)],
            )
        if not cursor_first:
            workspace.state.set_value(CURSOR, observed.cursor, lease)
