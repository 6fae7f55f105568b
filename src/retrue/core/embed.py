"""Where samples lie: projected rows, distances, near-duplicates and clusters.

Everything here compares rows block by block, so memory grows with the rows given, never with
their square.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "clusters",
    "minhash",
    "near_duplicates",
    "nearest",
    "project",
    "reject_near_duplicates",
    "shingles",
    "text_near_duplicates",
]

Floats = npt.NDArray[np.floating]

_BLOCK = 2048  # rows compared at once: a block of similarities is 16 MB
_SHINGLE = 3  # words per shingle
_BAND = 4  # hashes that must agree for two texts to be compared in full
_WORD = re.compile(r"\w+")


def project(rows: Floats, *, dimensions: int = 32, seed: int) -> npt.NDArray[np.float32]:
    """Rows shortened by a seeded Gaussian random projection, then scaled to length 1.

    Cosines survive up to an error of about 1/sqrt(dimensions) (Johnson & Lindenstrauss 1984).
    Rows of `dimensions` columns or fewer keep their columns and are only scaled. A row's result
    depends on that row alone, hence nothing is standardised here: bring columns to a common scale
    first, with the reference's means and spreads.

    Args:
        rows: Shape (n, d), finite, any floating type.
        dimensions: Most columns to keep, at least 1.
        seed: Chooses the directions; rows can be compared only under the same seed.

    Returns:
        Shape (n, min(d, dimensions)), rows of length 1; a row of zeros stays so.

    Raises:
        ValueError: `rows` is not a finite matrix, or `dimensions` is below 1.

    >>> project(np.array([[3.0, 4.0]]), seed=0).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    if rows.ndim != 2 or dimensions < 1:
        raise ValueError(f"expected a matrix and dimensions >= 1, got {rows.shape}, {dimensions}")
    width = rows.shape[1]
    directions = None
    if width > dimensions:
        directions = np.random.default_rng(seed).standard_normal((width, dimensions))
    result = np.empty((len(rows), min(width, dimensions)), dtype=np.float32)
    for block in _blocks(len(rows)):
        # Double precision inside: else the last bit would depend on how the caller cut the rows.
        wide = rows[block].astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError("rows: expected finite numbers, got NaN or infinity")
        result[block] = _unit(wide if directions is None else wide @ directions)
    return result


