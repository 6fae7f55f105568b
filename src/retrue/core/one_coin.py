"""How often each person is right, when nobody knows the truth: one coin per person.

Dawid and Skene's (1979) estimate names one truth per item and then counts as if it were known, so
its intervals are too narrow, most of all for the best people: where two good ones differ, it
believes the better one every time. Here truths and skills are drawn together, and what stays open
about the truth widens the intervals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrue.core.annotators import Skill
from retrue.core.votes import Ints, check_answers

__all__ = ["one_coin_skills"]

BURN_IN = 100  # first draws, thrown away: they remember where the chain started
DRAWS = 400  # the ends of a 95% interval are good to about a tenth of its width
START = 0.8  # people are more often right than not; from below, labels could swap their names
EDGE = 1e-9  # keeps the logarithm of a skill finite


def one_coin_skills(
    task: Ints,
    worker: Ints,
    label: Ints,
    *,
    n_tasks: int,
    n_workers: int,
    rng: np.random.Generator,
) -> tuple[Skill, ...]:
    """Each worker's chance of being right, by Gibbs sampling of truths and skills in turn.

    A worker is right with one chance whatever the truth and otherwise wrong evenly (the one-coin
    model; Raykar et al. 2010). Prior: Beta(1, 1) for skills, flat for truths. Labels that nobody
    gave are no way to be wrong. Only tasks that several answered tell anything.

    Args:
        task: Shape (n_answers,), 0..n_tasks-1.
        worker: Shape (n_answers,), 0..n_workers-1.
        label: Shape (n_answers,), >= 0, any codes.
        n_tasks: Number of tasks.
        n_workers: Number of workers.
        rng: Draws.

    Returns:
        One per worker: posterior mean and equal-tailed 95% interval; `n` counts the answers to
        tasks that somebody answered too, and with 0 of them the prior is all there is.

    Raises:
        ValueError: Arrays out of shape or range.

    >>> t, w = np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    >>> y = np.where((w == 2) & (t % 2 == 0), 1 - t % 3 % 2, t % 3 % 2)
    >>> found = one_coin_skills(
    ...     t, w, y, n_tasks=30, n_workers=3, rng=np.random.default_rng(0))
    >>> [round(one.mean, 1) for one in found], [one.n for one in found]
    ([1.0, 1.0, 0.5], [30, 30, 30])
    """
    n_labels = int(label.max(initial=-1)) + 1
    check_answers(task, worker, label, n_tasks, max(n_labels, 1))
    shared = np.bincount(task, minlength=n_tasks)[task] > 1
    # Only shared tasks and given labels get a row and a column.
    tasks, row = np.unique(task[shared], return_inverse=True)
    labels, said = np.unique(label[shared], return_inverse=True)
    who = worker[shared]
    asked = np.bincount(who, minlength=n_workers)
    drawn = _draw(row, who, said, asked, (len(tasks), max(len(labels), 2)), rng)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return tuple(
        Skill(mean=float(m), low=float(a), high=float(b), n=int(n))
        if n
        else Skill(mean=0.5, low=0.025, high=0.975, n=0)
        for m, a, b, n in zip(drawn.mean(axis=0), low, high, asked, strict=True)
    )


def _draw(
    row: Ints,
    who: Ints,
    said: Ints,
    asked: NDArray[np.int64],
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draws of the skills, shape (DRAWS, n_workers)."""
    n_tasks, n_labels = shape
    skill = np.full(len(asked), START)
    drawn = np.zeros((DRAWS, len(asked)))
    for turn in range(BURN_IN + DRAWS):
        weight = np.log(skill * (n_labels - 1) / (1 - skill))
        votes = np.bincount(row * n_labels + said, weight[who], n_tasks * n_labels)
        # The largest of logs with Gumbel noise is a draw from the classes.
        noisy = votes.reshape(shape) + rng.gumbel(size=shape)
        truth = noisy.argmax(axis=1)
        right = np.bincount(who[truth[row] == said], minlength=len(asked))
        skill = np.clip(rng.beta(1 + right, 1 + asked - right), EDGE, 1 - EDGE)
        if turn >= BURN_IN:
            drawn[turn - BURN_IN] = skill
    return drawn
