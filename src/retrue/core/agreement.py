"""How far annotators agree, beyond what chance alone would give.

Contract: `task`, `worker` and a value, three arrays of one length; only the first row of a worker
and task counts (a second look is not a second opinion). Meaningful only where the overlap was
assigned by chance: items asked again *because* people disagreed make everybody look worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Estimate",
    "PairKappa",
    "bootstrap_interval",
    "cohen_kappas",
    "first_answers",
    "gwet_ac1",
    "krippendorff_alpha",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Statistic = Callable[[Ints, Ints, Floats], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairKappa:
    """Agreement of two workers on the tasks both answered."""

    worker_a: int  # the smaller number
    worker_b: int
    kappa: float  # -1..1; NaN: both always gave the same one answer
    n: int  # tasks both answered, >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A statistic with its bootstrap percentile interval."""

    value: float  # NaN: not defined on these answers
    low: float  # NaN: not defined on any draw
    high: float
    n: int  # tasks with at least two answers, the only ones that carry agreement


def first_answers(task: Ints, worker: Ints) -> Ints:
    """Positions of each worker's first row per task, in their order, shape (n_first,).

    >>> first_answers(np.array([0, 0, 0]), np.array([1, 2, 1])).tolist()
    [0, 1]
    """
    if task.shape != worker.shape or task.ndim != 1:
        raise ValueError(f"task, worker: expected one length, got {task.shape}, {worker.shape}")
    pairs = np.stack([task, worker], axis=1)
    return np.sort(np.unique(pairs, axis=0, return_index=True)[1])


