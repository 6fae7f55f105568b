"""Adopting labels that exist already: they become a round of their own, with nobody asked.

Plan, answers, verdicts and closing are written in this order, so that a cut leaves a planned round
which the next call finishes. Its tasks want no answers: nothing is pushed, and nothing is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from retrue.acts.label_files import LabelLine, Unfit
from retrue.core.answers import live_answers
from retrue.core.judge import Judgement, judge
from retrue.kinds import BadLabel, kind_of
from retrue.reading.ballots import Asked, gather
from retrue.reading.frame import Candidate
from retrue.reading.locating import Located, locate
from retrue.reading.spending import price_of
from retrue.records import (
    Answer,
    Json,
    Round,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    short_hash,
)
from retrue.workspace import Workspace

__all__ = ["NOBODY", "AdoptReport", "adopt_labels"]

NOBODY = "adopted"  # stands for whoever answered, where the file does not say
KEPT = 1_000  # lines kept with a reason in the decision; more are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptReport:
    """What became of a file's lines."""

    round_id: str | None  # None: nothing new in it
    lines: int  # all, good and bad
    samples: int  # adopted by this call
    known: int  # answers adopted before, word for word
    unknown: tuple[Unfit, ...]  # keys in no recorded window, or without consent
    bad: tuple[Unfit, ...]  # lines without a label, or with one outside the schema
    disputed: int  # samples the file's people disagree about
    unreadable: tuple[str, ...]  # windows whose objects are gone, with the reason
    probability: float | None  # inclusion probability; None: not declared random


@dataclass(frozen=True, slots=True)
class _Told:
    """A line whose label is in the schema."""

    line: int
    sample_id: str
    annotator: str
    value: str  # canonical JSON


def adopt_labels(
    workspace: Workspace,
    lines: Sequence[LabelLine],
    *,
    source: str,
    now: datetime,
    unfit: Sequence[Unfit] = (),
    declared_random: str | None = None,
    dry_run: bool = False,
) -> AdoptReport:
    """Adopt a file's labels as a closed round; what was adopted before is left out.

    Args:
        workspace: Where the samples were recorded.
        lines: The file's answers, in order; a person's later word on a sample counts.
        source: Names the file, for the record.
        now: Written as the answers' time.
        unfit: Lines the reader could not take; kept with the others that do not fit.
        declared_random: The window of which the file is a random sample; None: it is not known how
            these samples came to be labelled, so they measure nothing.
        dry_run: Look and count, write nothing.

    Raises:
        WorkspaceError: No such window was recorded.
        LeaseHeld: Another process is planning rounds.
    """
    if not dry_run:
        _finish(workspace, now)
    told, bad = _parse(workspace, lines)
    fresh = _fresh(workspace, told)
    found = locate(workspace, {one.sample_id for one in fresh}, only=declared_random)
    taken = [one for one in fresh if one.sample_id in found.candidates]
    unknown = [
        Unfit(
            line=one.line,
            reason=f"key {one.sample_id}: {found.refused.get(one.sample_id, 'in no window')}",
        )
        for one in fresh
        if one.sample_id not in found.candidates
    ]
    chance = _chance(found, declared_random)
    plan = _plan(workspace, found, taken, source, chance, now) if taken else None
    report = AdoptReport(
        round_id=plan.round_id if plan else None,
        lines=len(lines) + len(unfit),
        samples=len(found.candidates),
        known=len(told) - len(fresh),
        unknown=tuple(unknown),
        bad=tuple(sorted([*unfit, *bad], key=lambda one: one.line)),
        disputed=_split(taken),
        unreadable=found.unreadable,
        probability=chance,
    )
    if plan is not None and not dry_run:
        with workspace.lease("select", now=now):
            _write(workspace, plan, found, taken, report, source, now)
    return report


# --- reading ---------------------------------------------------------------------------------


def _parse(workspace: Workspace, lines: Sequence[LabelLine]) -> tuple[list[_Told], list[Unfit]]:
    """A person's last word on each sample, in canonical form; and what is outside the schema."""
    schema = workspace.labels.label_schema
    told: dict[tuple[str, str], _Told] = {}
    bad: list[Unfit] = []
    for line in lines:
        who = line.annotator or NOBODY
        try:
            value = kind_of(schema).parse(line.value, schema)
        except BadLabel as error:
            bad.append(Unfit(line=line.line, reason=str(error)))
            continue
        told.pop((line.key, who), None)
        told[line.key, who] = _Told(line.line, line.key, who, value)
    return list(told.values()), bad


def _fresh(workspace: Workspace, told: Sequence[_Told]) -> list[_Told]:
    """Answers that no adopted round holds yet."""
    held: dict[tuple[str, str], str | None] = {}
    for item in _adopted(workspace):
        tasks = workspace.records.tasks(item.plan.round_id)
        samples = {task.task_key: task.sample_id for task in tasks}
        for answer in live_answers(workspace.records.answers(item.plan.round_id)):
            held[samples[answer.task_key], answer.annotator] = answer.value
    return [one for one in told if held.get((one.sample_id, one.annotator)) != one.value]


def _adopted(workspace: Workspace) -> list[Round]:
    return [
        item
        for item in workspace.records.rounds()
        if item.plan.kind == "adopted" and item.state != "cancelled"
    ]


def _chance(found: Located, declared: str | None) -> float | None:
    if declared is None or not found.candidates:
        return None
    return min(len(found.candidates) / max(found.windows[0].eligible, 1), 1.0)


def _split(told: Sequence[_Told]) -> int:
    """Samples about which the file says several things."""
    values: dict[str, set[str]] = {}
    for one in told:
        values.setdefault(one.sample_id, set()).add(one.value)
    return sum(len(said) > 1 for said in values.values())


