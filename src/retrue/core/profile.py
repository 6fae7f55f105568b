"""What one window of rows looks like, column by column: mergeable, deterministic, small.

Numbers fall into universal bins (no reference is needed to make them): the distance from a frozen
centre as float32, cut to its top 16 bits, which is sign, exponent and 7 bits of mantissa. A bin is
thus at most 1/128 of its distance from the centre wide. Categories are counted exactly while there
are few; the rest are counted in cells chosen by a hash of the name and never by how frequent a name
was, because cells picked by looking at the counts make a window without drift look drifted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

__all__ = [
    "CELLS",
    "EXACT_CATEGORIES",
    "TOP_CATEGORIES",
    "CategoryProfile",
    "NumberProfile",
    "Profile",
    "bin_values",
    "cell_of",
    "finalise",
    "from_json",
    "histogram",
    "merge_profiles",
    "n_rows",
    "profile_categories",
    "profile_numbers",
    "psi_deciles",
    "quantiles",
    "share_below",
    "to_json",
]

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Category = TypeVar("Category", bound=str | None)  # a Mapping's keys are invariant

EXACT_CATEGORIES = 10_000  # names counted one by one while chunks are still being added
TOP_CATEGORIES = 256  # names kept in a finished profile
CELLS = 64  # hash cells for the names not kept

_BINS = 1 << 16
_ZERO = 1 << 15  # bin of values equal to the centre; bins rise with the value
_INFINITE = 0x7F80  # top 16 bits of float32 infinity; anything above it is NaN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberProfile:
    """Counts of one column's numbers in universal bins."""

    center: float  # finite, frozen per column; profiles of different centres do not merge
    missing: int  # rows without a value (NaN)
    bins: Integers  # bin numbers that hold a value, rising, 0..65535
    counts: Integers  # rows per bin, >= 1, same shape as `bins`

    @property
    def present(self) -> int:
        """Rows with a value, infinities included."""
        return int(self.counts.sum())

    @property
    def rows(self) -> int:
        """All rows, missing ones included."""
        return self.present + self.missing

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, NumberProfile)
            and (self.center, self.missing) == (other.center, other.missing)
            and np.array_equal(self.bins, other.bins)
            and np.array_equal(self.counts, other.counts)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryProfile:
    """Counts of one column's categories."""

    missing: int  # rows without a value
    counts: Mapping[str, int]  # rows per named category, most frequent first, then by name
    cells: tuple[int, ...] = field(default=())  # rows of unnamed ones per hash cell; () if none

    @property
    def other(self) -> int:
        """Rows whose category is not named in `counts`."""
        return sum(self.cells)

    @property
    def present(self) -> int:
        """Rows with a value, named or not."""
        return sum(self.counts.values()) + self.other

    @property
    def rows(self) -> int:
        """All rows, missing ones included."""
        return self.present + self.missing


Profile: TypeAlias = Mapping[str, NumberProfile | CategoryProfile]


def profile_numbers(values: npt.ArrayLike, *, center: float) -> NumberProfile:
    """Bin one column's numbers.

    Args:
        values: Real numbers or booleans, shape (n,). NaN is missing, infinities are values.
        center: Where precision is finest, finite. A typical *observed* value (the median of the
            first chunk ever seen) is best: values equal to it get a bin of their own.

    Returns:
        The profile; the order of `values` leaves no trace in it.

    Raises:
        ValueError: `center` is not finite.

    >>> p = profile_numbers([3.0, 5.0, 5.0, float("nan")], center=3.0)
    >>> p.missing, p.counts.tolist(), bin_values(p).tolist()
    (1, [1, 2], [3.0, 5.0])
    """
    if not np.isfinite(center):
        msg = f"center: expected a finite number, got {center}"
        raise ValueError(msg)
    with np.errstate(over="ignore"):  # beyond float32 is infinite for our purpose
        # float64 first: the same number must get the same bin whatever type carried it.
        distance = np.subtract(np.asarray(values), center, dtype=np.float64).astype("<f4")
    top = np.bincount(distance.view("<u2")[1::2], minlength=_BINS)
    below, above = top[_ZERO:], top[:_ZERO]
    missing = int(above[_INFINITE + 1 :].sum() + below[_INFINITE + 1 :].sum())
    dense = np.concatenate([below[_INFINITE::-1], above[: _INFINITE + 1]])
    first = _ZERO - 1 - _INFINITE
    dense[_INFINITE + 1] += dense[_INFINITE]  # -0.0 is 0.0
    dense[_INFINITE] = 0
    used = np.flatnonzero(dense)
    return NumberProfile(
        center=float(center), missing=missing, bins=used + first, counts=dense[used]
    )


