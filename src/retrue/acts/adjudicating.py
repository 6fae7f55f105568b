"""An adjudicator's word on a disputed sample, given on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast, runtime_checkable

from retrue.core.answers import live_answers
from retrue.errors import ConfigError, QueueError, RecordError
from retrue.kinds import BadLabel, kind_of
from retrue.reading.ballots import gather
from retrue.reading.spending import price_of
from retrue.records import Answer, Json, RoundPlan, Sample, Task, short_hash
from retrue.steps.push import push_tasks
from retrue.workspace import Workspace

__all__ = ["Dispute", "adjudicate", "disputes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A sample people disagree about."""

    sample_id: str
    round_id: str  # that first asked
    reason: str  # of the verdict
    said: tuple[tuple[str, str], ...]  # (annotator, answer as given or why it does not count)
    fields: Mapping[str, Json]  # what was shown
    media_uri: str | None


@runtime_checkable
class _Answerable(Protocol):
    """A queue that takes an answer from here; the embedded one does."""

    def answer(
        self, task_key: str, annotator: str, value: str | None, *, note: str = "", now: datetime
    ) -> str: ...


def disputes(workspace: Workspace, round_id: str, *, now: datetime) -> list[Dispute]:
    """The disputed samples of a round, in order of drawing.

    Raises:
        RecordError: There is no such round.
    """
    asked = gather(workspace, now=now)
    found: list[Dispute] = []
    for sample in workspace.records.samples(round_id):
        one = asked.get(sample.sample_id)
        if one is None or one.verdict is None or one.verdict.status != "disputed":
            continue
        fields = cast("dict[str, Json]", json.loads(sample.fields))
        display = workspace.config.data.display
        shown = fields if display is None else {name: fields.get(name) for name in display}
        found.append(
            Dispute(
                sample_id=sample.sample_id,
                round_id=one.rounds[0],
                reason=one.verdict.reason,
                said=tuple((v.annotator, v.label or v.problem) for v in one.ballot.votes),
                fields=shown,
                media_uri=sample.media_uri,
            )
        )
    return found


def adjudicate(
    workspace: Workspace, sample_id: str, label: str, *, person: str, now: datetime
) -> str:
    """Answer a disputed sample as an adjudicator; returns the dispute round the answer is in.

    The answer goes through the queue like any other: `collect` and `validate` bring it home.

    Args:
        workspace: Where.
        sample_id: Which sample.
        label: A class's name, or the JSON text of a label.
        person: Who decides; must be in the group `adjudicator`.
        now: The answer's time.

    Raises:
        ConfigError: The person is no adjudicator.
        QueueError: The label is outside the schema, or the annotation tool takes no answers here.
        RecordError: The sample is not disputed, or this person has answered already.
    """
    if workspace.config.queue.annotators.group_of(person) != "adjudicator":
        raise ConfigError(
            f"queue.annotators.adjudicator: expected {person!r} among them. Add the name, or say "
            "who you are with `retrue --person NAME round adjudicate`."
        )
    if not isinstance(workspace.queue, _Answerable):
        raise QueueError("this annotation tool takes no answers from here: answer in the tool")
    value = _parsed(workspace, label)
    one = gather(workspace, now=now).get(sample_id)
    if one is None or one.verdict is None or one.verdict.status != "disputed":
        status = one.verdict.status if one and one.verdict else "without a verdict"
        raise RecordError(f"sample {sample_id}: expected a disputed one, it is {status}")
    task = _open_task(workspace, sample_id) or _ask(workspace, sample_id, one.rounds[0], now)
    if any(a.annotator == person for a in _answers(workspace, task)):
        raise RecordError(f"sample {sample_id}: {person} has answered it; run `retrue validate`")
    push_tasks(workspace, now=now)
    workspace.queue.answer(task.task_key, person, value, note="retrue round adjudicate", now=now)
    return task.round_id


def _parsed(workspace: Workspace, label: str) -> str:
    schema = workspace.labels.label_schema
    try:
        return kind_of(schema).parse(_value(label), schema)
    except BadLabel as bad:
        raise QueueError(str(bad)) from bad


def _value(label: str) -> object:
    try:
        return cast("object", json.loads(label))
    except json.JSONDecodeError:
        return label


def _answers(workspace: Workspace, task: Task) -> list[Answer]:
    return [
        answer
        for answer in live_answers(workspace.records.answers(task.round_id))
        if answer.task_key == task.task_key
    ]


def _open_task(workspace: Workspace, sample_id: str) -> Task | None:
    """The question to adjudicators about this sample that is still open."""
    for item in workspace.records.rounds():
        if item.plan.kind == "dispute" and item.state in ("open", "collecting"):
            for task in workspace.records.tasks(item.plan.round_id):
                if task.sample_id == sample_id and task.group == "adjudicator":
                    return task
    return None


def _ask(workspace: Workspace, sample_id: str, parent: str, now: datetime) -> Task:
    """Open a dispute round of one question, for a sample `validate` will not ask about again."""
    asked = [
        item.plan.round_id
        for item in workspace.records.rounds()
        if item.plan.kind == "dispute" and sample_id in _ids(workspace, item.plan.round_id)
    ]
    cause = f"adjudicate/{sample_id}/{len(asked) + 1}"
    plan = _plan(workspace, cause, parent, now)
    task = Task(
        task_key=short_hash(plan.seed, plan.round_id, sample_id),
        round_id=plan.round_id,
        sample_id=sample_id,
        arm="dispute",
        group="adjudicator",
        overlap=1,
        score=None,
        inclusion_probability=None,
        trigger="an adjudicator decides",
        schema_version=plan.schema_version,
        guideline_version=plan.guideline_version,
        predicted=None,
        predicted_probability=None,
        gold=None,
    )
    sample: Sample = next(
        one for one in workspace.records.samples(parent) if one.sample_id == sample_id
    )
    workspace.records.plan_round(plan, [sample], [task])
    data = {"round": plan.round_id, "why": plan.why}
    workspace.decide("round-opened", plan.round_id, now=now, data=dict(data))
    return task


def _ids(workspace: Workspace, round_id: str) -> set[str]:
    return {task.sample_id for task in workspace.records.tasks(round_id)}


def _plan(workspace: Workspace, cause: str, parent: str, now: datetime) -> RoundPlan:
    price, currency = price_of(workspace.config)
    return RoundPlan(
        round_id=f"dispute-{short_hash('dispute', cause, digits=8)}",
        kind="dispute",
        cause=cause,
        why=f"an adjudicator decides a disputed sample of {parent}",
        population=(),
        frame_rows=0,
        seed=workspace.config.select.seed,
        arms={"dispute": 1},
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        cost_per_label=price,
        currency=currency,
        parent=parent,
        planned_at=now,
    )
