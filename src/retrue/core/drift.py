"""Does a window look like the reference? Pure tests of two profiles, and their alarm budget.

An alarm needs both: the change is *significant* at its share of the yearly alpha, and it is *big
enough* on the same statistic. The yearly alpha goes 2 : 1 : 1 : 1 to model outputs, the domain
classifier, raw features and a sequential detector; the last fifth is left unspent, because no
sequential detector is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from retrue.core.domain_classifier import FOLD_INFLATION, ClassifierCheck
from retrue.core.profile import CategoryProfile, NumberProfile, Profile, quantiles
from retrue.core.two_sample import (
    category_table,
    effective_rows,
    homogeneity,
    ks_factor,
    ks_two_sample,
    pooled,
)

__all__ = [
    "DriftSettings",
    "Family",
    "FeatureDrift",
    "Statistic",
    "check_alpha",
    "check_drift",
    "classifier_drift",
    "explain",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Family: TypeAlias = Literal["outputs", "classifier", "features"]
# "missing": difference of the shares of missing rows; "none": the column could not be compared.
Statistic: TypeAlias = Literal["ks", "tv", "missing", "auc", "none"]

FAMILY_SHARES: dict[Family, float] = {"outputs": 0.4, "classifier": 0.2, "features": 0.2}
MISSING_SHARE = 0.1  # of a number column's alpha; its values have the rest
POWER = 0.8  # with which a "detectable" change is seen


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """How often a false alarm is acceptable and which changes are too small to matter."""

    false_alarms_per_year: float = 0.05  # probability of any false alarm in a year, in (0, 1)
    floor_number: float = 0.1  # smallest Kolmogorov-Smirnov D that matters, 0..1
    floor_category: float = 0.1  # smallest total variation that matters, 0..1
    floor_classifier: float = 0.6  # smallest out-of-fold AUC that matters, 0.5..1
    checks_per_year: int = 52  # scheduled checks, >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """What one test of one column found. (name, statistic) is unique in a check."""

    name: str  # the column; "domain classifier" for all columns at once
    family: Family
    statistic: Statistic
    value: float  # the statistic; 0 (AUC: 0.5) means no change
    p_value: float  # 0..1; 1 when nothing could be tested
    alpha: float  # this test's share of the yearly budget
    floor: float  # smallest value that matters
    alarm: bool  # p_value <= alpha and value >= floor
    minimum_detectable: float  # value seen with 80% power at these rows and alpha; may exceed 1
    needed: int | None  # rows a side must have to see the floor; None: it has them
    reason: str  # one sentence for a person

    @property
    def enough(self) -> bool:
        """Whether there are rows enough to see a change as small as the floor."""
        return self.needed is None


def check_alpha(
    false_alarms_per_year: float, family: Family, n_features: int, checks_per_year: int
) -> float:
    """Alpha of one column in one check: a union bound over columns and scheduled checks.

    >>> round(check_alpha(0.05, "features", 20, 52) * 20 * 52, 6)
    0.01
    """
    return false_alarms_per_year * FAMILY_SHARES[family] / (max(n_features, 1) * checks_per_year)


def classifier_drift(check: ClassifierCheck, settings: DriftSettings) -> FeatureDrift:
    """Judge a domain classifier by its share of the budget and its floor."""
    alpha = check_alpha(settings.false_alarms_per_year, "classifier", 1, settings.checks_per_year)
    constant = (stats.norm.isf(alpha) * FOLD_INFLATION + stats.norm.ppf(POWER)) / math.sqrt(12)
    size = _Size(
        check.reference_rows, check.window_rows, float(constant), settings.floor_classifier
    )
    return _judge(
        _Test("domain classifier", "classifier", "auc", alpha),
        (check.auc, check.p),
        size,
        f"a classifier tells new rows from old ones with AUC {check.auc:.2f} (0.5: it cannot)",
    )


def check_drift(
    reference: Profile, window: Profile, *, outputs: Collection[str], settings: DriftSettings
) -> tuple[FeatureDrift, ...]:
    """Test every column of the window against the reference.

    Args:
        reference: Profile of the reference windows. Its columns share the budget.
        window: Profile of the window, binned with the same centres.
        outputs: Columns that a model wrote; all others are raw features.
        settings: Budget and floors.

    Returns:
        Outputs first, then features, each in the reference's order; number columns give a second
        entry "missing" when a side has missing rows. A column on one side only, or of another
        kind, is an entry with statistic "none", never an alarm.

    Raises:
        ValueError: A column was binned with different centres.
    """
    names = [*reference, *(name for name in window if name not in reference)]
    families: dict[Family, list[str]] = {
        "outputs": [name for name in names if name in outputs],
        "features": [name for name in names if name not in outputs],
    }
    found: list[FeatureDrift] = []
    for family, members in families.items():
        # Counted on the reference alone: a window cannot change the budget it is tested with.
        tested = sum(name in reference for name in members)
        alpha = check_alpha(
            settings.false_alarms_per_year, family, tested, settings.checks_per_year
        )
        for name in members:
            pair = reference.get(name), window.get(name)
            found += _check_column(_Test(name, family, "none", alpha), *pair, settings)
    return tuple(found)


def explain(drifts: Sequence[FeatureDrift]) -> list[str]:
    """Sentences for a person: alarms strongest first, then notes, then what could not be seen."""
    alarms = sorted((d for d in drifts if d.alarm), key=_strength, reverse=True)
    notes = [d for d in drifts if d.statistic == "none"]
    blind = [d for d in drifts if d.statistic != "none" and not d.alarm and d.needed]
    lines = [d.reason for d in (*alarms, *notes)]
    if blind:
        worst = max(blind, key=lambda d: d.needed or 0)
        lines.append(
            f"not enough data for {len(blind)} of {len(drifts)} tests: "
            f"{worst.name} needs {worst.needed:,} rows a side to see {worst.floor:g}"
        )
    return lines or ["no drift"]


@dataclass(frozen=True, slots=True)
class _Test:
    """Which test is run, and with what share of the budget."""

    name: str
    family: Family
    statistic: Statistic
    alpha: float


@dataclass(frozen=True, slots=True)
class _Size:
    """How small a change the rows at hand can show: constant / sqrt(nm/(n+m)) above no change."""

    n: int  # rows of the reference
    m: int  # rows of the window
    constant: float
    floor: float


def _check_column(
    test: _Test,
    old: NumberProfile | CategoryProfile | None,
    new: NumberProfile | CategoryProfile | None,
    settings: DriftSettings,
) -> list[FeatureDrift]:
    match old, new:
        case NumberProfile(), NumberProfile():
            found = [_check_values(test, old, new, settings.floor_number)]
            if old.missing or new.missing:
                found.append(_check_missing(test, old, new, settings.floor_category))
            return found
        case CategoryProfile(), CategoryProfile():
            return [_check_categories(test, old, new, settings.floor_category)]
        case None, _:
            why = "a new column, not in the reference"
        case _, None:
            why = "in the reference, gone from this window"
        case _:
            why = "numbers on one side, categories on the other"
    return [_not_tested(test, f"{test.name}: {why}")]


def _check_values(
    test: _Test, old: NumberProfile, new: NumberProfile, floor: float
) -> FeatureDrift:
    test = _Test(test.name, test.family, "ks", test.alpha * (1 - MISSING_SHARE))
    # Critical D by `ks_p_value`, plus room for its scatter: sd <= 0.5 / sqrt(nm/(n+m)).
    factor = ks_factor(old.present, new.present)
    constant = math.sqrt(math.log(factor / test.alpha) / 2) + 0.5 * float(stats.norm.ppf(POWER))
    size = _Size(old.present, new.present, constant, floor)
    return _judge(test, ks_two_sample(old, new), size, _number_reason(test.name, old, new))


def _check_missing(
    test: _Test, old: NumberProfile, new: NumberProfile, floor: float
) -> FeatureDrift:
    test = _Test(test.name, test.family, "missing", test.alpha * MISSING_SHARE)
    table = np.array([[side.present, side.missing] for side in (old, new)], dtype=np.float64)
    shares = [_percent(side.missing / max(side.rows, 1)) for side in (old, new)]
    size = _Size(old.rows, new.rows, _tv_constant(2, test.alpha), floor)
    reason = f"{test.name}: missing {shares[0]} -> {shares[1]}"
    return _judge(test, homogeneity(table), size, reason)


def _check_categories(
    test: _Test, old: CategoryProfile, new: CategoryProfile, floor: float
) -> FeatureDrift:
    test = _Test(test.name, test.family, "tv", test.alpha)
    table = category_table(old, new)
    constant = _tv_constant(pooled(table).shape[1], test.alpha)
    size = _Size(old.rows, new.rows, constant, floor)
    return _judge(test, homogeneity(table), size, _category_reason(test.name, old, new))


def _judge(test: _Test, value_and_p: tuple[float, float], size: _Size, reason: str) -> FeatureDrift:
    value, p = value_and_p
    nothing = 0.5 if test.statistic == "auc" else 0.0
    return FeatureDrift(
        name=test.name,
        family=test.family,
        statistic=test.statistic,
        value=value,
        p_value=p,
        alpha=test.alpha,
        floor=size.floor,
        alarm=p <= test.alpha and value >= size.floor,
        minimum_detectable=nothing + size.constant / math.sqrt(effective_rows(size.n, size.m))
        if size.n and size.m
        else math.inf,
        needed=_needed(size, size.floor - nothing),
        reason=reason,
    )


def _not_tested(test: _Test, reason: str) -> FeatureDrift:
    return FeatureDrift(
        name=test.name,
        family=test.family,
        statistic="none",
        value=0.0,
        p_value=1.0,
        alpha=test.alpha,
        floor=0.0,
        alarm=False,
        minimum_detectable=math.inf,
        needed=None,
        reason=reason,
    )


def _needed(size: _Size, change: float) -> int | None:
    """Window rows that show `change`; when the reference is short too, rows on both sides."""
    effective = (size.constant / change) ** 2 if change > 0 else math.inf
    if size.n and size.m and effective_rows(size.n, size.m) >= effective:
        return None
    both = math.ceil(2 * effective)
    if size.n < both:
        return both
    return math.ceil(effective * size.n / (size.n - effective))


def _strength(drift: FeatureDrift) -> float:
    nothing = 0.5 if drift.statistic == "auc" else 0.0
    return (drift.value - nothing) / (drift.floor - nothing)


def _tv_constant(n_cells: int, alpha: float) -> float:
    """Half the root of the chi-square noncentrality seen with 80% power.

    A total variation t has noncentrality >= 4 t^2 nm/(n+m), whatever cells it is spread over
    (Cauchy-Schwarz).
    """
    freedom = max(n_cells - 1, 1)
    critical = float(stats.chi2.isf(alpha, freedom))
    seen = cast("Callable[..., float]", stats.ncx2.sf)
    noncentrality = optimize.brentq(
        lambda c: seen(critical, freedom, c) - POWER, 1e-9, 10 * critical + 100
    )
    return math.sqrt(noncentrality) / 2


def _number_reason(name: str, old: NumberProfile, new: NumberProfile) -> str:
    if not (old.present and new.present):
        where = "the reference" if not old.present else "this window"
        return f"{name}: no values in {where}"
    before, after = (quantiles(side, [0.25, 0.5, 0.75]).tolist() for side in (old, new))
    spread = max(before[2] - before[0], after[2] - after[0])
    move = after[1] - before[1]
    if abs(move) > 0.1 * spread or not math.isfinite(spread):
        way = "higher" if move > 0 else "lower"
        return f"{name} {way}: median {before[1]:.3g} -> {after[1]:.3g}"
    halves = (f"{side[0]:.3g} to {side[2]:.3g}" for side in (before, after))
    return f"{name}: median still {after[1]:.3g}, middle half {' -> '.join(halves)}"


def _category_reason(name: str, old: CategoryProfile, new: CategoryProfile) -> str:
    """The category whose share changed most, as far as the names kept can tell."""
    shares = [("missing", old.missing / max(old.rows, 1), new.missing / max(new.rows, 1))]
    # A name that a trimmed side did not keep has at most the rows of the rarest one kept.
    unseen = [min(side.counts.values(), default=0) if side.cells else 0 for side in (old, new)]
    for category in sorted({*old.counts, *new.counts}):
        before = old.counts.get(category, unseen[0]) / max(old.rows, 1)
        after = new.counts.get(category, unseen[1]) / max(new.rows, 1)
        shares.append((f"'{category}'", before, after))
    label, before, after = max(shares, key=lambda share: abs(share[2] - share[1]))
    return f"{name}: {label} {_percent(before)} -> {_percent(after)}"


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"
