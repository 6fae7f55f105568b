"""Cleaning one column: spellings of missing, canonical names, units, types, ranges.

Everything is done for a whole column at once; what does not fit is a `Fault`, a mask over rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from retrue.core.arrow import (
    Bools,
    Column,
    Floats,
    as_column,
    bools,
    call,
    cast_column,
    decoded,
    dictionary_column,
    dictionary_parts,
    floats,
    nulls,
    set_lookup,
    text_list,
)
from retrue.core.identity import texts

__all__ = ["TIME", "Fault", "FieldSpec", "FieldType", "clean_column", "is_true"]

FieldType: TypeAlias = Literal["number", "category", "text", "time", "boolean"]

TIME = pa.timestamp("us", tz="UTC")
_TRUE = {"true", "t", "yes", "y", "1"}
_FALSE = {"false", "f", "no", "n", "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """How one column is read."""

    type: FieldType
    missing: tuple[str | float, ...] = ("", "NA", "N/A", "nan", "null", "None")
    names: Mapping[str, str] | None = None  # spelling -> canonical name
    factor: float = 1.0  # number: multiplied
    minimum: float | None = None  # after the factor; below is a fault
    maximum: float | None = None
    required: bool = False  # null is a fault


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fault:
    """Rows of one column that do not fit."""

    rows: Bools  # (n,) True: does not fit
    reason: str  # column, expected, got; never the value itself, which may be personal


def clean_column(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    """One column cleaned.

    Args:
        name: For the reasons.
        column: n raw values of any type.
        spec: How to read them.

    Returns:
        n values: float64, dictionary-encoded text (category), text, `TIME` or bool; null is
        missing or did not fit. And the faults, none if all rows fit.

    >>> age = as_column(["7", "NA", "old"])
    >>> cleaned, faults = clean_column("age", age, FieldSpec(type="number"))
    >>> cleaned.to_pylist(), [(f.rows.tolist(), f.reason) for f in faults]
    ([7.0, None, None], [([False, False, True], 'age: expected a number, got text')])
    """
    readers = {
        "number": _number,
        "category": _category,
        "text": _text,
        "time": _time,
        "boolean": _boolean,
    }
    if pa.types.is_null(column.type):
        column = nulls(len(column), pa.string())
    cleaned, faults = readers[spec.type](name, column, spec)
    if spec.required and cleaned.null_count:
        missing = bools(cleaned.is_null())
        for fault in faults:
            missing &= ~fault.rows
        faults = [*faults, Fault(rows=missing, reason=f"{name}: required, got a missing value")]
    return cleaned, [fault for fault in faults if fault.rows.any()]


def is_true(column: Column) -> Bools:
    """Rows that say yes, in any spelling of a boolean: shape (n,)."""
    return bools(_boolean("", column, FieldSpec(type="boolean"))[0])


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _number(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    faults: list[Fault] = []
    if _is_number(column.type) or pa.types.is_boolean(column.type):
        values = floats(column)
    else:
        values, wrong = _parse_numbers(column, spec)
        faults.append(Fault(rows=wrong, reason=f"{name}: expected a number, got text"))
    for mark in _missing_numbers(spec):
        values = np.where(values == mark, np.nan, values)
    if spec.factor != 1.0:
        values = values * spec.factor
    faults += _outside(name, values, spec)
    if np.isfinite(values).all() and not any(fault.rows.any() for fault in faults):
        return as_column(values), faults
    faults.append(
        Fault(
            rows=np.isinf(values), reason=f"{name}: expected a finite number, got one without end"
        )
    )
    wrong = ~np.isfinite(values)
    for fault in faults:
        wrong |= fault.rows
    cleaned = call("if_else", as_column(wrong), pa.scalar(None, pa.float64()), as_column(values))
    return cleaned, faults


def _outside(name: str, values: Floats, spec: FieldSpec) -> list[Fault]:
    found: list[Fault] = []
    if spec.minimum is not None:
        reason = f"{name}: expected at least {spec.minimum:g}, got less"
        found.append(Fault(rows=values < spec.minimum, reason=reason))
    if spec.maximum is not None:
        reason = f"{name}: expected at most {spec.maximum:g}, got more"
        found.append(Fault(rows=values > spec.maximum, reason=reason))
    return found


def _missing_numbers(spec: FieldSpec) -> set[float]:
    found: set[float] = set()
    for mark in spec.missing:
        try:
            found.add(float(mark))
        except ValueError:  # a spelling such as "NA"
            continue
    return {mark for mark in found if math.isfinite(mark)}


def _parse_numbers(column: Column, spec: FieldSpec) -> tuple[Floats, Bools]:
    """Numbers out of text, NaN where missing or wrong; and where wrong."""
    trimmed = _without_missing(call("utf8_trim_whitespace", texts(column)), spec)
    try:
        return floats(cast_column(trimmed, pa.float64())), np.zeros(len(column), dtype=bool)
    except pa.ArrowInvalid:
        parsed = pd.to_numeric(pd.Series(text_list(trimmed), dtype=object), errors="coerce")
    values = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    return values, np.isnan(values) & bools(trimmed.is_valid())


def _without_missing(column: Column, spec: FieldSpec) -> Column:
    """Text with the spellings of missing turned into null."""
    marks = as_column([mark for mark in spec.missing if isinstance(mark, str)], pa.string())
    found = call("is_in", column, options=set_lookup(marks))
    return call("if_else", found, pa.scalar(None, pa.string()), column)


def _category(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    del name  # any value is a category
    if pa.types.is_nested(column.type):
        column = texts(column)
    values, indices = dictionary_parts(column)
    if _is_number(values.type):  # a mark such as -999 may be stored as a number
        marks = _missing_numbers(spec)
        gone = np.isin(floats(values), list(marks))
        values = call("if_else", as_column(gone), pa.scalar(None, values.type), values)
    trimmed = _without_missing(call("utf8_trim_whitespace", texts(values)), spec)
    names = spec.names or {}
    canonical = [None if v is None else names.get(v, v) or None for v in text_list(trimmed)]
    # Several spellings may now share a name, so the names are numbered anew.
    order = {name: place for place, name in enumerate(dict.fromkeys(filter(None, canonical)))}
    moved = as_column([None if v is None else order[v] for v in canonical], pa.int32())
    return dictionary_column(call("take", moved, indices), as_column(list(order), pa.string())), []


def _text(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    del name  # any value is a text
    found = texts(column)
    gone = _without_missing(call("utf8_trim_whitespace", found), spec).is_null()
    return call("if_else", gone, pa.scalar(None, pa.string()), found), []


def _boolean(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    column = decoded(column)
    if pa.types.is_boolean(column.type):
        return column, []
    trimmed = _without_missing(call("utf8_trim_whitespace", texts(column)), spec)
    values, indices = dictionary_parts(call("utf8_lower", trimmed))
    meaning = [v in _TRUE if v in _TRUE | _FALSE else None for v in text_list(values)]
    cleaned = call("take", as_column(meaning, pa.bool_()), indices)
    wrong = bools(cleaned.is_null()) & bools(trimmed.is_valid())
    return cleaned, [Fault(rows=wrong, reason=f"{name}: expected true or false, got other text")]


def _time(name: str, column: Column, spec: FieldSpec) -> tuple[Column, list[Fault]]:
    column = decoded(column)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return cast_column(column, TIME, safe=False), []
    if _is_number(column.type):  # seconds or milliseconds since when: not ours to guess
        reason = f"{name}: expected a time, got a number"
        return nulls(len(column), TIME), [Fault(rows=bools(column.is_valid()), reason=reason)]
    trimmed = _without_missing(call("utf8_trim_whitespace", texts(column)), spec)
    parsed = pd.to_datetime(
        pd.Series(text_list(trimmed), dtype=object), errors="coerce", utc=True, format="ISO8601"
    )
    micros = cast("npt.NDArray[np.datetime64]", parsed.to_numpy("datetime64[us]"))
    cleaned = cast_column(as_column(micros), TIME)
    wrong = bools(cleaned.is_null()) & bools(trimmed.is_valid())
    return cleaned, [Fault(rows=wrong, reason=f"{name}: expected an ISO 8601 time, got other text")]
