"""A small random look after a drift alarm: has the model lost accuracy, or met a new class?

The test is valid at every look, up to `maximum` labels, so another block may be bought whenever
the answer is open. A betting e-process would be valid without a maximum, but pays for that with
power that a probe of 120 labels does not have. Here the law of the *largest excess of errors at
any look* is computed instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

__all__ = ["Outcome", "ProbeOutcome", "probe_outcome"]

Outcome = Literal["harmless", "loss", "new_class", "undecided"]

# Berger & Boos (1994): the baseline's rate is searched inside this interval, at this price.
OUTSIDE = 0.001
RATES = 9  # baseline rates tried inside the interval; the tail is smooth in the rate
BASELINES = 31  # at most so many audit results are told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutcome:
    """What a probe found."""

    outcome: Outcome  # the headline
    loss_found: bool  # a loss above the margin; may hold together with a new class
    new_class_found: bool
    loss: float  # baseline accuracy minus accuracy now, -1..1
    low: float  # interval of `loss` at level 1 - alpha for a fixed n (Newcombe 1998); it
    high: float  # describes, the decision does not rest on it
    n: int  # labels used
    none_count: int  # answers `none_of_these`
    reason: str  # for a person


class _Looks(NamedTuple):
    """The looks of one probe, fixed before its first label."""

    block: int
    maximum: int

    def includes(self, label: np.ndarray) -> np.ndarray:
        return (label % self.block == 0) | (label == self.maximum)


def probe_outcome(
    right: np.ndarray,
    none_of_these: np.ndarray,
    baseline_right: int,
    baseline_n: int,
    *,
    margin: float = 0.05,
    harm: float | None = None,
    alpha: float = 0.05,
    maximum: int,
    block: int = 40,
    null_loss: float | None = None,
) -> ProbeOutcome:
    """Decide what a probe's labels say.

    loss: rejects "the loss is at most `null_loss`", and the loss seen is at least `margin`. The
    statistic is the largest excess of errors at any look, max over t = block, 2 block, ... of
    (errors in the first t) - t (baseline error rate + null_loss): a boundary of the shape of
    O'Brien & Fleming (1979). Its tail is computed over all looks and over the chance of the
    baseline audit too, at the worst baseline rate (Berger & Boos 1994).
    harmless: rejects "the loss is at least `harm`", by the excess of right answers, likewise.
    new_class: two answers `none_of_these`; as the headline it goes before a loss, being its cause.
    A loss goes before harmless: between `margin` and `harm` both may be shown.

    Args:
        right: Was the model right, 0 or 1, shape (n,), in draw order (never order of arrival).
        none_of_these: Did people say that no class fits, shape (n,).
        baseline_right: Items of the baseline audit on which the model was right.
        baseline_n: Items of the baseline audit.
        margin: Loss that is tolerated, 0..1.
        harm: A loss that would matter for sure, above `margin`; None: twice the margin, and at
            least ten points.
        alpha: Chance of a loss found where there is none; of harmless likewise.
        maximum: Most labels this probe may ever use; the same at each look.
        block: Labels bought at a time; only whole blocks (and `maximum`) are looked at. Smaller
            blocks may decide sooner and find less. The same at each look.
        null_loss: Loss that the test must exclude, 0..margin; None: `margin`. 0 finds more, and
            leaves the margin as a floor on the loss seen: a true loss of `margin` is then called
            one in up to half of the probes.

    Returns:
        `undecided` before `maximum`: buy another block. At `maximum`: see the interval.

    Raises:
        ValueError: Shapes differ, no labels, more than `maximum`, or a number is out of range.

    >>> right = np.tile([1, 0, 0, 1], 10)
    >>> found = probe_outcome(right, np.zeros(40), 390, 400, maximum=120)
    >>> found.outcome, round(found.loss, 3)
    ('loss', 0.475)
    """
    right, none_of_these = np.asarray(right, dtype=float), np.asarray(none_of_these, dtype=bool)
    harm = max(2 * margin, 0.10) if harm is None else harm
    null_loss = margin if null_loss is None else null_loss
    _check_labels(right, none_of_these, maximum)
    if not (0 <= baseline_right <= baseline_n and baseline_n > 0):
        raise ValueError("baseline: expected 0 <= right <= n, n > 0")
    if not (0 <= null_loss <= margin < harm < 1 and OUTSIDE < alpha < 1 and block > 0):
        raise ValueError("expected 0 <= null_loss <= margin < harm < 1, alpha > .001, block > 0")
    n, wrong = len(right), baseline_n - baseline_right
    looks = _Looks(block, maximum)
    loss, low, high = _loss_interval(baseline_right, baseline_n, int(right.sum()), n, alpha)
    loss_found = loss >= margin and _exceeds(
        1 - right, (wrong, baseline_n), null_loss, alpha, looks
    )
    harmless = _exceeds(right, (baseline_right, baseline_n), -harm, alpha, looks)
    none_count = int(none_of_these.sum())
    outcome = _headline(none_count >= 2, loss_found, harmless)
    return ProbeOutcome(
        outcome=outcome,
        loss_found=loss_found,
        new_class_found=none_count >= 2,
        loss=loss,
        low=low,
        high=high,
        n=n,
        none_count=none_count,
        reason=_reason(outcome, (loss, low, high), none_count, (margin, harm), maximum - n, n),
    )


def _check_labels(right: np.ndarray, none_of_these: np.ndarray, maximum: int) -> None:
    if right.ndim != 1 or right.shape != none_of_these.shape:
        raise ValueError("right and none_of_these: expected one value per label")
    if not 0 < len(right) <= maximum:
        raise ValueError(f"right: expected 1..{maximum} labels, got {len(right)}")
    if not np.all((right == 0) | (right == 1)):
        raise ValueError("right: expected 0 or 1")


def _exceeds(
    events: np.ndarray, baseline: tuple[int, int], shift: float, alpha: float, looks: _Looks
) -> bool:
    """Did events surpass, at some look so far, what chance does if the rate moved by `shift`?"""
    seen, n = baseline
    labels = np.arange(1, len(events) + 1)
    whole = looks.includes(labels)
    if not whole.any():
        return False
    rate = min(max(seen / n + shift, 0.0), 1.0)
    excess = float(np.max((np.cumsum(events) - rate * labels)[whole]))
    unit = float(_unit(np.array(seen), n, shift, looks))
    return excess >= unit * _critical_excess(seen, n, shift, alpha, looks)


def _unit(seen: np.ndarray, n: int, shift: float, looks: _Looks) -> np.ndarray:
    """Standard deviation of the excess at the last look, the baseline's own chance included.

    Measuring in it makes the critical value nearly the same at every baseline rate, so that the
    worst rate costs little. One event and one other are added: a clean audit has chance too.
    """
    before = (seen + 1) / (n + 2)
    now = np.clip(before + shift, 1 / (n + 2), 1 - 1 / (n + 2))
    spread = now * (1 - now) / looks.maximum + before * (1 - before) / n
    return looks.maximum * np.sqrt(spread)


@lru_cache(maxsize=256)
def _critical_excess(
    baseline_events: int, baseline_n: int, shift: float, alpha: float, looks: _Looks
) -> float:
    """Excess, in `_unit`s, that at most `alpha` of the probes reach if the rate moved by `shift`.

    The baseline audit's own chance is part of the replay: its result sets the rate that surplus is
    measured against, so a lucky audit makes a surplus of its own.
    """
    rate, seen, weight = _null_replays(baseline_events, baseline_n, shift)
    slope = np.clip(seen / baseline_n + shift, 0.0, 1.0)
    unit = _unit(seen, baseline_n, shift, looks)
    low, high = 0.0, 8.0
    while high - low > 0.005:
        middle = (low + high) / 2
        crossed = _crossing(rate, slope, middle * unit, looks)
        worst = float(np.max(np.sum(weight * crossed, axis=1)))
        low, high = (low, middle) if worst <= alpha - OUTSIDE else (middle, high)
    return high


def _null_replays(events: int, n: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True event rate now, shape (RATES, 1); events in the audit, chance of that: (RATES, m).

    Audit results are gathered into at most `BASELINES` runs, each standing at its lowest result:
    a lower measured rate makes a surplus likelier, so this errs towards caution.
    """
    low = float(stats.beta.ppf(OUTSIDE / 2, events, n - events + 1)) if events > 0 else 0.0
    high = float(stats.beta.ppf(1 - OUTSIDE / 2, events + 1, n - events)) if events < n else 1.0
    true = np.linspace(low, high, RATES)[:, None]
    # Steps of a quarter of a standard deviation; 3e-5 is cut off at the lower end.
    levels = stats.norm.cdf(np.linspace(-4, 4, BASELINES + 1))
    edges = np.asarray(stats.binom.ppf(levels, n, true), dtype=float)
    below = np.asarray(stats.binom.cdf(edges - 1, n, true), dtype=float)
    below[:, -1] = 1.0
    weight = np.diff(below, axis=1)
    return np.clip(true + shift, 0.0, 1.0), edges[:, :-1], weight


