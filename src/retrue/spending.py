"""What labels cost, and how many the caps still allow."""

from __future__ import annotations

from datetime import datetime

from retrue.config import Config
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
    """Answers the day's and month's caps still allow; None: no cap. May be negative."""
    caps = workspace.config.select.caps
    if caps.day is None and caps.month is None:
        return None
    rounds = [item for item in workspace.records.rounds() if item.state != "cancelled"]
    today = [item for item in rounds if item.plan.planned_at.date() == now.date()]
    month = [
        item
        for item in rounds
        if (item.plan.planned_at.year, item.plan.planned_at.month) == (now.year, now.month)
    ]
    left = [
        cap - sum(answers_asked(workspace, item) for item in asked)
        for cap, asked in ((caps.day, today), (caps.month, month))
        if cap is not None
    ]
    return min(left)
