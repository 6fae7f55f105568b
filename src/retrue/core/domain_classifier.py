"""A classifier tries to tell the window from the reference: drift that no column shows alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["FOLD_INFLATION", "ClassifierCheck", "classifier_auc"]

Floats: TypeAlias = npt.NDArray[np.float64]

FOLDS = 5
# Folds share training rows, so their z are correlated: the sum's variance is FOLDS times
# 1 + (FOLDS - 1) * rho. Without drift rho was 0.15 to 0.18 in simulations (300 against 300 and
# 1,000 against 100 rows; Nadeau and Bengio 2003 propose 1 / FOLDS); 0.5 leaves room in the tail.
FOLD_CORRELATION = 0.5
FOLD_INFLATION = math.sqrt(1 + (FOLDS - 1) * FOLD_CORRELATION)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierCheck:
    """How well a classifier tells window rows from reference rows."""

    auc: float  # mean of the folds' out-of-fold AUCs, 0..1; 0.5: cannot tell
    p: float  # one-sided, conservative
    scores: Floats  # per window row, out of fold, 0..1: high means unlike the reference
    reference_rows: int  # rows used
    window_rows: int  # rows used


def classifier_auc(
    reference_rows: npt.ArrayLike,
    window_rows: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    max_rows: int = 5_000,
) -> ClassifierCheck:
    """Train a classifier to tell the window from the reference, and judge it out of fold.

    Gradient boosting sees what single columns cannot: changed combinations. Each fold's AUC is
    unbiased under no drift given the other folds, so its Mann-Whitney z is valid on its own; the
    mean of the z is scaled as if the folds were correlated (`FOLD_INFLATION`). Rows must be
    distinct events: copies within one side land in several folds and look like drift.

    Args:
        reference_rows: Shape (n, d), numbers, NaN is missing; n >= 10.
        window_rows: Shape (m, d), m >= 10.
        rng: Draws rows and folds.
        max_rows: Rows used per side; the other window rows are scored by all fold models.

    Returns:
        The check; `scores` has shape (m,).

    Raises:
        ValueError: A side has under 10 rows or the columns differ in number.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (reference_rows, window_rows)]
    if min(len(side) for side in sides) < 2 * FOLDS or sides[0].shape[1] != sides[1].shape[1]:
        msg = f"expected >= 10 rows a side and equal columns, got {[s.shape for s in sides]}"
        raise ValueError(msg)
    used = [rng.permutation(len(side))[:max_rows] for side in sides]
    old, new = (side[rows] for side, rows in zip(sides, used, strict=True))
    seed = int(rng.integers(2**31))
    spare = np.setdiff1d(np.arange(len(sides[1])), used[1])
    scores = np.zeros(len(sides[1]))
    aucs: list[float] = []
    zs: list[float] = []
    for fold in range(FOLDS):
        in_old, in_new = (np.arange(len(side)) % FOLDS == fold for side in (old, new))
        score = _fit_domain(old[~in_old], new[~in_new], seed)
        new_scores = score(new[in_new])
        auc = _auc(score(old[in_old]), new_scores)
        aucs.append(auc)
        zs.append((auc - 0.5) / _auc_error(int(in_old.sum()), int(in_new.sum())))
        scores[used[1][in_new]] = new_scores
        if len(spare):
            scores[spare] += score(sides[1][spare]) / FOLDS
    z = float(np.mean(zs)) * math.sqrt(FOLDS) / FOLD_INFLATION
    return ClassifierCheck(
        auc=float(np.mean(aucs)),
        p=float(stats.norm.sf(z)),
        scores=scores,
        reference_rows=len(old),
        window_rows=len(new),
    )


class _DomainModel(Protocol):
    """What is used of a scikit-learn classifier, which has no types of its own."""

    def fit(self, x: Floats, y: npt.NDArray[np.int64], /) -> object: ...

    def predict_proba(self, x: Floats, /) -> Floats: ...


def _fit_domain(old: Floats, new: Floats, seed: int) -> Callable[[Floats], Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier  # seconds to load

    model = cast(
        "_DomainModel",
        HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, random_state=seed),
    )
    model.fit(np.concatenate([old, new]), np.repeat([0, 1], [len(old), len(new)]))
    return lambda rows: model.predict_proba(rows)[:, 1]


def _auc(old: Floats, new: Floats) -> float:
    """Probability that a new row scores above an old one, ties count half (Mann-Whitney)."""
    ranks = stats.rankdata(np.concatenate([old, new]))
    m = len(new)
    return float((ranks[len(old) :].sum() - m * (m + 1) / 2) / (len(old) * m))


def _auc_error(n: int, m: int) -> float:
    """Standard error of an AUC without drift; ties would only make it smaller."""
    return math.sqrt((n + m + 1) / (12 * n * m))
