"""validate: judge the answers, ask again where people disagree, close rounds that are done.

The answers in motion and the newest of those at rest tell how far each person can be trusted (see
`reading.resting`); only verdicts that changed are written, to the round that first asked, as a new
file. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from retrue.config import Config, Labels
from retrue.core.judge import AnnotatorReport, Ballot, Judgement, judge, rate_annotators
from retrue.ports import Lease
from retrue.reading.ballots import Asked
from retrue.reading.resting import gather_moving, remember_judging
from retrue.records import AnnotatorGroup, Json, Round, RoundPlan, Task, Verdict, short_hash
from retrue.workspace import Workspace

__all__ = ["RoundVerdicts", "ValidateReport", "judge_answers"]

SETTLED = ("accepted", "unanswerable", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundVerdicts:
    """Where one round stands after judging."""

    round_id: str
    kind: str
    accepted: int
    disputed: int
    unanswerable: int  # with `missing`: no label will come
    waiting: int  # samples still without the answers they want
    closed: bool  # closed by this call


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateReport:
    """What one call did."""

    rounds: tuple[RoundVerdicts, ...]  # those that were open
    written: int  # verdicts that are new or changed
    annotators: tuple[AnnotatorReport, ...]  # least trusted first
    disputes: tuple[str, ...]  # child rounds opened


def judge_answers(workspace: Workspace, *, now: datetime, dry_run: bool = False) -> ValidateReport:
    """Judge all answers; write what changed, open disputes, close what is done.

    Raises:
        LeaseHeld: Another process is judging.
    """
    with workspace.lease("validate", now=now) as lease:
        disputes = [] if dry_run else _open_planned(workspace, now)
        found = gather_moving(workspace, now=now)
        asked = found.asked
        ballots = [item.ballot for item in (*asked.values(), *found.lent.values())]
        judged = _judge(workspace, ballots)
        written = _write(workspace, asked, judged, now, None if dry_run else lease)
        active = [r for r in workspace.records.rounds() if r.state in ("open", "collecting")]
        if not dry_run:
            disputes += _ask_again(workspace, active, asked, judged, now, lease)
        # Children were planned after their parents; a parent closes with its last child.
        rounds = [
            _close(workspace, item, asked, judged, now, may_close=not dry_run)
            for item in reversed(active)
        ]
        if not dry_run:
            _free(workspace, asked, judged, lease)
            remember_judging(workspace, now, lease)
    checks = workspace.config.validate_
    annotators = rate_annotators(
        ballots,
        workspace.labels.label_schema,
        floor=checks.skill_floor,
        fastest=checks.too_fast_seconds,
    )
    return ValidateReport(
        rounds=tuple(reversed(rounds)),
        written=written,
        annotators=tuple(annotators),
        disputes=tuple(disputes),
    )


def _judge(workspace: Workspace, ballots: Sequence[Ballot]) -> dict[str, Judgement]:
    seed = int(short_hash(workspace.config.select.seed, "validate", digits=12), 16)
    found = judge(
        ballots,
        workspace.labels.label_schema,
        min_confidence=workspace.config.validate_.min_confidence,
        rng=np.random.default_rng(seed),
    )
    return {judgement.sample_id: judgement for judgement in found}


def _write(
    workspace: Workspace,
    asked: Mapping[str, Asked],
    judged: Mapping[str, Judgement],
    now: datetime,
    lease: Lease | None,
) -> int:
    """Append verdicts that differ from those on file, each to the round that first asked."""
    changed: dict[str, list[Verdict]] = {}
    for sample_id, one in asked.items():
        if sample_id in judged:
            verdict = _verdict(judged[sample_id], workspace.labels.version, now)
            if not _same(one.verdict, verdict, workspace.labels):
                changed.setdefault(one.rounds[0], []).append(verdict)
    if lease is not None:
        for round_id, verdicts in sorted(changed.items()):
            workspace.state.check_lease(lease)
            workspace.records.append_verdicts(round_id, verdicts)
    return sum(len(verdicts) for verdicts in changed.values())


def _verdict(judgement: Judgement, schema_version: int, now: datetime) -> Verdict:
    return Verdict(
        sample_id=judgement.sample_id,
        label=judgement.label,
        confidence=judgement.confidence,
        n_answers=judgement.n_answers,
        status=judgement.status,
        method=judgement.method,
        reason=judgement.reason,
        schema_version=schema_version,
        decided_at=now,
    )


def _same(old: Verdict | None, new: Verdict, labels: Labels) -> bool:
    """Whether a verdict says nothing new: confidence moves a little with every answer elsewhere.

    A label that a migration carries over unchanged is not new either: versions are built under
    the schema they name.
    """
    if old is None or (old.status, old.n_answers) != (new.status, new.n_answers):
        return False
    was = old.label if old.label is None else labels.migrate(old.label, old.schema_version)
    return was == new.label


# --- disputes --------------------------------------------------------------------------------


def _ask_again(
    workspace: Workspace,
    active: Sequence[Round],
    asked: Mapping[str, Asked],
    judged: Mapping[str, Judgement],
    now: datetime,
    lease: Lease,
) -> list[str]:
    parents_in_dispute = {item.plan.parent for item in active}
    running = {item.plan.round_id for item in active}
    opened: list[str] = []
    for item in active:
        parent = item.plan.round_id
        # Of several rounds that ask about a sample the first still running takes up the dispute.
        mine = [
            one
            for one in asked.values()
            if next((name for name in one.rounds if name in running), None) == parent
        ]
        waiting = any(one.ballot.sample_id not in judged for one in mine)
        if item.plan.kind == "dispute" or waiting or parent in parents_in_dispute:
            continue
        disputed = _to_dispute(workspace, item.plan, mine, judged)
        if disputed:
            workspace.state.check_lease(lease)
            opened.append(_open_dispute(workspace, item.plan, disputed, judged, now))
    return opened


def _to_dispute(
    workspace: Workspace,
    plan: RoundPlan,
    mine: Sequence[Asked],
    judged: Mapping[str, Judgement],
) -> list[Asked]:
    """Disputed samples to ask once more: all audit ones, and the least sure of the others."""
    again = [
        one
        for one in mine
        if judged[one.ballot.sample_id].status == "disputed" and not one.disputed
    ]
    audit = [one for one in again if one.ballot.people_only]
    others = sorted(
        (one for one in again if not one.ballot.people_only),
        key=lambda one: (judged[one.ballot.sample_id].confidence, one.ballot.sample_id),
    )
    spent = sum(one.disputed and not one.ballot.people_only for one in mine)
    cap = int(workspace.config.validate_.dispute_max * sum(plan.arms.values())) - spent
    return audit + others[: max(cap, 0)]


def _open_planned(workspace: Workspace, now: datetime) -> list[str]:
    """Open disputes that an earlier run planned and was cut off before opening."""
    planned = [
        item.plan
        for item in workspace.records.rounds()
        if item.state == "planned" and item.plan.kind == "dispute"
    ]
    return [_open(workspace, plan, now) for plan in planned]


def _open(workspace: Workspace, plan: RoundPlan, now: datetime) -> str:
    data: dict[str, Json] = {"round": plan.round_id, "why": plan.why}
    workspace.decide("round-opened", plan.round_id, now=now, data=data)
    return plan.round_id


def _who_decides(config: Config) -> AnnotatorGroup:
    """The configured group, or everybody where nobody was named for it."""
    wanted = config.validate_.dispute_group
    named = config.queue.annotators.model_dump().get(wanted)
    return wanted if named else "crowd"


def _open_dispute(
    workspace: Workspace,
    parent: RoundPlan,
    disputed: Sequence[Asked],
    judged: Mapping[str, Judgement],
    now: datetime,
) -> str:
    checks = workspace.config.validate_
    ids = sorted(one.ballot.sample_id for one in disputed)
    cause = f"{parent.round_id}/{short_hash(*ids, digits=8)}"
    round_id = f"dispute-{short_hash('dispute', cause, digits=8)}"
    price, currency = workspace.config.select.caps.price
    plan = RoundPlan(
        round_id=round_id,
        kind="dispute",
        cause=cause,
        why=f"people disagree about {len(ids)} samples of {parent.round_id}",
        population=(),
        frame_rows=0,
        seed=parent.seed,
        arms={"dispute": len(ids)},
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        cost_per_label=price,
        currency=currency,
        parent=parent.round_id,
        planned_at=now,
    )
    samples = {item.sample_id: item for item in workspace.records.samples(parent.round_id)}
    tasks = [
        Task(
            task_key=short_hash(plan.seed, round_id, sample_id),
            round_id=round_id,
            sample_id=sample_id,
            arm="dispute",
            group=_who_decides(workspace.config),
            overlap=checks.dispute_answers,
            score=judged[sample_id].confidence,
            inclusion_probability=None,
            trigger=judged[sample_id].reason,
            schema_version=plan.schema_version,
            guideline_version=plan.guideline_version,
            predicted=None,
            predicted_probability=None,
            gold=None,
        )
        for sample_id in ids
    ]
    workspace.records.plan_round(plan, [samples[sample_id] for sample_id in ids], tasks)
    return _open(workspace, plan, now)


# --- closing ---------------------------------------------------------------------------------


def _close(
    workspace: Workspace,
    item: Round,
    asked: Mapping[str, Asked],
    judged: Mapping[str, Judgement],
    now: datetime,
    *,
    may_close: bool,
) -> RoundVerdicts:
    round_id = item.plan.round_id
    mine = [one for one in asked.values() if round_id in one.rounds]
    status = [judged[i].status if (i := one.ballot.sample_id) in judged else "" for one in mine]
    waiting = status.count("")
    children = [
        child
        for child in workspace.records.rounds()
        if child.plan.parent == round_id and child.state in ("open", "collecting")
    ]
    done = may_close and not waiting and not children
    if done:
        workspace.decide("round-closed", round_id, now=now, data={"round": round_id})
    return RoundVerdicts(
        round_id=round_id,
        kind=item.plan.kind,
        accepted=status.count("accepted"),
        disputed=status.count("disputed"),
        unanswerable=status.count("unanswerable") + status.count("missing"),
        waiting=waiting,
        closed=done,
    )


def _free(
    workspace: Workspace,
    asked: Mapping[str, Asked],
    judged: Mapping[str, Judgement],
    lease: Lease,
) -> None:
    """Tasks whose sample has a settled verdict are no longer in flight."""
    keys = [
        key
        for sample_id, one in asked.items()
        if sample_id in judged and judged[sample_id].status in SETTLED
        for key in one.task_keys
    ]
    if keys:
        workspace.state.finish_tasks(keys, lease)
