"""Which of the observed states of answers still stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from retrue.records import Answer

__all__ = ["Tally", "live_answers", "tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How much was answered in one round, without the answers."""

    live: int  # answers that stand, skipped ones too
    # Of these, how many were given and not skipped, by month of the tool's clock in UTC, such as
    # "2026-03"; a month of skipped ones alone stands there with 0.
    answered: Mapping[str, int]
    annotators: frozenset[str]  # who gave or skipped one that stands

    @property
    def given(self) -> int:
        """Answers that stand, without skipped ones."""
        return sum(self.answered.values())


def live_answers(answers: Sequence[Answer]) -> list[Answer]:
    """The last observed state of each answer, without deleted ones, by seq.

    Args:
        answers: Observed states of one round, by seq.
    """
    last = {answer.answer_id: answer for answer in answers}
    return sorted(
        (answer for answer in last.values() if answer.status != "deleted"),
        key=lambda answer: answer.seq,
    )


def tally(answers: Sequence[Answer]) -> Tally:
    """Count the answers that stand.

    Args:
        answers: Observed states of one round, by seq.
    """
    live = live_answers(answers)
    months: Counter[str] = Counter()
    for one in live:
        months[f"{one.answered_at.astimezone(UTC):%Y-%m}"] += one.status == "answered"
    people = frozenset(one.annotator for one in live)
    return Tally(live=len(live), answered=dict(months), annotators=people)
