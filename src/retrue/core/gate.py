"""May the challenger replace the champion? A paired test on items both models answered.

The error that is controlled: promoting a challenger that is not better. Its level per challenger
comes from `alpha_for`, so that all challengers of one champion share one budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

__all__ = [
    "Decision",
    "PairedResult",
    "SliceResult",
    "alpha_for",
    "check_slices",
    "compare_models",
    "labels_needed",
    "minimum_detectable",
    "sign_flip_p",
]

Decision = Literal["promote", "hold", "reject"]

EXACT_GROUPS = 14  # all 2^14 sign patterns are listed; above it they are drawn
FLIPS = 20_000
MAX_FLIPS = 2_000_000  # bounds the time when alpha is tiny; the p-value stays valid
RESAMPLES = 2_000
FEW_DIFFERENT = 20  # fewer groups unlike the commonest outcome: too little to resample


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """What the paired test found, and what follows from it."""

    delta: float  # challenger minus champion, weighted mean score, -1..1
    low: float  # 95% interval of delta
    high: float
    p_value: float  # one-sided, null: the challenger is not better
    alpha: float  # level that p_value is held against
    n: int  # items
    n_groups: int  # independent groups of items
    discordant: int  # groups on which the models differ
    minimum_detectable: float  # smallest delta seen with 80% power at this alpha
    labels_needed: int | None  # items like these that would decide (80% power); None: delta <= 0
    decision: Decision
    reason: str  # for a person


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """Is the challenger no worse on one slice, by more than its margin?"""

    name: str
    n: int  # items in the slice
    delta: float | None  # challenger minus champion, -1..1; None: no items
    low: float | None  # one-sided 95% lower limit of delta
    verdict: Literal["ok", "worse", "not checkable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Items summed per group: within a group nothing is independent."""

    gain: np.ndarray  # sum of weight * (challenger - champion), shape (n_groups,)
    weight: np.ndarray  # sum of weight, shape (n_groups,)

    @property
    def delta(self) -> float:
        return float(self.gain.sum() / self.weight.sum())

    @property
    def discordance(self) -> float:
        """Variance of one group's difference under the null, in units of items of mean weight."""
        return float(len(self.gain) * np.sum(self.gain**2) / self.weight.sum() ** 2)


