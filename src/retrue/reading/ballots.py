"""Everything ever asked and said, gathered sample by sample from the records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retrue.config import Annotators, Labels
from retrue.core.answers import live_answers
from retrue.core.judge import Ballot, Vote
from retrue.kinds import BadLabel, kind_of
from retrue.reading.voiding import counts, read_voids
from retrue.records import AnnotatorGroup, Answer, Round, Task, Verdict
from retrue.workspace import Workspace

__all__ = ["Asked", "gather", "gather_tasks", "last_verdicts", "verdicts_about"]

PEOPLE_ONLY = ("audit", "gold")
OUTDATED = "the schema changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One sample with all that happened to it."""

    ballot: Ballot
    rounds: tuple[str, ...]  # that asked about it, first one first
    task_keys: tuple[str, ...]
    disputed: bool  # a dispute round asked again
    outdated: bool  # an answer has no meaning in today's schema: a person must answer again
    verdict: Verdict | None  # the last on file


@dataclass(slots=True)
class _Growing:
    """What is being gathered about one sample."""

    tasks: list[Task] = field(default_factory=list[Task])
    asked: list[Task] = field(default_factory=list[Task])  # of these, in rounds that were opened
    said: dict[str, tuple[Answer, Task]] = field(default_factory=dict[str, tuple[Answer, Task]])
    overdue: bool = False


def gather(workspace: Workspace, *, now: datetime) -> dict[str, Asked]:
    """All samples of all rounds that were not cancelled, by sample id."""
    rounds = [item for item in workspace.records.rounds() if item.state != "cancelled"]
    tasks = {item.plan.round_id: workspace.records.tasks(item.plan.round_id) for item in rounds}
    return gather_tasks(workspace, rounds, tasks, last_verdicts(workspace), now=now)


def gather_tasks(
    workspace: Workspace,
    rounds: Sequence[Round],
    tasks: Mapping[str, Sequence[Task]],
    verdicts: Mapping[str, Verdict],
    *,
    now: datetime,
) -> dict[str, Asked]:
    """What happened to the samples of some tasks, by sample id.

    Args:
        workspace: Where.
        rounds: All that were not cancelled, in order of planning.
        tasks: Round id -> tasks; all that ask about their samples, or the samples look unasked.
        verdicts: The last of each sample.
        now: The time.
    """
    patience = timedelta(days=workspace.config.round.timeout_days)
    grace = timedelta(days=workspace.config.round.grace_days)
    growing: dict[str, _Growing] = {}
    people_in: defaultdict[str, set[str]] = defaultdict(set)
    voids = read_voids(workspace.records)
    for item in rounds:
        by_key = {task.task_key: task for task in tasks.get(item.plan.round_id, ())}
        if not by_key:
            continue
        late = item.opened_at is not None and now - item.opened_at > patience
        late = late or item.state in ("closed", "published")  # a person may close before the time
        # Later answers stay on record, but a version must come to rest some day.
        deadline = item.closed_at and item.closed_at + grace
        for task in by_key.values():
            sample = growing.setdefault(task.sample_id, _Growing())
            sample.tasks.append(task)
            if item.state != "planned":  # nobody is asked before it is opened
                sample.asked.append(task)
            sample.overdue = late and task.arm not in PEOPLE_ONLY
        for answer in live_answers(
            _in_time(workspace.records.answers(item.plan.round_id, to=by_key.keys()), deadline)
        ):
            task = by_key[answer.task_key]
            # A voided answer was given all the same: its question is not asked there again.
            people_in[task.task_key].add(answer.annotator)
            if counts(answer, voids):
                # The same person's later word on a sample supersedes the earlier one.
                said = growing[task.sample_id].said
                said.pop(answer.annotator, None)
                said[answer.annotator] = (answer, task)
    return {
        sample_id: _asked(workspace, sample_id, sample, people_in, verdicts.get(sample_id))
        for sample_id, sample in growing.items()
    }


