"""Picks by score: the samples whose labels should teach the model most.

Every scheme here walks the same path: order by score, leave out near-duplicates, keep a shortlist
of ten times the budget, and take the best of each cluster of the shortlist. Without the spread a
batch asks the same question many times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrue.core.draw import Lowest, keyed_hash
from retrue.core.embed import clusters, nearest, reject_near_duplicates

__all__ = [
    "Picks",
    "Shortlist",
    "margins",
    "novelty_scores",
    "pick_margin_diverse",
    "pick_novel",
    "pick_numbers",
    "pick_quota",
    "pick_typical",
]

Floats = npt.NDArray[np.floating]

_SHORTLIST = 10  # candidates per label of budget
_NEAR = 0.98  # cosine above which two samples are near-duplicates
_NEIGHBOURS = 20  # neighbours that tell how typical a sample is (Hacohen 2022, section 3.2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picks:
    """Rows picked for labeling, the most wanted first."""

    indices: npt.NDArray[np.intp]  # rows of the arrays given, each at most once
    scores: npt.NDArray[np.float64]  # the score each was picked by, as its function defines it

    def __len__(self) -> int:
        return len(self.indices)


class Shortlist:
    """The `k` samples of lowest score in a stream, whatever the order of chunks and rows.

    Equal scores are put in order by the samples' keyed hash, as chance would, never by arrival.
    Holds at most `2k` samples. A sample offered twice keeps its lower score.

    >>> shortlist = Shortlist(2, seed="s", round_id="r-1")
    >>> shortlist.add(["a", "b"], np.array([0.3, 0.1]))
    >>> shortlist.add(["c"], np.array([0.2]))
    >>> shortlist.ids()
    ['b', 'c']
    """

    def __init__(self, k: int, *, seed: str, round_id: str) -> None:
        self._lowest = Lowest[tuple[float, bytes]](k)
        self._draw = (seed, round_id)
        self._key = keyed_hash(seed, round_id)

    def add(self, ids: Sequence[str], scores: Floats) -> None:
        """Offer a chunk; to shortlist the highest scores, offer their negatives.

        Args:
            ids: n samples.
            scores: Shape (n,), no NaN.

        Raises:
            ValueError: The lengths differ, or a score is NaN.
        """
        if scores.shape != (len(ids),) or np.isnan(scores).any():
            raise ValueError(f"expected {len(ids)} scores without NaN, got shape {scores.shape}")
        limit = self._lowest.limit
        # Most of a long stream ends here, so it is never hashed.
        hopeful = np.arange(len(ids)) if limit is None else np.flatnonzero(scores <= limit[0])
        for row in hopeful.tolist():
            self._lowest.offer(ids[row], (float(scores[row]), self._key(ids[row])))

    def merge(self, other: Shortlist) -> None:
        """Take in what another pass has kept.

        Raises:
            ValueError: The other shortlist has another size, seed or round.
        """
        if (self._lowest.k, self._draw) != (other._lowest.k, other._draw):
            raise ValueError("only shortlists of the same size, seed and round can be merged")
        for sample_id, rank in other._lowest.items():
            self._lowest.offer(sample_id, rank)

    def ids(self) -> list[str]:
        """The lowest `k`, lowest score first: the row order to hand to a pick."""
        return self._lowest.ids()

    def scores(self) -> npt.NDArray[np.float64]:
        """The scores of `ids`, in the same order."""
        return np.array([rank[0] for _, rank in self._lowest.items()], dtype=np.float64)


def margins(probabilities: Floats) -> npt.NDArray[np.float64]:
    """Highest minus second highest class probability (Scheffer 2001; Bahri 2022).

    Args:
        probabilities: Shape (n, c), c >= 2, no NaN.

    Returns:
        Shape (n,), in [0, 1]; 0 is the most uncertain.

    Raises:
        ValueError: Fewer than two columns, or NaN.

    >>> margins(np.array([[0.5, 0.3, 0.2], [0.4, 0.2, 0.4]])).round(6).tolist()
    [0.2, 0.0]
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or np.isnan(probabilities).any():
        raise ValueError(
            f"probabilities: expected (n, 2 or more) without NaN, got {probabilities.shape}"
        )
    top = np.partition(probabilities.astype(np.float64), -2, axis=1)
    return top[:, -1] - top[:, -2]


