"""Does picking beat chance on scikit-learn's digits, when the audit is paid for too?

Protocol: half of the digits is the pool, half the exam. Every strategy starts from the same 50
random labels and buys 30 per step up to 500. A fifth of each step is an audit, drawn by chance: it
counts in the cost and trains nothing. A logistic regression is refitted at each step.

    python benchmarks/selection_digits.py --seeds 20
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from retrue.core.draw import allot
from retrue.core.embed import project
from retrue.core.pick import margins, novelty_scores, pick_margin_diverse, pick_novel

START, STEP, END, AUDIT = 50, 30, 500, 0.2
COSTS = np.arange(START, END + 1, STEP)
BOOTSTRAPS = 10_000

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a strategy may look at before it picks."""

    unlabelled: Rows  # rows of the pool, in pool order
    labelled: Rows
    embedding: npt.NDArray[np.float32]  # of the whole pool
    probabilities: Floats  # of the unlabelled rows
    rng: np.random.Generator


class Classifier(Protocol):
    """The part of scikit-learn's interface used here, with types."""

    def fit(self, x: Floats, y: Rows) -> object:
        """Learn from rows and their classes."""
        ...

    def predict_proba(self, x: Floats) -> Floats:
        """Class probabilities, shape (n, c)."""
        ...

    def score(self, x: Floats, y: Rows) -> float:
        """Accuracy, in [0, 1]."""
        ...


Strategy = Callable[[State, int], Rows]


def by_chance(state: State, budget: int) -> Rows:
    """Simple random rows."""
    return state.rng.choice(state.unlabelled, budget, replace=False)


def by_entropy(state: State, budget: int) -> Rows:
    """Highest entropy, no spread."""
    p = np.clip(state.probabilities, 1e-12, 1)
    return state.unlabelled[np.argsort((p * np.log(p)).sum(axis=1), kind="stable")[:budget]]


def by_plain_margin(state: State, budget: int) -> Rows:
    """Lowest margin, no spread."""
    return state.unlabelled[np.argsort(margins(state.probabilities), kind="stable")[:budget]]


def by_margin(state: State, budget: int) -> Rows:
    """Our default: low margin, spread over clusters."""
    rows = state.embedding[state.unlabelled]
    picks = pick_margin_diverse(state.probabilities, rows, budget, rng=state.rng)
    return state.unlabelled[picks.indices]


def by_default_shares(state: State, budget: int) -> Rows:
    """What a project gets without settings: random, active and novel arms together."""
    arms = allot(budget, {"random": 0.1, "active": 0.6, "novel": 0.1})
    random = state.rng.choice(len(state.unlabelled), arms["random"], replace=False)
    left = np.setdiff1d(np.arange(len(state.unlabelled)), random)
    rows = state.embedding[state.unlabelled]
    active = left[
        pick_margin_diverse(
            state.probabilities[left], rows[left], arms["active"], rng=state.rng
        ).indices
    ]
    left = np.setdiff1d(left, active)
    novelty = novelty_scores(rows[left], state.embedding[state.labelled])
    novel = left[pick_novel(novelty, rows[left], arms["novel"], rng=state.rng).indices]
    return state.unlabelled[np.concatenate([random, active, novel])]


STRATEGIES: dict[str, tuple[Strategy, float]] = {
    "random": (by_chance, AUDIT),
    "random, no audit": (by_chance, 0.0),
    "entropy": (by_entropy, AUDIT),
    "plain margin": (by_plain_margin, AUDIT),
    "margin-diverse": (by_margin, AUDIT),
    "default shares": (by_default_shares, AUDIT),
}


