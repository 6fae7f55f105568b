"""Agreement beyond chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.agreement import (
    bootstrap_interval,
    cohen_kappas,
    first_answers,
    gwet_ac1,
    krippendorff_alpha,
)

# Krippendorff (2011), section C: four observers, twelve units, missing answers marked 0.
OBSERVED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)
WORKER, TASK = np.nonzero(OBSERVED)
VALUE = OBSERVED[WORKER, TASK]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_is_the_published_one_on_the_published_example(level, alpha):
    assert krippendorff_alpha(TASK, WORKER, VALUE, level=level) == pytest.approx(alpha, abs=5e-4)


def test_kappa_and_ac1_by_hand():
    # 10 tasks, two workers: 7 both 0, 1 both 1, 2 differ (0 against 1). po = .8.
    # Kappa: pe = .9 * .7 + .1 * .3 = .66. AC1: prevalence of 1 is .2, pe = 2 * .2 * .8 = .32.
    task, worker = np.repeat(np.arange(10), 2), np.tile([0, 1], 10)
    label = np.array([[0, 0]] * 7 + [[1, 1]] + [[0, 1]] * 2).ravel()

    (pair,) = cohen_kappas(task, worker, label)

    assert pair.n == 10
    assert pair.kappa == pytest.approx((0.8 - 0.66) / 0.34)
    assert gwet_ac1(task, worker, label, n_classes=2) == pytest.approx((0.8 - 0.32) / 0.68)


def test_only_the_first_answer_of_a_worker_counts():
    task, worker = np.append(TASK, TASK), np.append(WORKER, WORKER)
    value = np.append(VALUE, 6 - VALUE)

    assert krippendorff_alpha(task, worker, value) == krippendorff_alpha(TASK, WORKER, VALUE)
    assert first_answers(task, worker).tolist() == list(range(len(TASK)))


def test_nearly_everything_of_one_class_ruins_kappa_but_not_ac1():
    task, worker = np.repeat(np.arange(100), 2), np.tile([0, 1], 100)
    label = np.zeros(200, dtype=int)
    label[[0, 3]] = 1

    assert cohen_kappas(task, worker, label)[0].kappa < 0
    assert gwet_ac1(task, worker, label, n_classes=2) > 0.97


def test_agreement_is_not_defined_without_overlap_or_variety():
    alone = np.arange(3)

    assert np.isnan(krippendorff_alpha(alone, alone, alone))
    assert np.isnan(krippendorff_alpha(np.array([0, 0]), np.array([0, 1]), np.array([1, 1])))
    assert np.isnan(gwet_ac1(alone, alone, alone, n_classes=3))
    assert cohen_kappas(alone, alone, alone) == ()


answers = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30
).map(lambda rows: tuple(np.array(rows, dtype=np.int64).T))


@given(answers, st.sampled_from(["nominal", "interval"]))
def test_alpha_is_at_most_one_and_blind_to_names(data, level):
    task, worker, value = data

    alpha = krippendorff_alpha(task, worker, value, level=level)
    renamed = krippendorff_alpha(50 - task, worker * 7 + 3, 10 - 2 * value, level=level)

    assert np.isnan(alpha) or alpha <= 1 + 1e-12
    assert renamed == pytest.approx(alpha, nan_ok=True)


@settings(max_examples=50)
@given(answers)
def test_everybody_saying_the_same_is_full_agreement(data):
    task, worker, _ = data

    alpha = krippendorff_alpha(task, worker, task)

    assert np.isnan(alpha) or alpha == pytest.approx(1)


def test_the_interval_covers_and_is_the_same_again():
    chance = np.random.default_rng(1)
    task, worker = np.repeat(np.arange(300), 2), np.tile([0, 1], 300)
    label = np.where(chance.random(600) < 0.9, task % 2, 1 - task % 2)

    one, again = (
        bootstrap_interval(
            krippendorff_alpha, task, worker, label, rng=np.random.default_rng(1), draws=200
        )
        for _ in range(2)
    )

    # Two coins of .9 and even classes: agreement .82, so alpha is .64.
    assert one == again
    assert one.low < 0.64 < one.high
    assert 0.1 < one.high - one.low < 0.3
    assert one.n == 300


def test_an_interval_of_nothing_is_not_a_number():
    alone = np.arange(3)

    found = bootstrap_interval(
        krippendorff_alpha, alone, alone, alone, rng=np.random.default_rng(0), draws=5
    )

    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.n == 0
