"""select: decide which samples are worth a label, and plan the round that asks for them.

The audit is drawn first, by chance and blind to scores, from every eligible row. The other arms
share what is left: random for a fair comparison, active where the model is unsure, novel where
nothing like it was labelled. The plan is written whole, once; a rerun finds it by its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retrue.ballots import Asked, gather
from retrue.core.draw import allot
from retrue.core.incident import current_incident, read_incidents
from retrue.core.openings import Facts, Opening, Waiting, pending_openings
from retrue.frame import Candidate, Drawn, Wanted, draw_frame, fetch
from retrue.picks import Picked, pick_arms
from retrue.ports import Lease
from retrue.records import Arm, RoundPlan, Sample, Task, short_hash
from retrue.spending import answers_left, price_of
from retrue.windows import media_reader
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectReport:
    """What one call did."""

    planned: tuple[PlannedRound, ...]
    waiting: tuple[Waiting, ...]


def select_samples(workspace: Workspace, *, now: datetime, dry_run: bool = False) -> SelectReport:
    """Plan every round the state of the loop asks for.

    Raises:
        LeaseHeld: Another process is selecting.
        StoreError: A window's object is gone or changed.
    """
    facts, waiting = _facts(workspace, now)
    openings, blocked = pending_openings(facts)
    return _plan_all(workspace, openings, [*waiting, *blocked], now=now, dry_run=dry_run)


def request_round(
    workspace: Workspace, opening: Opening, *, now: datetime, dry_run: bool = False
) -> SelectReport:
    """Plan a round a person asked for; the same kind and cause find the same round."""
    return _plan_all(workspace, [opening], [], now=now, dry_run=dry_run)


def _facts(workspace: Workspace, now: datetime) -> tuple[Facts, list[Waiting]]:
    rounds = workspace.records.rounds()
    champion = workspace.models.champion()
    incidents = read_incidents(workspace.records.decisions(), rounds)
    config = workspace.config
    outdated = sum(item.outdated for item in gather(workspace, now=now).values())
    facts = Facts(
        rounds=rounds,
        windows=workspace.state.windows(),
        has_champion=champion is not None,
        incident=current_incident(incidents, champion=champion.version, now=now)
        if champion
        else None,
        schema_version=workspace.labels.version,
        outdated=outdated,
        budget=config.select.budget,
        bootstrap=config.select.bootstrap or config.select.budget,
        probe_block=config.drift.probe.labels,
    )
    planned = [item.plan.round_id for item in rounds if item.state == "planned"]
    waiting = [
        Waiting(why=f"round {name} is planned", do=f"`retrue round approve {name}`")
        for name in planned
    ]
    return facts, waiting


def _plan_all(
    workspace: Workspace,
    openings: Sequence[Opening],
    waiting: Sequence[Waiting],
    *,
    now: datetime,
    dry_run: bool,
) -> SelectReport:
    planned: list[PlannedRound] = []
    blocked = list(waiting)
    with workspace.lease("select", now=now) as lease:
        for opening in openings:
            made = _plan(workspace, opening, now, lease, dry_run=dry_run)
            if isinstance(made, Waiting):
                blocked.append(made)
            else:
                planned.append(made)
    return SelectReport(planned=tuple(planned), waiting=tuple(blocked))


def _plan(
    workspace: Workspace, opening: Opening, now: datetime, lease: Lease, *, dry_run: bool
) -> PlannedRound | Waiting:
    left = answers_left(workspace, now)
    if left is not None and left <= 0:
        return Waiting(
            why=f"{opening.kind} round: the caps on labels are used up",
            do="wait for the next day or month, or raise select.caps",
        )
    round_id = f"{opening.kind}-{short_hash(opening.kind, opening.cause, digits=8)}"
    asked = gather(workspace, now=now)
    if opening.kind == "relabel":
        draft = _relabel(workspace, round_id, asked)
    else:
        draft = _drawn(workspace, opening, round_id, asked, left)
    plan = _round_plan(workspace, opening, round_id, draft, now)
    answers = sum(task.overlap for task in draft.tasks)
    price, _ = price_of(workspace.config)
    opened = not dry_run and workspace.config.round.open == "auto"
    if not dry_run:
        workspace.state.check_lease(lease)
        if draft.media and workspace.config.data.keep_media:
            workspace.records.put_media(round_id, draft.media)
        workspace.records.plan_round(plan, draft.samples, draft.tasks)
        if opened:
            open_round(workspace, plan, now=now)
    return PlannedRound(
        plan=plan,
        answers=answers,
        cost=answers * price,
        opened=opened,
        examples=tuple(draft.tasks[:8]),
    )


def open_round(workspace: Workspace, plan: RoundPlan, *, now: datetime) -> None:
    """Let a planned round's tasks be pushed."""
    data = {"round": plan.round_id, "why": plan.why}
    workspace.decide("round-opened", plan.round_id, now=now, data=dict(data))


