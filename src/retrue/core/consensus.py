"""Several answers per item become one label with a confidence, by the method they allow.

Answers are the three arrays of `retrue.core.votes`: task, worker and label, one row per answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrue.core.crowdlab import crowdlab
from retrue.core.dawid_skene import DawidSkene, dawid_skene
from retrue.core.votes import Consensus, Floats, Ints, check_answers, majority, pick

__all__ = [
    "Consensus",
    "DawidSkene",
    "NumericConsensus",
    "consensus",
    "crowdlab",
    "dawid_skene",
    "majority",
    "numeric_consensus",
]

# Redundancy below which a method has too little to learn from.
DAWID_SKENE_PER_TASK = 3.0
DAWID_SKENE_PER_WORKER = 20.0
CROWDLAB_OVERLAP = 20  # tasks answered twice or more, from which CROWDLAB learns its weights
CONFUSION_CELLS = 20_000_000  # n_workers * n_classes^2; beyond this (160 MB) majority decides


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericConsensus:
    """One number per task."""

    value: Floats  # (n_tasks,), median, in the answers' unit; NaN: nobody answered
    confidence: Floats  # (n_tasks,), share of answers within tolerance of it, 0..1


def consensus(
    task: Ints,
    worker: Ints,
    label: Ints,
    *,
    n_tasks: int,
    n_classes: int,
    probabilities: Floats | None,
    people_only: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Consensus:
    """One label per task, by the method the redundancy allows.

    Tasks for people only (audit, gold, evaluation) and the rest are two groups, each judged by
    its own mean number of answers: below 3 with a model CROWDLAB (never for people only), from 3
    and 20 answers per worker on Dawid-Skene, else majority. Whatever the group, annotators are
    judged on all answers. Tasks for people only are never touched by `probabilities`.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), any non-negative numbers.
        label: Shape (n_answers,), 0..n_classes-1.
        n_tasks: Number of tasks.
        n_classes: Number of classes.
        probabilities: Out-of-fold, shape (n_tasks, n_classes); None: there is no model.
        people_only: Shape (n_tasks,), True where no model may have a say.
        rng: Breaks ties.

    Returns:
        Posterior, label and the method used, task by task.

    Raises:
        ValueError: Arrays out of shape or range.

    >>> t, w, y = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 1, 0])
    >>> found = consensus(t, w, y, n_tasks=2, n_classes=2, probabilities=None,
    ...     people_only=np.array([True, False]), rng=np.random.default_rng(0))
    >>> found.label.tolist(), found.method.tolist()
    ([1, 0], ['majority', 'majority'])
    """
    found = majority(task, worker, label, n_tasks=n_tasks, n_classes=n_classes, rng=rng)
    if people_only.shape != (n_tasks,):
        raise ValueError(f"people_only: expected shape ({n_tasks},), got {people_only.shape}")
    names, who = np.unique(worker, return_inverse=True)
    n_workers = len(names)
    answers = np.bincount(task, minlength=n_tasks)
    use: dict[str, NDArray[np.bool_]] = {}
    for people, group in ((True, people_only), (False, ~people_only)):
        name = _method(answers, group, n_workers, n_classes, probabilities is None or people)
        use[name] = use.get(name, np.zeros(n_tasks, dtype=np.bool_)) | group
    if "dawid-skene" in use:
        chosen = use["dawid-skene"] & (answers > 0)
        fitted = dawid_skene(
            task, who, label, n_tasks=n_tasks, n_workers=n_workers, n_classes=n_classes
        )
        ours = Consensus(
            label=pick(fitted.posterior, rng),
            posterior=fitted.posterior,
            method=np.full(n_tasks, "dawid-skene"),
        )
        found = _replaced(found, ours, chosen)
    if "crowdlab" in use and probabilities is not None:
        chosen = use["crowdlab"] & (answers > 0)
        ours = crowdlab(
            task,
            who,
            label,
            n_tasks=n_tasks,
            n_workers=n_workers,
            probabilities=probabilities,
            rng=rng,
        )
        found = _replaced(found, ours, chosen)
    return found


def _method(
    answers: Ints, group: NDArray[np.bool_], n_workers: int, n_classes: int, people: bool
) -> str:
    asked = answers[group & (answers > 0)]
    if not len(asked):
        return "majority"
    per_task = float(asked.mean())
    if per_task < DAWID_SKENE_PER_TASK and not people and (answers >= 2).sum() >= CROWDLAB_OVERLAP:
        return "crowdlab"
    enough = per_task >= DAWID_SKENE_PER_TASK
    known = answers.sum() / n_workers >= DAWID_SKENE_PER_WORKER
    fits = n_workers * n_classes**2 <= CONFUSION_CELLS
    return "dawid-skene" if enough and known and fits else "majority"


def _replaced(base: Consensus, new: Consensus, where: NDArray[np.bool_]) -> Consensus:
    return Consensus(
        label=np.where(where, new.label, base.label),
        posterior=np.where(where[:, None], new.posterior, base.posterior),
        method=np.where(where, new.method, base.method),
    )


def numeric_consensus(
    task: Ints, value: Floats, *, n_tasks: int, tolerance: float
) -> NumericConsensus:
    """The median answer of each task, which one wild answer cannot move far.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        value: Shape (n_answers,), finite.
        n_tasks: Number of tasks.
        tolerance: Answers this close to the median agree with it, in the values' unit, >= 0.

    Returns:
        Medians and the share of answers that agree with them.

    Raises:
        ValueError: Arrays out of shape or range, or a negative tolerance.

    >>> t = np.array([0, 0, 0, 1])
    >>> found = numeric_consensus(t, np.array([1.0, 1.1, 9.0, 4.0]), n_tasks=2, tolerance=0.2)
    >>> found.value.tolist(), found.confidence.round(2).tolist()
    ([1.1, 4.0], [0.67, 1.0])
    """
    check_answers(task, task, np.zeros_like(task), n_tasks, 1)
    if value.shape != task.shape or not bool(np.isfinite(value).all()):
        raise ValueError("value: expected one finite number per answer")
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected >= 0, got {tolerance}")
    count = np.bincount(task, minlength=n_tasks)
    answered = count > 0
    start = (np.cumsum(count) - count)[answered]
    size = count[answered]
    ranked = value[np.lexsort((value, task))]
    median = np.full(n_tasks, np.nan)
    # Halves are added, not the sum halved: two huge numbers must not overflow.
    median[answered] = ranked[start + (size - 1) // 2] / 2 + ranked[start + size // 2] / 2
    # The slack lets 0.1 + 0.2 agree with 0.3 at tolerance 0.
    slack = tolerance + 1e-12 * np.abs(median[task])
    near = np.bincount(task, weights=np.abs(value - median[task]) <= slack, minlength=n_tasks)
    return NumericConsensus(value=median, confidence=near / np.maximum(count, 1))
