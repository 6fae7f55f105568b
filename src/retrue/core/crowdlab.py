"""CROWDLAB: few answers per item and a model's opinion, weighted by what each is worth."""

from __future__ import annotations

import numpy as np

from retrue.core.votes import (
    Consensus,
    Floats,
    Ints,
    check_answers,
    count_votes,
    normalised,
    pick,
)

__all__ = ["crowdlab"]

PAIRS = 5.0  # answers the crowd's agreement is worth in one worker's agreement
_TINY = 1e-10


def crowdlab(
    task: Ints,
    worker: Ints,
    label: Ints,
    *,
    n_tasks: int,
    n_workers: int,
    probabilities: Floats,
    rng: np.random.Generator,
) -> Consensus:
    """Answers and a model's opinion, weighted by what each is worth. For *training* labels only.

    CROWDLAB (Goh, Tkachenko, Mueller 2022, section 3): people weigh by agreement with each other,
    the model by agreement with people, both against always naming the commonest class. Two
    changes for few answers: a worker's agreement is pulled to the crowd's, because a worker may
    share two tasks; and the model is held against the answers, not against a consensus whose ties
    it broke itself, which at two answers made a coin look like a colleague.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,), 0..n_classes-1.
        n_tasks: Number of tasks.
        n_workers: Number of workers.
        probabilities: The model's, shape (n_tasks, n_classes), from folds that left the item (and
            its group) out; in-sample ones would only repeat the answers.
        rng: Breaks ties.

    Returns:
        One label per answered task.

    Raises:
        ValueError: Arrays out of shape or range, or no task has two answers.

    >>> t, w, y = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1] * 3), np.array([0, 0, 1, 1, 0, 1])
    >>> p = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    >>> rng = np.random.default_rng(0)
    >>> crowdlab(t, w, y, n_tasks=3, n_workers=2, probabilities=p, rng=rng).label.tolist()
    [0, 1, 1]
    """
    n_classes = probabilities.shape[1]
    check_answers(task, worker, label, n_tasks, n_classes)
    if len(probabilities) != n_tasks:
        raise ValueError(f"probabilities: expected {n_tasks} rows, got {len(probabilities)}")
    votes = count_votes(task, label, n_tasks, n_classes)
    shared = votes.sum(axis=1) >= 2
    if not shared.any():
        raise ValueError("task: expected some task with two answers, got none")
    shares = normalised(votes[shared])
    chance = float(shares.mean(axis=0).max())
    named = probabilities[shared].argmax(axis=1)
    hits = float(shares[np.arange(len(named)), named].mean())
    w_model = _worth(hits, chance) * np.sqrt(votes[shared].sum(axis=1).mean())
    w_worker = _worth(_agreement(task, worker, label, votes, n_workers), chance)
    trust = float(shares.max(axis=1).mean())

    weight = np.bincount(task, weights=w_worker[worker], minlength=n_tasks)
    voted = count_votes(task, label, n_tasks, n_classes, w_worker[worker])
    doubt = (1 - trust) / max(n_classes - 1, 1)
    people = doubt * weight[:, None] + (trust - doubt) * voted
    posterior = normalised(w_model * probabilities + people)
    answered = votes.sum(axis=1) > 0
    posterior[~answered] = 0
    return Consensus(
        label=pick(posterior, rng), posterior=posterior, method=np.where(answered, "crowdlab", "")
    )


def _worth(agreement: Floats | float, chance: float) -> Floats:
    # Never zero: with all weights zero an item would have no label at all.
    return np.maximum(1 - (1 - np.asarray(agreement)) / max(1 - chance, _TINY), 1e-6)


def _agreement(task: Ints, worker: Ints, label: Ints, votes: Floats, n_workers: int) -> Floats:
    """Share of other people's answers to the same tasks that say the same, shape (n_workers,)."""
    others = votes.sum(axis=1)[task] - 1
    same = votes[task, label] - 1
    pairs = np.bincount(worker, weights=others, minlength=n_workers)
    agreed = np.bincount(worker, weights=same, minlength=n_workers)
    crowd = agreed.sum() / pairs.sum()
    return (agreed + PAIRS * crowd) / (pairs + PAIRS)