@dataclass(frozen=True, slots=True)
class _Draft:
    """Samples and tasks of a round before it is written."""

    samples: list[Sample]
    tasks: list[Task]
    frame_rows: int
    media: Mapping[str, bytes]


def _drawn(
    workspace: Workspace,
    opening: Opening,
    round_id: str,
    asked: Mapping[str, Asked],
    left: int | None,
) -> _Draft:
    """Audit first, then the other arms from the rest."""
    sizes = _sizes(workspace, opening, left)
    before = _earlier_blocks(workspace, opening)
    wanted = Wanted(
        audit=sizes["audit"] + before,
        audit_key=opening.cause.split("/")[0] if opening.kind == "probe" else round_id,
        random=sizes["random"],
        pool=max(10 * sizes["novel"], 500) if sizes["novel"] else 0,
        shortlist=10 * sizes["active"],
    )
    excluded = set(asked) | workspace.state.samples_in_flight()
    frame = draw_frame(workspace, opening.windows, wanted, round_id=round_id, excluded=excluded)
    audit = frame.audit[before:]
    drawn = fetch(workspace, opening.windows, [*audit, *frame.random, *frame.pool, *frame.unsure])
    picked = pick_arms(workspace, frame, drawn, audit=audit, sizes=sizes, asked=set(asked))
    chosen = [drawn.candidates[one.sample_id] for one in picked]
    outputs = _predictions(workspace, chosen, drawn)
    tasks = [
        _task(workspace, opening, round_id, one, frame.rows, outputs.get(one.sample_id), asked)
        for one in picked
    ]
    kept = {candidate.sample.media_sha256 for candidate in chosen}
    return _Draft(
        samples=[candidate.sample for candidate in chosen],
        # In order of their opaque keys: the queue's order must not tell the arm.
        tasks=sorted(tasks, key=lambda task: task.task_key),
        frame_rows=frame.rows,
        media={digest: data for digest, data in drawn.media.items() if digest in kept},
    )


def _sizes(workspace: Workspace, opening: Opening, left: int | None) -> dict[Arm, int]:
    """Samples per arm, as many as the budget and what the caps leave allow."""
    select, per_item = workspace.config.select, workspace.config.labels.answers_per_item
    shares: dict[str, float] = select.shares.model_dump()
    if opening.kind == "probe":
        shares = {"audit": 1.0}
    elif opening.kind == "bootstrap":
        shares = {"audit": select.bootstrap_audit, "random": 1 - select.bootstrap_audit}
    # A budget counts samples, a cap answers; audit items cost more answers than the others.
    audit, train = per_item.get("audit", 2), per_item.get("train", 1)
    each = shares["audit"] * audit + (1 - shares["audit"]) * train
    caps = [cap for cap in (select.caps.round, left) if cap is not None]
    sizes = allot(min([opening.budget, *(max(int(cap / each), 1) for cap in caps)]), shares)
    return {
        "audit": sizes.get("audit", 0),
        "random": sizes.get("random", 0),
        "active": sizes.get("active", 0),
        "novel": sizes.get("novel", 0),
    }


