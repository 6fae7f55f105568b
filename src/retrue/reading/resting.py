"""Rounds at rest: long closed, judged since their last answer could count, and not read again.

A validation costs what is in motion, however many years of answers are on record. A round comes to
rest with the first validation after its grace time; it moves again when some of its answers are
voided, when one of its samples is asked about anew, and when the rules of judging change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from retrue.core.answers import Tally
from retrue.ports import Lease
from retrue.reading.ballots import Asked, gather_tasks, last_verdicts
from retrue.reading.voiding import Void, read_voids
from retrue.records import Round, Task, short_hash
from retrue.workspace import LEASE_TTL, Workspace

__all__ = ["EVIDENCE", "InMotion", "gather_moving", "remember_judging"]

JUDGED = "validate/judged"
# Answers to questions that several people answered, which rounds at rest lend to tell how far each
# person can be trusted: the newest, because people change, and so many that 40 people have 50 each.
# Answers in motion come on top.
EVIDENCE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InMotion:
    """What a validation has to look at."""

    asked: Mapping[str, Asked]  # samples whose verdict may change, by sample id
    lent: Mapping[str, Asked]  # samples at rest; they tell about people, their verdicts stand


def gather_moving(workspace: Workspace, *, now: datetime) -> InMotion:
    """The samples of rounds in motion with all that was ever said about them, and what is lent."""
    records = workspace.records
    every = records.rounds()
    rounds = [item for item in every if item.state != "cancelled"]
    resting = _resting(workspace, rounds)
    names = [item.plan.round_id for item in rounds]
    tasks = {name: records.tasks(name) for name in names if name not in resting}
    moving = {task.sample_id for asked in tasks.values() for task in asked}
    before = records.rounds_asking(moving) if resting else {}
    for name in resting & before.keys():
        tasks[name] = records.tasks(name, about=before[name])
    places = tasks.keys() | before.keys()  # also cancelled ones: their verdicts stay on file
    homes = [item.plan.round_id for item in every if item.plan.round_id in places]
    lent = _lent(workspace, [name for name in names if name in resting], moving)
    return InMotion(
        asked=gather_tasks(workspace, rounds, tasks, last_verdicts(workspace, homes), now=now),
        lent=gather_tasks(workspace, rounds, lent, {}, now=now),
    )


def remember_judging(workspace: Workspace, now: datetime, lease: Lease) -> None:
    """Keep that everything in motion was judged by today's rules.

    Raises:
        LeaseLost: Another process took over; nothing was written.
    """
    known = {"at": now.isoformat(), "rules": _rules(workspace)}
    workspace.state.set_value(JUDGED, dict(known), lease)


def _resting(workspace: Workspace, rounds: Sequence[Round]) -> set[str]:
    """Rounds that nothing happened to since they were judged after their grace time."""
    known = workspace.state.value(JUDGED)
    if not isinstance(known, dict) or known.get("rules") != _rules(workspace):
        return set()
    judged = datetime.fromisoformat(str(known["at"]))
    # A collect that began within the grace time may have written after the validation read.
    grace = timedelta(days=workspace.config.round.grace_days) + LEASE_TTL
    over = {
        item.plan.round_id
        for item in rounds
        if item.state in ("closed", "published")
        and item.closed_at is not None
        and item.closed_at + grace < judged
    }
    voids = read_voids(workspace.records, after=judged)
    if not voids:
        return over
    tallies = workspace.records.tallies(over)
    return {name for name in over if not any(_touches(void, tallies[name]) for void in voids)}


def _touches(void: Void, tally: Tally) -> bool:
    """Whether a round may hold answers that stopped counting."""
    first, last = (at.astimezone(UTC) if at else None for at in (void.since, void.until))
    in_time = any(
        (first is None or f"{first:%Y-%m}" <= month) and month <= f"{last:%Y-%m}"
        for month in tally.answered
    )
    return in_time and void.annotator in tally.annotators


def _rules(workspace: Workspace) -> str:
    """Changes with everything by which answers become verdicts, other than the answers."""
    config = workspace.config
    return short_hash(
        workspace.labels.model_dump_json(exclude={"question", "guideline"}),
        config.validate_.model_dump_json(),
        config.round.model_dump_json(),
        config.queue.annotators.model_dump_json(),
        str(config.select.seed),
    )


def _lent(
    workspace: Workspace, resting: Sequence[str], moving: AbstractSet[str]
) -> dict[str, list[Task]]:
    """Questions of the newest rounds at rest that several people were to answer."""
    lent: dict[str, list[Task]] = {}
    wanted = 0
    for name in reversed(resting):
        if wanted >= EVIDENCE:
            break
        shared = workspace.records.tasks(name, overlap=2)
        lent[name] = [task for task in shared if task.sample_id not in moving]
        wanted += sum(task.overlap for task in lent[name])
    return lent
