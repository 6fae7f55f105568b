"""How often the gate, the probe and the accuracy figures are wrong, by replay.

    python benchmarks/gate_and_accuracy.py --replays 2000 --seed 1

Each rate is printed with its one-sided 95% limit on the side that matters. METHODS: equal models
promoted, power at +2 points, coverage of accuracy intervals, probe errors and power.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
from scipy import stats

from retrue.core.accuracy import Estimate, aipw_mean, estimate_mean
from retrue.core.gate import alpha_for, compare_models, sign_flip_p
from retrue.core.probe import probe_outcome

FRAME = 10_000  # rows from which an audit is drawn


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    for title, table in (("gate", gate), ("accuracy", coverage), ("probe", probe)):
        sys.stdout.write(f"\n{title}, {arguments.replays} replays\n")
        for name, hits, replays, want in table(arguments.replays, rng):
            print_rate(name, hits, replays, want)


def print_rate(name: str, hits: int, replays: int, want: str) -> None:
    """One line: the rate, and the limit that is held against what we want."""
    interval = stats.binomtest(hits, replays).proportion_ci(0.90, "exact")
    limit = f"< {interval.high:.4f}" if want.startswith("<=") else f"> {interval.low:.4f}"
    sys.stdout.write(f"  {name:<58} {hits / replays:.4f}  (95%: {limit})  want {want}\n")
    sys.stdout.flush()


def gate(replays: int, rng: np.random.Generator) -> Iterator[tuple[str, int, int, str]]:
    """Promotions of equal models, and of one that is two points better."""
    yield "equal, one challenger, n=600", promoted(replays, rng), replays, "<= 0.05"
    count = sum(any_of_twenty(rng) for _ in range(replays))
    yield "equal, any of 20 challengers, n=600", count, replays, "<= 0.05"
    yield "equal, groups of 4 copies", promoted(replays, rng, copies=4), replays, "<= 0.05"
    count = sum(unequal_windows(rng) for _ in range(replays))
    yield "equal overall, windows weighted 1 and 9, +-5 points", count, replays, "<= 0.05"
    won = promoted(replays, rng, n=3000, won=0.06, lost=0.04)
    yield "+2 points, 10% discordant, n=3000 audit", won, replays, ">= 0.85"
    won = promoted(replays, rng, n=300, won=0.6, lost=0.4, share=0.1)
    yield "+2 points, 300 gate labels", won, replays, ">= 0.90"
    for n in (150, 600, 3000):
        inside = sum(delta_inside(n, rng) for _ in range(replays))
        yield f"95% interval of delta covers, n={n}, weights 1..9", inside, replays, ">= 0.94"


def promoted(
    replays: int,
    rng: np.random.Generator,
    *,
    n: int = 600,
    won: float = 0.05,
    lost: float = 0.05,
    copies: int = 1,
    share: float = 1.0,
) -> int:
    """How many replays promote a challenger that wins and loses at these rates."""
    count = 0
    for _ in range(replays):
        difference = np.repeat(
            rng.choice([1.0, -1.0, 0.0], n, p=[won, lost, 1 - won - lost]), copies
        )
        result = compare_models(
            (difference < 0).astype(float),
            (difference > 0).astype(float),
            np.ones(n * copies),
            np.repeat(np.arange(n), copies),
            alpha=alpha_for(1),
            share=share,
            rng=rng,
        )
        count += result.decision == "promote"
    return count


def any_of_twenty(rng: np.random.Generator) -> bool:
    """Equal challengers on one snapshot: their answers share its items, as in life."""
    hard = rng.random(600) < 0.2
    champion = rng.random(600) < np.where(hard, 0.5, 0.98)
    for k in range(1, 21):
        gain = (rng.random(600) < np.where(hard, 0.5, 0.98)).astype(float) - champion
        if sign_flip_p(gain, alpha=alpha_for(k), rng=rng) <= alpha_for(k):
            return True
    return False


def unequal_windows(rng: np.random.Generator) -> bool:
    """Better where items stand for one request, worse where they stand for nine; equal overall."""
    plus, minus = ([0.27, 0.0, 0.73], [0.02, 0.05, 0.93])
    gain = np.concatenate(
        [rng.choice([1, -1, 0], 300, p=plus), 9 * rng.choice([1, -1, 0], 300, p=minus)]
    )
    return sign_flip_p(gain, alpha=alpha_for(1), rng=rng) <= alpha_for(1)


def delta_inside(n: int, rng: np.random.Generator) -> bool:
    """Does the interval hold a true gain of two points?"""
    weight = np.where(np.arange(n) % 2 == 0, 1.0, 9.0)
    difference = rng.choice([1.0, -1.0, 0.0], n, p=[0.06, 0.04, 0.90])
    result = compare_models(
        (difference < 0).astype(float), (difference > 0).astype(float), weight, alpha=0.03, rng=rng
    )
    return result.low <= 0.02 <= result.high


def coverage(replays: int, rng: np.random.Generator) -> Iterator[tuple[str, int, int, str]]:
    """Does the interval hold the accuracy of the frame?

    split: a simple random draw. mixture: half uniform, half by uncertainty, with the model's own
    guess as covariate.
    """
    for accuracy in (0.80, 0.95, 0.99):
        for n in (60, 400):
            for slope in (1.0, 0.6):
                guess, chance = make_frame(accuracy, slope, rng)
                inside, width = np.zeros(2, dtype=int), np.zeros(2)
                for _ in range(replays):
                    right = (rng.random(FRAME) < chance).astype(float)
                    found = (split(right, n, rng), mixture(right, guess, n, rng))
                    inside += [e.low <= right.mean() <= e.high for e in found]
                    width += [(e.high - e.low) / replays for e in found]
                for mode, count, mean in zip(("split", "mixture"), inside, width, strict=True):
                    name = f"{accuracy:.2f} n={n} slope {slope} {mode}, width {mean:.4f}"
                    yield name, int(count), replays, ">= 0.94"


def make_frame(
    accuracy: float, slope: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The model's P(right) per row, and the true one, whose logit is `slope` times the guess's."""
    logit = rng.normal(0, 2, FRAME)
    low, high = -10.0, 20.0
    while high - low > 1e-6:
        shift = (low + high) / 2
        mean = np.mean(1 / (1 + np.exp(-slope * (logit + shift))))
        low, high = (shift, high) if mean < accuracy else (low, shift)
    logit += high
    return 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-slope * logit))