def krippendorff_alpha(
    task: Ints,
    worker: Ints,
    value: Ints | Floats,
    *,
    level: Literal["nominal", "interval"] = "nominal",
) -> float:
    """Krippendorff's alpha: 1 - observed / expected disagreement, any number of workers.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability", sections C and D.

    Args:
        task: Shape (n_answers,), any numbers.
        worker: Shape (n_answers,), any numbers.
        value: Shape (n_answers,), class numbers or measurements.
        level: "nominal": classes; "interval": squared distance of numbers.

    Returns:
        <= 1; 0 is chance. NaN when no task has two answers, or all say the same thing.

    Raises:
        ValueError: The arrays differ in length.

    >>> t, w = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1] * 3)
    >>> round(krippendorff_alpha(t, w, np.array([0, 0, 1, 1, 0, 1])), 4)
    0.4444
    """
    unit, answer = _paired(task, worker, value)
    if not len(unit):
        return float("nan")
    size = np.bincount(unit)
    if level == "interval":
        return _alpha_interval(unit, answer, size)
    codes = np.unique(answer, return_inverse=True)[1]
    n_codes = int(codes.max()) + 1
    cells, counts = np.unique(unit * n_codes + codes, return_counts=True)
    agreeing = np.bincount(cells // n_codes, weights=counts * (counts - 1))
    observed = float(((size * (size - 1) - agreeing) / (size - 1)).sum())
    total = np.bincount(codes)
    n = len(unit)
    expected = float(n * (n - 1) - (total * (total - 1)).sum()) / (n - 1)
    return 1 - observed / expected if expected > 0 else float("nan")


def _alpha_interval(unit: Ints, answer: Floats, size: Ints) -> float:
    # Centred first: squares of large, close numbers would cancel.
    centred = answer - answer.mean()
    mean = np.bincount(unit, weights=centred) / size
    within = np.bincount(unit, weights=(centred - mean[unit]) ** 2)
    observed = float((2 * size * within / (size - 1)).sum())
    n = len(unit)
    expected = 2 * n * float((centred**2).sum()) / (n - 1)
    return 1 - observed / expected if expected > 0 else float("nan")


def _paired(task: Ints, worker: Ints, value: Ints | Floats) -> tuple[Ints, Floats]:
    """First answers to tasks that have two or more, tasks renumbered from 0."""
    if value.shape != task.shape:
        raise ValueError(f"value: expected shape {task.shape}, got {value.shape}")
    rows = first_answers(task, worker)
    unit = np.unique(task[rows], return_inverse=True)[1]
    paired = np.bincount(unit)[unit] >= 2
    kept = np.unique(unit[paired], return_inverse=True)[1]
    return kept.astype(np.int64), value[rows][paired].astype(np.float64)


def cohen_kappas(task: Ints, worker: Ints, label: Ints) -> tuple[PairKappa, ...]:
    """Cohen's (1960) kappa of every two workers who share a task, with how many they share.

    Args:
        task: Shape (n_answers,), any numbers.
        worker: Shape (n_answers,), any numbers.
        label: Shape (n_answers,), class numbers.

    Returns:
        Ordered by worker numbers. A kappa of n = 5 means little; n is there to be shown.

    >>> t, w = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([4, 7] * 4)
    >>> cohen_kappas(t, w, np.array([0, 0, 1, 1, 0, 1, 1, 1]))
    (PairKappa(worker_a=4, worker_b=7, kappa=0.5, n=4),)
    """
    rows = first_answers(task, worker)
    names, who = np.unique(worker[rows], return_inverse=True)
    tasks, unit = np.unique(task[rows], return_inverse=True)
    codes = np.unique(label[rows], return_inverse=True)[1]
    given = np.full((len(names), len(tasks)), -1, dtype=np.int64)
    given[who, unit] = codes
    found: list[PairKappa] = []
    for a in range(len(names)):
        mine = np.flatnonzero(given[a] >= 0)
        for b in range(a + 1, len(names)):
            theirs = given[b, mine]
            shared = theirs >= 0
            if shared.any():
                kappa = _kappa(given[a, mine][shared], theirs[shared])
                n = int(shared.sum())
                pair = PairKappa(worker_a=int(names[a]), worker_b=int(names[b]), kappa=kappa, n=n)
                found.append(pair)
    return tuple(found)


def _kappa(a: Ints, b: Ints) -> float:
    n_codes = int(max(a.max(), b.max())) + 1
    chance = float(np.bincount(a, minlength=n_codes) @ np.bincount(b, minlength=n_codes))
    chance /= len(a) ** 2
    return (float((a == b).mean()) - chance) / (1 - chance) if chance < 1 else float("nan")


def gwet_ac1(task: Ints, worker: Ints, label: Ints, *, n_classes: int) -> float:
    """Gwet's AC1, which stays sensible when nearly everything is of one class.

    Gwet (2008), "Computing inter-rater reliability ... in the presence of high agreement", for
    any number of raters.

    Args:
        task: Shape (n_answers,), any numbers.
        worker: Shape (n_answers,), any numbers.
        label: Shape (n_answers,), 0..n_classes-1.
        n_classes: Classes on offer, >= 2, used or not.

    Returns:
        <= 1; NaN when no task has two answers.

    Raises:
        ValueError: Fewer than two classes, a label outside them, or lengths that differ.

    >>> t, w = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1] * 3)
    >>> round(gwet_ac1(t, w, np.array([0, 0, 0, 0, 0, 1]), n_classes=2), 4)
    0.5385
    """
    if label.shape != task.shape:
        raise ValueError(f"label: expected shape {task.shape}, got {label.shape}")
    if n_classes < 2 or (len(label) and not (label.min() >= 0 and label.max() < n_classes)):
        raise ValueError(f"label: expected 0..n_classes-1 with n_classes >= 2, got {n_classes}")
    rows = first_answers(task, worker)
    unit = np.unique(task[rows], return_inverse=True)[1]
    cells = np.bincount(unit * n_classes + label[rows])
    votes = np.pad(cells, (0, -len(cells) % n_classes)).reshape(-1, n_classes)
    size = votes.sum(axis=1)
    pairs = size * (size - 1)
    if not pairs.any():
        return float("nan")
    shared = pairs > 0
    observed = float(((votes * (votes - 1)).sum(axis=1)[shared] / pairs[shared]).mean())
    prevalence = (votes / size[:, None]).mean(axis=0)
    chance = float((prevalence * (1 - prevalence)).sum()) / (n_classes - 1)
    return (observed - chance) / (1 - chance)


def bootstrap_interval(
    statistic: Statistic,
    task: Ints,
    worker: Ints,
    value: Ints | Floats,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """A statistic of agreement with a percentile interval over resampled tasks.

    Tasks are drawn, never answers: the answers to one task hang together.

    Args:
        statistic: Of (task, worker, value), such as `krippendorff_alpha`.
        task: Shape (n_answers,), any numbers.
        worker: Shape (n_answers,), any numbers.
        value: Shape (n_answers,).
        rng: Draws the tasks.
        draws: Resamples, >= 1.
        level: Coverage aimed at, inside (0, 1).

    Returns:
        Draws on which the statistic is not defined are left out.

    Raises:
        ValueError: draws or level out of range.

    >>> t, w = np.repeat(np.arange(30), 2), np.tile([0, 1], 30)
    >>> y = np.where(t < 20, t % 2, w)
    >>> found = bootstrap_interval(krippendorff_alpha, t, w, y, rng=np.random.default_rng(0))
    >>> found.low < found.value < found.high, found.n
    (True, 30)
    """
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"draws, level: expected >= 1 and 0..1, got {draws} and {level}")
    rows = first_answers(task, worker)
    unit = np.unique(task[rows], return_inverse=True)[1]
    rows = rows[np.argsort(unit, kind="stable")]
    size = np.bincount(unit)
    start = np.cumsum(size) - size
    seen: list[float] = []
    for _ in range(draws if len(size) else 0):
        drawn = rng.integers(len(size), size=len(size))
        picked = _gather(rows, start[drawn], size[drawn])
        again = np.repeat(np.arange(len(drawn)), size[drawn])
        seen.append(statistic(again, worker[picked], value[picked].astype(np.float64)))
    known = np.array([x for x in seen if not np.isnan(x)])
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(known, tails) if len(known) else (np.nan, np.nan)
    return Estimate(
        value=statistic(task, worker, value.astype(np.float64)),
        low=float(low),
        high=float(high),
        n=int((size >= 2).sum()),
    )


def _gather(rows: Ints, start: Ints, size: Ints) -> Ints:
    """Rows of blocks (start, size), one block after the other."""
    before = np.repeat(np.cumsum(size) - size, size)
    return rows[np.repeat(start, size) + np.arange(int(size.sum())) - before]