def _crossing(rate: np.ndarray, slope: np.ndarray, bar: np.ndarray, looks: _Looks) -> np.ndarray:
    """P(at some look t: events in t labels - slope * t >= bar), exactly, label by label.

    Args:
        rate: Chance of an event at each label, broadcasts with `slope`.
        slope: Events per label allowed for.
        bar: Surplus to reach, shape of `slope`.
        looks: When the surplus is looked at.

    Returns:
        The shape of `slope`.
    """
    chance = np.broadcast_to(rate, slope.shape)[..., None]
    # state[..., k]: chance of k events and no crossing so far.
    state = np.zeros((*slope.shape, looks.maximum + 2))
    state[..., 0] = 1.0
    events = np.arange(looks.maximum + 2)
    for label in range(1, looks.maximum + 1):
        happened = state[..., :-1] * chance
        state *= 1 - chance
        state[..., 1:] += happened
        if looks.includes(np.array([label])).all():
            state[events >= (slope * label + bar)[..., None]] = 0.0
    return 1.0 - state.sum(axis=-1)


def _headline(new_class: bool, loss: bool, harmless: bool) -> Outcome:
    if new_class:
        return "new_class"
    if loss:
        return "loss"
    return "harmless" if harmless else "undecided"


def _loss_interval(
    baseline_right: int, baseline_n: int, right: int, n: int, alpha: float
) -> tuple[float, float, float]:
    """Loss with its interval: Newcombe (1998), method 10, from two Wilson intervals."""
    before, now = baseline_right / baseline_n, right / n
    (low_1, high_1), (low_2, high_2) = (
        _wilson(before, baseline_n, alpha),
        _wilson(now, n, alpha),
    )
    loss = before - now
    low = loss - math.hypot(before - low_1, high_2 - now)
    high = loss + math.hypot(high_1 - before, now - low_2)
    return loss, low, high


def _wilson(share: float, n: int, alpha: float) -> tuple[float, float]:
    square = float(stats.norm.isf(alpha / 2)) ** 2 / n
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return centre - half, centre + half


def _reason(
    outcome: Outcome,
    interval: tuple[float, float, float],
    none_count: int,
    bounds: tuple[float, float],
    left: int,
    n: int,
) -> str:
    loss, low, high = (100 * value for value in interval)
    margin, harm = (100 * value for value in bounds)
    seen = f"Loss {loss:+.1f} points ({low:+.1f} to {high:+.1f}) on {n} labels"
    if outcome == "new_class":
        return f"{none_count} of {n} answers fit no class. {seen}."
    if outcome == "loss":
        return f"{seen}: more than {margin:.0f} points are lost."
    if outcome == "harmless":
        return f"{seen}: a loss of {harm:.0f} points is ruled out."
    rest = f"up to {left} more may decide" if left else "no labels are left to buy"
    return f"{seen}: neither a loss nor harmless is shown; {rest}."
