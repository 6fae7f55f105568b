"""Votes: counting answers, and the majority.

Answers are three integer arrays of one length, `task`, `worker` and `label` (row i: this worker
gave this task this label), each counted from 0. Only a worker's last word on a task belongs in
them: two rows of one worker and task count as two answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Consensus",
    "Floats",
    "Ints",
    "check_answers",
    "count_votes",
    "majority",
    "normalised",
    "pick",
    "vote_shares",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """One label per task."""

    label: Ints  # (n_tasks,), -1: nobody answered
    posterior: Floats  # (n_tasks, n_classes), rows sum to 1, or to 0 where nobody answered
    # (n_tasks,), "majority" | "dawid-skene" | "crowdlab", or "" where nobody answered
    method: NDArray[np.str_]


def majority(
    task: Ints, worker: Ints, label: Ints, *, n_tasks: int, n_classes: int, rng: np.random.Generator
) -> Consensus:
    """The most frequent answer of each task, ties broken by chance.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,); who answered does not matter here.
        label: Shape (n_answers,), 0..n_classes-1.
        n_tasks: Number of tasks, answered or not.
        n_classes: Number of classes, used or not.
        rng: Breaks ties.

    Returns:
        `posterior` holds the shares of the answers.

    Raises:
        ValueError: The arrays differ in length or leave their range.

    >>> rng = np.random.default_rng(0)
    >>> t, w, y = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0]), np.array([1, 1, 0, 0])
    >>> majority(t, w, y, n_tasks=2, n_classes=2, rng=rng).label.tolist()
    [1, 0]
    """
    check_answers(task, worker, label, n_tasks, n_classes)
    shares = vote_shares(task, label, n_tasks, n_classes)
    answered = shares.sum(axis=1) > 0
    return Consensus(
        label=pick(shares, rng), posterior=shares, method=np.where(answered, "majority", "")
    )


def pick(posterior: Floats, rng: np.random.Generator) -> Ints:
    """The most probable class of each row, ties broken by chance.

    Args:
        posterior: Shape (n_tasks, n_classes), >= 0.
        rng: Breaks ties; one draw per cell, so that a tie elsewhere changes nothing here.

    Returns:
        Shape (n_tasks,); -1 where a row is all zero.

    >>> pick(np.array([[0.2, 0.8], [0.0, 0.0]]), np.random.default_rng(0)).tolist()
    [1, -1]
    """
    best = posterior.max(axis=1, keepdims=True)
    order = np.where(posterior == best, rng.random(posterior.shape), -1.0)
    return np.where(best[:, 0] > 0, order.argmax(axis=1), -1)


def count_votes(
    task: Ints, label: Ints, n_tasks: int, n_classes: int, weight: Floats | None = None
) -> Floats:
    """Votes per task and class, each worth 1 or its weight, shape (n_tasks, n_classes)."""
    cells = np.bincount(task * n_classes + label, weights=weight, minlength=n_tasks * n_classes)
    return cells.reshape(n_tasks, n_classes).astype(np.float64)


def vote_shares(task: Ints, label: Ints, n_tasks: int, n_classes: int) -> Floats:
    """Shares of each task's answers, rows sum to 1, or to 0 where nobody answered."""
    votes = count_votes(task, label, n_tasks, n_classes)
    return votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)


def normalised(rows: Floats) -> Floats:
    """Rows (the last axis) scaled to sum to 1; every row has some weight."""
    return rows / rows.sum(axis=-1, keepdims=True)


def check_answers(task: Ints, worker: Ints, label: Ints, n_tasks: int, n_classes: int) -> None:
    """Refuse arrays of different lengths, or outside their range.

    Raises:
        ValueError: Names the array and the range expected.
    """
    if not (task.shape == worker.shape == label.shape and task.ndim == 1):
        raise ValueError(
            f"task, worker, label: expected three arrays of one length, "
            f"got shapes {task.shape}, {worker.shape}, {label.shape}"
        )
    for name, array, end in (("task", task, n_tasks), ("label", label, n_classes)):
        if len(array) and not (array.min() >= 0 and array.max() < end):
            raise ValueError(f"{name}: expected 0..{end - 1}, got {array.min()}..{array.max()}")
