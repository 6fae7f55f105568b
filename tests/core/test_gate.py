import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from retrue.core.gate import (
    alpha_for,
    check_slices,
    compare_models,
    labels_needed,
    minimum_detectable,
    sign_flip_p,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def paired(both: int, won: int, lost: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of champion and challenger with these many items of each kind."""
    champion = np.repeat([1.0, 0.0, 1.0], [both, won, lost])
    challenger = np.repeat([1.0, 1.0, 0.0], [both, won, lost])
    return champion, challenger


def test_the_levels_of_all_challengers_sum_to_the_budget():
    spent = sum(alpha_for(k) for k in range(1, 100_000))

    assert spent == pytest.approx(0.05, abs=1e-6)
    with pytest.raises(ValueError, match="k"):
        alpha_for(0)


def test_equal_weights_give_mcnemars_exact_test():
    gain = np.repeat([2.5, -2.5, 0.0], [14, 6, 100])

    p_value = sign_flip_p(gain, alpha=0.05, rng=rng())

    assert p_value == pytest.approx(stats.binomtest(14, 20, alternative="greater").pvalue)


def test_few_unequal_sums_are_enumerated():
    # Of the 8 sign patterns of 1, 2, 4 only the observed one and +4 +2 -1 reach 5.
    p_value = sign_flip_p(np.array([4.0, 2.0, -1.0]), alpha=0.05, rng=rng())

    assert p_value == 2 / 8


def test_many_unequal_sums_are_sampled_down_to_a_tiny_alpha():
    gain = np.linspace(1, 2, 20)

    p_value = sign_flip_p(gain, alpha=alpha_for(20), rng=rng())

    assert 2**-20 < p_value < alpha_for(20) / 5


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=7))
@settings(max_examples=20, deadline=None)
def test_the_p_value_is_valid_under_every_sign_pattern(sums):
    size = np.abs(np.array(sums, dtype=float))
    signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)

    p_values = np.array([sign_flip_p(size * row, alpha=0.05, rng=rng()) for row in signs])

    for alpha in (0.05, 0.25, 0.5):
        assert np.mean(p_values <= alpha) <= alpha


def test_sampled_and_enumerated_p_values_agree():
    # A 15th sum too small to matter forces sampling.
    gain = np.array([3.0, -1, 2, 2, -1.5, 1, 1, 4, -2, 1, 2.5, 0.5, -0.7, 1.1])

    exact = sign_flip_p(gain, alpha=0.05, rng=rng())
    sampled = sign_flip_p(np.append(gain, 1e-7), alpha=0.05, rng=rng())

    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))


def test_a_clearly_better_challenger_is_promoted():
    champion, challenger = paired(2700, 180, 120)

    found = compare_models(champion, challenger, np.ones(3000), alpha=alpha_for(1), rng=rng())

    assert found.decision == "promote"
    assert found.delta == pytest.approx(0.02)
    assert (found.n, found.n_groups, found.discordant) == (3000, 3000, 300)
    assert 0 < found.low < 0.02 < found.high


def test_a_gain_under_the_margin_holds():
    champion, challenger = paired(2700, 180, 120)

    found = compare_models(champion, challenger, np.ones(3000), alpha=0.03, margin=0.025, rng=rng())

    assert found.decision == "hold"
    assert "2.5 points asked for" in found.reason


def test_an_open_question_holds_and_says_how_many_labels_would_decide():
    champion, challenger = paired(270, 18, 12)

    found = compare_models(champion, challenger, np.ones(300), alpha=alpha_for(1), rng=rng())

    assert found.decision == "hold"
    assert found.labels_needed == labels_needed(0.02, 0.10, alpha=alpha_for(1))
    assert f"about {found.labels_needed} such labels" in found.reason


def test_a_challenger_whose_interval_ends_below_the_margin_is_rejected():
    champion, challenger = paired(2700, 100, 200)

    found = compare_models(champion, challenger, np.ones(3000), alpha=0.03, rng=rng())

    assert found.decision == "reject"
    assert found.high < 0
    assert found.labels_needed is None


def test_models_that_never_differ_hold_without_error():
    one = np.ones(50)

    found = compare_models(one, one, one, alpha=0.03, rng=rng())

    assert (found.decision, found.p_value, found.discordant) == ("hold", 1.0, 0)
    assert found.low < 0 < found.high
    assert found.minimum_detectable > 0


def test_copies_in_one_group_do_not_make_a_gain_significant():
    champion, challenger = paired(40, 4, 1)
    copies = [np.repeat(scores, 4) for scores in (champion, challenger)]
    groups = np.repeat(np.arange(45), 4)

    single = compare_models(champion, challenger, np.ones(45), alpha=0.03, rng=rng())
    grouped = compare_models(*copies, np.ones(180), groups, alpha=0.03, rng=rng())

    assert grouped.p_value == single.p_value
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))


def test_weights_decide_which_window_counts():
    # Better on 40 items that stand for 1 request each, worse on 20 that stand for 50.
    champion = np.repeat([0.0, 1.0], [40, 20])
    weight = np.repeat([1.0, 50.0], [40, 20])

    found = compare_models(champion, 1 - champion, weight, alpha=0.03, rng=rng())

    assert found.delta == pytest.approx((40 - 1000) / 1040)
    assert found.decision == "reject"


def test_gate_labels_speak_for_the_share_of_disagreements():
    champion, challenger = paired(0, 180, 120)

    found = compare_models(
        champion, challenger, np.ones(300), alpha=alpha_for(1), share=0.1, rng=rng()
    )

    assert found.decision == "promote"
    assert found.delta == pytest.approx(0.02)
    assert found.high - found.low < 0.03


def test_the_same_seed_gives_the_same_result():
    champion, challenger = paired(100, 30, 20)
    weight = np.linspace(1, 3, 150)

    first, second = (
        compare_models(champion, challenger, weight, alpha=0.03, rng=rng()) for _ in range(2)
    )

    assert first == second


def test_planned_labels_find_the_effect_four_times_in_five():
    n = labels_needed(0.03, 0.10, alpha=0.03)
    assert n is not None

    kinds = rng().multinomial(n, [0.065, 0.035, 0.9], size=4000)

    p_values = stats.binom.sf(kinds[:, 0] - 1, kinds[:, 0] + kinds[:, 1], 0.5)
    assert np.mean(p_values <= 0.03) == pytest.approx(0.8, abs=0.03)


def test_the_smallest_effect_seen_is_the_one_its_number_of_labels_is_planned_for():
    smallest = minimum_detectable(0.10, 3000, alpha=0.03)

    assert labels_needed(smallest, 0.10, alpha=0.03) == pytest.approx(3000, rel=0.01)


def test_no_labels_would_decide_for_a_challenger_that_is_behind():
    assert labels_needed(0.0, 0.1, alpha=0.03) is None


@pytest.mark.parametrize(
    ("champion", "weight", "extra", "message"),
    [
        ([], [], {}, "some items"),
        ([1.0, 0.0], [1.0], {}, "per item"),
        ([np.nan], [1.0], {}, "complete"),
        ([1.0], [0.0], {}, "weight"),
        ([1.0], [1.0], {"margin": -0.1}, "margin"),
        ([1.0], [1.0], {"share": 0.0}, "share"),
    ],
)
def test_what_cannot_be_compared_is_refused(champion, weight, extra, message):
    scores = np.array(champion)

    with pytest.raises(ValueError, match=message):
        compare_models(scores, scores, np.array(weight), alpha=0.03, rng=rng(), **extra)


def test_slices_are_ok_worse_or_not_checkable():
    champion, challenger = paired(400, 0, 100)
    day, night = np.arange(500) < 400, np.arange(500) >= 400
    few = np.arange(500) < 5
    slices = {"day": day, "night": night, "few": few, "none": np.zeros(500, dtype=bool)}

    found = check_slices(
        slices,
        champion,
        challenger,
        np.ones(500),
        np.arange(500),
        margins=dict.fromkeys(slices, 0.02),
        rng=rng(),
    )

    assert [result.verdict for result in found] == ["ok", "worse", "not checkable", "not checkable"]
    assert [result.n for result in found] == [400, 100, 5, 0]
    assert found[3].delta is None


def test_a_slice_without_a_margin_is_refused():
    one = np.ones(3)

    with pytest.raises(ValueError, match="night"):
        check_slices({"night": one > 0}, one, one, one, margins={}, rng=rng())
