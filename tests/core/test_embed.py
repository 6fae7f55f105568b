"""Projection, distances, near-duplicates and clusters, checked against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core import embed
from retrue.core.embed import (
    clusters,
    minhash,
    near_duplicates,
    nearest,
    project,
    reject_near_duplicates,
    shingles,
    text_near_duplicates,
)


def gaussian(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns))


def cosines(rows: np.ndarray, against: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ (
        against / np.linalg.norm(against, axis=1, keepdims=True)
    ).T


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 7 rows, so that small data crosses many block borders."""
    monkeypatch.setattr(embed, "_BLOCK", 7)


def test_narrow_rows_keep_their_direction():
    projected = project(np.array([[3.0, 4.0], [0.0, 0.0]]), dimensions=2, seed=1)

    np.testing.assert_allclose(projected, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert projected.dtype == np.float32


def test_a_projection_keeps_cosines_within_its_error():
    rows = gaussian(60, 400)
    rows[30:] = rows[:30] + 0.5 * gaussian(30, 400, seed=1)

    projected = project(rows, dimensions=256, seed=3)

    error = np.abs(projected @ projected.T - cosines(rows, rows))
    assert error.max() < 5 / np.sqrt(256)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, rtol=1e-6)


@given(st.integers(1, 59), st.sampled_from([np.float16, np.float32, np.float64]))
def test_a_rows_projection_does_not_depend_on_its_chunk(
    cut: int, dtype: type[np.floating[Any]]
) -> None:
    rows = gaussian(60, 700).astype(dtype)

    whole = project(rows, dimensions=8, seed=5)
    parts = np.concatenate(
        [project(rows[:cut], dimensions=8, seed=5), project(rows[cut:], dimensions=8, seed=5)]
    )

    np.testing.assert_array_equal(whole, parts)


def test_the_seed_chooses_the_directions():
    rows = gaussian(3, 50)

    assert not np.allclose(project(rows, seed=1), project(rows, seed=2))


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        project(np.array([[1.0, np.nan]]), seed=0)


@pytest.mark.usefixtures("small_blocks")
def test_the_nearest_row_is_the_one_brute_force_finds():
    rows, against = gaussian(40, 5), gaussian(33, 5, seed=1)
    brute = ((rows[:, None] - against[None]) ** 2).sum(axis=2)

    squared, which = nearest(rows, against)

    np.testing.assert_array_equal(which, brute.argmin(axis=1))
    np.testing.assert_allclose(squared, brute.min(axis=1), atol=1e-5)


def test_nothing_is_nearest_to_no_rows():
    with pytest.raises(ValueError, match="at least one row"):
        nearest(gaussian(2, 3), np.empty((0, 3)))


@pytest.mark.usefixtures("small_blocks")
def test_near_duplicates_are_those_above_the_cosine():
    rows, against = gaussian(50, 3), gaussian(20, 3, seed=1)

    mask = near_duplicates(rows, against, threshold=0.9)

    np.testing.assert_array_equal(mask, (cosines(rows, against) > 0.9).any(axis=1))
    assert 0 < mask.sum() < 50


def test_no_row_is_near_an_empty_set_and_a_zero_row_is_near_nothing():
    rows = np.array([[0.0, 0.0], [1.0, 0.0]])

    assert near_duplicates(rows, np.empty((0, 2))).tolist() == [False, False]
    assert near_duplicates(rows, rows).tolist() == [False, True]


@pytest.mark.usefixtures("small_blocks")
@given(st.integers(0, 1000), st.integers(0, 40))
def test_rejection_is_greedy_in_the_given_order(seed: int, limit: int) -> None:
    rows = gaussian(30, 3, seed=seed)
    order = np.random.default_rng(seed).permutation(30)
    similar = cosines(rows, rows) > 0.9
    greedy: list[int] = []
    for row in order.tolist():
        if not similar[row, greedy].any():
            greedy.append(row)

    kept = reject_near_duplicates(rows, order, threshold=0.9, limit=limit)

    assert kept.tolist() == greedy[:limit]


def test_separate_heaps_become_separate_clusters():
    heaps = np.repeat(np.eye(4) * 50, 30, axis=0) + gaussian(120, 4) * 0.1

    labels = clusters(heaps, 4, rng=np.random.default_rng(2))

    assert [len(set(labels[i : i + 30].tolist())) for i in range(0, 120, 30)] == [1, 1, 1, 1]
    assert len(set(labels.tolist())) == 4


def test_a_row_belongs_to_the_nearest_mean_when_clustering_has_settled():
    rows = gaussian(200, 2).astype(np.float32)

    labels = clusters(rows, 5, rng=np.random.default_rng(0), rounds=500)

    means = np.stack([rows[labels == c].mean(axis=0) for c in range(5)])
    distance = ((rows[:, None] - means[None]) ** 2).sum(axis=2)
    assert (distance[np.arange(200), labels] <= distance.min(axis=1) + 1e-5).all()


@given(st.integers(1, 30), st.integers(1, 5))
def test_there_are_never_more_clusters_than_distinct_rows(count: int, distinct: int) -> None:
    rows = np.tile(np.eye(5)[:distinct], (4, 1))

    labels = clusters(rows, count, rng=np.random.default_rng(0))

    assert len(set(labels.tolist())) == min(count, distinct)


def test_shingles_are_runs_of_three_words():
    assert len(shingles("one two three four")) == 2
    assert shingles("One, two; THREE!") == shingles("one two three")
    assert len(shingles("one two")) == 1
    assert shingles("?!") == frozenset()


def words(start: int, stop: int) -> str:
    return " ".join(f"w{i}" for i in range(start, stop))


def test_a_signature_estimates_the_jaccard_similarity():
    # 100 and 100 shingles, 60 of them shared: 60 / 140.
    one, other = words(0, 102), words(40, 142)

    first, second = minhash([one, other], permutations=4096, seed=1)

    assert np.mean(first == second) == pytest.approx(60 / 140, abs=0.03)


def test_texts_are_duplicates_from_four_fifths_of_shared_shingles():
    # 18 of 20 + 20 - 18 = 22 shingles shared: 0.82; 17 of 23: 0.74.
    text, near, far = words(0, 22), words(2, 24), words(3, 25)

    assert text_near_duplicates([text, near]).tolist() == [False, True]
    assert text_near_duplicates([text, far]).tolist() == [False, False]
    assert text_near_duplicates([near, far], against=[text]).tolist() == [True, False]


def test_of_several_copies_the_first_stays_and_empty_texts_stay_all():
    marked = text_near_duplicates(["pay the bill", "", "Pay the bill!", "", "pay THE bill"])

    assert marked.tolist() == [False, False, True, False, True]


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), max_size=12))
def test_no_text_below_the_threshold_is_marked_and_every_copy_is(texts: list[str]) -> None:
    marked = text_near_duplicates(texts, threshold=0.8)

    kept = [shingles(text) for text, mark in zip(texts, marked, strict=True) if not mark]
    for text, mark in zip(texts, marked, strict=True):
        mine = shingles(text)
        if mark:
            assert max(len(mine & other) / len(mine | other) for other in kept if other) >= 0.8
    assert len({k for k in kept if k}) == len([k for k in kept if k])