def pick_margin_diverse(
    probabilities: Floats,
    embedding: Floats,
    budget: int,
    *,
    rng: np.random.Generator,
    shortlist: int = _SHORTLIST,
    near_duplicate: float | None = _NEAR,
) -> Picks:
    """Rows the model is least sure of, one per region of the embedding (Zhdanov 2019).

    Rows of equal margin keep their order, so the same rows in the same order give the same picks;
    `Shortlist` makes that order independent of how a stream was cut.

    Args:
        probabilities: Shape (n, c).
        embedding: Shape (n, d), see `retrue.core.embed.project`.
        budget: Rows to pick.
        rng: Chooses the first cluster centres.
        shortlist: Candidates per pick; 1 is plain margin.
        near_duplicate: Of rows with a cosine above this, only the first is kept; None: keep all.

    Returns:
        Picks scored by margin, lowest first; fewer than `budget` only when no more rows are left
        that differ.

    Raises:
        ValueError: The lengths differ, the budget is negative, or a number is NaN.

    >>> picks = pick_margin_diverse(
    ...     np.array([[0.5, 0.5], [0.51, 0.49], [0.6, 0.4], [0.9, 0.1]]),
    ...     np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0], [0.0, -1.0]]),
    ...     2,
    ...     rng=np.random.default_rng(0),
    ...     shortlist=1,
    ... )
    >>> picks.indices.tolist()
    [0, 2]
    """
    margin = margins(probabilities)
    chosen = _spread(margin, embedding, budget, rng, shortlist, near_duplicate)
    return Picks(indices=chosen, scores=margin[chosen])


def pick_novel(
    novelty: Floats,
    embedding: Floats,
    budget: int,
    *,
    rng: np.random.Generator,
    shortlist: int = _SHORTLIST,
    near_duplicate: float | None = _NEAR,
) -> Picks:
    """Rows least like the reference, one per region of the embedding.

    Args:
        novelty: Shape (n,), higher is newer: a domain classifier's score, or `novelty_scores`.
        embedding: As the rest, see `pick_margin_diverse`.
        budget: Rows to pick.
        rng: Chooses the first cluster centres.
        shortlist: Candidates per pick.
        near_duplicate: Largest cosine between two picks; None: any.

    Returns:
        Picks scored by novelty, highest first.

    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> rng = np.random.default_rng(0)
    >>> pick_novel(np.array([0.1, 0.9, 0.8]), rows, 2, rng=rng, shortlist=1).indices.tolist()
    [1, 2]
    """
    wanted = novelty.astype(np.float64)
    chosen = _spread(-wanted, embedding, budget, rng, shortlist, near_duplicate)
    return Picks(indices=chosen, scores=wanted[chosen])


def pick_numbers(
    spread: Floats,
    embedding: Floats,
    budget: int,
    *,
    rng: np.random.Generator,
    shortlist: int = _SHORTLIST,
    near_duplicate: float | None = _NEAR,
) -> Picks:
    """The margin's stand-in where labels are numbers: rows whose prediction is least certain.

    Args:
        spread: Shape (n,), width of each prediction, in the label's unit: the standard deviation
            over an ensemble, or an interval's length.
        embedding: As the rest, see `pick_margin_diverse`.
        budget: Rows to pick.
        rng: Chooses the first cluster centres.
        shortlist: Candidates per pick.
        near_duplicate: Largest cosine between two picks; None: any.

    Returns:
        Picks scored by spread, widest first.
    """
    # The same walk as for novelty: the widest, spread over the embedding.
    return pick_novel(
        spread, embedding, budget, rng=rng, shortlist=shortlist, near_duplicate=near_duplicate
    )


def pick_quota(
    predicted: Sequence[str],
    quotas: Mapping[str, int],
    margin: Floats,
    embedding: Floats,
    *,
    rng: np.random.Generator,
    shortlist: int = _SHORTLIST,
    near_duplicate: float | None = _NEAR,
) -> Picks:
    """For each class its number of rows predicted to be it, uncertain and spread out.

    Args:
        predicted: n predicted classes.
        quotas: Rows wanted per class; a class nobody is predicted to be gets none.
        margin: Shape (n,), see `margins`.
        embedding: Shape (n, d).
        rng: Chooses the first cluster centres.
        shortlist: Candidates per pick, within each class.
        near_duplicate: Largest cosine between two picks of one class; None: any.

    Returns:
        Picks of all classes together, scored by margin, lowest first.

    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> margin, rng = np.array([0.1, 0.9, 0.5]), np.random.default_rng(0)
    >>> pick_quota(["cat", "dog", "dog"], {"dog": 1}, margin, rows, rng=rng).indices.tolist()
    [2]
    """
    classes, margin = np.asarray(predicted, dtype=object), margin.astype(np.float64)
    parts = [np.empty(0, dtype=np.intp)]
    for name in sorted(quotas):  # sorted: the mapping's order must not move the rng
        rows = np.flatnonzero(classes == name)
        part = _spread(margin[rows], embedding[rows], quotas[name], rng, shortlist, near_duplicate)
        parts.append(rows[part])
    chosen = np.concatenate(parts)
    chosen = chosen[np.lexsort((chosen, margin[chosen]))]
    return Picks(indices=chosen, scores=margin[chosen])


def novelty_scores(embedding: Floats, reference: Floats) -> npt.NDArray[np.float64]:
    """Distance to the nearest reference row, for when no domain classifier has scored the rows.

    Args:
        embedding: Shape (n, d).
        reference: Shape (m, d), m >= 1, projected with the same seed.

    Returns:
        Shape (n,), >= 0; on rows of length 1 at most 2.

    Raises:
        ValueError: `reference` has no rows.

    >>> novelty_scores(np.array([[0.0, 2.0]]), np.array([[0.0, 0.0], [9.0, 0.0]])).tolist()
    [2.0]
    """
    squared, _ = nearest(embedding, reference)
    return np.sqrt(squared.astype(np.float64))