def curve(strategy: Strategy, audit_share: float, seed: int) -> Floats:
    """Accuracy on the exam, in points, at each of `COSTS`."""
    images, digits = cast("tuple[Floats, Rows]", load_digits(return_X_y=True))
    rng = np.random.default_rng(seed)
    pool, exam = np.array_split(rng.permutation(len(images)), 2)
    x, y = images[pool] / 16, digits[pool]
    exam_x, exam_y = images[exam] / 16, digits[exam]
    embedding = project(x - x.mean(axis=0), seed=seed)
    labelled = rng.choice(len(x), START, replace=False)
    free = np.setdiff1d(np.arange(len(x)), labelled)
    scores: list[float] = []
    for cost in COSTS:
        model = cast("Classifier", LogisticRegression(max_iter=2000))
        model.fit(x[labelled], y[labelled])
        scores.append(100 * model.score(exam_x, exam_y))
        if cost + STEP > END:
            break
        audit = rng.choice(free, round(STEP * audit_share), replace=False)
        free = np.setdiff1d(free, audit)
        state = State(
            unlabelled=free,
            labelled=labelled,
            embedding=embedding,
            probabilities=model.predict_proba(x[free]),
            rng=rng,
        )
        picked = strategy(state, STEP - len(audit))
        labelled = np.concatenate([labelled, picked])
        free = np.setdiff1d(free, picked)
    return np.array(scores)


def labels_ratio(curves: Floats, baseline: Floats) -> float:
    """Labels until the mean curve reaches the baseline's last mean score, as share of `END`.

    Args:
        curves: Shape (n_seeds, n_costs).
        baseline: The same shape.

    Returns:
        Interpolated between steps; infinite if the score is never reached.
    """
    mean, goal = curves.mean(axis=0), baseline.mean(axis=0)[-1]
    reached = np.flatnonzero(mean >= goal)
    if not len(reached):
        return np.inf
    at = reached[0]
    if at == 0:
        return COSTS[0] / COSTS[-1]
    part = (goal - mean[at - 1]) / (mean[at] - mean[at - 1])
    return float((COSTS[at - 1] + part * STEP) / COSTS[-1])


def report(name: str, curves: Floats, baseline: Floats, rng: np.random.Generator) -> str:
    """One line: ratio and area, each with a one-sided 95% bootstrap limit over paired seeds."""
    draws = rng.integers(len(curves), size=(BOOTSTRAPS, len(curves)))
    ratios = np.array([labels_ratio(curves[d], baseline[d]) for d in draws])
    upper = np.quantile(ratios, 0.95, method="higher")  # no interpolation: it may be infinite
    areas = (curves - baseline).mean(axis=1)
    return (
        f"{name:18} final {curves[:, -1].mean():6.2f}   labels ratio "
        f"{labels_ratio(curves, baseline):.3f} (upper {upper:.3f})   area "
        f"{areas.mean():+.2f} points (lower {np.quantile(areas[draws].mean(axis=1), 0.05):+.2f})"
    )


def time_pick(rows: int = 200_000, columns: int = 64, budget: int = 300) -> str:
    """How long one pick from a large pool takes."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((rows, columns), dtype=np.float32)
    probabilities = rng.dirichlet(np.ones(10), rows)
    begun = time.perf_counter()
    embedding = project(wide, seed=0)
    projected = time.perf_counter()
    pick_margin_diverse(probabilities, embedding, budget, rng=rng)
    picked = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"pick {budget} of {rows} x {columns}: project {projected - begun:.2f} s, "
        f"pick {picked - projected:.2f} s, peak {peak:.0f} MB with the data"
    )


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print(time_pick())  # noqa: T201
    curves = {
        name: np.stack([curve(strategy, audit, seed) for seed in seeds])
        for name, (strategy, audit) in STRATEGIES.items()
    }
    for baseline in ("random", "random, no audit"):
        print(f"\nagainst {baseline}, {len(seeds)} paired seeds")  # noqa: T201
        for name, own in curves.items():
            if name != baseline:
                rng = np.random.default_rng(0)
                print(report(name, own, curves[baseline], rng))  # noqa: T201


if __name__ == "__main__":
    main()
