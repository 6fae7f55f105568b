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
from typing import Literal, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from sklearn.ensemble import HistGradientBoostingClassifier

from retrue.core.profile import (
    CELLS,
    CategoryProfile,
    NumberProfile,
    Profile,
    cell_of,
    quantiles,
)

__all__ = [
    "ClassifierCheck",
    "DriftSettings",
    "Family",
    "FeatureDrift",
    "Statistic",
    "check_alpha",
    "check_drift",
    "classifier_auc",
    "classifier_drift",
    "explain",
    "ks_p_value",
    "ks_two_sample",
    "total_variation_test",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Family: TypeAlias = Literal["outputs", "classifier", "features"]
# "missing": difference of the shares of missing rows; "none": the column could not be compared.
Statistic: TypeAlias = Literal["ks", "tv", "missing", "auc", "none"]

FAMILY_SHARES: dict[Family, float] = {"outputs": 0.4, "classifier": 0.2, "features": 0.2}
MISSING_SHARE = 0.1  # of a number column's alpha; its values have the rest
POWER = 0.8  # with which a "detectable" change is seen
FOLDS = 5
# Folds share training rows, so their z are correlated: the sum's variance is FOLDS times
# 1 + (FOLDS - 1) * rho. Without drift rho was 0.15 to 0.18 in simulations (300 against 300 and
# 1,000 against 100 rows; Nadeau and Bengio 2003 propose 1 / FOLDS); 0.5 leaves room in the tail.
FOLD_CORRELATION = 0.5
FOLD_INFLATION = math.sqrt(1 + (FOLDS - 1) * FOLD_CORRELATION)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierCheck:
    """How well a classifier tells window rows from reference rows."""

    auc: float  # mean of the folds' out-of-fold AUCs, 0..1; 0.5: cannot tell
    p: float  # one-sided, conservative
    scores: Floats  # per window row, out of fold, 0..1: high means unlike the reference
    reference_rows: int  # rows used
    window_rows: int  # rows used


def check_alpha(
    false_alarms_per_year: float, family: Family, n_features: int, checks_per_year: int
) -> float:
    """Alpha of one column in one check: a union bound over columns and scheduled checks.

    >>> round(check_alpha(0.05, "features", 20, 52) * 20 * 52, 6)
    0.01
    """
    return false_alarms_per_year * FAMILY_SHARES[family] / (max(n_features, 1) * checks_per_year)


def ks_p_value(d: npt.ArrayLike, n: int, m: int) -> Floats:
    """Upper bound of the two-sample Kolmogorov-Smirnov p-value, tight at large samples.

    2 exp(-2 d^2 nm/(n+m)), with e in place of 2 when a side has under 458 rows (Wei and Dudley
    2012, Statistics & Probability Letters 82). The usual one-sample approximation (`kstwo`) gives
    up to a quarter less than the exact p in the far tail, where a yearly budget is spent.

    Args:
        d: Largest differences of the two distribution functions, 0..1, any shape.
        n: Rows on one side, >= 1.
        m: Rows on the other, >= 1.

    Returns:
        Shape of `d`, 0..1.
    """
    return np.minimum(1.0, _ks_factor(n, m) * np.exp(-2 * np.square(d) * _effective(n, m)))


def ks_two_sample(reference: NumberProfile, window: NumberProfile) -> tuple[float, float]:
    """Kolmogorov-Smirnov test on the profiles' common bins.

    Binning can only shrink D, so the p-value stays valid.

    Returns:
        (D, p), both 0..1; (0, 1) when a side has no values.

    Raises:
        ValueError: The profiles have different centres.

    >>> from retrue.core.profile import profile_numbers
    >>> old, new = (profile_numbers(v, center=0) for v in ([1, 2, 3, 4], [3, 4, 5, 6]))
    >>> ks_two_sample(old, new)[0]
    0.5
    """
    if reference.center != window.center:
        msg = f"expected one center, got {reference.center} and {window.center}"
        raise ValueError(msg)
    n, m = reference.present, window.present
    if not (n and m):
        return 0.0, 1.0
    bins = np.union1d(reference.bins, window.bins)
    gap = _cumulative(reference, bins) / n - _cumulative(window, bins) / m
    d = float(np.abs(gap).max())
    return d, float(ks_p_value(d, n, m))


def total_variation_test(
    reference: CategoryProfile, window: CategoryProfile
) -> tuple[float, float]:
    """Chi-square test of homogeneity; missing is one more category, an unseen one counts too.

    Cells are the categories by name, or, when a side keeps only its most frequent names, the hash
    cells of all names. Cells with an expected count under 5 on either side are pooled. p
    is the larger of Pearson's and the likelihood ratio's: far in the tail and with few rows one
    of the two is too small (Pearson's for a rise of a rare cell, the other for a fall).

    Returns:
        (TV, p), both 0..1. TV is half the sum of absolute differences of the cells' shares;
        (0, 1) when fewer than two cells are left, as for a column of identifiers.
    """
    return _homogeneity(_table(reference, window))


def classifier_auc(
    reference_rows: npt.ArrayLike,
    window_rows: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    max_rows: int = 5_000,
) -> ClassifierCheck:
    """Train a classifier to tell the window from the reference, and judge it out of fold.

    Gradient boosting sees what single columns cannot: changed combinations. Each fold's AUC is
    unbiased under no drift given the other folds, so its Mann-Whitney z is valid on its own; the
    mean of the z is scaled as if the folds were correlated (`FOLD_INFLATION`). Rows must be
    distinct events: copies within one side land in several folds and look like drift.

    Args:
        reference_rows: Shape (n, d), numbers, NaN is missing; n >= 10.
        window_rows: Shape (m, d), m >= 10.
        rng: Draws rows and folds.
        max_rows: Rows used per side; the other window rows are scored by all fold models.

    Returns:
        The check; `scores` has shape (m,).

    Raises:
        ValueError: A side has under 10 rows or the columns differ in number.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (reference_rows, window_rows)]
    if min(len(side) for side in sides) < 2 * FOLDS or sides[0].shape[1] != sides[1].shape[1]:
        msg = f"expected >= 10 rows a side and equal columns, got {[s.shape for s in sides]}"
        raise ValueError(msg)
    used = [rng.permutation(len(side))[:max_rows] for side in sides]
    old, new = (side[rows] for side, rows in zip(sides, used, strict=True))
    seed = int(rng.integers(2**31))
    spare = np.setdiff1d(np.arange(len(sides[1])), used[1])
    scores = np.zeros(len(sides[1]))
    aucs: list[float] = []
    zs: list[float] = []
    for fold in range(FOLDS):
        in_old, in_new = (np.arange(len(side)) % FOLDS == fold for side in (old, new))
        score = _fit_domain(old[~in_old], new[~in_new], seed)
        new_scores = score(new[in_new])
        auc = _auc(score(old[in_old]), new_scores)
        aucs.append(auc)
        zs.append((auc - 0.5) / _auc_error(int(in_old.sum()), int(in_new.sum())))
        scores[used[1][in_new]] = new_scores
        if len(spare):
            scores[spare] += score(sides[1][spare]) / FOLDS
    z = float(np.mean(zs)) * math.sqrt(FOLDS) / FOLD_INFLATION
    return ClassifierCheck(
        auc=float(np.mean(aucs)),
        p=float(stats.norm.sf(z)),
        scores=scores,
        reference_rows=len(old),
        window_rows=len(new),
    )


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


class _DomainModel(Protocol):
    """What is used of a scikit-learn classifier, which has no types of its own."""

    def fit(self, x: Floats, y: npt.NDArray[np.int64], /) -> object: ...

    def predict_proba(self, x: Floats, /) -> Floats: ...


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
    factor = _ks_factor(old.present, new.present)
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
    return _judge(test, _homogeneity(table), size, reason)


def _check_categories(
    test: _Test, old: CategoryProfile, new: CategoryProfile, floor: float
) -> FeatureDrift:
    test = _Test(test.name, test.family, "tv", test.alpha)
    table = _table(old, new)
    constant = _tv_constant(_pooled(table).shape[1], test.alpha)
    size = _Size(old.rows, new.rows, constant, floor)
    return _judge(test, _homogeneity(table), size, _category_reason(test.name, old, new))


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
        minimum_detectable=nothing + size.constant / math.sqrt(_effective(size.n, size.m))
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
    if size.n and size.m and _effective(size.n, size.m) >= effective:
        return None
    both = math.ceil(2 * effective)
    if size.n < both:
        return both
    return math.ceil(effective * size.n / (size.n - effective))


def _effective(n: int, m: int) -> float:
    return n * m / (n + m)


def _ks_factor(n: int, m: int) -> float:
    return 2.0 if min(n, m) >= 458 else math.e


def _strength(drift: FeatureDrift) -> float:
    nothing = 0.5 if drift.statistic == "auc" else 0.0
    return (drift.value - nothing) / (drift.floor - nothing)


def _cumulative(profile: NumberProfile, bins: npt.NDArray[np.int64]) -> Floats:
    """Rows at or below each of `bins`, which contain the profile's own."""
    dense = np.zeros(len(bins))
    dense[np.searchsorted(bins, profile.bins)] = profile.counts
    return np.cumsum(dense)


def _table(reference: CategoryProfile, window: CategoryProfile) -> Floats:
    """Rows per side and cell, shape (2, n_cells); the last cell is missing."""
    sides = reference, window
    if reference.cells or window.cells:
        rows = [[*(side.cells or [0] * CELLS), side.missing] for side in sides]
        for side, cells in zip(sides, rows, strict=True):
            for name, count in side.counts.items():
                cells[cell_of(name)] += count
    else:
        names = sorted({*reference.counts, *window.counts})
        rows = [[*(side.counts.get(name, 0) for name in names), side.missing] for side in sides]
    return np.array(rows, dtype=np.float64)


def _expected(table: Floats) -> Floats:
    return np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()


def _pooled(table: Floats) -> Floats:
    """The table with its rare cells joined, rarest first, until each expects 5 rows a side.

    The order depends on totals and cell numbers only, so pooling does not favour a difference.
    """
    sides = table.sum(axis=1)
    if not sides.all():
        return table[:, :0]
    cells = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    enough = 5 * sides.sum() / sides.min()  # total of a cell that expects 5 on the smaller side
    totals: Floats = cells.sum(axis=0)
    rare = int(np.count_nonzero(totals < enough))
    starts: list[int] = []
    joined = enough
    for cell in range(rare):
        if joined >= enough:
            starts.append(cell)
            joined = 0.0
        joined += float(totals[cell])
    if joined < enough and len(starts) > 1:
        starts.pop()  # a short last group joins the one before
    elif joined < enough:
        rare += 1  # the only group joins the rarest of the frequent cells
    starts += range(rare, len(totals))
    return np.add.reduceat(cells, starts, axis=1)


def _homogeneity(table: Floats) -> tuple[float, float]:
    cells = _pooled(table)
    if cells.shape[1] < 2:
        return 0.0, 1.0
    expected = _expected(cells)
    pearson = float(((cells - expected) ** 2 / expected).sum())
    # x log(x / e), which is 0 for an empty cell.
    ratio = np.log(np.where(cells > 0, cells, 1) / np.where(cells > 0, expected, 1))
    likelihood = float(2 * (cells * ratio).sum())
    shares = cells / cells.sum(axis=1, keepdims=True)
    tv = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return tv, float(stats.chi2.sf(min(pearson, likelihood), cells.shape[1] - 1))


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


def _fit_domain(old: Floats, new: Floats, seed: int) -> Callable[[Floats], Floats]:
    model = cast(
        "_DomainModel",
        HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, random_state=seed),
    )
    model.fit(np.concatenate([old, new]), np.repeat([0, 1], [len(old), len(new)]))
    return lambda rows: model.predict_proba(rows)[:, 1]


def _auc(old: Floats, new: Floats) -> float:
    """Probability that a new row scores above an old one, ties count half (Mann-Whitney)."""
    ranks = stats.rankdata(np.concatenate([old, new]))
    m = len(new)
    return float((ranks[len(old) :].sum() - m * (m + 1) / 2) / (len(old) * m))


def _auc_error(n: int, m: int) -> float:
    """Standard error of an AUC without drift; ties would only make it smaller."""
    return math.sqrt((n + m + 1) / (12 * n * m))