def pick_typical(embedding: Floats, budget: int, *, rng: np.random.Generator) -> Picks:
    """A first round without any model: the most typical row of each cluster (TypiClust).

    Hacohen, Dekel & Weinshall 2022, "Active Learning on a Budget", section 3.2: typicality is the
    inverse of the mean distance to the 20 nearest rows of the same cluster. Time grows with the
    square of the largest cluster, so hand in a random sample of a very large pool.

    Args:
        embedding: Shape (n, d).
        budget: Rows to pick, also the number of clusters.
        rng: Chooses the first cluster centres.

    Returns:
        `budget` picks (n, if there are fewer rows), scored by typicality, highest first: >= 0,
        0 for a row alone in its cluster, 1e6 for one among copies of itself.

    Raises:
        ValueError: The budget is negative, or a number is not finite.

    >>> rows = np.array([[0.0], [0.1], [0.2], [8.0], [9.0]])
    >>> pick_typical(rows, 2, rng=np.random.default_rng(0)).indices.tolist()
    [1, 3]
    """
    _check(np.zeros(len(embedding)), embedding, budget)
    if min(budget, len(embedding)) == 0:
        return Picks(indices=np.empty(0, dtype=np.intp), scores=np.empty(0))
    labels = clusters(embedding, budget, rng=rng)
    typicality = np.zeros(len(embedding))
    by_cluster = np.argsort(labels, kind="stable")
    for rows in np.split(by_cluster, np.flatnonzero(np.diff(labels[by_cluster])) + 1):
        typicality[rows] = _typicality(embedding[rows])
    order = np.argsort(-typicality, kind="stable")
    chosen = _one_per_cluster(order, labels[order], budget)
    return Picks(indices=chosen, scores=typicality[chosen])


def _spread(
    priority: Floats,
    embedding: Floats,
    budget: int,
    rng: np.random.Generator,
    shortlist: int,
    near_duplicate: float | None,
) -> npt.NDArray[np.intp]:
    """At most `budget` rows of low priority value, lowest first, one per cluster where possible."""
    if shortlist < 1:
        raise ValueError(f"shortlist: expected 1 or more, got {shortlist}")
    _check(priority, embedding, budget)
    # A stable sort: equal scores keep the caller's order, so a rerun picks the same rows.
    order = np.argsort(priority, kind="stable")
    limit = shortlist * budget
    if near_duplicate is None:
        candidates = order[:limit]
    else:
        candidates = reject_near_duplicates(embedding, order, threshold=near_duplicate, limit=limit)
    if len(candidates) <= budget:
        return candidates
    labels = clusters(embedding[candidates], budget, rng=rng)
    return _one_per_cluster(candidates, labels, budget)


def _one_per_cluster(
    ranked: npt.NDArray[np.intp], labels: npt.NDArray[np.intp], budget: int
) -> npt.NDArray[np.intp]:
    """The first of each cluster, then the first of the rest up to the budget, in ranked order."""
    seen: set[int] = set()
    leaders = np.zeros(len(ranked), dtype=np.bool_)
    for place, label in enumerate(labels.tolist()):
        leaders[place] = label not in seen
        seen.add(label)
    rest = np.flatnonzero(~leaders)[: max(budget - len(seen), 0)]
    leaders[rest] = True
    return ranked[leaders]


def _typicality(rows: Floats) -> npt.NDArray[np.float64]:
    """Inverse mean distance of each row to its nearest others; 0 for a row without others."""
    count = min(_NEIGHBOURS, len(rows) - 1)
    if count == 0:
        return np.zeros(len(rows))
    wide = rows.astype(np.float64)
    lengths = np.einsum("ij,ij->i", wide, wide)
    typicality = np.empty(len(rows))
    step = max(1, 2**21 // len(rows))  # 16 MB of distances at once
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        squared = lengths[here, None] + lengths - 2 * (wide[here] @ wide.T)
        squared[np.arange(len(squared)), np.arange(len(squared)) + start] = -1  # itself, cut off
        closest = np.partition(squared, count, axis=1)[:, : count + 1]
        closest.sort(axis=1)
        mean = np.sqrt(np.maximum(closest[:, 1:], 0)).mean(axis=1)
        typicality[here] = 1 / np.maximum(mean, 1e-6)  # copies are typical, not infinitely so
    return typicality


def _check(priority: Floats, embedding: Floats, budget: int) -> None:
    if budget < 0:
        raise ValueError(f"budget: expected 0 or more, got {budget}")
    if priority.shape != (len(embedding),) or embedding.ndim != 2:
        raise ValueError(
            f"expected one score per embedding row, got {priority.shape} and {embedding.shape}"
        )
    if np.isnan(priority).any() or not np.isfinite(embedding).all():
        raise ValueError("expected finite numbers, got NaN or infinity")
