"""select: decide which samples are worth a label, and plan the round that asks for them.

The audit is drawn first, by chance and blind to scores, from every eligible row. The other arms
share what is left: random for a fair comparison, active where the model is unsure, novel where
nothing like it was labelled. The plan is written whole, once; a rerun finds it by its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.core.incident import current_incident, read_incidents
from retrue.core.openings import Facts, Opening, Waiting, pending_openings
from retrue.ports import Lease
from retrue.reading.ballots import gather
from retrue.reading.drafting import Draft, draft_round, outdated_samples
from retrue.reading.identity import refuse_other_identity
from retrue.reading.schemas import apply_schema, plan_schema
from retrue.reading.spending import price_of
from retrue.records import Quarantined, Round, RoundPlan, Task, short_hash
from retrue.workspace import Workspace

__all__ = ["PlannedRound", "SelectReport", "open_round", "request_round", "select_samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRound:
    """A round that was planned, or would be."""

    plan: RoundPlan
    answers: int  # asked of people: tasks times their overlap
    cost: float  # in the plan's currency
    opened: bool  # False: waits for `retrue round approve`
    examples: tuple[Task, ...]  # a few picks with their reasons
    skipped: tuple[Quarantined, ...] = ()  # objects and media that could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectReport:
    """What one call did."""

    planned: tuple[PlannedRound, ...]
    waiting: tuple[Waiting, ...]


def select_samples(workspace: Workspace, *, now: datetime, dry_run: bool = False) -> SelectReport:
    """Plan every round the state of the loop asks for.

    Raises:
        ConfigError: A stream's key is not the one its first window was read with.
        LeaseHeld: Another process is selecting.
        StoreError: The store refuses; what is gone or changed is passed over and told.
    """
    with workspace.lease("select", now=now) as lease:
        waiting = _approve(workspace, now=now, dry_run=dry_run)
        openings, asking = pending_openings(_facts(workspace, now))
        planned, capped = _plan_all(workspace, openings, lease, now=now, dry_run=dry_run)
    return SelectReport(planned=tuple(planned), waiting=(*waiting, *asking, *capped))


def request_round(
    workspace: Workspace, opening: Opening, *, now: datetime, dry_run: bool = False
) -> SelectReport:
    """Plan a round a person asked for; the same kind and cause find the same round."""
    with workspace.lease("select", now=now) as lease:
        planned, capped = _plan_all(workspace, [opening], lease, now=now, dry_run=dry_run)
    return SelectReport(planned=tuple(planned), waiting=tuple(capped))


def _facts(workspace: Workspace, now: datetime) -> Facts:
    rounds = workspace.records.rounds()
    champion = workspace.models.champion()
    incidents = read_incidents(workspace.records.decisions(), rounds)
    config = workspace.config
    return Facts(
        rounds=rounds,
        windows=workspace.state.windows(),
        has_champion=champion is not None,
        incident=current_incident(incidents, champion=champion.version, now=now)
        if champion
        else None,
        schema_version=workspace.labels.version,
        outdated=len(outdated_samples(workspace, gather(workspace, now=now))),
        budget=config.select.budget,
        bootstrap=config.select.bootstrap or config.select.budget,
        probe_block=config.drift.probe.labels,
        probe_max=config.drift.probe.max,
    )


def _approve(workspace: Workspace, *, now: datetime, dry_run: bool) -> list[Waiting]:
    """Open planned rounds where that is automatic; else say that they wait for a person."""
    waiting: list[Waiting] = []
    for item in workspace.records.rounds():
        if item.state != "planned" or item.plan.kind == "adopted":
            continue
        if workspace.config.round.open == "auto":
            if not dry_run:  # the run that planned it was cut off, or a person had to be asked then
                open_round(workspace, item.plan, now=now)
            continue
        name = item.plan.round_id
        waiting.append(Waiting(why=f"round {name} is planned", do=f"`retrue round approve {name}`"))
    return waiting


def _plan_all(
    workspace: Workspace,
    openings: Sequence[Opening],
    lease: Lease,
    *,
    now: datetime,
    dry_run: bool,
) -> tuple[list[PlannedRound], list[Waiting]]:
    planned: list[PlannedRound] = []
    blocked: list[Waiting] = []
    if openings:
        refuse_other_identity(workspace)
    unclear = _schema_in_force(workspace, now, dry_run=dry_run) if openings else None
    if unclear is not None:
        return [], [unclear]
    for opening in openings:
        made = _plan(workspace, opening, now, lease, dry_run=dry_run)
        if isinstance(made, Waiting):
            blocked.append(made)
        else:
            planned.append(made)
    return planned, blocked


def _schema_in_force(workspace: Workspace, now: datetime, *, dry_run: bool) -> Waiting | None:
    """Fix what the question means before people are asked it; None: it is clear."""
    plan = plan_schema(workspace)
    if plan.problems:
        return Waiting(
            why=f"configs/labels.yaml: {'; '.join(plan.problems)}",
            do="correct it; `retrue schema plan` shows what it would do",
        )
    if plan.pending and not dry_run:
        apply_schema(workspace, now=now)
    return None


def _plan(
    workspace: Workspace, opening: Opening, now: datetime, lease: Lease, *, dry_run: bool
) -> PlannedRound | Waiting:
    round_id = f"{opening.kind}-{short_hash(opening.kind, opening.cause, digits=8)}"
    known = [item for item in workspace.records.rounds() if item.plan.round_id == round_id]
    if known:
        return _found(workspace, known[0], now, dry_run=dry_run)
    draft = draft_round(workspace, opening, round_id, now=now)
    if isinstance(draft, Waiting):
        return draft
    plan = _round_plan(workspace, opening, round_id, draft, now)
    opened = not dry_run and workspace.config.round.open == "auto"
    if not dry_run:
        workspace.state.check_lease(lease)
        if draft.media and workspace.config.data.keep_media:
            workspace.records.put_media(round_id, draft.media)
        workspace.records.plan_round(plan, draft.samples, draft.tasks)
        if opened:
            open_round(workspace, plan, now=now)
    made = _planned(workspace, plan, draft.tasks, opened=opened)
    return replace(made, skipped=draft.lost)


def _planned(
    workspace: Workspace, plan: RoundPlan, tasks: Sequence[Task], *, opened: bool
) -> PlannedRound:
    answers = sum(task.overlap for task in tasks)
    price, _ = price_of(workspace.config)
    return PlannedRound(
        plan=plan,
        answers=answers,
        cost=answers * price,
        opened=opened,
        examples=tuple(tasks[:8]),
    )


def _found(workspace: Workspace, item: Round, now: datetime, *, dry_run: bool) -> PlannedRound:
    """The round that an earlier run planned for the same cause."""
    planned = item.state == "planned"
    if planned and not dry_run and workspace.config.round.open == "auto":
        open_round(workspace, item.plan, now=now)
        planned = False
    tasks = workspace.records.tasks(item.plan.round_id)
    return _planned(workspace, item.plan, tasks, opened=not planned)


def open_round(workspace: Workspace, plan: RoundPlan, *, now: datetime) -> None:
    """Let a planned round's tasks be pushed."""
    data = {"round": plan.round_id, "why": plan.why}
    workspace.decide("round-opened", plan.round_id, now=now, data=dict(data))


def _round_plan(
    workspace: Workspace, opening: Opening, round_id: str, draft: Draft, now: datetime
) -> RoundPlan:
    arms: dict[str, int] = {}
    for task in draft.tasks:
        arms[task.arm] = arms.get(task.arm, 0) + 1
    price, currency = price_of(workspace.config)
    return RoundPlan(
        round_id=round_id,
        kind=opening.kind,
        cause=opening.cause,
        why=opening.why,
        population=opening.windows,
        frame_rows=draft.frame_rows,
        seed=workspace.config.select.seed,
        arms=arms,
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        cost_per_label=price,
        currency=currency,
        parent=None,
        planned_at=now,
    )
