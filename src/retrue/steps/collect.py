"""collect: bring answers home, every observed state of each, before any cursor moves.

The round's files come first, the cursor after: a cut in between shows the same answers again, and
they are recognised by (answer id, revision). Answers to tasks we do not know are kept too. If the
tool counted more answers than came, all of it is read once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.core.answers import live_answers
from retrue.ports import Lease
from retrue.records import Answer
from retrue.workspace import Workspace

__all__ = ["UNKNOWN", "CollectReport", "collect_answers"]

UNKNOWN = "unknown"  # the folder of answers to tasks that are not ours
CURSOR = "collect/cursor"
LIVE = "collect/live"
ORPHANS = "collect/orphans"  # answers that stand though their task left the tool
SURPLUS = "collect/surplus"  # answers that the tool counts, and does not show when asked for all


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReport:
    """What one collect brought home."""

    new: int  # answers seen for the first time
    changed: int  # further states of known answers
    deleted: int
    unknown: int  # answers to tasks that are not ours, kept in `data/rounds/unknown`
    rounds: tuple[str, ...]  # rounds that got something


def collect_answers(
    workspace: Workspace, *, now: datetime, sweep: bool = False, dry_run: bool = False
) -> CollectReport:
    """Append all answers observed since the last collect to their rounds' files.

    Args:
        workspace: Where to collect, and into what.
        now: Written as `observed_at`.
        sweep: Look for deleted answers even if the tool's count gives no reason to.
        dry_run: Ask and count, write nothing.

    Raises:
        ServiceUnavailable: The queue did not answer; nothing is lost, run it again.
        LeaseHeld: Another process is collecting.
    """
    if dry_run:
        return _collect(workspace, now, sweep=sweep, lease=None)
    with workspace.lease("collect", now=now) as lease:
        return _collect(workspace, now, sweep=sweep, lease=lease)


def _collect(
    workspace: Workspace, now: datetime, *, sweep: bool, lease: Lease | None
) -> CollectReport:
    cursor = workspace.state.value(CURSOR)
    held = workspace.queue.count()
    seen = _bring(workspace, cursor if isinstance(cursor, str) else "", now, lease)
    fresh = dict(seen.fresh)
    if lease is not None:
        known, missing = _number(workspace, SURPLUS), _missing(workspace, held)
        if missing > known:
            every = _bring(workspace, "", now, lease)
            fresh |= {name: _sum(fresh.get(name), found) for name, found in every.fresh.items()}
            missing = _missing(workspace, held)
        if missing != known:
            workspace.state.set_value(SURPLUS, missing, lease)
    deleted: dict[str, int] = {}
    live, orphans = _live(workspace), _number(workspace, ORPHANS)
    if sweep or workspace.queue.count() < sum(live.values()) - orphans:
        deleted, orphans = _sweep(workspace, now, lease)
        live = _live_by_round(workspace, _asked_in_tool(workspace))
        if lease is not None:
            workspace.state.set_value(ORPHANS, orphans, lease)
    if lease is not None:
        workspace.state.set_value(LIVE, dict(live), lease)
        workspace.state.set_value(CURSOR, seen.cursor, lease)
    return CollectReport(
        new=sum(first for _, first in fresh.values()),
        changed=sum(states - first for states, first in fresh.values()),
        deleted=sum(deleted.values()),
        unknown=fresh.get(UNKNOWN, (0, 0))[0],
        rounds=tuple(
            sorted({name for name, (states, _) in fresh.items() if states} | set(deleted))
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brought:
    """What one reading of the tool added to the files."""

    fresh: dict[str, tuple[int, int]]  # round -> how many states, and how many answers are new
    cursor: str


def _bring(workspace: Workspace, cursor: str, now: datetime, lease: Lease | None) -> _Brought:
    """Read the answers since `cursor` and append what is not on file yet."""
    observed = workspace.queue.answers(cursor)
    homes = _homes(workspace, {answer.task_key for answer in observed.answers})
    by_round: dict[str, list[Answer]] = {}
    for answer in observed.answers:
        by_round.setdefault(homes.get(answer.task_key, UNKNOWN), []).append(answer)
    if lease is not None and by_round:
        # A cut before the new counts are kept must not leave the old ones: a deletion would hide.
        counted = _counted(workspace).items()
        others = {name: count for name, count in counted if name not in by_round}
        workspace.state.set_value(LIVE, dict(others), lease)
    fresh = {
        round_id: _append(workspace, round_id, answers, now, lease)
        for round_id, answers in sorted(by_round.items())
    }
    return _Brought(fresh=fresh, cursor=observed.cursor)


def _missing(workspace: Workspace, held: int) -> int:
    """How many of the answers that the tool held before we read are not on file now."""
    there = sum(_live(workspace).values()) - _number(workspace, ORPHANS)
    return max(held - there, 0)


def _sum(one: tuple[int, int] | None, other: tuple[int, int]) -> tuple[int, int]:
    return other if one is None else (one[0] + other[0], one[1] + other[1])


def _homes(workspace: Workspace, keys: set[str]) -> dict[str, str]:
    """Task key -> round. The ledger knows tasks in flight; the records know all."""
    homes = workspace.state.rounds_of_tasks(keys)
    if keys <= homes.keys():
        return homes
    for item in workspace.records.rounds():
        for task in workspace.records.tasks(item.plan.round_id):
            if task.task_key in keys:
                homes[task.task_key] = task.round_id
    return homes


def _append(
    workspace: Workspace,
    round_id: str,
    answers: Iterable[Answer],
    now: datetime,
    lease: Lease | None,
) -> tuple[int, int]:
    """Append states that are not on file yet; returns how many, and how many ids are new."""
    on_file = workspace.records.answers(round_id)
    states = {(answer.answer_id, answer.revision) for answer in on_file}
    ids = {answer.answer_id for answer in on_file}
    fresh = {
        (answer.answer_id, answer.revision): answer
        for answer in answers
        if (answer.answer_id, answer.revision) not in states
    }
    seq = on_file[-1].seq if on_file else 0
    numbered = [
        replace(answer, seq=seq + place, observed_at=now)
        for place, answer in enumerate(fresh.values(), start=1)
    ]
    if numbered and lease is not None:
        workspace.state.check_lease(lease)
        workspace.records.append_answers(round_id, numbered)
    return len(numbered), len({answer.answer_id for answer in numbered} - ids)


def _counted(workspace: Workspace) -> dict[str, int]:
    """Live answers of each round when they were last counted; empty after a cut."""
    known = workspace.state.value(LIVE)
    items = known.items() if isinstance(known, dict) else ()
    return {name: count for name, count in items if isinstance(count, int)}


def _live(workspace: Workspace) -> dict[str, int]:
    """Live answers of each round that the tool holds, on file now."""
    counted = _counted(workspace)
    return counted | _live_by_round(workspace, _asked_in_tool(workspace) - counted.keys())


def _number(workspace: Workspace, name: str) -> int:
    value = workspace.state.value(name)
    return value if isinstance(value, int) else 0


def _live_by_round(workspace: Workspace, names: Iterable[str]) -> dict[str, int]:
    return {name: found.live for name, found in workspace.records.tallies(names).items()}


def _asked_in_tool(workspace: Workspace) -> set[str]:
    """Rounds whose answers the tool holds, strangers' too; adopted ones it never saw."""
    rounds = workspace.records.rounds()
    return {item.plan.round_id for item in rounds if item.plan.kind != "adopted"} | {UNKNOWN}


def _sweep(workspace: Workspace, now: datetime, lease: Lease | None) -> tuple[dict[str, int], int]:
    """Find answers that are on file and no longer in the tool; record them as deleted.

    Where the whole task is gone nobody took an answer back: somebody cleared up a task or a
    project, and what was collected stands.

    Returns:
        How many were deleted, by round; and how many stand without a task in the tool.
    """
    gone_by_round: dict[str, int] = {}
    orphans = 0
    for round_id in sorted(_asked_in_tool(workspace)):
        live = live_answers(workspace.records.answers(round_id))
        if not live:
            continue
        there = workspace.queue.answer_ids({answer.task_key for answer in live})
        missing = [answer for answer in live if answer.answer_id not in there]
        copies = workspace.queue.tasks({answer.task_key for answer in missing})
        asked = {copy.task_key for copy in copies}
        gone = [answer for answer in missing if answer.task_key in asked]
        orphans += len(missing) - len(gone)
        deleted = [
            replace(answer, status="deleted", value=None, revision=f"{answer.revision}/deleted")
            for answer in gone
        ]
        if deleted:
            _append(workspace, round_id, deleted, now, lease)
            gone_by_round[round_id] = len(deleted)
    return gone_by_round, orphans
