"""What the drift checks saw, window by window, and how the strongest change looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from retrue.core.profile import (
    CategoryProfile,
    NumberProfile,
    Profile,
    bin_values,
    quantiles,
)
from retrue.reading.reference import is_output, load_reference
from retrue.records import Decision
from retrue.report.reading import Data, number, parts, text, texts, whole
from retrue.workspace import Workspace

__all__ = ["Check", "Histogram", "Test", "read_checks", "strongest_histogram"]

NO_CHANGE = {"auc": 0.5}  # the statistic where nothing changed; 0 for the others
BARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test of one column."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    name: str
    family: str
    statistic: str
    value: float
    p_value: float
    floor: float
    alarm: bool
    needed: int | None  # rows a side must have to see the floor; None: it has them
    reason: str

    @property
    def relative(self) -> float:
        """The change in units of the smallest that matters, >= 0."""
        none = NO_CHANGE.get(self.statistic, 0.0)
        return max(self.value - none, 0.0) / (self.floor - none) if self.floor > none else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One window held against the champion's reference."""

    window: str
    champion: str
    at: datetime
    rows: int
    alarm: bool
    incident: str | None
    reasons: tuple[str, ...]
    note: str
    tests: tuple[Test, ...]

    @property
    def strongest(self) -> Test | None:
        """The test that alarms loudest, else the largest change; None: nothing was tested."""
        tested = [test for test in self.tests if test.statistic != "none"]
        return max(tested, key=lambda test: (test.alarm, test.relative), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """One column in the reference and in a window."""

    column: str
    window: str
    bars: tuple[str, ...]  # a category, or where an interval of numbers starts
    ordered: bool  # numbers: the bars touch
    reference: tuple[float, ...]  # shares, 0..1, as many as bars
    now: tuple[float, ...]


def read_checks(decisions: Sequence[Decision]) -> tuple[Check, ...]:
    """All drift checks, oldest first."""
    return tuple(
        Check(
            window=text(made.data, "window"),
            champion=text(made.data, "champion"),
            at=made.at,
            rows=whole(made.data, "rows") or 0,
            alarm=made.data.get("alarm") is True,
            incident=text(made.data, "incident") or None,
            reasons=texts(made.data, "reasons"),
            note=text(made.data, "note"),
            tests=tuple(_test(one) for one in parts(made.data, "tests")),
        )
        for made in decisions
        if made.kind == "drift-check"
    )


def strongest_histogram(workspace: Workspace, checks: Sequence[Check]) -> Histogram | None:
    """The column that changed most in the last alarm, else in the last check.

    None where its profiles are gone: the reference is kept with the model, the window's in the
    ledger of the machine that read it.
    """
    check = next((one for one in reversed(checks) if one.alarm), checks[-1] if checks else None)
    if check is None:
        return None
    model = next((m for m in workspace.models.versions() if m.version == check.champion), None)
    reference = load_reference(workspace, model) if model is not None else None
    window = next((w for w in workspace.state.windows() if w.window_id == check.window), None)
    if reference is None or window is None:
        return None
    before: Profile = {**reference.features, **reference.outputs}
    after = workspace.state.profile(check.window)
    if window.model_version not in (None, check.champion, f"v{check.champion}"):
        # The outputs on record are another model's: they say nothing about this one.
        after = {name: column for name, column in after.items() if not is_output(name)}
    ranked = sorted(check.tests, key=lambda test: (not test.alarm, -test.relative))
    column = next((t.name for t in ranked if t.name in before and t.name in after), None)
    return None if column is None else _histogram(column, check.window, before, after)


def _test(data: Data) -> Test:
    return Test(
        name=text(data, "name"),
        family=text(data, "family"),
        statistic=text(data, "statistic"),
        value=number(data, "value") or 0.0,
        p_value=number(data, "p_value") or 0.0,
        floor=number(data, "floor") or 0.0,
        alarm=data.get("alarm") is True,
        needed=whole(data, "needed"),
        reason=text(data, "reason"),
    )


def _histogram(column: str, window: str, before: Profile, after: Profile) -> Histogram | None:
    match before[column], after[column]:
        case NumberProfile() as old, NumberProfile() as new if old.present and new.present:
            edges = _edges(old, new)
            shares = [_number_shares(one, edges) for one in (old, new)]
            names = tuple(f"{edge:.3g}" for edge in edges[:-1])
        case CategoryProfile() as old, CategoryProfile() as new if old.present and new.present:
            names, shares = _category_shares(old, new)
        case _:
            return None
    return Histogram(
        column=column,
        window=window,
        bars=names,
        ordered=isinstance(before[column], NumberProfile),
        reference=shares[0],
        now=shares[1],
    )


def _edges(old: NumberProfile, new: NumberProfile) -> np.ndarray:
    """Equal intervals over all but the outermost hundredths of either side."""
    low = min(quantiles(one, 0.01) for one in (old, new))
    high = max(quantiles(one, 0.99) for one in (old, new))
    return np.linspace(low, high if high > low else low + 1, BARS + 1)


def _number_shares(profile: NumberProfile, edges: np.ndarray) -> tuple[float, ...]:
    """Values beyond the edges count in the outermost bars."""
    values = np.clip(bin_values(profile), edges[0], edges[-1])
    counts, _ = np.histogram(values, edges, weights=profile.counts)
    return tuple(float(count) / profile.present for count in counts)


def _category_shares(
    old: CategoryProfile, new: CategoryProfile
) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    names = {*old.counts, *new.counts}
    weight = {
        n: old.counts.get(n, 0) / old.present + new.counts.get(n, 0) / new.present for n in names
    }
    shown = sorted(sorted(names, key=lambda n: (-weight[n], n))[:BARS])
    shares = [tuple(one.counts.get(n, 0) / one.present for n in shown) for one in (old, new)]
    if len(names) > len(shown) or old.other or new.other:
        rest = [1 - sum(share) for share in shares]
        return (*shown, "others"), [(*s, max(r, 0.0)) for s, r in zip(shares, rest, strict=True)]
    return tuple(shown), shares
