"""What a round would ask: which samples, by which arm, within budget and caps. Writes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.core.draw import allot
from retrue.core.openings import Opening, Waiting
from retrue.reading.ballots import Asked, gather
from retrue.reading.frame import Candidate, Drawn, Frame, Wanted, draw_frame, fetch, with_outputs
from retrue.reading.picks import Picked, pick_arms
from retrue.reading.scoring import is_logged_by
from retrue.reading.spending import answers_left
from retrue.records import Arm, ModelVersion, Quarantined, Sample, Task, Window, short_hash
from retrue.workspace import Workspace

__all__ = ["Draft", "draft_round", "outdated_samples"]

SHORTLIST = 10  # candidates looked at for each sample that an arm picks


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Samples and tasks of a round before it is written."""

    samples: list[Sample]
    tasks: list[Task]
    frame_rows: int
    media: Mapping[str, bytes]
    lost: tuple[Quarantined, ...] = ()  # objects and media that could not be read


def draft_round(
    workspace: Workspace, opening: Opening, round_id: str, *, now: datetime
) -> Draft | Waiting:
    """The samples and tasks of a round, within the caps; or what is in the way of it."""
    caps = (workspace.config.select.caps.round, answers_left(workspace, now))
    cap = min((max(cap, 0) for cap in caps if cap is not None), default=None)
    asked = gather(workspace, now=now)
    if opening.kind == "relabel":
        draft = _relabel(workspace, round_id, asked, cap)
        return draft if draft.tasks else _capped(opening)
    sizes = _sizes(workspace, opening, cap)
    if not sum(sizes.values()):
        return _capped(opening)
    draft = _drawn(workspace, opening, round_id, asked, sizes)
    if draft.tasks:
        return draft
    return _nothing(opening, draft.lost)


def _nothing(opening: Opening, lost: Sequence[Quarantined]) -> Waiting:
    told = f" ({len(lost)} could not be read: {lost[0].uri}: {lost[0].reason})" if lost else ""
    return Waiting(
        why=f"{opening.kind} round: no row of its windows may be asked about{told}",
        do="`retrue ingest` when rows with consent that were not labelled yet have come",
    )


def _capped(opening: Opening) -> Waiting:
    return Waiting(
        why=f"{opening.kind} round: the caps on labels are used up",
        do="wait for the next day or month, or raise select.caps",
    )


def _drawn(
    workspace: Workspace,
    opening: Opening,
    round_id: str,
    asked: Mapping[str, Asked],
    sizes: Mapping[Arm, int],
) -> Draft:
    """Audit first, then the other arms from the rest."""
    model = workspace.models.champion()
    before = _earlier_blocks(workspace, opening)
    wanted = Wanted(
        audit=sizes["audit"] + before,
        audit_key=opening.cause.split("/")[0] if opening.kind == "probe" else round_id,
        random=sizes["random"],
        pool=_pool_size(workspace, opening, sizes, model),
        shortlist=SHORTLIST * (sizes["active"] + sizes["quota"]),
    )
    excluded = set(asked) | workspace.state.samples_in_flight()
    frame, drawn, lost = _readable(
        workspace, opening.windows, wanted, round_id=round_id, excluded=excluded, model=model
    )
    frame = replace(frame, audit=frame.audit[before:])
    drawn = with_outputs(workspace, drawn, model)
    picked = pick_arms(workspace, frame, drawn, round_id=round_id, sizes=sizes, asked=set(asked))
    chosen = [drawn.candidates[one.sample_id] for one in picked]
    tasks = [
        _task(workspace, opening, round_id, one, frame.rows, candidate, asked)
        for one, candidate in zip(picked, chosen, strict=True)
    ]
    kept = {candidate.sample.media_sha256 for candidate in chosen}
    return Draft(
        samples=[candidate.sample for candidate in chosen],
        # In order of their opaque keys: the queue's order must not tell the arm.
        tasks=sorted(tasks, key=lambda task: task.task_key),
        frame_rows=frame.rows,
        media={digest: data for digest, data in drawn.media.items() if digest in kept},
        lost=lost,
    )


def _readable(
    workspace: Workspace,
    windows: Sequence[Window],
    wanted: Wanted,
    *,
    round_id: str,
    excluded: AbstractSet[str],
    model: ModelVersion | None,
) -> tuple[Frame, Drawn, tuple[Quarantined, ...]]:
    """A frame and its rows. What turns out to be gone, or no picture, was never in the frame.

    So the audit has its full size, and a probe's next block goes on in the same order.
    """
    lost: dict[str, Quarantined] = {}
    while True:
        frame = draw_frame(
            workspace,
            windows,
            wanted,
            round_id=round_id,
            excluded=excluded,
            model=model,
            unreadable=lost.keys(),
        )
        names = [*frame.audit, *frame.random, *frame.pool, *frame.unsure]
        drawn = fetch(workspace, windows, names, model=model)
        if not drawn.lost:
            return frame, drawn, (*frame.lost, *lost.values())
        lost |= drawn.lost