def alpha_for(k: int, budget: float = 0.05) -> float:
    """Level of the k-th challenger's test: 6 budget / (pi^2 k^2), which sums to the budget.

    Raises:
        ValueError: k is below 1.

    >>> round(alpha_for(1), 4), round(alpha_for(2), 4)
    (0.0304, 0.0076)
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    return 6 * budget / (math.pi**2 * k**2)


def minimum_detectable(discordance: float, n: float, *, alpha: float, power: float = 0.8) -> float:
    """Smallest true difference that a one-sided paired test would find.

    Normal approximation with the null variance, so slightly large (Connor 1987, eq. 1).

    Args:
        discordance: Share of items on which exactly one model is right, 0..1.
        n: Items (independent groups).
        alpha: One-sided level of the test.
        power: Probability of finding it.

    Returns:
        A difference in score, at most 1.

    >>> round(minimum_detectable(0.10, 3000, alpha=0.0304), 4)
    0.0157
    """
    reach = stats.norm.isf(alpha) + stats.norm.ppf(power)
    return float(min(1.0, reach * math.sqrt(discordance / n)))


def labels_needed(
    delta: float, discordance: float, *, alpha: float, power: float = 0.8
) -> int | None:
    """Items that a one-sided paired test needs to find `delta` (Connor 1987; Miettinen 1968).

    For gate labels, drawn only where the models disagree (a share s of the frame), pass
    `delta / s` and `discordance / s`: every label then speaks.

    Args:
        delta: True difference in score, -1..1.
        discordance: Share of items on which exactly one model is right, |delta|..1.
        alpha: One-sided level of the test.
        power: Probability of finding it.

    Returns:
        Number of items; None if the challenger is not ahead.

    >>> labels_needed(0.02, 0.10, alpha=0.0304)
    1843
    >>> labels_needed(0.02 / 0.10, 1.0, alpha=0.0304)
    183
    """
    if delta <= 0:
        return None
    null = stats.norm.isf(alpha) * math.sqrt(discordance)
    other = stats.norm.ppf(power) * math.sqrt(max(discordance - delta**2, 0.0))
    return max(1, math.ceil(((null + other) / delta) ** 2))


def sign_flip_p(gain: np.ndarray, *, alpha: float, rng: np.random.Generator) -> float:
    """One-sided p-value that the sums come from a law symmetric about zero.

    If the models are equally good, each sum could as well have had the other sign. Equal sizes:
    the binomial tail, which is McNemar's exact test. Few sums: all sign patterns. Otherwise
    random patterns with the +1 correction (Phipson & Smyth 2010), valid at any number of them;
    enough for a p-value a tenth of `alpha` or less, unless the first 20,000 are clear.

    Args:
        gain: Weighted difference of each group, shape (n_groups,).
        alpha: Level it will be held against; sets the number of random patterns only.
        rng: Source of the patterns.

    Returns:
        In (0, 1].

    >>> sign_flip_p(np.array([1, 1, 1, -1, 0]), alpha=0.05, rng=np.random.default_rng(0))
    0.3125
    """
    moved = np.asarray(gain, dtype=float)[np.asarray(gain) != 0]
    size = np.abs(moved)
    if len(moved) == 0:
        return 1.0
    if np.allclose(size, size[0], rtol=1e-9, atol=0):
        return float(stats.binom.sf(int((moved > 0).sum()) - 1, len(moved), 0.5))
    # Sums of the same terms in another order must count as ties.
    bar = float(moved.sum()) - 1e-9 * float(size.sum())
    if len(moved) <= EXACT_GROUPS:
        number = np.arange(2 ** len(moved), dtype=np.int64)[:, None]
        flipped = np.bitwise_and(np.right_shift(number, np.arange(len(moved))), 1)
        sums = float(size.sum()) - 2 * (flipped @ size)
        return float(np.mean(sums >= bar))
    hits, drawn = _random_flips(size, bar, FLIPS, rng), FLIPS
    wanted = min(MAX_FLIPS, math.ceil(10 / alpha))
    # A p-value ten times too large won't come down; stopping there can't promote anything.
    if wanted > FLIPS and hits / FLIPS < 10 * alpha:
        hits += _random_flips(size, bar, wanted - FLIPS, rng)
        drawn = wanted
    return (hits + 1) / (drawn + 1)


def compare_models(
    champion_score: np.ndarray,
    challenger_score: np.ndarray,
    weight: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    alpha: float,
    margin: float = 0.0,
    rng: np.random.Generator,
    share: float = 1.0,
) -> PairedResult:
    """Test the challenger against the champion on the same items, and decide.

    promote: p <= alpha and delta >= margin; the test is for "better at all", the margin is a
    floor under which a switch is not worth it. reject: the 95% interval ends below the margin, so
    more labels would not help. hold: anything else.

    Args:
        champion_score: Shape (n,), 0..1, 1 = right.
        challenger_score: Shape (n,), 0..1.
        weight: Multiplicity / inclusion probability, shape (n,), > 0.
        groups: Shape (n,), items that are not independent share a value; None: all independent.
        alpha: One-sided level, see `alpha_for`.
        margin: Smallest gain worth a switch, >= 0.
        rng: Source of sign patterns and resamples.
        share: Part of the frame's weight that the items stand for: 1 for audit items, the share of
            disagreements for gate labels drawn only from those (elsewhere delta is 0 for sure).

    Returns:
        Limits come from a studentised bootstrap over groups; if fewer than 20 groups differ from
        the commonest outcome (no difference, as a rule), from the adjusted Wald interval
        (Bonett & Price 2012) at Kish's effective n.

    Raises:
        ValueError: No items, shapes differ, or a number is out of range.

    >>> champion, challenger = np.repeat([1, 0, 1], [80, 15, 5]), np.repeat([1, 1, 0], [80, 15, 5])
    >>> found = compare_models(champion, challenger, np.ones(100), alpha=0.0304,
    ...                        rng=np.random.default_rng(0))
    >>> found.decision, round(found.delta, 2), round(found.p_value, 4)
    ('promote', 0.1, 0.0207)
    """
    if margin < 0 or not 0 < share <= 1 or not 0 < alpha < 1:
        raise ValueError("expected margin >= 0, share in (0, 1], alpha in (0, 1)")
    summed = _sum_groups(champion_score, challenger_score, weight, groups)
    delta = summed.delta * share
    low, high = (share * end for end in _limits(summed, 0.95, rng))
    p_value = sign_flip_p(summed.gain, alpha=alpha, rng=rng)
    count = len(summed.gain)
    # With no discordant item seen, two pseudo-observations stand for what may be there.
    discordance = max(summed.discordance, 2 / (count + 2) if summed.discordance == 0 else 0.0)
    smallest = share * minimum_detectable(discordance, count, alpha=alpha)
    needed = labels_needed(summed.delta, discordance, alpha=alpha)
    decision = _decide(p_value, alpha, delta, high, margin)
    return PairedResult(
        delta=delta,
        low=low,
        high=high,
        p_value=p_value,
        alpha=alpha,
        n=len(champion_score),
        n_groups=count,
        discordant=int(np.count_nonzero(summed.gain)),
        minimum_detectable=smallest,
        labels_needed=needed,
        decision=decision,
        reason=_reason(decision, delta, (low, high), margin, (p_value, alpha), needed, smallest),
    )


def check_slices(
    slices: Mapping[str, np.ndarray],
    champion_score: np.ndarray,
    challenger_score: np.ndarray,
    weight: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    margins: Mapping[str, float],
    rng: np.random.Generator,
) -> list[SliceResult]:
    """Check pre-registered slices for non-inferiority, each at a one-sided 5%.

    ok: the lower limit is above minus the margin. worse: it is not, and the upper limit is below
    zero. not checkable: too few items to say either.

    Args:
        slices: Boolean mask over the items of each slice, shape (n,).
        champion_score: As in `compare_models`.
        challenger_score: As in `compare_models`.
        weight: As in `compare_models`.
        groups: As in `compare_models`.
        margins: The loss each slice may bear, >= 0; one for every slice.
        rng: Source of resamples.

    Returns:
        One result per slice, in the order given.

    Raises:
        ValueError: A slice has no margin, or as in `compare_models`.

    >>> right = np.ones(200)
    >>> [found] = check_slices({"night": right > 0}, right, right, right, margins={"night": 0.02},
    ...                        rng=np.random.default_rng(0))
    >>> found.verdict
    'ok'
    """
    results: list[SliceResult] = []
    for name, mask in slices.items():
        if name not in margins:
            raise ValueError(f"margins: no margin for slice {name!r}")
        if not np.any(mask):
            results.append(
                SliceResult(name=name, n=0, delta=None, low=None, verdict="not checkable")
            )
            continue
        inside = None if groups is None else groups[mask]
        summed = _sum_groups(champion_score[mask], challenger_score[mask], weight[mask], inside)
        low, high = _limits(summed, 0.90, rng)
        verdict = "ok" if low > -margins[name] else "worse" if high < 0 else "not checkable"
        results.append(
            SliceResult(
                name=name, n=int(np.sum(mask)), delta=summed.delta, low=low, verdict=verdict
            )
        )
    return results


def _sum_groups(
    champion: np.ndarray, challenger: np.ndarray, weight: np.ndarray, groups: np.ndarray | None
) -> _Groups:
    champion, challenger = np.asarray(champion, dtype=float), np.asarray(challenger, dtype=float)
    weight = np.asarray(weight, dtype=float)
    group = np.arange(len(champion)) if groups is None else np.asarray(groups)
    if len(champion) == 0 or len({a.shape for a in (champion, challenger, weight, group)}) > 1:
        raise ValueError("scores, weight, groups: expected one number per item, and some items")
    scores = np.concatenate([champion, challenger])
    if not (np.all(scores >= 0) and np.all(scores <= 1)):
        raise ValueError("scores: expected 0..1, complete")
    if not (np.all(weight > 0) and np.all(np.isfinite(weight))):
        raise ValueError("weight: expected finite numbers above 0")
    codes = np.unique(group, return_inverse=True)[1]
    return _Groups(
        gain=np.bincount(codes, weight * (challenger - champion)),
        weight=np.bincount(codes, weight),
    )


def _random_flips(size: np.ndarray, bar: float, count: int, rng: np.random.Generator) -> int:
    """How many of `count` random sign patterns give a sum of at least `bar`."""
    hits, total = 0, float(size.sum())
    step = max(1, 4_000_000 // len(size))  # about 32 MB at a time
    for start in range(0, count, step):
        flipped = rng.random((min(step, count - start), len(size)), dtype=np.float32) < 0.5
        hits += int(np.count_nonzero(total - 2 * (flipped @ size) >= bar))
    return hits


def _limits(summed: _Groups, level: float, rng: np.random.Generator) -> tuple[float, float]:
    """Two-sided interval of delta."""
    _, alike = np.unique(np.round(summed.gain / summed.weight, 9), return_counts=True)
    if len(summed.gain) - alike.max() < FEW_DIFFERENT:
        return _adjusted_wald(summed, level)
    # Equal groups are one cell of a multinomial: the same resamples, at a fraction of the cost.
    cells, counts = np.unique(
        np.stack([summed.gain, summed.weight], axis=1), axis=0, return_counts=True
    )
    drawn = rng.multinomial(len(summed.gain), counts / counts.sum(), size=RESAMPLES)
    delta, error = _studentise(cells, drawn)
    [centre], [spread] = _studentise(cells, counts[None, :])
    usable = error > 0
    pivots = (delta[usable] - centre) / error[usable]
    tail = (1 - level) / 2
    lower, upper = np.quantile(pivots, [tail, 1 - tail])
    return max(float(centre - upper * spread), -1.0), min(float(centre - lower * spread), 1.0)


def _studentise(cells: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of sums and its linearised standard error, for each row of cell counts."""
    gain, weight = cells[:, 0], cells[:, 1]
    total = counts @ weight
    delta = counts @ gain / total
    square = (
        counts @ gain**2 - 2 * delta * (counts @ (gain * weight)) + delta**2 * (counts @ weight**2)
    )
    return delta, np.sqrt(np.maximum(square, 0.0)) / total