def profile_categories(counts: Mapping[Category, int]) -> CategoryProfile:
    """Profile one column from its value counts.

    Args:
        counts: Rows per value; `None` is missing. Zero counts are dropped.

    Returns:
        Every name while there are at most `EXACT_CATEGORIES`, else the most frequent ones.

    >>> profile_categories({"cat": 2, "dog": 5, None: 1})
    CategoryProfile(missing=1, counts={'dog': 5, 'cat': 2}, cells=())
    """
    named = {name: int(rows) for name, rows in counts.items() if name is not None and rows}
    missing = sum(int(rows) for name, rows in counts.items() if name is None)
    return _categories(missing, named, (), keep=EXACT_CATEGORIES)


def finalise(profile: Profile) -> dict[str, NumberProfile | CategoryProfile]:
    """Trim every category column to its `TOP_CATEGORIES` names, once no more chunks come.

    >>> many = profile_categories({f"id-{i}": 1 for i in range(1000)})
    >>> trimmed = finalise({"id": many})["id"]
    >>> len(trimmed.counts), trimmed.other, trimmed.rows
    (256, 744, 1000)
    """
    return {
        name: column
        if isinstance(column, NumberProfile)
        else _categories(column.missing, column.counts, column.cells, keep=TOP_CATEGORIES)
        for name, column in profile.items()
    }


def merge_profiles(a: Profile, b: Profile) -> dict[str, NumberProfile | CategoryProfile]:
    """Profile of the rows of `a` and `b` together; a column in only one of them is kept as it is.

    Merging in any order gives the same profile (as long as a column has at most
    `EXACT_CATEGORIES` names; beyond that the hash cells agree, the names kept may not).

    Raises:
        ValueError: A column is a number in one and a category in the other, or centres differ.
    """
    return {
        name: _merge_column(name, a[name], b[name]) if name in a and name in b else column
        for name, column in {**a, **b}.items()
    }


def n_rows(profile: Profile) -> int:
    """Rows in the window: the most that any column has, 0 without columns."""
    return max((column.rows for column in profile.values()), default=0)


