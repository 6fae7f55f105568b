"""How often a year of weekly drift checks raises a false alarm, and how soon it sees real drift.

Each replay is one project: a reference, then 52 checks of 500 rows in 20 correlated columns. The
rule of `retrue.core.drift` and two customary rules judge the same numbers.

    python benchmarks/drift_false_alarms.py --replays 1000 --seed 0

Times grow with --replays; a published rate takes 10,000.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import stats

from retrue.core.drift import MISSING_SHARE, DriftSettings, check_alpha
from retrue.core.two_sample import ks_p_value

Floats: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = npt.NDArray[np.float32]  # sorts ten times as fast
Flags: TypeAlias = npt.NDArray[np.bool_]

CHECKS = 52
COLUMNS = 20
ROWS = 500
DRIFTED = 3  # columns that move, when any do
CORRELATION = 0.5  # between any two columns

RULES = ("retrue", "p < .05 per column", "Benjamini-Hochberg per check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a replay looks like, and the number to reach."""

    name: str
    reference_rows: int
    shift: float  # in standard deviations
    drifted: int  # columns that move, from the first check on
    checks: int  # made per replay
    goal: str
    rows: int = ROWS  # per check


SCENARIOS = (
    Scenario(
        name="no drift, 52 checks",
        reference_rows=5_000, shift=0, drifted=0, checks=CHECKS, goal="<= 5%",
    ),
    Scenario(
        name="no drift, 52 checks",
        reference_rows=1_000, shift=0, drifted=0, checks=CHECKS, goal="<= 5%",
    ),
    Scenario(
        name="0.3 sd in 3 of 20, within 4",
        reference_rows=5_000, shift=0.3, drifted=DRIFTED, checks=4, goal=">= 95%",
    ),
    Scenario(
        name="0.3 sd in 3 of 20, within 4",
        reference_rows=1_000, shift=0.3, drifted=DRIFTED, checks=4, goal=">= 95%",
    ),
    Scenario(
        name="0.5 sd in 3 of 20, at the first",
        reference_rows=5_000, shift=0.5, drifted=DRIFTED, checks=1, goal=">= 99%",
    ),
    Scenario(
        name="0.5 sd in 3 of 20, at the first",
        reference_rows=1_000, shift=0.5, drifted=DRIFTED, checks=1, goal=">= 99%",
    ),
)  # fmt: skip

# 40 times the rows: a fraction of the replays.
BIG = Scenario(
    name="0.02 sd everywhere, 20,000 rows",
    reference_rows=20_000, shift=0.02, drifted=COLUMNS, checks=CHECKS, goal="<= 5%", rows=20_000,
)  # fmt: skip


def draw_columns(rng: np.random.Generator, *shape: int) -> Columns:
    """Normal columns with correlation `CORRELATION`, shape (columns, *shape)."""
    own = rng.standard_normal((COLUMNS, *shape), dtype=np.float32)
    common = rng.standard_normal(shape, dtype=np.float32)
    mixed = math.sqrt(1 - CORRELATION) * own + math.sqrt(CORRELATION) * common
    return cast("Columns", mixed)  # numpy keeps float32 here; its stubs do not know


def ks_distances(reference: Columns, windows: Columns) -> Floats:
    """Two-sample D of every window against its column's reference.

    Args:
        reference: Shape (columns, n), no ties.
        windows: Shape (columns, checks, m), no ties.

    Returns:
        Shape (checks, columns).
    """
    n, m = reference.shape[1], windows.shape[2]
    reference, windows = np.sort(reference, axis=1), np.sort(windows, axis=2)
    steps: Floats = np.arange(m + 1, dtype=np.float64) / m
    d = np.empty((windows.shape[1], len(windows)))
    for column in range(len(reference)):
        rows = cast("npt.NDArray[np.int64]", np.searchsorted(reference[column], windows[column]))
        below: Floats = rows / n
        # The window's distribution steps up at each of its values: both sides of the step count.
        after: Floats = np.max(steps[1:] - below, axis=1)
        before: Floats = np.max(below - steps[:-1], axis=1)
        d[:, column] = np.maximum(after, before)
    return d


def alarms(d: Floats, n: int, m: int) -> dict[str, Flags]:
    """Which checks alarm under each rule; `d` has shape (checks, columns), answers (checks,)."""
    settings = DriftSettings()
    alpha = check_alpha(
        settings.false_alarms_per_year, "features", COLUMNS, settings.checks_per_year
    ) * (1 - MISSING_SHARE)
    ours = (ks_p_value(d, n, m) <= alpha) & (d >= settings.floor_number)
    p = cast("Floats", stats.kstwobign.sf(d * np.sqrt(n * m / (n + m))))
    steps: Floats = 0.05 * np.arange(1, COLUMNS + 1) / COLUMNS
    found: tuple[Flags, ...] = ours, p < 0.05, np.sort(p, axis=1) <= steps
    return {rule: np.any(hits, axis=1) for rule, hits in zip(RULES, found, strict=True)}


def replay(scenario: Scenario, rng: np.random.Generator) -> dict[str, bool]:
    """Whether each rule alarmed at least once."""
    reference = draw_columns(rng, scenario.reference_rows)
    windows = draw_columns(rng, scenario.checks, scenario.rows)
    windows[: scenario.drifted] += np.float32(scenario.shift)
    found = alarms(ks_distances(reference, windows), scenario.reference_rows, scenario.rows)
    return {rule: bool(hits.any()) for rule, hits in found.items()}


def report(scenario: Scenario, replays: int, rng: np.random.Generator) -> str:
    """One line: the share of replays with an alarm, with ours as a one-sided 95% limit."""
    results = [replay(scenario, rng) for _ in range(replays)]
    hits = {rule: sum(result[rule] for result in results) for rule in RULES}
    alternative = "less" if scenario.goal.startswith("<") else "greater"
    interval = stats.binomtest(hits["retrue"], replays, alternative=alternative).proportion_ci(0.95)
    limit = interval.high if alternative == "less" else interval.low
    rates = "".join(f"{hits[rule] / replays:>10.2%}" for rule in RULES)
    return (
        f"{scenario.name:34}{scenario.reference_rows:>7,}{scenario.goal:>8}{rates}"
        f"{'<=' if alternative == 'less' else '>=':>6} {limit:.2%}  ({replays} replays)\n"
    )


def main() -> None:
    """Print the table of METHODS, section drift."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replays", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sys.stdout.write("share of replays with any alarm; limit: one-sided 95%, Clopper-Pearson\n")
    sys.stdout.write(
        f"{'':34}{'n_ref':>7}{'goal':>8}{'retrue':>10}{'p<.05':>10}{'BH':>10}{'limit':>9}\n"
    )
    for scenario in SCENARIOS:
        sys.stdout.write(report(scenario, options.replays, rng))
        sys.stdout.flush()
    sys.stdout.write(report(BIG, max(options.replays // 50, 1), rng))


if __name__ == "__main__":
    main()
