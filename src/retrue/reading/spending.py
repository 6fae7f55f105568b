"""What labels cost, and how many the caps still allow."""

from __future__ import annotations

from datetime import datetime

from retrue.config import Config
from retrue.core.answers import live_answers
from retrue.records import Round
from retrue.workspace import Workspace

__all__ = ["answers_asked", "answers_left", "price_of"]


def price_of(config: Config) -> tuple[float, str]:
    """Price of one answer, and its currency."""
    return config.select.caps.price


def answers_asked(workspace: Workspace, item: Round) -> int:
    """Answers a round asks of people."""
    return sum(task.overlap for task in workspace.records.tasks(item.plan.round_id))


def answers_left(workspace: Workspace, now: datetime) -> int | None:
    """Answers the day's and month's caps still allow; None: no cap. May be negative.

    A round counts on the day it was planned (UTC), with all it asks for; a cancelled one with the
    answers that were given before.
    """
    caps = workspace.config.select.caps
    if caps.day is None and caps.month is None:
        return None
    rounds = [item for item in workspace.records.rounds() if _in_month(item, now)]
    today = [item for item in rounds if item.plan.planned_at.date() == now.date()]
    left = [
        cap - sum(_answers_bought(workspace, item) for item in asked)
        for cap, asked in ((caps.day, today), (caps.month, rounds))
        if cap is not None
    ]
    return min(left)


def _in_month(item: Round, now: datetime) -> bool:
    planned = item.plan.planned_at
    return (planned.year, planned.month) == (now.year, now.month)


def _answers_bought(workspace: Workspace, item: Round) -> int:
    if item.state == "cancelled":
        return len(live_answers(workspace.records.answers(item.plan.round_id)))
    return answers_asked(workspace, item)