def bin_values(profile: NumberProfile) -> Floats:
    """One value per used bin, rising, shape of `profile.bins`.

    The bin's edge nearest the centre: exact for values whose distance from the centre has at most
    8 significant bits (small whole numbers), else off by less than 1/128 of that distance.
    """
    negative = profile.bins < _ZERO
    top = np.where(negative, _ZERO - 1 - profile.bins, profile.bins - _ZERO)
    distance = (top.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return profile.center + np.where(negative, -distance, distance)


def quantiles(profile: NumberProfile, q: npt.ArrayLike) -> Floats:
    """Values below or at which shares `q` of the present rows lie, NaN when no row has a value.

    Args:
        profile: The column.
        q: Shares, 0..1, any shape.

    Returns:
        Shape of `q`, at the precision of `bin_values`.

    >>> quantiles(profile_numbers([1, 2, 3, 4], center=2), [0.0, 0.5, 1.0]).tolist()
    [1.0, 2.0, 4.0]
    """
    shares = np.asarray(q, dtype=np.float64)
    if not profile.present:
        return np.full(shares.shape, np.nan)
    # A rank is a whole number: rounding error in share * n must not push it one row further.
    ranks = np.clip(np.ceil(shares * profile.present - 1e-9), 1, profile.present)
    found = np.searchsorted(np.cumsum(profile.counts), ranks)
    return bin_values(profile)[found]


def share_below(profile: NumberProfile, value: float) -> float:
    """Share of present rows in bins that lie wholly below `value`, 0..1; NaN without values.

    >>> share_below(profile_numbers([1, 2, 3, 4], center=2), 3)
    0.5
    """
    if not profile.present:
        return float("nan")
    at = profile_numbers([value], center=profile.center).bins
    return float(profile.counts[profile.bins < at].sum() / profile.present)


def histogram(profile: NumberProfile, edges: npt.ArrayLike) -> Integers:
    """Rows per interval [edge, next edge), the last one closed; rows outside are left out.

    Args:
        profile: The column.
        edges: Rising, shape (k + 1,).

    Returns:
        Shape (k,).
    """
    found, _ = np.histogram(bin_values(profile), np.asarray(edges), weights=profile.counts)
    return found.astype(np.int64)


def psi_deciles(reference: NumberProfile, window: NumberProfile) -> float:
    """Population stability index on the reference's deciles, less its mean without drift.

    For display only: without drift the plain index averages (B - 1)(1/n + 1/m), so it is
    subtracted and the result scatters around 0 (Yurdakul and Naranjo 2020).

    Returns:
        The index; NaN when a side has no values. 0.1 and 0.25 are the customary marks.
    """
    if not (reference.present and window.present):
        return float("nan")
    inner = np.unique(quantiles(reference, np.arange(1, 10) / 10))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    old, new = (_smooth_shares(column, edges) for column in (reference, window))
    plain = float(np.sum((new - old) * np.log(new / old)))
    return plain - (len(edges) - 2) * (1 / reference.present + 1 / window.present)


def to_json(profile: Profile) -> dict[str, dict[str, object]]:
    """The profile as plain JSON values; `from_json` gives it back exactly.

    >>> from_json(to_json({"x": profile_categories({"a": 2})}))
    {'x': CategoryProfile(missing=0, counts={'a': 2}, cells=())}
    """
    return {
        name: {
            "center": column.center,
            "missing": column.missing,
            "bins": column.bins.tolist(),
            "counts": column.counts.tolist(),
        }
        if isinstance(column, NumberProfile)
        else {
            "missing": column.missing,
            "categories": dict(column.counts),
            "cells": list(column.cells),
        }
        for name, column in profile.items()
    }


def from_json(
    data: Mapping[str, Mapping[str, object]],
) -> dict[str, NumberProfile | CategoryProfile]:
    """Read what `to_json` wrote.

    Raises:
        KeyError: A column lacks a field.
    """
    return {
        name: NumberProfile(
            center=cast("float", column["center"]),  # our own format, written by `to_json`
            missing=cast("int", column["missing"]),
            bins=np.array(column["bins"], dtype=np.int64),
            counts=np.array(column["counts"], dtype=np.int64),
        )
        if "center" in column
        else CategoryProfile(
            missing=cast("int", column["missing"]),
            # Sorted again: JSON files are often written with their keys in alphabetical order.
            counts=_ranked(cast("Mapping[str, int]", column["categories"])),
            cells=tuple(cast("list[int]", column["cells"])),
        )
        for name, column in data.items()
    }


def cell_of(name: str) -> int:
    """The hash cell of a category, 0..CELLS-1, the same on every machine.

    >>> cell_of("cat") == cell_of("cat")
    True
    """
    return zlib.crc32(name.encode()) % CELLS


def _ranked(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _categories(
    missing: int, counts: Mapping[str, int], cells: Iterable[int], *, keep: int
) -> CategoryProfile:
    """Keep the `keep` most frequent names and count the others in their cells."""
    ranked = list(_ranked(counts).items())
    cells = list(cells)
    if len(ranked) > keep:
        cells = cells or [0] * CELLS
        for name, rows in ranked[keep:]:
            cells[cell_of(name)] += rows
    return CategoryProfile(missing=missing, counts=dict(ranked[:keep]), cells=tuple(cells))


def _merge_column(
    name: str, a: NumberProfile | CategoryProfile, b: NumberProfile | CategoryProfile
) -> NumberProfile | CategoryProfile:
    match a, b:
        case NumberProfile(), NumberProfile():
            if a.center != b.center:
                msg = f"{name}: expected profiles of one center, got {a.center} and {b.center}"
                raise ValueError(msg)
            bins, place = np.unique(np.concatenate([a.bins, b.bins]), return_inverse=True)
            counts = np.zeros(len(bins), dtype=np.int64)
            np.add.at(counts, place, np.concatenate([a.counts, b.counts]))
            return NumberProfile(
                center=a.center, missing=a.missing + b.missing, bins=bins, counts=counts
            )
        case CategoryProfile(), CategoryProfile():
            counts = dict(a.counts)
            for category, rows in b.counts.items():
                counts[category] = counts.get(category, 0) + rows
            cells = (
                [sum(pair) for pair in zip(a.cells, b.cells, strict=True)]
                if (a.cells and b.cells)
                else (a.cells or b.cells)
            )
            return _categories(a.missing + b.missing, counts, cells, keep=EXACT_CATEGORIES)
        case _:
            msg = f"{name}: a number in one profile and a category in the other"
            raise ValueError(msg)


def _smooth_shares(profile: NumberProfile, edges: Floats) -> Floats:
    """Share of rows per interval; half a row is added to each so that no share is zero."""
    # The left bins are open at -inf and closed at the decile, as `quantiles` counts them.
    place = np.searchsorted(edges[1:-1], bin_values(profile), side="left")
    rows = np.bincount(place, weights=profile.counts, minlength=len(edges) - 1) + 0.5
    return rows / rows.sum()
