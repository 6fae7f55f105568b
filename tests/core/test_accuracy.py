import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from retrue.core.accuracy import (
    MetricName,
    aipw_mean,
    estimate_mean,
    estimate_ratio,
    label_noise,
    per_class_recall,
    score_metric,
    union_probability,
)

LABELS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=40
)


def test_the_mean_weights_each_item_by_multiplicity_over_probability():
    score, probability, multiplicity = [1, 0, 1], [0.5, 0.25, 1.0], [1, 1, 2]

    found = estimate_mean(np.array(score), np.array(probability), np.array(multiplicity))

    assert found.value == pytest.approx((2 + 2) / (2 + 4 + 2))
    assert found.effective_n == pytest.approx(8**2 / (4 + 16 + 4))
    assert not found.provisional


def test_few_errors_give_the_exact_binomial_interval():
    score = np.repeat([1.0, 0.0], [97, 3])

    found = estimate_mean(score, np.full(100, 0.01), np.ones(100))

    exact = stats.binomtest(97, 100).proportion_ci(0.95, "exact")
    assert found.method == "clopper-pearson"
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_many_errors_give_wilsons_interval():
    score = np.repeat([1.0, 0.0], [32_000, 8_000])

    found = estimate_mean(score, np.ones(40_000), np.ones(40_000))

    wilson = stats.binomtest(32_000, 40_000).proportion_ci(0.95, "wilson")
    assert found.method == "wilson"
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-6)


def test_copies_of_an_item_in_one_group_add_no_certainty():
    score, one = np.repeat([1.0, 0.0], [160, 40]), np.ones(200)
    copies, ones = np.repeat(score, 4), np.ones(800)

    single = estimate_mean(score, one, one)
    grouped = estimate_mean(copies, ones, ones, np.repeat(np.arange(200), 4))

    assert grouped.n == 800
    assert grouped.effective_n == pytest.approx(200)
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))


def test_missing_verdicts_widen_the_interval_to_the_worst_and_the_best_case():
    one = np.ones(100)
    score = np.repeat([1.0, 0.0, np.nan], [60, 20, 20])

    found = estimate_mean(score, one, one)

    assert (found.value, found.n, found.missing, found.provisional) == (0.75, 80, 20, True)
    assert found.low == estimate_mean(np.nan_to_num(score, nan=0.0), one, one).low
    assert found.high == estimate_mean(np.nan_to_num(score, nan=1.0), one, one).high


@given(
    arrays(float, 30, elements=st.sampled_from([0.0, 0.5, 1.0, np.nan])),
    arrays(float, 30, elements=st.floats(0.01, 1)),
    arrays(int, 30, elements=st.integers(0, 5)),
)
@settings(max_examples=30, deadline=None)
def test_the_value_lies_in_its_interval_and_the_interval_in_0_to_1(score, probability, groups):
    score[0] = 1.0

    found = estimate_mean(score, probability, np.ones(30), groups)

    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1


@pytest.mark.parametrize(
    ("score", "probability", "message"),
    [
        ([], [], "no audit item"),
        ([np.nan], [1.0], "no audit item"),
        ([1.5], [1.0], "0..1"),
        ([1.0], [0.0], "probability"),
        ([1.0, 1.0], [1.0], "shape"),
    ],
)
def test_what_cannot_be_estimated_is_refused(score, probability, message):
    given_probability = np.array(probability)

    with pytest.raises(ValueError, match=message):
        estimate_mean(np.array(score), given_probability, np.ones(len(probability)))


def test_a_ratio_counts_only_items_in_its_denominator():
    numerator, denominator = np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0])

    found = estimate_ratio(numerator, denominator, np.array([0.1, 0.2, 0.5]), np.ones(3))

    assert found.value == pytest.approx(10 / 15)
    assert found.effective_n == pytest.approx(15**2 / (10**2 + 5**2))


@given(LABELS)
@settings(max_examples=30, deadline=None)
def test_metrics_of_an_equal_weight_census_are_scikit_learns(pairs):
    truth, said = (list(column) for column in zip(*pairs, strict=True))
    one, positive = np.ones(len(truth)), truth[0]
    oracle = {"recall": recall_score, "f1": f1_score}

    found = {
        name: score_metric(name, truth, said, one, one, positive=positive).value
        for name in ("recall", "f1")
    }

    assert found == pytest.approx(
        {
            name: score(truth, said, labels=[positive], average="macro", zero_division=0)
            for name, score in oracle.items()
        }
    )


