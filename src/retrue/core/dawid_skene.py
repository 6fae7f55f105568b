"""Dawid-Skene: labels and annotators' confusion matrices, estimated together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrue.core.votes import Floats, Ints, check_answers, normalised, vote_shares

__all__ = ["DawidSkene", "dawid_skene"]

# One prior for every data set. A new worker's confusion is a one-coin matrix (right with one
# probability, wrong evenly) worth CONFUSION_ANSWERS answers, spread over the true classes as they
# occur; its coin is the crowd's accuracy, worth SKILL_ANSWERS of the worker's own answers.
CONFUSION_ANSWERS = 6.0
SKILL_ANSWERS = 20.0

_TINY = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class DawidSkene:
    """What EM made of the answers."""

    posterior: Floats  # (n_tasks, n_classes), rows sum to 1; the class prior where nobody answered
    confusion: Floats  # (n_workers, n_classes, n_classes), P(answer | true class), rows sum to 1
    class_prior: Floats  # (n_classes,), sums to 1
    rounds: int  # of EM, >= 1


def dawid_skene(
    task: Ints,
    worker: Ints,
    label: Ints,
    *,
    n_tasks: int,
    n_workers: int,
    n_classes: int,
    confusion_answers: float = CONFUSION_ANSWERS,
    skill_answers: float = SKILL_ANSWERS,
    rounds: int = 100,
    tolerance: float = 1e-6,
) -> DawidSkene:
    """Labels and annotators' confusion matrices, estimated together by EM.

    Dawid and Skene (1979), started from the shares of answers. Each worker's matrix is pulled to
    a one-coin matrix: with few answers per worker the plain method (both strengths 0) collapses.
    The class prior is learned too; a fixed even one would invent members of rare classes.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,), 0..n_classes-1.
        n_tasks: Number of tasks.
        n_workers: Number of workers.
        n_classes: Number of classes.
        confusion_answers: Answers the one-coin matrix is worth, >= 0.
        skill_answers: Answers the crowd's accuracy is worth in a worker's coin, >= 0.
        rounds: Most rounds of EM, >= 1.
        tolerance: EM ends when no posterior moves by more; 0 runs all rounds.

    Returns:
        The last round's estimates. No chance is involved.

    Raises:
        ValueError: The arrays differ in length or leave their range, or rounds < 1.

    >>> t, w = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    >>> y = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0])
    >>> found = dawid_skene(t, w, y, n_tasks=4, n_workers=3, n_classes=2)
    >>> found.posterior.argmax(axis=1).tolist()
    [0, 1, 0, 1]
    """
    check_answers(task, worker, label, n_tasks, n_classes)
    if rounds < 1:
        raise ValueError(f"rounds: expected >= 1, got {rounds}")
    posterior = vote_shares(task, label, n_tasks, n_classes)
    answered = posterior.sum(axis=1) > 0
    done = 0
    while True:
        before = posterior
        class_prior = normalised(before[answered].sum(axis=0) + _TINY)
        confusion = _confusion(
            _soft_counts(worker, label, before[task], n_workers),
            class_prior,
            confusion_answers=confusion_answers,
            skill_answers=skill_answers,
        )
        posterior = _expected(task, worker, label, n_tasks, confusion, class_prior)
        done += 1
        moved = float(np.abs(posterior - before)[answered].max(initial=0.0))
        if done == rounds or moved < tolerance:
            break
    return DawidSkene(
        posterior=posterior, confusion=confusion, class_prior=class_prior, rounds=done
    )


def _soft_counts(worker: Ints, label: Ints, truth: Floats, n_workers: int) -> Floats:
    """Expected answers per worker, true class and answer; `truth` has shape (n_answers, K)."""
    n_classes = truth.shape[1]
    cell = worker * n_classes + label
    counts = np.empty((n_workers, n_classes, n_classes))
    for k in range(n_classes):
        summed = np.bincount(cell, weights=truth[:, k], minlength=n_workers * n_classes)
        counts[:, k, :] = summed.reshape(n_workers, n_classes)
    return counts


def _confusion(
    counts: Floats, class_prior: Floats, *, confusion_answers: float, skill_answers: float
) -> Floats:
    n_classes = counts.shape[1]
    right = np.einsum("wkk->w", counts)
    asked = counts.sum(axis=(1, 2))
    crowd = right.sum() / max(asked.sum(), _TINY)
    coin = (right + (skill_answers + _TINY) * crowd) / (asked + skill_answers + _TINY)
    wrong = (1 - coin) / max(n_classes - 1, 1)
    one_coin = np.repeat(wrong, n_classes * n_classes).reshape(counts.shape)
    one_coin[:, np.arange(n_classes), np.arange(n_classes)] = coin[:, None]
    worth = confusion_answers * class_prior + _TINY
    return normalised(np.maximum(counts + worth[:, None] * one_coin, _TINY * _TINY))


def _expected(
    task: Ints, worker: Ints, label: Ints, n_tasks: int, confusion: Floats, class_prior: Floats
) -> Floats:
    n_classes = len(class_prior)
    log_confusion = np.log(confusion)
    log_posterior = np.empty((n_tasks, n_classes))
    for k in range(n_classes):
        evidence = log_confusion[worker, k, label]
        log_posterior[:, k] = np.bincount(task, weights=evidence, minlength=n_tasks)
    log_posterior += np.log(class_prior)
    log_posterior -= log_posterior.max(axis=1, keepdims=True)
    return normalised(np.exp(log_posterior))