def _earlier_blocks(workspace: Workspace, opening: Opening) -> int:
    """Items that earlier blocks of this probe took from the front of the same draw."""
    if opening.kind != "probe":
        return 0
    incident = opening.cause.split("/")[0]
    return sum(
        item.plan.arms.get("audit", 0)
        for item in workspace.records.rounds()
        if item.plan.kind == "probe" and item.plan.cause.split("/")[0] == incident
    )


def _predictions(
    workspace: Workspace, chosen: Sequence[Candidate], drawn: Drawn
) -> dict[str, tuple[str, float | None]]:
    """What the model says before anybody answers: as logged, else scored now."""
    logged: dict[str, tuple[str, float | None]] = {
        one.sample.sample_id: (one.predicted, float(one.probabilities.max()))
        for one in chosen
        if one.predicted is not None and one.probabilities is not None
    }
    rest = [one.sample for one in chosen if one.sample.sample_id not in logged]
    champion = workspace.models.champion()
    if champion is None or not rest:
        return logged
    reader = media_reader(workspace.store, drawn.media)
    scores = workspace.models.score(champion, rest, reader)
    sure = scores.probabilities.max(axis=1) if scores.probabilities.size else None
    return logged | {
        sample.sample_id: (label, None if sure is None else float(sure[i]))
        for i, (sample, label) in enumerate(zip(rest, scores.predicted, strict=True))
    }


def _task(
    workspace: Workspace,
    opening: Opening,
    round_id: str,
    picked: Picked,
    frame_rows: int,
    output: tuple[str, float | None] | None,
    asked: Mapping[str, Asked],
) -> Task:
    per_item = workspace.config.labels.answers_per_item
    overlap = per_item.get("audit", 2) if picked.arm == "audit" else per_item.get("train", 1)
    known = asked.get(picked.sample_id)
    if known is not None:  # an existing human label is reused free
        overlap = max(overlap - sum(v.label is not None for v in known.ballot.votes), 0)
    return Task(
        task_key=short_hash(workspace.config.select.seed, round_id, picked.sample_id),
        round_id=round_id,
        sample_id=picked.sample_id,
        arm=picked.arm,
        group="crowd",
        overlap=overlap,
        score=picked.score,
        inclusion_probability=picked.drawn / frame_rows if picked.drawn else None,
        trigger=f"{opening.why}; {picked.reason}",
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        predicted=output[0] if output else None,
        predicted_probability=output[1] if output else None,
        gold=None,
    )


def _relabel(workspace: Workspace, round_id: str, asked: Mapping[str, Asked]) -> _Draft:
    """Ask again about samples whose answers have no meaning in today's schema."""
    outdated = sorted(name for name, item in asked.items() if item.outdated)
    samples = {
        sample.sample_id: sample
        for name in sorted({asked[name].rounds[0] for name in outdated})
        for sample in workspace.records.samples(name)
    }
    per_item = workspace.config.labels.answers_per_item
    tasks = [
        Task(
            task_key=short_hash(workspace.config.select.seed, round_id, name),
            round_id=round_id,
            sample_id=name,
            arm="relabel",
            group="crowd",
            overlap=per_item.get("audit", 2)
            if asked[name].ballot.people_only
            else per_item.get("train", 1),
            score=None,
            inclusion_probability=None,
            trigger="the schema changed",
            schema_version=workspace.labels.version,
            guideline_version=workspace.labels.guideline.version,
            predicted=asked[name].ballot.predicted,
            predicted_probability=asked[name].ballot.predicted_probability,
            gold=None,
        )
        for name in outdated
    ]
    return _Draft(
        samples=[samples[name] for name in outdated],
        tasks=sorted(tasks, key=lambda task: task.task_key),
        frame_rows=0,
        media={},
    )


def _round_plan(
    workspace: Workspace, opening: Opening, round_id: str, draft: _Draft, now: datetime
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
