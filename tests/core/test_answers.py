"""Which observed states of answers still stand."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from retrue.core.answers import live_answers
from retrue.records import Answer, AnswerStatus

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def state(seq: int, answer_id: str, status: AnswerStatus = "answered") -> Answer:
    return Answer(
        seq=seq,
        answer_id=answer_id,
        revision=str(seq),
        task_key="k",
        annotator="ann",
        status=status,
        value='"left"' if status == "answered" else None,
        note="",
        lead_seconds=None,
        answered_at=NOON,
        observed_at=NOON,
    )


def test_only_the_last_state_of_an_answer_stands():
    observed = [state(1, "a"), state(2, "b"), state(3, "a")]

    live = live_answers(observed)

    assert [(answer.answer_id, answer.seq) for answer in live] == [("b", 2), ("a", 3)]


def test_a_deleted_answer_stands_no_more_and_a_skipped_one_does():
    observed = [state(1, "a"), state(2, "b", "skipped"), state(3, "a", "deleted")]

    live = live_answers(observed)

    assert [answer.answer_id for answer in live] == ["b"]


def test_nobody_answered():
    assert live_answers([]) == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["answered", "skipped", "deleted"])))
)
def test_each_answer_stands_at_most_once_and_only_if_its_last_state_is_not_deleted(said):
    observed = [state(seq, name, status) for seq, (name, status) in enumerate(said, start=1)]

    live = live_answers(observed)

    last = dict(said)
    assert {a.answer_id for a in live} == {n for n, status in last.items() if status != "deleted"}
    assert len({a.answer_id for a in live}) == len(live)
    assert [a.seq for a in live] == sorted(a.seq for a in live)
