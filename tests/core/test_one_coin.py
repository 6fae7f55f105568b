"""Skills without a known truth: intervals as wide as what is not known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.annotators import Skill, skill
from retrue.core.one_coin import one_coin_skills


def skills(
    task: list[int], worker: list[int], label: list[int], *, tasks: int, workers: int
) -> tuple[Skill, ...]:
    return one_coin_skills(
        np.array(task, dtype=np.int64),
        np.array(worker, dtype=np.int64),
        np.array(label, dtype=np.int64),
        n_tasks=tasks,
        n_workers=workers,
        rng=np.random.default_rng(7),
    )


def test_with_the_truth_settled_by_many_it_is_the_beta_posterior_of_right_answers():
    # Nine workers agree on all 40 tasks, so the truth is known; the tenth is right on 30 of them.
    task = [t for t in range(40) for _ in range(10)]
    worker = list(range(10)) * 40
    label = [1 - t % 2 if w == 9 and t < 10 else t % 2 for t in range(40) for w in range(10)]

    found = skills(task, worker, label, tasks=40, workers=10)[9]

    exact = skill(30, 40)
    assert found.mean == pytest.approx(exact.mean, abs=0.01)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.03)


def test_two_people_who_differ_cannot_be_told_apart_and_the_intervals_say_so():
    task = [t for t in range(40) for _ in range(2)]
    label = [v for t in range(40) for v in ((0, 0) if t < 30 else (0, 1))]

    ann, bob = skills(task, [0, 1] * 40, label, tasks=40, workers=2)

    assert ann.mean == pytest.approx(bob.mean, abs=0.1)
    assert ann.low < 0.75 + 0.1 < ann.high
    assert ann.high - ann.low > 0.2


def test_answers_nobody_else_gave_tell_nothing():
    alone = skills([0, 1, 2], [0, 0, 0], [0, 1, 0], tasks=3, workers=1)
    nobody = skills([], [], [], tasks=0, workers=2)

    assert alone == (Skill(mean=0.5, low=0.025, high=0.975, n=0),)
    assert [one.n for one in nobody] == [0, 0]


def test_answers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="task"):
        skills([5], [0], [0], tasks=3, workers=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_every_worker_gets_an_interval_around_the_mean_and_the_same_one_again(answers):
    columns = [list(column) for column in zip(*answers, strict=True)] or [[], [], []]

    found = skills(*columns, tasks=6, workers=4)
    again = skills(*columns, tasks=6, workers=4)

    assert found == again
    times = np.bincount(columns[0], minlength=6)
    for code, one in enumerate(found):
        assert 0 <= one.low <= one.mean <= one.high <= 1
        assert one.n == sum(w == code and times[t] > 1 for t, w, _ in answers)