def split(right: np.ndarray, n: int, rng: np.random.Generator) -> Estimate:
    """Simple random draw; the guess is not used."""
    drawn = rng.choice(FRAME, n, replace=False)
    return estimate_mean(right[drawn], np.full(n, n / FRAME), np.ones(n))


def mixture(right: np.ndarray, guess: np.ndarray, n: int, rng: np.random.Generator) -> Estimate:
    """Systematic draw of fixed size: 50% uniform, 50% by sqrt(guess (1 - guess))."""
    doubt = np.sqrt(guess * (1 - guess))
    probability = n * (0.5 / FRAME + 0.5 * doubt / doubt.sum())
    order = rng.permutation(FRAME)
    marks = np.cumsum(probability[order])
    drawn = order[np.searchsorted(marks, rng.random() + np.arange(n)).clip(max=FRAME - 1)]
    return aipw_mean(
        right[drawn], guess[drawn], probability[drawn], np.ones(n), guess, np.ones(FRAME)
    )


def probe(replays: int, rng: np.random.Generator) -> Iterator[tuple[str, int, int, str]]:
    """Three blocks of 40 against an audit of 400, margin 5 points."""
    for accuracy in (0.97, 0.95, 0.90):
        for null_loss in (0.05, 0.0):
            for loss, want in ((0.0, "<= 0.05"), (0.05, "<= 0.05"), (0.15, ">= 0.90")):
                if null_loss == 0.0 and loss == 0.05:
                    continue
                found = sum(probe_once(accuracy, loss, null_loss, rng) for _ in range(replays))
                name = f"accuracy {accuracy}, loss {loss} called loss, null <= {null_loss}"
                yield name, found, replays, want


def probe_once(accuracy: float, loss: float, null_loss: float, rng: np.random.Generator) -> bool:
    """Is a loss called at any of the three looks?"""
    baseline = int(rng.binomial(400, accuracy))
    right = rng.random(120) < accuracy - loss
    none = np.zeros(120, dtype=bool)
    return any(
        probe_outcome(
            right[:n], none[:n], baseline, 400, maximum=120, null_loss=null_loss
        ).loss_found
        for n in (40, 80, 120)
    )


if __name__ == "__main__":
    main()
