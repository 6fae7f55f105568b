"""Writing answers that exist already as a round of their own, with nobody asked.

Answers, plan, verdicts and closing are written in this order. The plan makes the round: a cut
before it leaves nothing that counts, a cut after it leaves what the next call finishes. Its tasks
want no answers: nothing is pushed, and nothing is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from retrue.core.judge import Judgement, judge
from retrue.reading.ballots import Asked, gather
from retrue.reading.frame import Candidate
from retrue.reading.locating import Located
from retrue.reading.spending import price_of
from retrue.records import (
    Answer,
    AnswerStatus,
    Json,
    Round,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    short_hash,
)
from retrue.workspace import Workspace

__all__ = ["Adoption", "Said", "adopted_rounds", "finish_rounds", "plan_round", "write_round"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer that was given before we came."""

    sample_id: str
    annotator: str
    value: str | None  # JSON text; None: skipped
    answer_id: str | None = None  # the tool's id; None: made from the task and the person
    revision: str = "1"
    status: AnswerStatus = "answered"
    note: str = ""
    lead_seconds: float | None = None
    answered_at: datetime | None = None  # None: nobody knows, so the time of adopting


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Answers whose samples were found, and where they come from."""

    source: str  # in words, for the record
    said: Sequence[Said]
    found: Located  # holds every sample of `said`
    probability: float | None = None  # inclusion probability; None: not declared random
    scope: str = ""  # what gives the answers' ids their meaning; "" where they have none
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])  # for the decision

    @property
    def samples(self) -> list[Sample]:
        """Each sample once, in order of the answers."""
        order = dict.fromkeys(one.sample_id for one in self.said)
        return [self.found.candidates[name].sample for name in order]


def adopted_rounds(workspace: Workspace) -> list[Round]:
    """All rounds of labels that existed already."""
    return [
        item
        for item in workspace.records.rounds()
        if item.plan.kind == "adopted" and item.state != "cancelled"
    ]


def finish_rounds(workspace: Workspace, now: datetime) -> None:
    """Judge and close adopted rounds that an earlier call could not finish."""
    for item in adopted_rounds(workspace):
        if item.state == "planned" and workspace.records.answers(item.plan.round_id):
            _close(workspace, item, now)


def plan_round(workspace: Workspace, adoption: Adoption, now: datetime) -> RoundPlan:
    """The plan of the round that holds these answers; the same answers give the same id."""
    cause = short_hash(*sorted(_words(one, adoption.scope) for one in adoption.said), digits=16)
    windows, chance = adoption.found.windows, adoption.probability
    drawn = "a declared random sample" if chance is not None else "not a random sample"
    return RoundPlan(
        round_id=f"adopted-{short_hash('adopted', cause, digits=8)}",
        kind="adopted",
        cause=cause,
        why=f"labels that existed already, from {adoption.source} ({drawn})",
        population=windows,
        frame_rows=windows[0].eligible if chance is not None else 0,
        seed=workspace.config.select.seed,
        arms={"adopted": len(adoption.samples)},
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        cost_per_label=0.0,
        currency=price_of(workspace.config)[1],
        parent=None,
        planned_at=now,
    )


def write_round(workspace: Workspace, plan: RoundPlan, adoption: Adoption, now: datetime) -> None:
    """Record the answers, judge them, close the round; a rerun writes what is missing."""
    round_id, records = plan.round_id, workspace.records
    data: dict[str, Json] = {"round": round_id, "source": adoption.source, **adoption.facts}
    workspace.decide("labels-adopted", round_id, now=now, data=data)
    candidates = adoption.found.candidates
    samples = adoption.samples
    tasks = {
        sample.sample_id: _task(plan, sample, candidates[sample.sample_id], adoption)
        for sample in samples
    }
    if adoption.found.media and workspace.config.data.keep_media:
        records.put_media(round_id, adoption.found.media)
    if not records.answers(round_id):
        answers = [
            _answer(one, tasks[one.sample_id], seq, now)
            for seq, one in enumerate(adoption.said, start=1)
        ]
        records.append_answers(round_id, answers)
    records.plan_round(plan, samples, list(tasks.values()))
    _close(workspace, records.round(round_id), now)


def _words(one: Said, scope: str) -> str:
    words = f"{one.sample_id}/{one.annotator}/{one.value}"
    return words if one.answer_id is None else f"{scope}/{one.answer_id}/{one.revision}/{words}"


def _task(plan: RoundPlan, sample: Sample, candidate: Candidate, adoption: Adoption) -> Task:
    outputs = candidate.probabilities
    return Task(
        task_key=short_hash(plan.seed, plan.round_id, sample.sample_id),
        round_id=plan.round_id,
        sample_id=sample.sample_id,
        arm="adopted",
        group="crowd",
        overlap=0,  # nobody is asked
        score=None,
        inclusion_probability=adoption.probability,
        trigger=f"a label that existed already, from {adoption.source}",
        schema_version=plan.schema_version,
        guideline_version=plan.guideline_version,
        predicted=candidate.predicted,
        predicted_probability=float(outputs.max()) if outputs is not None else None,
        gold=None,
    )


def _answer(one: Said, task: Task, seq: int, now: datetime) -> Answer:
    own = short_hash("adopted", task.task_key, one.annotator, digits=16)
    return Answer(
        seq=seq,
        answer_id=one.answer_id or own,
        revision=one.revision,
        task_key=task.task_key,
        annotator=one.annotator,
        status=one.status,
        value=one.value,
        note=one.note,
        lead_seconds=one.lead_seconds,
        answered_at=one.answered_at or now,
        observed_at=now,
    )


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
