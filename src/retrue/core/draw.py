"""Draws by chance that can be repeated: the lowest keyed hashes win.

A sample's key is a hash of (seed, round, sample id), so it is as good as a random number, yet the
same in every run. The k lowest keys are a simple random sample without replacement of size k, in
whatever order and chunks the ids arrive (a "bottom-k sketch": Cohen & Kaplan 2007).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

__all__ = [
    "BottomK",
    "Lowest",
    "allot",
    "draw",
    "draw_key",
    "inclusion_probability",
    "keyed_hash",
]

_BLOCK = 64  # bytes SHA-256 works on at once
_KEY = 16  # bytes kept of each hash: 2**128 values, so two ids never share one

Rank = TypeVar("Rank", bytes, tuple[float, bytes])


def keyed_hash(seed: str, round_id: str) -> Callable[[str], bytes]:
    """The function that gives a sample its key in this round.

    HMAC-SHA256 under a key derived from (seed, round), cut to 128 bits. Both pads are hashed once
    here, which halves the time per id against `hmac.digest` (RFC 2104, section 4).

    >>> keyed_hash("s", "r-1")("a").hex() == f"{draw_key('s', 'r-1', 'a'):032x}"
    True
    """
    key = hmac.digest(seed.encode(), round_id.encode(), "sha256").ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def hashed(sample_id: str) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(sample_id.encode())
        second.update(first.digest())
        return second.digest()[:_KEY]

    return hashed


def draw_key(seed: str, round_id: str, sample_id: str) -> int:
    """A sample's place in the round's draw, uniform over 0 .. 2**128 - 1; lower is drawn earlier.

    >>> draw_key("s", "r-1", "a") == draw_key("s", "r-1", "a") != draw_key("s", "r-2", "a")
    True
    """
    return int.from_bytes(keyed_hash(seed, round_id)(sample_id), "big")


class Lowest(Generic[Rank]):
    """The `k` ids of lowest rank among all ids offered, holding at most `2k` between offers.

    An id offered twice keeps its lower rank; of equal ranks the earlier id in the alphabet is
    lower. So the result depends neither on the order nor on the grouping of the offers.

    >>> lowest = Lowest[bytes](2)
    >>> for sample_id, rank in [("a", b"3"), ("b", b"1"), ("c", b"2"), ("b", b"1")]:
    ...     lowest.offer(sample_id, rank)
    >>> lowest.ids()
    ['b', 'c']
    """

    def __init__(self, k: int) -> None:
        if k < 0:
            raise ValueError(f"k: expected 0 or more, got {k}")
        self.k = k
        self._ranks: dict[str, Rank] = {}
        self._limit: Rank | None = None  # no rank above it can win; None: fewer than k seen

    @property
    def limit(self) -> Rank | None:
        """A rank above this cannot be among the lowest k any more; None: every rank still can."""
        return self._limit

    def offer(self, sample_id: str, rank: Rank) -> None:
        """Consider one id; constant time on average."""
        if self.k == 0 or (self._limit is not None and rank > self._limit):
            return
        known = self._ranks.get(sample_id)
        self._ranks[sample_id] = rank if known is None else min(known, rank)
        if len(self._ranks) > 2 * self.k:
            self._prune()

    def items(self) -> list[tuple[str, Rank]]:
        """The lowest `k` as (id, rank), lowest first; fewer if fewer were offered."""
        # The id decides between equal ranks, so that arrival order never does.
        return sorted(self._ranks.items(), key=lambda item: (item[1], item[0]))[: self.k]

    def ids(self) -> list[str]:
        """The ids of `items`, lowest rank first."""
        return [sample_id for sample_id, _ in self.items()]

    def _prune(self) -> None:
        kept = self.items()
        self._ranks = dict(kept)
        self._limit = kept[-1][1]


class BottomK:
    """Draws `k` of all ids it is shown, each with the same chance, in one streaming pass.

    The frame is the set of *distinct* ids. An id shown twice can be drawn only once, but `seen`
    counts it twice, as remembering every id would need unbounded memory: the caller shows each
    sample once and keeps the number of its copies as multiplicity.

    >>> first, second = BottomK(2, seed="s", round_id="r-1"), BottomK(2, seed="s", round_id="r-1")
    >>> first.add(["a", "b", "c"])
    >>> second.add(["d", "e"])
    >>> first.merge(second)
    >>> first.drawn() == draw("edcba", 2, seed="s", round_id="r-1"), first.seen
    (True, 5)
    """

    def __init__(self, k: int, *, seed: str, round_id: str) -> None:
        self._lowest = Lowest[bytes](k)
        self._draw = (seed, round_id)
        self._key = keyed_hash(seed, round_id)
        self.seen = 0  # ids shown so far: the frame's size N

    def add(self, ids: Iterable[str]) -> None:
        """Show a chunk of ids."""
        for sample_id in ids:
            self.seen += 1
            self._lowest.offer(sample_id, self._key(sample_id))

    def merge(self, other: BottomK) -> None:
        """Take in what another pass over *other* samples has kept.

        Raises:
            ValueError: The other draw has another size, seed or round.
        """
        if (self._lowest.k, self._draw) != (other._lowest.k, other._draw):
            raise ValueError("only draws of the same size, seed and round can be merged")
        self.seen += other.seen
        for sample_id, key in other._lowest.items():
            self._lowest.offer(sample_id, key)

    def drawn(self) -> list[str]:
        """The drawn ids in draw order: every prefix is a simple random sample too."""
        return self._lowest.ids()


def draw(ids: Iterable[str], k: int, *, seed: str, round_id: str) -> list[str]:
    """Draw `k` of `ids` (all of them, if there are fewer), in draw order.

    >>> sorted(draw(["a", "b", "c"], 5, seed="s", round_id="r-1"))
    ['a', 'b', 'c']
    """
    bottom = BottomK(k, seed=seed, round_id=round_id)
    bottom.add(ids)
    return bottom.drawn()


def inclusion_probability(n: int, frame_size: int) -> float:
    """Chance of each of `frame_size` samples to be in a draw of `n`, in [0, 1].

    Raises:
        ValueError: `n` is negative or the frame is empty.

    >>> inclusion_probability(60, 240), inclusion_probability(60, 20)
    (0.25, 1.0)
    """
    if n < 0 or frame_size < 1:
        raise ValueError(f"expected n >= 0 of a frame >= 1, got {n} of {frame_size}")
    return min(1.0, n / frame_size)


def allot(budget: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split a budget into whole numbers in proportion to `shares` (largest remainder).

    Shares need not sum to 1. Equal remainders go to the larger share, then to the earlier name in
    the alphabet, so the order in the mapping does not matter.

    Returns:
        One number per name, in the order of `shares`; they sum to `budget`.

    Raises:
        ValueError: The budget or a share is negative or not finite, or every share is 0.

    >>> allot(10, {"audit": 0.2, "random": 0.1, "active": 0.6, "novel": 0.1})
    {'audit': 2, 'random': 1, 'active': 6, 'novel': 1}
    >>> allot(5, {"audit": 0.5, "active": 0.5})
    {'audit': 2, 'active': 3}
    """
    if budget < 0:
        raise ValueError(f"budget: expected 0 or more, got {budget}")
    # Exact arithmetic on the decimals as written: 0.29 of 100 is 29, not 28.999999999999996.
    weights = {name: Fraction(str(share)) for name, share in shares.items()}
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise ValueError(f"shares: expected none negative and one positive, got {dict(shares)}")
    exact = {name: budget * weight / total for name, weight in weights.items()}
    whole = {name: int(part) for name, part in exact.items()}
    by_claim = _by_remainder(exact)
    for name in by_claim[: budget - sum(whole.values())]:
        whole[name] += 1
    return whole


def _by_remainder(exact: Mapping[str, Fraction]) -> Sequence[str]:
    return sorted(exact, key=lambda name: (-(exact[name] % 1), -exact[name], name))