def nearest(rows: Floats, against: Floats) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Squared Euclidean distance of each row to its nearest row of `against`, and which it is.

    Single precision: distances below about 1e-3 of the rows' length are noise.

    Args:
        rows: Shape (n, d).
        against: Shape (m, d), m >= 1.

    Returns:
        Squared distances, shape (n,), >= 0, and indices into `against`, shape (n,); of equally
        near rows the first.

    Raises:
        ValueError: `against` has no rows.

    >>> distance, which = nearest(np.array([[0.0, 1.0]]), np.array([[3.0, 1.0], [0.0, 3.0]]))
    >>> distance.tolist(), which.tolist()
    ([4.0], [1])
    """
    if not len(against):
        raise ValueError("against: expected at least one row, got none")
    rows, against = rows.astype(np.float32, copy=False), against.astype(np.float32, copy=False)
    lengths = _squared(rows)
    best = np.full(len(rows), np.inf, dtype=np.float32)
    which = np.zeros(len(rows), dtype=np.intp)
    for others in _blocks(len(against)):
        there, their_lengths = against[others], _squared(against[others])
        for block in _blocks(len(rows)):
            gaps = their_lengths - 2 * (rows[block] @ there.T)
            closest = gaps.argmin(axis=1)
            gap = gaps[np.arange(len(gaps)), closest]
            closer = gap < best[block]
            best[block][closer] = gap[closer]
            which[block][closer] = closest[closer] + others.start
    return np.maximum(best + lengths, 0), which


def near_duplicates(
    rows: Floats, against: Floats, *, threshold: float = 0.98
) -> npt.NDArray[np.bool_]:
    """Whether the cosine of a row to any row of `against` is above `threshold`.

    Args:
        rows: Shape (n, d); a row of zeros is near nothing.
        against: Shape (m, d), m may be 0.
        threshold: In [-1, 1].

    Returns:
        Shape (n,).

    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> near_duplicates(rows, np.array([[5.0, 0.1]])).tolist()
    [True, False]
    """
    if not len(against):
        return np.zeros(len(rows), dtype=np.bool_)
    return _near(_unit(rows), _unit(against), threshold)


def reject_near_duplicates(
    rows: Floats,
    order: npt.NDArray[np.integer],
    *,
    threshold: float = 0.98,
    limit: int | None = None,
) -> npt.NDArray[np.intp]:
    """Walk through `order` and keep each row that is no near-duplicate of one kept before.

    Args:
        rows: Shape (n, d).
        order: Indices into `rows`, the most wanted first.
        threshold: A cosine above it is a near-duplicate.
        limit: Stop when this many are kept; None: walk to the end.

    Returns:
        The kept indices, in the given order.

    >>> rows = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
    >>> reject_near_duplicates(rows, np.array([1, 0, 2])).tolist()
    [1, 2]
    """
    limit = len(order) if limit is None else limit
    kept = np.empty(0, dtype=np.intp)
    kept_rows = np.empty((0, rows.shape[1]), dtype=np.float32)
    for block in _blocks(len(order)):
        if len(kept) >= limit:
            break
        here = order[block].astype(np.intp)
        units = _unit(rows[here])
        if len(kept):
            fresh = ~_near(units, kept_rows, threshold)
            here, units = here[fresh], units[fresh]
        chosen = _first_of_each(units, threshold)
        kept = np.concatenate([kept, here[chosen]])
        kept_rows = np.concatenate([kept_rows, units[chosen]])
    return kept[:limit]


def clusters(
    rows: Floats, count: int, *, rng: np.random.Generator, rounds: int = 20
) -> npt.NDArray[np.intp]:
    """Cluster number of each row, by k-means.

    Seeds by k-means++ with one trial each (Arthur & Vassilvitskii 2007), then at most `rounds` of
    Lloyd's algorithm: picking needs spread, not the last percent of inertia.

    Args:
        rows: Shape (n, d), n >= 1.
        count: Clusters wanted, at least 1.
        rng: Chooses the seeds.
        rounds: Most rounds of moving the centres, at least 1.

    Returns:
        Shape (n,), in 0 .. count - 1. Clusters can be empty: never more than distinct rows.

    >>> rows = np.array([[0.0], [0.1], [9.0], [9.1]])
    >>> a, b, c, d = clusters(rows, 2, rng=np.random.default_rng(0)).tolist()
    >>> a == b != c == d
    True
    """
    rows = rows.astype(np.float32, copy=False)
    centres = rows[_seeds(rows, count, rng)]
    assigned = np.full(len(rows), -1, dtype=np.intp)
    for _ in range(rounds):
        before, (_, assigned) = assigned, nearest(rows, centres)
        if np.array_equal(before, assigned):
            break
        centres = _means(rows, assigned, centres)
    return assigned


def shingles(text: str) -> frozenset[int]:
    """64-bit hashes of a text's runs of three words, case and punctuation ignored.

    A text of fewer words is one shingle; only a text without words has none.

    >>> len(shingles("My card was declined.")), shingles("Stop!") == shingles("stop")
    (2, True)
    """
    words = _WORD.findall(text.casefold())
    runs = range(max(len(words) - _SHINGLE + 1, min(len(words), 1)))
    return frozenset(_hash64(" ".join(words[start : start + _SHINGLE])) for start in runs)


def minhash(
    texts: Sequence[str], *, permutations: int = 64, seed: int = 0
) -> npt.NDArray[np.uint64]:
    """MinHash signatures: the share of equal columns estimates two texts' Jaccard similarity.

    Broder 1997, over `shingles`. The estimate's standard error is at most 0.5/sqrt(permutations).

    Returns:
        Shape (n, permutations); a text without words has the largest number everywhere.

    >>> one, same = minhash(["where is my new card", "Where is my new card?"])
    >>> bool((one == same).all())
    True
    """
    salts = np.random.default_rng(seed).integers(2**64, size=permutations, dtype=np.uint64)
    signatures = np.full((len(texts), permutations), np.iinfo(np.uint64).max, dtype=np.uint64)
    for row, text in enumerate(texts):
        hashes = np.fromiter(shingles(text), dtype=np.uint64)
        if len(hashes):
            signatures[row] = _mix(hashes[:, None] ^ salts).min(axis=0)
    return signatures


def text_near_duplicates(
    texts: Sequence[str],
    *,
    against: Sequence[str] = (),
    threshold: float = 0.8,
    permutations: int = 64,
    seed: int = 0,
) -> npt.NDArray[np.bool_]:
    """Whether a text is a near-duplicate of one in `against` or of an earlier text not so marked.

    Candidates share a band of four MinHash columns; their Jaccard similarity is then counted
    exactly. So nothing below `threshold` is ever marked, and a pair at 0.8 is missed by 16 bands
    (64 permutations) two times in 10,000.

    Args:
        texts: The most wanted first. A text without words is a duplicate of nothing.
        against: Texts already labelled or in flight.
        threshold: Least Jaccard similarity of near-duplicates, in (0, 1].
        permutations: Columns of the signature.
        seed: Of the signatures.

    Returns:
        Shape (n,), True for the texts to leave out.

    >>> text_near_duplicates(["pay my bill now", "Pay my bill, now!", "freeze it"]).tolist()
    [False, True, False]
    """
    every = [*against, *texts]
    signatures = minhash(every, permutations=permutations, seed=seed)
    sets: dict[int, frozenset[int]] = {}
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    marked = np.zeros(len(every), dtype=np.bool_)
    for row, text in enumerate(every):
        mine = shingles(text)
        bands = [
            (start, signatures[row, start : start + _BAND].tobytes())
            for start in range(0, permutations, _BAND)
        ]
        candidates = {other for band in bands for other in buckets.get(band, ())}
        marked[row] = any(_jaccard(mine, sets[other]) >= threshold for other in candidates)
        if mine and not marked[row]:
            sets[row] = mine
            for band in bands:
                buckets[band].append(row)
    return marked[len(against) :]


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _squared(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.einsum("ij,ij->i", rows, rows)


def _unit(rows: Floats) -> npt.NDArray[np.float32]:
    wide = rows.astype(np.float64, copy=False)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(length == 0, 1, length)).astype(np.float32)


def _near(
    units: npt.NDArray[np.float32], against: npt.NDArray[np.float32], threshold: float
) -> npt.NDArray[np.bool_]:
    near = np.zeros(len(units), dtype=np.bool_)
    for others in _blocks(len(against)):
        for block in _blocks(len(units)):
            near[block] |= (units[block] @ against[others].T > threshold).any(axis=1)
    return near


def _first_of_each(units: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.intp]:
    near = units @ units.T > threshold
    free = np.ones(len(units), dtype=np.bool_)
    for row in range(len(units)):
        if free[row]:
            free[row + 1 :] &= ~near[row, row + 1 :]
    return np.flatnonzero(free)


def _seeds(
    rows: npt.NDArray[np.float32], count: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    chosen = [int(rng.integers(len(rows)))]
    lengths = _squared(rows)
    distance = np.full(len(rows), np.inf, dtype=np.float32)
    for _ in range(min(count, len(rows)) - 1):
        last = chosen[-1]
        # One product with the newest centre, then a running minimum.
        gap = lengths + lengths[last] - 2 * (rows @ rows[last])
        distance = np.minimum(distance, np.maximum(gap, 0))
        cumulated: npt.NDArray[np.float64] = np.cumsum(distance, dtype=np.float64)
        if cumulated[-1] <= 0:  # every row coincides with a seed
            break
        point = rng.random() * float(cumulated[-1])
        chosen.append(int(cumulated.searchsorted(point, side="right")))
    return np.array(chosen, dtype=np.intp)


def _means(
    rows: npt.NDArray[np.float32], assigned: npt.NDArray[np.intp], centres: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    order = np.argsort(assigned, kind="stable")
    sizes = np.bincount(assigned, minlength=len(centres))
    used = np.flatnonzero(sizes)
    first = (np.cumsum(sizes) - sizes)[used]
    moved = centres.copy()  # an empty cluster stays where it is
    moved[used] = np.add.reduceat(rows[order], first, axis=0)
    moved[used] /= sizes[used, None]
    return moved


def _hash64(text: str) -> int:
    # Not `hash`: that one differs from process to process.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _mix(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit moves every output.
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
