"""Picks by score: uncertain, spread out, repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.draw import draw_key
from retrue.core.embed import project
from retrue.core.pick import (
    Picks,
    Shortlist,
    margins,
    novelty_scores,
    pick_margin_diverse,
    pick_novel,
    pick_numbers,
    pick_quota,
    pick_typical,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def pool(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    return chance.dirichlet(np.ones(4), rows), chance.standard_normal((rows, 6))


def two_class(margin: list[float]) -> np.ndarray:
    return np.array([[0.5 + m / 2, 0.5 - m / 2] for m in margin])


def test_a_margin_is_the_gap_between_the_two_best_classes():
    gaps = margins(np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.4, 0.4, 0.2]]))

    np.testing.assert_allclose(gaps, [0.2, 1.0, 0.0], atol=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_a_margin_lies_in_0_to_1_and_ignores_class_order(seed: int, classes: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(classes), 5)

    gaps = margins(probabilities)

    assert ((gaps >= 0) & (gaps <= 1)).all()
    np.testing.assert_array_equal(gaps, margins(probabilities[:, ::-1]))


@pytest.mark.parametrize("wrong", [np.ones((3, 1)), np.ones(3), np.array([[0.5, np.nan]])])
def test_probabilities_without_two_classes_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        margins(wrong)


def test_one_uncertain_row_of_each_region_is_picked():
    # Two regions of ten; the left one holds the ten lowest margins.
    left = [[1.0, 0.1 * i] for i in range(10)]
    right = [[-1.0, 0.1 * i] for i in range(10)]
    margin = [0.01 * i for i in range(1, 11)] + [0.3 + 0.01 * i for i in range(10)]

    spread = pick_margin_diverse(
        two_class(margin), np.array(left + right), 2, rng=rng(), near_duplicate=None
    )
    plain = pick_margin_diverse(
        two_class(margin), np.array(left + right), 2, rng=rng(), shortlist=1, near_duplicate=None
    )

    assert spread.indices.tolist() == [0, 10]
    np.testing.assert_allclose(spread.scores, [0.01, 0.3])
    assert plain.indices.tolist() == [0, 1]


def test_clusters_that_coincide_are_filled_up_by_margin():
    copies = np.tile([1.0, 0.0], (6, 1))
    probabilities = two_class([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])

    picks = pick_margin_diverse(probabilities, copies, 3, rng=rng(), near_duplicate=None)

    assert picks.indices.tolist() == [5, 4, 3]


def test_copies_are_asked_once_even_when_the_budget_is_not_spent():
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])

    picks = pick_margin_diverse(two_class([0.2, 0.1, 0.3]), rows, 3, rng=rng())

    assert picks.indices.tolist() == [1, 2]


def test_copies_do_not_use_up_the_shortlist():
    rows = np.concatenate([np.tile([1.0, 0.0, 0.0], (500, 1)), np.eye(3)[1:]])
    margin = [0.1] * 500 + [0.5, 0.6]

    picks = pick_margin_diverse(two_class(margin), rows, 3, rng=rng(), shortlist=1)

    assert picks.indices.tolist() == [0, 500, 501]


def test_equal_margins_keep_the_callers_order():
    rows = np.random.default_rng(0).standard_normal((1000, 4))

    picks = pick_margin_diverse(
        two_class([0.5, 0.2] * 500), rows, 4, rng=rng(), shortlist=1, near_duplicate=None
    )

    assert picks.indices.tolist() == [1, 3, 5, 7]


@given(st.integers(0, 500), st.integers(0, 70), st.integers(0, 60))
def test_picks_are_distinct_exact_in_number_and_in_score_order(
    seed: int, budget: int, rows: int
) -> None:
    probabilities, embedding = pool(60, seed)
    probabilities, embedding = probabilities[:rows], embedding[:rows]

    picks = pick_margin_diverse(
        probabilities, embedding, budget, rng=rng(), shortlist=3, near_duplicate=None
    )

    assert len(picks) == len(set(picks.indices.tolist())) == min(budget, rows)
    assert (np.diff(picks.scores) >= 0).all()
    np.testing.assert_array_equal(picks.scores, margins(probabilities)[picks.indices])
    lowest = np.sort(margins(probabilities))[: 3 * budget]
    assert np.isin(picks.scores, lowest).all()


def streamed_picks(order: np.ndarray, cuts: list[int]) -> list[str]:
    """Pick from rows that arrive in this order, cut into these chunks, each a worker's own."""
    probabilities, rows = pool(300)
    ids = np.array([f"s-{i}" for i in range(300)])
    total = Shortlist(60, seed="s", round_id="r-1")
    for chunk in np.split(order, cuts):
        worker = Shortlist(60, seed="s", round_id="r-1")
        for part in np.split(chunk, range(25, len(chunk), 25)):
            worker.add(ids[part].tolist(), margins(probabilities[part]).round(1))
        total.merge(worker)
    found = [int(sample_id.removeprefix("s-")) for sample_id in total.ids()]
    embedding = project(rows[found], seed=1)
    picks = pick_margin_diverse(probabilities[found], embedding, 6, rng=rng())
    return [f"s-{found[i]}" for i in picks.indices]


@given(st.integers(0, 1000), st.lists(st.integers(0, 300), max_size=5).map(sorted))
def test_the_same_seed_gives_the_same_picks_whatever_the_chunk_order(
    seed: int, cuts: list[int]
) -> None:
    order = np.random.default_rng(seed).permutation(300)

    assert streamed_picks(order, cuts) == streamed_picks(np.arange(300), [])


