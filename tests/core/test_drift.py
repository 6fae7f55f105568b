"""Drift tests: against scipy, by hand, at the edges, and their alarm budget."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from retrue.core.domain_classifier import classifier_auc
from retrue.core.drift import (
    DriftSettings,
    check_alpha,
    check_drift,
    classifier_drift,
    explain,
)
from retrue.core.profile import finalise, profile_categories, profile_numbers
from retrue.core.two_sample import ks_p_value, ks_two_sample, total_variation_test

SETTINGS = DriftSettings()
whole_numbers = st.lists(st.integers(-100, 100), min_size=2, max_size=60)


def number(values, center=0.0):
    return profile_numbers(values, center=center)


def category(**counts):
    return profile_categories(counts)


def only(drifts):
    (drift,) = drifts
    return drift


def check(old, new, outputs=()):
    return check_drift(old, new, outputs=outputs, settings=SETTINGS)


@settings(max_examples=50, deadline=None)
@given(whole_numbers, whole_numbers)
def test_d_equals_scipys_where_bins_are_single_values(old, new):
    d, _ = ks_two_sample(number(old), number(new))

    assert d == pytest.approx(stats.ks_2samp(old, new, method="asymp").statistic)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 60), m=st.integers(1, 60), share=st.floats(0.3, 1))
def test_p_is_never_under_the_exact_p_however_few_the_rows(n, m, share):
    old, new = np.arange(n), np.arange(m) + n * share
    assume(max(np.searchsorted(old, new[0]) / n, np.searchsorted(old, new[-1]) / n) > 0.3)
    oracle = stats.ks_2samp(old, new, method="exact")

    p = float(ks_p_value(oracle.statistic, n, m))

    assert p >= oracle.pvalue * (1 - 1e-9)


def test_d_of_continuous_numbers_is_scipys_less_at_most_one_bin():
    rng = np.random.default_rng(0)
    old, new = rng.normal(10, 1, 5000), rng.normal(10.2, 1.1, 700)

    d, p = ks_two_sample(number(old, 10), number(new, 10))

    oracle = stats.ks_2samp(old, new, method="exact")
    assert oracle.statistic - 0.005 <= d <= oracle.statistic
    assert oracle.pvalue <= p


@pytest.mark.parametrize(("n", "m"), [(5000, 500), (1000, 500), (500, 500), (3000, 1000)])
@pytest.mark.parametrize("p", [0.05, 1e-3, 1e-5])
def test_the_p_bound_is_never_under_the_exact_p_and_within_a_fifth_of_it(n, m, p):
    wanted = math.sqrt(-math.log(p / 2) / 2 / (n * m / (n + m)))
    # Two samples of whole numbers whose D is just `wanted`: the window starts k values higher.
    k = round(wanted * m)
    old = np.arange(n * m).reshape(n, m)[:, 0]
    new = np.sort(np.concatenate([np.arange(m)[k:] * n + 1, np.full(k, n * m + 1)]))

    oracle = stats.ks_2samp(old, new, method="exact")
    bound = float(ks_p_value(oracle.statistic, n, m))

    assert oracle.pvalue <= bound <= 1.2 * oracle.pvalue


def test_profiles_of_different_centers_are_refused():
    with pytest.raises(ValueError, match="center"):
        ks_two_sample(number([1], 0), number([1], 1))


def test_total_variation_by_hand():
    old, new = category(a=50, b=50), category(a=20, b=60, c=20)

    tv, p = total_variation_test(old, new)

    # a: 50% -> 20%, b: 50% -> 60%, c: 0% -> 20%
    assert tv == pytest.approx(0.3)
    oracle = stats.chi2_contingency([[50, 50, 0], [20, 60, 20]], correction=False)
    assert p == pytest.approx(oracle.pvalue)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(30, 200), min_size=2, max_size=6),
    st.lists(st.integers(30, 200), min_size=2, max_size=6),
)
def test_p_is_the_larger_of_scipys_pearson_and_likelihood_ratio(old, new):
    assume(len(old) == len(new))

    _, p = total_variation_test(category(**_named(old)), category(**_named(new)))

    both = [
        stats.chi2_contingency([old, new], correction=False, lambda_=kind).pvalue
        for kind in ("pearson", "log-likelihood")
    ]
    assert p == pytest.approx(max(both))


def _named(counts):
    return {f"c{i}": rows for i, rows in enumerate(counts)}


def test_missing_is_one_more_category():
    old = profile_categories({"a": 100})
    new = profile_categories({"a": 50, None: 50})

    assert total_variation_test(old, new)[0] == pytest.approx(0.5)


def test_many_rare_unseen_categories_count():
    old = profile_categories({"a": 2500, "b": 2500})
    new = profile_categories({"a": 150, "b": 150, **{f"new{i}": 10 for i in range(20)}})

    tv, p = total_variation_test(old, new)

    assert tv == pytest.approx(0.4)
    assert p < 1e-20


def test_a_column_of_identifiers_does_not_alarm():
    old = finalise({"id": profile_categories({f"id-{i}": 1 for i in range(5000)})})
    new = finalise({"id": profile_categories({f"id-{i}": 1 for i in range(5000, 5500)})})

    drift = only(check(old, new))

    assert drift.p_value > 0.001
    assert not drift.alarm


def test_trimming_to_the_top_names_makes_no_drift_of_its_own():
    rng = np.random.default_rng(3)
    draws = [Counter(f"c{i}" for i in rng.integers(0, 5000, n)) for n in (5000, 500)]
    whole = [{"c": profile_categories(draw)} for draw in draws]

    drift = only(check(finalise(whole[0]), finalise(whole[1])))

    # The reference's top 256 hold 16% of its rows and 5% of any other window's.
    assert drift.p_value > 0.001


def test_a_new_frequent_category_is_seen_among_thousands():
    rng = np.random.default_rng(4)
    old, new = (Counter(f"c{i}" for i in rng.integers(0, 5000, n)) for n in (5000, 400))
    new["bot"] = 100

    drift = only(
        check(
            finalise({"agent": profile_categories(old)}),
            finalise({"agent": profile_categories(new)}),
        )
    )

    assert drift.alarm
    assert drift.reason == "agent: 'bot' 0.1% -> 20%"


def test_far_in_the_tail_few_rows_do_not_alarm_more_than_alpha():
    rng = np.random.default_rng(5)
    alpha, replays = 0.01, 5_000
    shares = [0.85, 0.12, 0.03]
    pairs = zip(
        rng.multinomial(5000, shares, replays), rng.multinomial(40, shares, replays), strict=True
    )

    hits = sum(
        total_variation_test(category(**_named(a)), category(**_named(b)))[1] <= alpha
        for a, b in pairs
    )

    assert stats.binomtest(hits, replays, alpha, alternative="greater").pvalue > 0.001


def test_budgets_of_all_families_stay_within_the_years():
    spent = [
        check_alpha(0.05, family, n, 52) * n * 52
        for family, n in (("outputs", 3), ("classifier", 1), ("features", 20))
    ]

    assert spent == pytest.approx([0.02, 0.01, 0.01])


def test_a_moved_output_alarms_with_a_sentence_a_person_understands():
    rng = np.random.default_rng(1)
    old = {
        "age": number(rng.integers(20, 60, 2000), 40),
        "p_max": number(np.full(2000, 0.97), 0.97),
        "class": profile_categories({"1": 1000, "2": 1000}),
    }
    new = {
        "age": number(rng.integers(20, 60, 1000), 40),
        "p_max": number(np.full(1000, 0.71), 0.97),
        "class": profile_categories({"1": 395, "2": 395, "9": 210}),
    }

    drifts = check(old, new, outputs={"p_max", "class"})

    assert [d.name for d in drifts] == ["p_max", "class", "age"]
    assert [d.family for d in drifts] == ["outputs", "outputs", "features"]
    assert [d.alarm for d in drifts] == [True, True, False]
    assert explain(drifts)[:2] == [
        "p_max lower: median 0.97 -> 0.71",
        "class: '9' 0% -> 21%",
    ]


def test_a_significant_change_under_the_floor_is_no_alarm():
    rng = np.random.default_rng(2)

    drift = only(
        check({"x": number(rng.normal(size=200_000))}, {"x": number(rng.normal(0.05, 1, 200_000))})
    )

    assert drift.p_value < drift.alpha
    assert not drift.alarm
    assert explain([drift]) == ["no drift"]


def test_a_big_change_in_few_rows_is_not_significant_and_says_how_many_it_takes():
    drift = only(check({"x": number(np.arange(50))}, {"x": number(np.arange(10) + 10)}))

    assert drift.value > drift.floor
    assert not drift.alarm
    assert not drift.enough
    assert drift.minimum_detectable > drift.floor
    assert "not enough data for 1 of 1 tests: x needs" in explain([drift])[0]


@settings(max_examples=50, deadline=None)
@given(n=st.integers(100, 20_000), m=st.integers(20, 5_000))
def test_the_rows_said_to_be_needed_are_enough(n, m):
    first = only(check({"c": category(a=n, b=n)}, {"c": category(a=m, b=m)}))
    assume(first.needed is not None)

    more = math.ceil(first.needed / 2)
    again = only(
        check({"c": category(a=max(n, more), b=max(n, more))}, {"c": category(a=more, b=more)})
    )

    assert first.minimum_detectable > first.floor
    assert again.enough
    assert again.minimum_detectable <= again.floor


@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_change_of_the_detectable_size_is_seen_four_times_in_five(kind):
    rng = np.random.default_rng(6)
    n, m = 5000, 1100
    hits = 0
    for _ in range(100):
        if kind == "number":
            old, new = number(rng.random(n)), number(rng.random(m))
            size = only(check({"x": old}, {"x": new})).minimum_detectable
            # A share `size` of the mass moves from the lower to the upper half: D = size.
            moved = np.where(rng.random(m) < 2 * size, 0.5 + rng.random(m) / 2, rng.random(m))
            found = only(check({"x": old}, {"x": number(moved)}))
        else:
            old, new = (Counter(rng.integers(0, 2, k).astype(str)) for k in (n, m))
            size = only(
                check({"x": profile_categories(old)}, {"x": profile_categories(new)})
            ).minimum_detectable
            moved = Counter((rng.random(m) < 0.5 + size).astype(int).astype(str))
            found = only(check({"x": profile_categories(old)}, {"x": profile_categories(moved)}))
        hits += found.p_value <= found.alpha

    assert hits >= 70


def test_columns_that_came_or_went_or_changed_kind_are_notes_and_not_alarms():
    old = {"gone": number([1]), "kind": number([1])}
    new = {"kind": category(a=1), "new": number([1])}

    drifts = check(old, new)

    assert [d.statistic for d in drifts] == ["none"] * 3
    assert not any(d.alarm for d in drifts)
    assert explain(drifts) == [
        "gone: in the reference, gone from this window",
        "kind: numbers on one side, categories on the other",
        "new: a new column, not in the reference",
    ]


def test_a_new_column_in_the_window_does_not_spend_the_others_budget():
    old = {"x": number([1, 2, 3])}

    alone = check(old, {"x": number([1, 2, 3])})[0]
    beside = check(old, {"x": number([1, 2, 3]), "y": number([1])})[0]

    assert alone.alpha == beside.alpha


def test_a_constant_column_is_quiet_until_its_value_changes():
    old = {"x": number([5.0] * 1000)}

    same = only(check(old, {"x": number([5.0] * 500)}))
    other = only(check(old, {"x": number([6.0] * 500)}))

    assert (same.value, same.p_value, same.alarm) == (0, 1, False)
    assert (other.value, other.alarm) == (1, True)


def test_a_column_that_lost_all_values_alarms_on_its_missing_rows():
    old = {"x": number(np.arange(1000))}
    new = {"x": number(np.full(500, np.nan))}

    values, missing = check(old, new)

    assert (values.alarm, values.reason) == (False, "x: no values in this window")
    assert (missing.statistic, missing.alarm) == ("missing", True)
    assert missing.reason == "x: missing 0% -> 100%"


def test_an_empty_window_is_not_enough_data():
    drifts = check(
        {"x": number([1, 2]), "c": category(a=3)}, {"x": number([]), "c": profile_categories({})}
    )

    assert not any(d.alarm or d.enough for d in drifts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(width=32), max_size=30), st.lists(st.floats(width=32), max_size=30))
def test_any_numbers_at_all_give_a_verdict(old, new):
    drifts = check({"x": number(old)}, {"x": number(new)})

    assert all(0 <= d.value <= 1 + 1e-12 and 0 <= d.p_value <= 1 and d.reason for d in drifts)


def test_the_classifier_sees_a_changed_combination_that_single_columns_hide():
    rng = np.random.default_rng(0)
    old = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 600)
    new = rng.multivariate_normal([0, 0], [[1, -0.9], [-0.9, 1]], 400)

    drift = classifier_drift(classifier_auc(old, new, rng=rng), SETTINGS)

    assert drift.alarm
    assert drift.value > 0.9


def test_the_classifier_is_quiet_on_rows_of_one_kind_and_blind_in_a_few():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(900, 4))

    drift = classifier_drift(classifier_auc(rows[:600], rows[600:], rng=rng), SETTINGS)
    small = classifier_drift(classifier_auc(rows[:60], rows[60:90], rng=rng), SETTINGS)

    assert drift.p_value > 0.001
    assert not drift.alarm
    assert not small.enough


def test_every_window_row_gets_a_score_and_the_strange_ones_the_highest():
    rng = np.random.default_rng(2)
    old, new = rng.normal(size=(300, 3)), rng.normal(size=(200, 3))
    new[:40] += 5

    found = classifier_auc(old, new, rng=rng, max_rows=100)

    assert found.scores.shape == (200,)
    assert (found.reference_rows, found.window_rows) == (100, 100)
    assert found.scores[:40].mean() > 1.5 * found.scores[40:].mean()
    assert ((found.scores > 0) & (found.scores < 1)).all()


def test_the_same_generator_gives_the_same_check():
    rows = np.random.default_rng(3).normal(size=(80, 2))

    a, b = (classifier_auc(rows[:50], rows[50:], rng=np.random.default_rng(7)) for _ in range(2))

    assert (a.auc, a.p, a.scores.tolist()) == (b.auc, b.p, b.scores.tolist())


@pytest.mark.parametrize("shape", [(9, 2), (20, 3)])
def test_too_few_rows_or_other_columns_are_refused(shape):
    with pytest.raises(ValueError, match=r"columns, got \[\(20, 2\)"):
        classifier_auc(np.zeros((20, 2)), np.zeros(shape), rng=np.random.default_rng(0))


def test_alarms_are_explained_strongest_first():
    old = {name: number(np.arange(2000), 1000) for name in ("weak", "strong")}
    new = {
        "weak": number(np.arange(2000) + 500, 1000),
        "strong": number(np.arange(2000) + 1400, 1000),
    }

    drifts = check(old, new)

    assert all(d.alarm for d in drifts)
    assert [line.split()[0] for line in explain(drifts)] == ["strong", "weak"]
    assert explain([replace(d, alarm=False) for d in drifts]) == ["no drift"]