def _pool_size(
    workspace: Workspace, opening: Opening, sizes: Mapping[Arm, int], model: ModelVersion | None
) -> int:
    """Rows by chance beside the random arm: to fill up from, look for novelty in, and score."""
    wanted = sizes["active"] + sizes["quota"]
    fill = wanted + sizes["novel"]
    novel = max(SHORTLIST * sizes["novel"], 500) if sizes["novel"] else 0
    told = model is None or all(is_logged_by(w, model, workspace.config) for w in opening.windows)
    # Where no log tells what the champion makes of a row, it is asked about some.
    scored = 0 if told else SHORTLIST * wanted
    return max(fill, novel, scored)


def _sizes(workspace: Workspace, opening: Opening, cap: int | None) -> dict[Arm, int]:
    """Samples per arm, as many as the budget and the caps (in answers) allow."""
    select, per_item = workspace.config.select, workspace.config.labels.answers_per_item
    shares: dict[str, float] = select.shares.model_dump()
    if opening.kind == "probe":
        shares = {"audit": 1.0}
    elif opening.kind == "bootstrap":
        shares = {"audit": select.bootstrap_audit, "random": 1 - select.bootstrap_audit}
    audit, train = per_item.get("audit", 2), per_item.get("train", 1)
    budget = opening.budget if cap is None else min(opening.budget, cap // min(audit, train))
    sizes = allot(budget, shares)
    # A budget counts samples, a cap answers; audit items cost more answers than the others.
    while cap is not None and train * budget + (audit - train) * sizes["audit"] > cap:
        budget -= 1
        sizes = allot(budget, shares)
    quota = min(sum(select.quotas.values()), sizes.get("active", 0))
    return {
        "audit": sizes["audit"],
        "random": sizes.get("random", 0),
        "quota": quota,
        "active": sizes.get("active", 0) - quota,
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


def _task(
    workspace: Workspace,
    opening: Opening,
    round_id: str,
    picked: Picked,
    frame_rows: int,
    candidate: Candidate,
    asked: Mapping[str, Asked],
) -> Task:
    per_item = workspace.config.labels.answers_per_item
    overlap = per_item.get("audit", 2) if picked.arm == "audit" else per_item.get("train", 1)
    known = asked.get(picked.sample_id)
    if known is not None:  # an existing human label is reused free
        people = [vote for vote in known.ballot.votes if vote.group != "program"]
        overlap = max(overlap - sum(vote.label is not None for vote in people), 0)
    sure = candidate.probabilities
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
        predicted=candidate.predicted,
        predicted_probability=None if sure is None else float(sure.max()),
        gold=None,
    )


def outdated_samples(workspace: Workspace, asked: Mapping[str, Asked]) -> list[str]:
    """Samples whose answers mean nothing in today's schema, and that were not asked again in it."""
    today = {
        item.plan.round_id
        for item in workspace.records.rounds()
        if item.plan.schema_version == workspace.labels.version
    }
    return sorted(
        name for name, item in asked.items() if item.outdated and not today & set(item.rounds)
    )


def _relabel(
    workspace: Workspace, round_id: str, asked: Mapping[str, Asked], cap: int | None
) -> Draft:
    """Ask again about samples whose answers have no meaning in today's schema."""
    per_item = workspace.config.labels.answers_per_item
    outdated: list[str] = []
    left = math.inf if cap is None else cap
    for name in outdated_samples(workspace, asked):
        left -= per_item.get("audit" if asked[name].ballot.people_only else "train", 1)
        if left < 0:
            break
        outdated.append(name)
    samples = {
        sample.sample_id: sample
        for first in sorted({asked[name].rounds[0] for name in outdated})
        for sample in workspace.records.samples(first)
    }
    tasks = [
        Task(
            task_key=short_hash(workspace.config.select.seed, round_id, name),
            round_id=round_id,
            sample_id=name,
            arm="relabel",
            group="crowd",
            overlap=per_item.get("audit" if asked[name].ballot.people_only else "train", 1),
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
    return Draft(
        samples=[samples[name] for name in outdated],
        tasks=sorted(tasks, key=lambda task: task.task_key),
        frame_rows=0,
        media={},
    )
