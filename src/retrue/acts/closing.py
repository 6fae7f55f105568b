"""Ending a round by a person's word: closing it before its time, or cancelling it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from retrue.core.answers import live_answers
from retrue.errors import RecordError
from retrue.ports import Lease
from retrue.reading.ballots import last_verdicts
from retrue.records import Round, Task
from retrue.workspace import Workspace

__all__ = ["EndReport", "cancel_round", "close_round", "unresolved_audit"]

RUNNING = ("open", "collecting")
RESOLVED = ("accepted", "unanswerable", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndReport:
    """What ending a round did, or would do."""

    round_id: str
    withdrawn: int  # tasks without answer or draft, taken out of the queue
    answers: int  # given so far
    audit_missing: int  # audit samples without a verdict: accuracy gets worst-case bounds


def unresolved_audit(workspace: Workspace, round_id: str) -> list[str]:
    """Audit samples of a round whose answers do not amount to a verdict yet."""
    verdicts = last_verdicts(workspace)
    audit = [task.sample_id for task in workspace.records.tasks(round_id) if task.arm == "audit"]
    return [name for name in audit if name not in verdicts or verdicts[name].status not in RESOLVED]


def close_round(
    workspace: Workspace,
    round_id: str,
    *,
    now: datetime,
    accept_missing: bool = False,
    dry_run: bool = False,
) -> EndReport:
    """Close a round early: what was answered counts, the rest is let go.

    The next `validate` judges what is there. A closed round is left as it is.

    Args:
        workspace: Where.
        round_id: Which round.
        now: Written into the decision.
        accept_missing: Close even though audit samples have no verdict.
        dry_run: Say what would be let go, change nothing.

    Raises:
        RecordError: The round is not running, or audit samples have no verdict yet.
        LeaseHeld: Another process is pushing.
    """
    item = workspace.records.round(round_id)
    if item.state not in (*RUNNING, "closed"):
        raise RecordError(f"round {round_id}: expected a running round, it is {item.state}")
    missing = len(unresolved_audit(workspace, round_id))
    if missing and not accept_missing and item.state != "closed":
        raise RecordError(
            f"round {round_id}: {missing} audit samples have no verdict yet, and accuracy is "
            "measured on them. Wait for their answers (`retrue label`, `retrue collect`, "
            "`retrue validate`), or close with --accept-missing: accuracy becomes provisional, "
            "with bounds that assume the worst of each."
        )
    data = {"round": round_id, "by_person": True, "audit_missing": missing}
    return _end(
        workspace, item, "round-closed", dict(data), missing=missing, now=now, dry_run=dry_run
    )


def cancel_round(
    workspace: Workspace, round_id: str, *, why: str, now: datetime, dry_run: bool = False
) -> EndReport:
    """Cancel a round: it never happened, none of its answers count. A rerun withdraws the rest.

    Raises:
        RecordError: The round is closed; versions may hold its labels.
        LeaseHeld: Another process is pushing.
    """
    item = workspace.records.round(round_id)
    if item.state in ("closed", "published"):
        raise RecordError(
            f"round {round_id}: it is {item.state} and its labels count. To take answers back, "
            "use `retrue answers void`."
        )
    data = {"round": round_id, "why": why}
    return _end(workspace, item, "round-cancelled", dict(data), missing=0, now=now, dry_run=dry_run)


def _end(
    workspace: Workspace,
    item: Round,
    kind: str,
    data: dict[str, str | int | bool],
    *,
    missing: int,
    now: datetime,
    dry_run: bool,
) -> EndReport:
    round_id = item.plan.round_id
    tasks = workspace.records.tasks(round_id)
    if dry_run:
        withdrawn = len(_unanswered(workspace, tasks))
    else:
        # Holding push's lease: no task may be added between the decision and the withdrawal.
        with workspace.lease("push", now=now) as lease:
            workspace.decide(kind, round_id, now=now, data=dict(data))
            withdrawn = _withdraw(workspace, tasks, lease)
    return EndReport(
        round_id=round_id,
        withdrawn=withdrawn,
        answers=len(live_answers(workspace.records.answers(round_id))),
        audit_missing=missing,
    )


def _withdraw(workspace: Workspace, tasks: Sequence[Task], lease: Lease) -> int:
    """Take unanswered tasks out of the queue; none of the round's is in flight any more."""
    free = _unanswered(workspace, tasks)
    if free:
        workspace.queue.remove(free)
    workspace.state.finish_tasks([task.task_key for task in tasks], lease)
    return len(free)


def _unanswered(workspace: Workspace, tasks: Sequence[Task]) -> list[str]:
    copies = workspace.queue.tasks(task.task_key for task in tasks)
    return [copy.tool_id for copy in copies if not copy.answered]
