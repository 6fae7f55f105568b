"""Profiles: binning by hand, merging as a law, precision as promised."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.profile import (
    CELLS,
    EXACT_CATEGORIES,
    CategoryProfile,
    NumberProfile,
    bin_values,
    cell_of,
    finalise,
    from_json,
    histogram,
    merge_profiles,
    n_rows,
    profile_categories,
    profile_numbers,
    psi_deciles,
    quantiles,
    share_below,
    to_json,
)

numbers = st.lists(st.floats(width=64), max_size=40)
names = st.lists(st.one_of(st.none(), st.sampled_from("abcdef"), st.text(max_size=3)), max_size=40)


def profile_of(values: list[float], kinds: list[str | None]):
    return {
        "x": profile_numbers(np.array(values, dtype=np.float64), center=0.5),
        "kind": profile_categories(Counter(kinds)),
    }


def test_small_whole_numbers_are_counted_one_by_one():
    values = [7, 3, 7, -2, 3, 7, float("nan")]

    profile = profile_numbers(values, center=3)

    assert bin_values(profile).tolist() == [-2, 3, 7]
    assert profile.counts.tolist() == [1, 2, 3]
    assert (profile.missing, profile.present, profile.rows) == (1, 6, 7)


def test_infinities_are_values_and_every_nan_is_missing():
    negative_nan = np.copysign(np.nan, -1)
    values = np.array([np.inf, -np.inf, np.nan, negative_nan, 1e300, 0.0])

    profile = profile_numbers(values, center=0)

    assert profile.missing == 2
    assert bin_values(profile).tolist() == [-math.inf, 0, math.inf]
    assert profile.counts.tolist() == [1, 1, 2]


def test_the_two_zeros_are_one_value():
    profile = profile_numbers([0.0, -0.0], center=0)

    assert profile.counts.tolist() == [2]


def test_no_rows_make_an_empty_profile():
    profile = profile_numbers([], center=0)

    assert profile.rows == 0
    assert np.isnan(quantiles(profile, [0.5])).all()
    assert math.isnan(share_below(profile, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64, np.bool_])
def test_the_type_that_carried_a_number_does_not_matter(dtype):
    values = np.array([0, 1, 1], dtype=dtype)

    profile = profile_numbers(values, center=0.3)

    assert profile == profile_numbers([0.0, 1.0, 1.0], center=0.3)


@pytest.mark.parametrize("center", [math.nan, math.inf])
def test_a_center_that_is_no_number_is_refused(center):
    with pytest.raises(ValueError, match="finite"):
        profile_numbers([1.0], center=center)


@settings(deadline=None)
@given(st.floats(-1e30, 1e30), st.floats(-1e6, 1e6))
def test_a_value_comes_back_within_a_128th_of_its_distance_from_the_center(value, center):
    profile = profile_numbers([value], center=center)

    error = abs(bin_values(profile)[0] - value)

    # float64 loses a little of its own when the centre is taken off and put back.
    slack = 4 * np.spacing(max(abs(value), abs(center))) + 1e-37
    assert error <= abs(value - center) / 128 + slack


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=2, unique=True))
def test_bins_keep_the_order_of_values(pair):
    low, high = (profile_numbers([value], center=0).bins[0] for value in sorted(pair))

    assert low <= high


@settings(deadline=None)
@given(numbers, numbers, numbers, names, names, names)
def test_merging_in_any_order_equals_profiling_everything_at_once(x1, x2, x3, k1, k2, k3):
    a, b, c = profile_of(x1, k1), profile_of(x2, k2), profile_of(x3, k3)

    left = merge_profiles(merge_profiles(a, b), c)
    right = merge_profiles(c, merge_profiles(b, a))

    assert left == right == profile_of(x1 + x2 + x3, k1 + k2 + k3)
    assert list(left["kind"].counts) == list(right["kind"].counts)


@settings(deadline=None)
@given(numbers, names)
def test_json_gives_the_profile_back(values, kinds):
    profile = finalise(profile_of(values, kinds))

    text = json.dumps(to_json(profile), sort_keys=True)
    again = from_json(json.loads(text))

    assert again == profile
    assert list(again["kind"].counts) == list(profile["kind"].counts)


def test_profiles_of_different_centers_do_not_merge():
    a, b = ({"x": profile_numbers([1], center=c)} for c in (0, 1))

    with pytest.raises(ValueError, match=r"x: .* 0\.0 and 1\.0"):
        merge_profiles(a, b)


def test_a_number_does_not_merge_with_a_category():
    with pytest.raises(ValueError, match="x: a number"):
        merge_profiles({"x": profile_numbers([1], center=0)}, {"x": profile_categories({"a": 1})})


def test_a_column_of_one_side_stays_in_the_merged_profile():
    merged = merge_profiles(
        {"x": profile_numbers([1], center=0)}, {"y": profile_numbers([1, 2], center=0)}
    )

    assert set(merged) == {"x", "y"}
    assert n_rows(merged) == 2
    assert n_rows({}) == 0


def test_the_most_frequent_names_stay_and_the_rest_fall_into_their_hash_cells():
    counts = {f"n{i:03d}": 1000 - i for i in range(300)}

    column = finalise({"c": profile_categories({**counts, None: 5})})["c"]

    assert isinstance(column, CategoryProfile)
    assert list(column.counts) == [f"n{i:03d}" for i in range(256)]
    assert len(column.cells) == CELLS
    assert column.cells[cell_of("n299")] >= counts["n299"]
    assert column.other == sum(list(counts.values())[256:])
    assert column.rows == sum(counts.values()) + 5


def test_equally_frequent_names_are_kept_in_alphabetical_order():
    column = finalise({"c": profile_categories({f"{i:03d}": 1 for i in reversed(range(300))})})["c"]

    assert list(column.counts) == [f"{i:03d}" for i in range(256)]


def test_a_column_of_identifiers_stays_bounded_and_loses_no_row():
    chunks = [
        {"id": profile_categories({f"{chunk}-{i}": 1 for i in range(EXACT_CATEGORIES)})}
        for chunk in range(3)
    ]

    merged = merge_profiles(merge_profiles(chunks[0], chunks[1]), chunks[2])["id"]

    assert len(merged.counts) == EXACT_CATEGORIES
    assert merged.rows == 3 * EXACT_CATEGORIES


@settings(deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=1), st.floats(0, 1))
def test_quantiles_of_whole_numbers_are_the_inverse_of_their_distribution(values, q):
    expected = np.quantile(values, q, method="inverted_cdf")

    found = quantiles(profile_numbers(values, center=0), q)

    # One rank either way when q * n is a rounding error away from a whole number.
    near = np.quantile(values, np.clip([q - 1e-9, q + 1e-9], 0, 1), method="inverted_cdf")
    assert found in {expected, *near}


def test_shares_and_histograms_count_whole_bins():
    profile = profile_numbers([1, 2, 2, 3, 9], center=2)

    assert share_below(profile, 2) == 0.2
    assert share_below(profile, 2.5) == 0.6
    assert share_below(profile, math.inf) == 1.0
    assert histogram(profile, [1, 2, 3, 4]).tolist() == [1, 2, 1]


def test_psi_scatters_around_zero_without_drift_and_passes_the_mark_with_it():
    rng = np.random.default_rng(0)
    reference = profile_numbers(rng.normal(size=2000), center=0)

    quiet = [
        psi_deciles(reference, profile_numbers(rng.normal(size=200), center=0)) for _ in "x" * 200
    ]
    moved = psi_deciles(reference, profile_numbers(rng.normal(1, 1, size=200), center=0))

    assert abs(np.mean(quiet)) < 0.01
    assert moved > 0.25


def test_psi_of_a_constant_column_is_zero_and_without_values_not_a_number():
    constant = profile_numbers([5.0] * 100, center=5)

    assert psi_deciles(constant, constant) == pytest.approx(0, abs=0.03)
    assert math.isnan(psi_deciles(constant, profile_numbers([], center=5)))


def test_equality_sees_every_field():
    base = profile_numbers([1, 2], center=0)

    assert base != profile_numbers([1, 3], center=0)
    assert base != profile_numbers([1, 2, 2], center=0)
    assert base != profile_numbers([1, 2, math.nan], center=0)
    assert base != NumberProfile(center=1, missing=0, bins=base.bins, counts=base.counts)
    assert base != "a profile"