@given(LABELS)
@settings(max_examples=30, deadline=None)
def test_macro_averages_are_over_the_classes_for_which_the_metric_is_defined(pairs):
    truth, said = (list(column) for column in zip(*pairs, strict=True))
    one = np.ones(len(truth))

    recall = score_metric("recall", truth, said, one, one).value
    precision = score_metric("precision", truth, said, one, one).value

    assert recall == pytest.approx(
        recall_score(truth, said, labels=sorted(set(truth)), average="macro")
    )
    assert precision == pytest.approx(
        precision_score(truth, said, labels=sorted(set(said)), average="macro")
    )


@given(LABELS, st.sampled_from(["accuracy", "recall", "precision", "f1"]))
@settings(max_examples=30, deadline=None)
def test_no_truth_of_the_missing_items_leaves_the_provisional_interval(
    pairs: list[tuple[str, str]], name: MetricName
):
    truth, said = (list(column) for column in zip(*([("a", "a")] * 3 + pairs), strict=True))
    one = np.ones(len(truth))
    hidden = [*truth[:-2], None, None]

    provisional = score_metric(name, hidden, said, one, one, positive="a")
    final = score_metric(name, truth, said, one, one, positive="a")

    assert provisional.missing == 2
    assert provisional.low <= final.value <= provisional.high


def test_a_macro_average_over_a_rare_class_has_a_small_effective_n():
    truth = ["common"] * 990 + ["rare"] * 10
    one = np.ones(1000)

    found = score_metric("recall", truth, truth, one, one)

    assert found.effective_n == pytest.approx(1 / (0.25 / 990 + 0.25 / 10))
    assert found.low < 0.95


def test_recall_of_a_class_nobody_saw_is_refused():
    one = np.ones(2)

    with pytest.raises(ValueError, match="no audit item"):
        score_metric("recall", ["a", "b"], ["a", "b"], one, one, positive="c")


def test_recall_per_class_names_the_classes_found():
    one = np.ones(4)

    found = per_class_recall(["a", "a", "b", None], ["a", "c", "b", "a"], one, one)

    assert {label: estimate.value for label, estimate in found.items()} == {"a": 0.5, "b": 1.0}


def test_the_union_of_two_draws_weights_the_population_without_bias():
    rng = np.random.default_rng(5)
    in_second = np.arange(100) < 40
    value = np.arange(100.0)
    weight = np.where(in_second, 1 / union_probability([0.3, 0.5]), 1 / union_probability([0.3]))

    drawn = (rng.random((20_000, 100)) < 0.3) | ((rng.random((20_000, 100)) < 0.5) & in_second)

    totals = drawn @ (value * weight)
    assert totals.mean() == pytest.approx(value.sum(), abs=4 * totals.std() / 20_000**0.5)


def test_a_probability_above_one_is_refused():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        union_probability([0.5, 1.5])


def test_label_noise_reads_the_first_two_answers_only():
    answers = [["a", "a", "b"], ["a", "b", "a"], ["a", "a"], ["b", "b"], ["a"], []]

    found = label_noise(answers)

    assert (found.value, found.n, found.missing) == (0.25, 4, 2)
    assert found.low < 0.25 < found.high


def test_label_noise_without_second_answers_is_refused():
    with pytest.raises(ValueError, match="two answers"):
        label_noise([["a"], ["b"]])


def test_a_good_guess_narrows_the_interval_and_a_useless_one_does_not_move_it():
    rng = np.random.default_rng(3)
    chance = rng.beta(2, 1, 20_000)
    right = (rng.random(20_000) < chance).astype(float)
    audit = rng.choice(20_000, 400, replace=False)
    probability, one, all_one = np.full(400, 0.02), np.ones(400), np.ones(20_000)
    noise = rng.random(20_000)

    plain = estimate_mean(right[audit], probability, one)
    sharp = aipw_mean(right[audit], chance[audit], probability, one, chance, all_one)
    useless = aipw_mean(right[audit], noise[audit], probability, one, noise, all_one)

    assert sharp.high - sharp.low < 0.95 * (plain.high - plain.low)
    assert sharp.low < right.mean() < sharp.high
    assert useless.high - useless.low == pytest.approx(plain.high - plain.low, rel=0.02)


def test_with_few_errors_the_guess_is_set_aside():
    right, one = np.repeat([1.0, 0.0], [95, 5]), np.ones(100)

    found = aipw_mean(right, right, one, one, right, one)

    assert found == estimate_mean(right, one, one)


def test_a_guess_cannot_stand_in_for_a_missing_verdict():
    one = np.ones(3)

    with pytest.raises(ValueError, match="finite"):
        aipw_mean(np.array([1.0, 0.0, np.nan]), one, one, one, one, one)
