"""Which of the observed states of answers still stand."""

from __future__ import annotations

from collections.abc import Sequence

from retrue.records import Answer

__all__ = ["live_answers"]


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