def test_a_shortlist_orders_by_score_then_by_key():
    shortlist = Shortlist(3, seed="s", round_id="r-1")
    tied = sorted("bcdefg", key=lambda sample_id: draw_key("s", "r-1", sample_id))

    shortlist.add(["a", *"bcdefg"], np.array([0.1] + [0.2] * 6))

    assert shortlist.ids() == ["a", *tied[:2]]
    assert shortlist.scores().tolist() == [0.1, 0.2, 0.2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.integers(0, 20))
def test_a_shortlist_keeps_the_lowest_scores(scores: list[float], k: int) -> None:
    shortlist = Shortlist(k, seed="s", round_id="r-1")

    for i, score in enumerate(scores):
        shortlist.add([str(i)], np.array([score]))

    assert shortlist.scores().tolist() == sorted(scores)[:k]


@pytest.mark.parametrize("scores", [np.array([0.1]), np.array([0.1, np.nan])])
def test_a_shortlist_refuses_scores_that_cannot_be_ranked(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2 scores without NaN"):
        Shortlist(2, seed="s", round_id="r-1").add(["a", "b"], scores)


def test_different_shortlists_do_not_merge():
    with pytest.raises(ValueError, match="same size, seed and round"):
        Shortlist(2, seed="s", round_id="r-1").merge(Shortlist(2, seed="t", round_id="r-1"))


def test_the_newest_rows_are_picked_first():
    embedding = np.eye(5)
    novelty = np.array([0.1, 0.9, 0.2, 0.8, 0.7])

    novel = pick_novel(novelty, embedding, 3, rng=rng(), shortlist=1)
    widest = pick_numbers(novelty, embedding, 3, rng=rng(), shortlist=1)

    assert novel.indices.tolist() == widest.indices.tolist() == [1, 3, 4]
    assert novel.scores.tolist() == widest.scores.tolist() == [0.9, 0.8, 0.7]


def test_novelty_is_the_distance_to_the_nearest_reference_row():
    scores = novelty_scores(np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]]))

    np.testing.assert_allclose(scores, [np.sqrt(13), 0.0], rtol=1e-6)


def test_each_class_gets_its_quota_or_what_there_is():
    predicted = ["cat"] * 10 + ["dog"] * 10 + ["owl"]
    margin = np.linspace(0.9, 0.1, 21)
    embedding = np.random.default_rng(0).standard_normal((21, 8))

    picks = pick_quota(
        predicted, {"owl": 3, "dog": 2, "emu": 1}, margin, embedding, rng=rng(), shortlist=1
    )

    assert picks.indices.tolist() == [20, 19, 18]
    np.testing.assert_allclose(picks.scores, [0.1, 0.14, 0.18])


def test_the_order_of_quotas_does_not_matter():
    _, embedding = pool(200)
    margin, predicted = np.linspace(0, 1, 200), ["cat", "dog"] * 100

    one = pick_quota(predicted, {"cat": 5, "dog": 7}, margin, embedding, rng=rng())
    other = pick_quota(predicted, {"dog": 7, "cat": 5}, margin, embedding, rng=rng())

    assert one.indices.tolist() == other.indices.tolist()
    assert len(one) == 12


def test_a_cold_start_takes_the_middle_of_each_heap():
    steps = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    heaps = np.concatenate([steps, 100 + steps, 200 + 2 * steps])[:, None]

    picks = pick_typical(heaps, 3, rng=rng())

    # Mean distance from a heap's middle to the six others: 2, 2 and 4.
    assert picks.indices.tolist() == [3, 10, 17]
    np.testing.assert_allclose(picks.scores, [0.5, 0.5, 0.25])


def test_only_the_twenty_nearest_tell_how_typical_a_row_is():
    crowd = np.linspace(0, 0.2, 21)
    far = np.linspace(5, 60, 40)

    picks = pick_typical(np.concatenate([crowd, far])[:, None], 1, rng=rng())

    assert picks.indices.tolist() == [10]
    np.testing.assert_allclose(picks.scores, [1 / 0.055], rtol=1e-4)


def test_a_cold_start_over_copies_spends_the_budget_all_the_same():
    picks = pick_typical(np.ones((8, 2)), 5, rng=rng())

    assert sorted(picks.indices.tolist()) == [0, 1, 2, 3, 4]
    assert np.isfinite(picks.scores).all()


@pytest.mark.parametrize("budget", [0, 3, 9])
def test_a_cold_start_gives_the_budget_or_every_row(budget: int) -> None:
    _, embedding = pool(5)

    assert len(pick_typical(embedding, budget, rng=rng())) == min(budget, 5)
    assert len(pick_typical(embedding[:0], budget, rng=rng())) == 0


@pytest.mark.parametrize(
    ("novelty", "embedding", "budget", "complaint"),
    [
        (np.ones(2), np.ones((2, 2)), -1, "budget"),
        (np.ones(3), np.ones((2, 2)), 1, "one score per"),
        (np.array([1.0, np.nan]), np.ones((2, 2)), 1, "finite"),
        (np.ones(2), np.array([[1.0], [np.inf]]), 1, "finite"),
    ],
)
def test_misshapen_input_is_refused(
    novelty: np.ndarray, embedding: np.ndarray, budget: int, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        pick_novel(novelty, embedding, budget, rng=rng())


def test_an_empty_shortlist_is_refused():
    with pytest.raises(ValueError, match="shortlist"):
        pick_novel(np.ones(2), np.eye(2), 1, rng=rng(), shortlist=0)


def test_picks_know_how_many_they_are():
    assert len(Picks(indices=np.array([4, 2]), scores=np.array([0.1, 0.2]))) == 2
