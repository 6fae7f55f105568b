"""What is known of each annotator: skill, speed, and what they mix up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Skill",
    "below_floor",
    "confusion",
    "posterior_without_self",
    "skill",
    "skill_against_others",
    "too_fast",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_LEAST_WEIGHT = 0.01  # of a worker at chance level: a task of only such workers keeps a posterior
_ROUNDING = 1e-9  # a vote taken back leaves this much at most, far below _LEAST_WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """Probability that an annotator's answer is right, as a Beta posterior."""

    mean: float  # 0..1
    low: float  # 95% equal-tailed interval, 0..1
    high: float
    n: int  # answers it rests on; 0: the prior alone


def skill(right: float, asked: int, prior: tuple[float, float] = (1.0, 1.0)) -> Skill:
    """Beta posterior of an annotator's accuracy.

    Args:
        right: Right answers, 0..asked; a fraction where rightness itself is a probability.
        asked: Answers that could be judged, >= 0.
        prior: Beta parameters (right, wrong), each > 0; (1, 1) knows nothing.

    Returns:
        Mean and 95% equal-tailed interval.

    Raises:
        ValueError: `right` outside 0..asked, or a prior that is not positive.

    >>> found = skill(9, 10)
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.n
    (0.833, 0.587, 0.977, 10)
    """
    if not 0 <= right <= asked:
        raise ValueError(f"right: expected 0..{asked}, got {right}")
    if min(prior) <= 0:
        raise ValueError(f"prior: expected two numbers > 0, got {prior}")
    from scipy.special import betaincinv  # here: `status` reads ballots and rates nobody

    a, b = prior[0] + right, prior[1] + asked - right
    low, high = float(betaincinv(a, b, 0.025)), float(betaincinv(a, b, 0.975))
    return Skill(mean=a / (a + b), low=low, high=high, n=asked)


def below_floor(found: Skill, floor: float) -> bool:
    """Whether even the upper bound of a skill lies under the floor: bad luck does not suffice.

    >>> below_floor(skill(2, 20), 0.7), below_floor(skill(0, 1), 0.7)
    (True, False)
    """
    return found.high < floor


def posterior_without_self(
    task: Ints,
    worker: Ints,
    label: Ints,
    *,
    n_tasks: int,
    n_workers: int,
    n_classes: int,
    rounds: int = 5,
) -> Floats:
    """For each answer, what the *other* workers make of its task.

    Votes weighted by their worker's agreement with others beyond chance, both found in turn from
    equal weights.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,), 0..n_classes-1.
        n_tasks: Number of tasks.
        n_workers: Number of workers.
        n_classes: Number of classes, >= 2.
        rounds: Turns taken, >= 1.

    Returns:
        Shape (n_answers, n_classes); rows sum to 1, or to 0 where nobody else answered.

    >>> t, w, y = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0]), np.array([1, 0, 0, 1])
    >>> posterior_without_self(t, w, y, n_tasks=2, n_workers=3, n_classes=2, rounds=1).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]
    """
    # One worker may have two rows on a task: all of them leave the room.
    pair = np.unique(task * n_workers + worker, return_inverse=True)[1]
    own = np.zeros((len(task), n_classes))
    np.add.at(own, (pair, label), 1.0)
    weight = np.ones(n_workers)
    others = np.zeros((len(task), n_classes))
    for _ in range(rounds):
        votes = np.zeros((n_tasks, n_classes))
        np.add.at(votes, (task, label), weight[worker])
        others = votes[task] - own[pair] * weight[worker][:, None]
        others[others < _ROUNDING] = 0.0
        total = others.sum(axis=1, keepdims=True)
        others = np.divide(others, total, out=np.zeros_like(others), where=total > 0)
        agreed, asked = _agreed(worker, label, others, n_workers)
        weight = np.maximum((agreed + 1) / (asked + 2) - 1 / n_classes, _LEAST_WEIGHT)
    return others


def _agreed(worker: Ints, label: Ints, others: Floats, n_workers: int) -> tuple[Floats, Ints]:
    judged = others.sum(axis=1) > 0
    share = others[np.arange(len(label)), label]
    agreed = np.zeros(n_workers)
    np.add.at(agreed, worker[judged], share[judged])
    return agreed, np.bincount(worker[judged], minlength=n_workers)


def skill_against_others(
    worker: Ints, label: Ints, without: Floats, *, n_workers: int
) -> tuple[Skill, ...]:
    """Each worker's skill, judged by the others only: nobody is judged against himself.

    Args:
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,).
        without: Posterior of each answer's task *without that worker*, shape
            (n_answers, n_classes), as from `posterior_without_self`; zero rows are not judged.
        n_workers: Number of workers.

    Returns:
        One per worker. It is agreement, so a lone expert among novices looks bad; gold decides.

    Raises:
        ValueError: `without` has not one row per answer.

    >>> w, y = np.array([0, 0, 1]), np.array([0, 1, 1])
    >>> without = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    >>> [(s.mean, s.n) for s in skill_against_others(w, y, without, n_workers=2)]
    [(0.625, 2), (0.5, 0)]
    """
    if len(without) != len(worker) or len(label) != len(worker):
        raise ValueError(f"without: expected {len(worker)} rows, got {len(without)}")
    agreed, asked = _agreed(worker, label, without, n_workers)
    return tuple(skill(min(float(r), float(n)), int(n)) for r, n in zip(agreed, asked, strict=True))


def too_fast(
    worker: Ints, seconds: Floats, *, shortest: float = 0.5, share: float = 0.1
) -> NDArray[np.bool_]:
    """Answers given faster than a person can look: a flag for a person, never a drop.

    Args:
        worker: Shape (n_answers,), any numbers.
        seconds: Lead times, shape (n_answers,), in seconds; NaN: the tool did not say.
        shortest: No honest answer is faster, in seconds.
        share: Of the annotators' median, below which an answer is suspect, 0..1.

    Returns:
        Shape (n_answers,); False where the time is not known.

    >>> too_fast(np.array([0, 0, 1, 1]), np.array([20.0, 30.0, 1.0, np.nan])).tolist()
    [False, False, True, False]
    """
    known = ~np.isnan(seconds)
    # The median of medians: one hasty annotator with most answers must not set the pace.
    paces = [float(np.median(seconds[known & (worker == w)])) for w in np.unique(worker[known])]
    limit = max(shortest, share * float(np.median(paces))) if paces else shortest
    return known & (np.where(known, seconds, np.inf) < limit)


def confusion(
    task: Ints, worker: Ints, label: Ints, truth: Ints, *, n_workers: int, n_classes: int
) -> Ints:
    """How often each worker gave each answer to each true class.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,), 0..n_classes-1.
        truth: Shape (n_tasks,), -1 where it is not known.
        n_workers: Number of workers.
        n_classes: Number of classes.

    Returns:
        Counts, shape (n_workers, n_classes, n_classes): [worker, truth, answer].

    >>> t, w, y = np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0, 0, 1])
    >>> confusion(t, w, y, np.array([0, 1]), n_workers=2, n_classes=2).tolist()
    [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]
    """
    known = truth[task] >= 0
    cell = (worker * n_classes + truth[task]) * n_classes + label
    counts = np.bincount(cell[known], minlength=n_workers * n_classes**2)
    return counts.reshape(n_workers, n_classes, n_classes)
