"""Draws by chance: exact size, repeatable, fair, blind to chunks."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retrue.core.draw import BottomK, Lowest, allot, draw, draw_key, inclusion_probability

IDS = [f"s-{i}" for i in range(200)]


def test_a_key_is_the_hmac_of_the_sample_under_the_hmac_of_the_round():
    round_key = hmac.new(b"seed", b"r-1", hashlib.sha256).digest()

    expected = hmac.new(round_key, "äpfel".encode(), hashlib.sha256).digest()[:16]

    assert draw_key("seed", "r-1", "äpfel") == int.from_bytes(expected, "big")


def test_seed_round_and_sample_cannot_run_into_each_other():
    keys = {draw_key("a", "bc", "d"), draw_key("ab", "c", "d"), draw_key("a", "b", "cd")}

    assert len(keys) == 3


def test_the_lowest_keys_are_drawn_in_key_order():
    by_key = sorted(IDS, key=lambda sample_id: draw_key("s", "r-1", sample_id))

    drawn = draw(IDS, 7, seed="s", round_id="r-1")

    assert drawn == by_key[:7]


@given(
    st.permutations(IDS[:40]),
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(0, 50),
)
def test_chunks_and_their_order_do_not_change_a_draw(
    ids: list[str], cuts: list[int], k: int
) -> None:
    bounds = [0, *sorted(cuts), len(ids)]
    total = BottomK(k, seed="s", round_id="r-1")

    for start, stop in pairwise(bounds):
        part = BottomK(k, seed="s", round_id="r-1")
        part.add(ids[start:stop])
        total.merge(part)

    assert total.drawn() == draw(IDS[:40], k, seed="s", round_id="r-1")
    assert total.seen == 40
    assert len(total.drawn()) == min(k, 40)


def test_an_id_shown_twice_is_drawn_once():
    drawn = draw([*IDS, *IDS, *IDS], 150, seed="s", round_id="r-1")

    assert drawn == draw(IDS, 150, seed="s", round_id="r-1")


def test_every_sample_has_the_same_chance():
    hits = Counter(
        sample_id
        for round_number in range(3000)
        for sample_id in draw(IDS[:20], 5, seed="s", round_id=f"r-{round_number}")
    )

    # Under a fair draw the sum below is chi-squared, 19 degrees of freedom.
    p, rounds = inclusion_probability(5, 20), 3000
    spread = sum((hits[i] - p * rounds) ** 2 for i in IDS[:20]) / (rounds * p * (1 - p)) * 19 / 20
    assert stats.chi2(19).sf(spread) > 1e-4


def test_a_round_is_drawn_independently_of_the_one_before():
    overlaps = [
        len(
            set(draw(IDS, 50, seed="s", round_id=f"r-{i}"))
            & set(draw(IDS, 50, seed="s", round_id=f"r-{i + 1}"))
        )
        for i in range(200)
    ]

    assert np.mean(overlaps) == pytest.approx(12.5, abs=0.8)


def test_memory_stays_bounded_while_streaming():
    lowest = Lowest[bytes](3)

    for i in range(1000):
        lowest.offer(str(i), (999 - i).to_bytes(2, "big"))
        assert len(lowest._ranks) <= 6

    assert lowest.ids() == ["999", "998", "997"]


@given(st.permutations("abcdefghij"))
def test_of_equal_ranks_the_id_decides_not_the_arrival(ids: list[str]) -> None:
    lowest = Lowest[bytes](3)

    for sample_id in ids:
        lowest.offer(sample_id, b"same")

    assert lowest.ids() == ["a", "b", "c"]


def test_an_id_offered_again_keeps_its_lower_rank():
    lowest = Lowest[tuple[float, bytes]](2)

    for sample_id, score in [("a", 0.9), ("b", 0.5), ("c", 0.6), ("a", 0.1), ("b", 0.7)]:
        lowest.offer(sample_id, (score, b""))

    assert lowest.items() == [("a", (0.1, b"")), ("b", (0.5, b""))]


@pytest.mark.parametrize(
    "other",
    [
        BottomK(4, seed="s", round_id="r-1"),
        BottomK(3, seed="t", round_id="r-1"),
        BottomK(3, seed="s", round_id="r-2"),
    ],
)
def test_different_draws_do_not_merge(other: BottomK) -> None:
    with pytest.raises(ValueError, match="same size, seed and round"):
        BottomK(3, seed="s", round_id="r-1").merge(other)


def test_a_draw_of_none_is_empty_and_a_negative_one_is_refused():
    assert draw(IDS, 0, seed="s", round_id="r-1") == []
    with pytest.raises(ValueError, match="0 or more"):
        draw(IDS, -1, seed="s", round_id="r-1")


def test_an_empty_frame_has_no_inclusion_probability():
    with pytest.raises(ValueError, match="frame"):
        inclusion_probability(3, 0)


def test_the_largest_remainder_gets_the_odd_label():
    arms = allot(7, {"audit": 0.2, "random": 0.1, "active": 0.6, "novel": 0.1})

    # Exact: 1.4, 0.7, 4.2, 0.7.
    assert arms == {"audit": 1, "random": 1, "active": 4, "novel": 1}


def test_of_equal_remainders_the_larger_share_wins():
    # Exact: 0.5 and 4.5.
    assert allot(5, {"a": 0.1, "b": 0.9}) == {"a": 0, "b": 5}


def test_decimal_shares_are_read_exactly():
    assert allot(100, {"a": 0.29, "b": 0.57, "c": 0.14}) == {"a": 29, "b": 57, "c": 14}


SHARES = st.dictionaries(
    st.text(min_size=1, max_size=3), st.floats(0, 1).map(lambda x: round(x, 3)), min_size=1
).filter(lambda shares: sum(shares.values()) > 0)


@given(st.integers(0, 5000), SHARES)
def test_arms_sum_to_the_budget_and_miss_their_share_by_less_than_one(
    budget: int, shares: dict[str, float]
) -> None:
    arms = allot(budget, shares)

    total = sum(shares.values())
    assert sum(arms.values()) == budget
    assert all(abs(arms[n] - budget * shares[n] / total) < 1 + 1e-6 for n in shares)
    assert arms == allot(budget, dict(reversed(shares.items())))


@pytest.mark.parametrize(
    ("budget", "shares"),
    [(-1, {"a": 1.0}), (5, {}), (5, {"a": 0.0}), (5, {"a": 2.0, "b": -1.0}), (5, {"a": np.nan})],
)
def test_impossible_splits_are_refused(budget: int, shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"expected|Invalid"):
        allot(budget, shares)
