import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.probe import _crossing, _Looks, probe_outcome

NO_NONE = np.zeros(120)


def answers(n: int, wrong_every: int) -> np.ndarray:
    """`n` labels, each `wrong_every`-th of them wrong."""
    return (np.arange(1, n + 1) % wrong_every != 0).astype(float)


def test_a_large_loss_is_found_in_the_first_block():
    found = probe_outcome(answers(40, 2), NO_NONE[:40], 380, 400, maximum=120)

    assert (found.outcome, found.loss_found, found.new_class_found) == ("loss", True, False)
    assert found.loss == pytest.approx(0.45)
    assert found.low < 0.45 < found.high


def test_no_loss_over_the_whole_probe_is_harmless():
    found = probe_outcome(answers(120, 20), NO_NONE, 380, 400, maximum=120)

    assert (found.outcome, found.loss_found) == ("harmless", False)
    assert found.loss == pytest.approx(0.0, abs=1e-12)


def test_an_open_answer_asks_for_the_next_block():
    found = probe_outcome(answers(40, 8), NO_NONE[:40], 380, 400, maximum=120)

    assert found.outcome == "undecided"
    assert "up to 80 more" in found.reason


def test_at_the_maximum_an_open_answer_stays_open_with_its_interval():
    found = probe_outcome(answers(120, 8), NO_NONE, 380, 400, maximum=120)

    assert found.outcome == "undecided"
    assert found.low < 0.10 < found.high
    assert "no labels are left" in found.reason


def test_labels_short_of_a_block_decide_nothing():
    found = probe_outcome(np.zeros(39), NO_NONE[:39], 380, 400, maximum=120)

    assert found.outcome == "undecided"


def test_a_loss_once_shown_is_not_taken_back_by_the_next_block_alone():
    wrong_first = np.concatenate([np.zeros(40), np.ones(40)])

    found = probe_outcome(wrong_first, NO_NONE[:80], 380, 400, maximum=120)

    assert found.loss_found


def test_two_answers_that_fit_no_class_are_a_new_class_and_one_is_not():
    right = answers(40, 8)

    one = probe_outcome(right, np.arange(40) == 7, 380, 400, maximum=120)
    two = probe_outcome(right, (np.arange(40) + 1) % 16 == 0, 380, 400, maximum=120)

    assert one.outcome == "undecided"
    assert (two.outcome, two.loss_found, two.none_count) == ("new_class", False, 2)


def test_a_new_class_and_a_loss_are_both_told():
    found = probe_outcome(answers(40, 2), np.arange(40) % 2 == 1, 380, 400, maximum=120)

    assert (found.outcome, found.loss_found, found.new_class_found) == ("new_class", True, True)


def test_a_small_baseline_makes_the_same_labels_less_telling():
    right = answers(120, 6)

    large = probe_outcome(right, NO_NONE, 1900, 2000, maximum=120)
    small = probe_outcome(right, NO_NONE, 57, 60, maximum=120)

    assert large.loss_found
    assert not small.loss_found


def test_excluding_less_finds_more_but_never_under_the_margin():
    right = answers(120, 8)

    strict = probe_outcome(right, NO_NONE, 380, 400, maximum=120)
    lenient = probe_outcome(right, NO_NONE, 380, 400, maximum=120, null_loss=0.0)
    floored = probe_outcome(
        right, NO_NONE, 380, 400, maximum=120, null_loss=0.0, margin=0.2, harm=0.3
    )

    assert not strict.loss_found
    assert lenient.loss_found
    assert not floored.loss_found


def test_the_chance_of_crossing_is_exact_where_it_can_be_worked_by_hand():
    # Bar 1.5 at two labels: only two events reach it; at one label nothing does.
    rate, slope = np.array([[0.3]]), np.array([[0.0]])

    chance = _crossing(rate, slope, np.array([[1.5]]), _Looks(1, 2))

    assert chance.item() == pytest.approx(0.09)


@given(st.floats(0.05, 0.5), st.floats(0.5, 6), st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_the_chance_of_crossing_is_that_of_replays(rate, bar, block):
    looks = _Looks(block, 40)
    events = np.random.default_rng(1).random((20_000, 40)) < rate
    labels = np.arange(1, 41)

    chance = _crossing(np.array([[rate]]), np.array([[rate]]), np.array([[bar]]), looks).item()

    excess = (np.cumsum(events, axis=1) - rate * labels)[:, looks.includes(labels)].max(axis=1)
    assert np.mean(excess >= bar) == pytest.approx(chance, abs=0.016)


@pytest.mark.parametrize("accuracy", [0.95, 0.8])
def test_a_loss_of_the_margin_is_called_one_in_at_most_a_twentieth_of_probes(accuracy):
    rng, found = np.random.default_rng(11), 0

    for _ in range(300):
        # Few audit results, so that the computed critical values are used again.
        baseline = int(8 * round(rng.binomial(400, accuracy) / 8))
        right = rng.random(120) < accuracy - 0.05
        found += probe_outcome(right, NO_NONE, baseline, 400, maximum=120).loss_found

    assert found <= 25  # P(more) < 1% at a true rate of 5%


@pytest.mark.parametrize(
    ("n", "baseline", "extra", "message"),
    [
        (0, 9, {}, "labels"),
        (130, 9, {}, "labels"),
        (10, 11, {}, "baseline"),
        (10, 9, {"margin": 0.3, "harm": 0.2}, "margin"),
        (10, 9, {"block": 0}, "block"),
    ],
)
def test_what_cannot_be_judged_is_refused(n, baseline, extra, message):
    with pytest.raises(ValueError, match=message):
        probe_outcome(np.ones(n), np.zeros(n), baseline, 10, maximum=120, **extra)


def test_scores_between_right_and_wrong_are_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        probe_outcome(np.array([0.5]), np.zeros(1), 9, 10, maximum=120)