def _in_time(answers: Sequence[Answer], deadline: datetime | None) -> list[Answer]:
    return [one for one in answers if deadline is None or one.observed_at <= deadline]


def last_verdicts(workspace: Workspace, among: Iterable[str] | None = None) -> dict[str, Verdict]:
    """The last verdict on file of every sample.

    Args:
        workspace: Where.
        among: Look in these rounds alone, in order of planning; None: in all. A verdict stands in
            a round that asked about its sample.
    """
    last: dict[str, Verdict] = {}
    if among is None:
        among = [item.plan.round_id for item in workspace.records.rounds()]
    for round_id in among:
        for _, verdicts in workspace.records.verdict_files(round_id):
            for verdict in verdicts:
                old = last.get(verdict.sample_id)
                if old is None or old.decided_at <= verdict.decided_at:
                    last[verdict.sample_id] = verdict
    return last


def verdicts_about(
    workspace: Workspace, rounds: Sequence[Round], sample_ids: AbstractSet[str]
) -> dict[str, Verdict]:
    """The last verdicts about some samples, without reading rounds that do not ask about them.

    Args:
        workspace: Where.
        rounds: All rounds, in order of planning.
        sample_ids: About which; others may come with them.
    """
    asking = workspace.records.rounds_asking(sample_ids) if sample_ids else {}
    among = [item.plan.round_id for item in rounds if item.plan.round_id in asking]
    return last_verdicts(workspace, among)


def _asked(
    workspace: Workspace,
    sample_id: str,
    sample: _Growing,
    people_in: defaultdict[str, set[str]],
    verdict: Verdict | None,
) -> Asked:
    first = sample.tasks[0]
    votes = _votes(list(sample.said.values()), workspace.labels, workspace.config.queue.annotators)
    ballot = Ballot(
        sample_id=sample_id,
        votes=votes,
        # People, not answers: one person may have answered two copies of a task.
        complete=all(
            len(people_in[task.task_key]) >= task.overlap for task in sample.asked or sample.tasks
        ),
        people_only=any(task.arm in PEOPLE_ONLY for task in sample.tasks),
        predicted=first.predicted,
        predicted_probability=first.predicted_probability,
        overdue=sample.overdue,
    )
    return Asked(
        ballot=ballot,
        rounds=tuple(dict.fromkeys(task.round_id for task in sample.tasks)),
        task_keys=tuple(task.task_key for task in sample.tasks),
        disputed=any(task.arm == "dispute" for task in sample.tasks),
        outdated=any(vote.problem.startswith(OUTDATED) for vote in votes),
        verdict=verdict,
    )


def _votes(
    said: Sequence[tuple[Answer, Task]], labels: Labels, annotators: Annotators
) -> tuple[Vote, ...]:
    votes: list[Vote] = []
    for answer, task in said:
        label, problem = _read(answer, task, labels)
        # In the role they were asked in: an adjudicator's answer to a crowd task is one of many.
        program = annotators.group_of(answer.annotator) == "program"
        asked: AnnotatorGroup = "program" if program else task.group
        votes.append(
            Vote(
                annotator=answer.annotator,
                group=asked,
                label=label,
                problem=problem,
                lead_seconds=answer.lead_seconds,
            )
        )
    return tuple(votes)


def _read(answer: Answer, task: Task, labels: Labels) -> tuple[str | None, str]:
    """The answer in today's names, or why it cannot be read."""
    if answer.status == "skipped" or answer.value is None:
        return None, f"{answer.annotator} skipped it" + (f": {answer.note}" if answer.note else "")
    moved = labels.migrate(answer.value, task.schema_version)
    if moved is None:
        old, new = task.schema_version, labels.version
        return None, f"{OUTDATED} (version {old} -> {new}): ask again"
    try:
        return kind_of(labels.label_schema).parse(json.loads(moved), labels.label_schema), ""
    except BadLabel as bad:
        return None, f"{answer.annotator}: {bad}"
    except json.JSONDecodeError:
        return None, f"{answer.annotator}: expected JSON, got {answer.value[:80]!r}"