def _adjusted_wald(summed: _Groups, level: float) -> tuple[float, float]:
    """One more win and one more loss than were seen (Bonett & Price 2012), at Kish's n."""
    total = summed.weight.sum()
    n = float(total**2 / np.sum(summed.weight**2))
    won = (np.sum(summed.gain[summed.gain > 0]) / total * n + 1) / (n + 2)
    lost = (-np.sum(summed.gain[summed.gain < 0]) / total * n + 1) / (n + 2)
    centre = float(won - lost)
    half = stats.norm.ppf(0.5 + level / 2) * math.sqrt((won + lost - centre**2) / (n + 2))
    return max(float(centre - half), -1.0), min(float(centre + half), 1.0)


def _decide(p_value: float, alpha: float, delta: float, high: float, margin: float) -> Decision:
    if p_value <= alpha and delta >= margin:
        return "promote"
    return "reject" if high < margin else "hold"


def _reason(
    decision: Decision,
    delta: float,
    limits: tuple[float, float],
    margin: float,
    test: tuple[float, float],
    needed: int | None,
    smallest: float,
) -> str:
    p_value, alpha = test
    seen = (
        f"The challenger scores {100 * delta:+.1f} points"
        f" (95% interval {100 * limits[0]:+.1f} to {100 * limits[1]:+.1f})"
    )
    if decision == "promote":
        return f"{seen}; p = {p_value:.2g} is within alpha = {alpha:.2g}."
    if decision == "reject":
        return f"{seen}: a gain of {100 * margin:.1f} points is ruled out."
    if p_value <= alpha:
        return f"{seen}: better, but the gain may be under the {100 * margin:.1f} points asked for."
    more = (
        f"about {needed} such labels would decide" if needed else "it is not ahead of the champion"
    )
    return (
        f"{seen}; p = {p_value:.2g} is over alpha = {alpha:.2g}."
        f" This test sees gains of {100 * smallest:.1f} points or more; {more}."
    )
