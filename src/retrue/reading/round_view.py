"""One round as people want to see it: why, how far, who, how much, what is disputed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from retrue.core.answers import live_answers
from retrue.reading.ballots import last_verdicts
from retrue.records import Answer, Round, RoundPlan, Task
from retrue.workspace import Workspace

__all__ = ["ArmView", "PersonView", "RoundView", "view_round"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmView:
    """How far one arm has come."""

    arm: str
    samples: int
    accepted: int
    disputed: int
    waiting: int  # without a verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """What one person did in the round."""

    annotator: str
    answered: int
    skipped: int
    median_seconds: float | None  # None: the tool did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """A round and where it stands."""

    plan: RoundPlan
    state: str
    opened_at: datetime | None
    closed_at: datetime | None
    wanted: int  # answers
    given: int  # answers that count towards `wanted`
    arms: tuple[ArmView, ...]
    people: tuple[PersonView, ...]  # most answers first
    cost: float  # of all answers wanted, in the plan's currency
    spent: float  # on answers given
    disputed: tuple[tuple[str, str], ...]  # (sample, why)
    children: tuple[str, ...]  # dispute and relabel rounds that came of it


def view_round(workspace: Workspace, item: Round) -> RoundView:
    """Read where a round stands."""
    plan = item.plan
    tasks = workspace.records.tasks(plan.round_id)
    answers = live_answers(workspace.records.answers(plan.round_id))
    verdicts = last_verdicts(workspace)
    status = {
        task.sample_id: verdicts[task.sample_id].status if task.sample_id in verdicts else ""
        for task in tasks
    }
    answered = Counter(one.task_key for one in answers if one.status == "answered")
    wanted = sum(task.overlap for task in tasks)
    rounds = workspace.records.rounds()
    return RoundView(
        plan=plan,
        state=item.state,
        opened_at=item.opened_at,
        closed_at=item.closed_at,
        wanted=wanted,
        given=sum(min(answered[task.task_key], task.overlap) for task in tasks),
        arms=tuple(_arm(arm, tasks, status) for arm in dict.fromkeys(task.arm for task in tasks)),
        people=_people(answers),
        cost=wanted * plan.cost_per_label,
        spent=sum(answered.values()) * plan.cost_per_label,
        disputed=tuple(
            (name, verdicts[name].reason) for name, said in status.items() if said == "disputed"
        ),
        children=tuple(one.plan.round_id for one in rounds if one.plan.parent == plan.round_id),
    )


def _arm(arm: str, tasks: list[Task], status: dict[str, str]) -> ArmView:
    said = Counter(status[task.sample_id] for task in tasks if task.arm == arm)
    return ArmView(
        arm=arm,
        samples=said.total(),
        accepted=said["accepted"],
        disputed=said["disputed"],
        waiting=said[""],
    )


def _people(answers: list[Answer]) -> tuple[PersonView, ...]:
    people: dict[str, list[Answer]] = {}
    for answer in answers:
        people.setdefault(answer.annotator, []).append(answer)
    found = [
        PersonView(
            annotator=name,
            answered=sum(one.status == "answered" for one in said),
            skipped=sum(one.status == "skipped" for one in said),
            median_seconds=median(seconds) if (seconds := _seconds(said)) else None,
        )
        for name, said in people.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.answered, one.annotator)))


def _seconds(answers: list[Answer]) -> list[float]:
    return [one.lead_seconds for one in answers if one.lead_seconds is not None]
