"""What is known of each annotator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.annotators import (
    below_floor,
    confusion,
    posterior_without_self,
    skill,
    skill_against_others,
    too_fast,
)


def test_skill_by_hand():
    # Beta(1, 1) without answers is even: 95% lies in .025 .. .975.
    nothing = skill(0, 0)

    assert (nothing.mean, nothing.low, nothing.high) == pytest.approx((0.5, 0.025, 0.975))
    # Beta(2, 1) has distribution function x^2.
    assert skill(1, 1).high == pytest.approx(np.sqrt(0.975))


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_skill_lies_inside_its_interval_and_grows_with_right_answers(right, wrong):
    found, better = skill(right, right + wrong), skill(right + 1, right + wrong + 1)

    assert 0 <= found.low < found.mean < found.high <= 1
    assert better.mean > found.mean


def test_bad_luck_is_not_enough_to_be_below_the_floor():
    assert not below_floor(skill(0, 2), 0.7)
    assert below_floor(skill(20, 50), 0.7)


def test_more_right_answers_than_questions_are_refused():
    with pytest.raises(ValueError, match=r"right: expected 0\.\.3"):
        skill(4, 3)
    with pytest.raises(ValueError, match="prior"):
        skill(1, 3, prior=(0, 1))


def test_nobody_is_judged_against_himself():
    # Two workers who never agree, and one who answers alone: with their own votes counted each
    # would look half right; without, they are never right, and the loner is not judged.
    task, worker = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 2])
    label = np.array([0, 1, 1, 0, 0])

    without = posterior_without_self(task, worker, label, n_tasks=3, n_workers=3, n_classes=2)
    a, b, loner = skill_against_others(worker, label, without, n_workers=3)

    assert a.n == b.n == 2
    assert a.mean == b.mean == 0.25
    assert loner.n == 0


def test_a_second_row_of_the_same_worker_does_not_vouch_for_the_first():
    task, worker, label = np.array([0, 0, 0]), np.array([0, 0, 1]), np.array([1, 1, 0])

    without = posterior_without_self(task, worker, label, n_tasks=1, n_workers=2, n_classes=2)

    assert without[0].tolist() == [1, 0]
    assert without[2].tolist() == [0, 1]


def test_the_word_of_the_better_workers_weighs_more():
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 2, size=400)
    skills = np.array([0.95, 0.95, 0.95, 0.55, 0.55, 0.55])
    task, worker = np.repeat(np.arange(400), 6), np.tile(np.arange(6), 400)
    label = np.where(chance.random(2400) < skills[worker], truth[task], 1 - truth[task])

    def mean_skills(rounds):
        without = posterior_without_self(
            task, worker, label, n_tasks=400, n_workers=6, n_classes=2, rounds=rounds
        )
        return [s.mean for s in skill_against_others(worker, label, without, n_workers=6)]

    assert min(mean_skills(5)[:3]) > 0.8
    assert max(mean_skills(5)[3:]) < 0.65
    assert min(mean_skills(5)[:3]) > max(mean_skills(1)[:3])


def test_an_answer_faster_than_a_look_is_flagged_and_an_unknown_time_is_not():
    worker = np.array([0, 0, 1, 1, 2, 2])
    seconds = np.array([0.3, 2.0, 2.0, 4.0, np.nan, 3.0])

    assert too_fast(worker, seconds).tolist() == [True, False, False, False, False, False]
    assert not too_fast(worker, np.full(6, np.nan)).any()


def test_one_hasty_annotator_with_most_answers_does_not_set_the_pace():
    worker = np.array([0] * 100 + [1, 2])
    seconds = np.array([1.0] * 100 + [30.0, 30.0])

    flagged = too_fast(worker, seconds)

    assert flagged[:100].all()
    assert not flagged[100:].any()


def test_confusion_counts_answers_whose_truth_is_known():
    task, worker = np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1])
    label, truth = np.array([1, 1, 0, 0]), np.array([0, 1, -1])

    counts = confusion(task, worker, label, truth, n_workers=2, n_classes=2)

    assert counts.tolist() == [[[0, 1], [0, 1]], [[1, 0], [0, 0]]]