# --- writing ---------------------------------------------------------------------------------


def _plan(
    workspace: Workspace,
    found: Located,
    taken: Sequence[_Told],
    source: str,
    chance: float | None,
    now: datetime,
) -> RoundPlan:
    said = sorted(f"{one.sample_id}/{one.annotator}/{one.value}" for one in taken)
    cause = short_hash(*said, digits=16)
    drawn = "a declared random sample" if chance is not None else "not a random sample"
    return RoundPlan(
        round_id=f"adopted-{short_hash('adopted', cause, digits=8)}",
        kind="adopted",
        cause=cause,
        why=f"labels that existed already, from {source} ({drawn})",
        population=found.windows,
        frame_rows=found.windows[0].eligible if chance is not None else 0,
        seed=workspace.config.select.seed,
        arms={"adopted": len(found.candidates)},
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        cost_per_label=0.0,
        currency=price_of(workspace.config)[1],
        parent=None,
        planned_at=now,
    )


def _write(
    workspace: Workspace,
    plan: RoundPlan,
    found: Located,
    taken: Sequence[_Told],
    report: AdoptReport,
    source: str,
    now: datetime,
) -> None:
    data: dict[str, Json] = {
        "round": plan.round_id,
        "source": source,
        "lines": report.lines,
        "samples": report.samples,
        "unknown": len(report.unknown),
        "bad": len(report.bad),
        "quarantined": [
            {"line": one.line, "reason": one.reason}
            for one in [*report.unknown, *report.bad][:KEPT]
        ],
    }
    workspace.decide("labels-adopted", plan.round_id, now=now, data=data)
    order = list(dict.fromkeys(one.sample_id for one in taken))
    samples = [found.candidates[name].sample for name in order]
    tasks = {
        sample.sample_id: _task(plan, sample, found.candidates[sample.sample_id], report, source)
        for sample in samples
    }
    if found.media and workspace.config.data.keep_media:
        workspace.records.put_media(plan.round_id, found.media)
    workspace.records.plan_round(plan, samples, list(tasks.values()))
    if not workspace.records.answers(plan.round_id):
        answers = [
            _answer(one, tasks[one.sample_id], seq, now) for seq, one in enumerate(taken, start=1)
        ]
        workspace.records.append_answers(plan.round_id, answers)
    _close(workspace, workspace.records.round(plan.round_id), now)


def _task(
    plan: RoundPlan, sample: Sample, candidate: Candidate, report: AdoptReport, source: str
) -> Task:
    outputs = candidate.probabilities
    return Task(
        task_key=short_hash(plan.seed, plan.round_id, sample.sample_id),
        round_id=plan.round_id,
        sample_id=sample.sample_id,
        arm="adopted",
        group="crowd",
        overlap=0,  # nobody is asked
        score=None,
        inclusion_probability=report.probability,
        trigger=f"a label that existed already, from {source}",
        schema_version=plan.schema_version,
        guideline_version=plan.guideline_version,
        predicted=candidate.predicted,
        predicted_probability=float(outputs.max()) if outputs is not None else None,
        gold=None,
    )


def _answer(one: _Told, task: Task, seq: int, now: datetime) -> Answer:
    return Answer(
        seq=seq,
        answer_id=short_hash("adopted", task.task_key, one.annotator, digits=16),
        revision="1",
        task_key=task.task_key,
        annotator=one.annotator,
        status="answered",
        value=one.value,
        note="",
        lead_seconds=None,
        answered_at=now,
        observed_at=now,
    )


def _finish(workspace: Workspace, now: datetime) -> None:
    """Judge and close adopted rounds that an earlier call could not finish."""
    for item in _adopted(workspace):
        if item.state == "planned" and workspace.records.answers(item.plan.round_id):
            _close(workspace, item, now)


def _close(workspace: Workspace, item: Round, now: datetime) -> None:
    """Write verdicts of samples this round asked first, then close; others `validate` judges."""
    round_id = item.plan.round_id
    asked = gather(workspace, now=now)
    seed = int(short_hash(workspace.config.select.seed, "validate", digits=12), 16)
    judged = judge(
        [one.ballot for one in asked.values()],
        workspace.labels.label_schema,
        min_confidence=workspace.config.validate_.min_confidence,
        rng=np.random.default_rng(seed),
    )
    verdicts = [
        _verdict(asked[one.sample_id], one, workspace.labels.version, now)
        for one in judged
        if asked[one.sample_id].rounds[0] == round_id
    ]
    if verdicts and not workspace.records.verdict_files(round_id):
        workspace.records.append_verdicts(round_id, verdicts)
    # Closed before opened: a cut in between leaves nothing that `push` would take for open.
    data = {"round": round_id, "why": item.plan.why}
    workspace.decide("round-closed", round_id, now=now, data=dict(data))
    workspace.decide("round-opened", round_id, now=now, data=dict(data))


def _verdict(asked: Asked, judged: Judgement, schema_version: int, now: datetime) -> Verdict:
    """What was judged; a single value is taken as it is, however little is known of who said it."""
    said = {vote.label for vote in asked.ballot.votes if vote.label is not None}
    alone = len(said) == 1 and judged.status in ("accepted", "disputed")
    return Verdict(
        sample_id=judged.sample_id,
        label=next(iter(said)) if alone else judged.label,
        confidence=judged.confidence,
        n_answers=judged.n_answers,
        status="accepted" if alone else judged.status,
        method="adopted" if alone else judged.method,
        reason="" if alone else judged.reason,
        schema_version=schema_version,
        decided_at=now,
    )
