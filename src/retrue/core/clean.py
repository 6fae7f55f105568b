"""Raw rows in, clean samples out, a batch at a time; what does not fit is set aside with a reason.

A sample's id comes from its key column or from a hash of its raw values; cleaning rules never enter
it, so that a new spelling of "missing" does not turn known samples into new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrue.core.arrow import (
    Bools,
    Column,
    Floats,
    Integers,
    as_column,
    bools,
    call,
    column_of,
    floats,
    nulls,
    table_of,
    take_rows,
    take_values,
)
from retrue.core.columns import TIME, Fault, FieldSpec, clean_column, is_true
from retrue.core.identity import content_hashes, key_texts, texts
from retrue.errors import UnreadableObject
from retrue.records import ObjectRef, Quarantined

__all__ = [
    "OBJECT_CONTENT",
    "CleanBatch",
    "CleanRules",
    "RawRows",
    "clean_rows",
    "empty_batch",
    "infer_fields",
    "probability_columns",
    "table_format",
]

OBJECT_CONTENT = ""  # raw column with the hash or version of a sample that is a whole object
_SUM_TOLERANCE = 0.02  # probabilities are often stored with two or three decimals
_LEAVES_ROOT = r"(^|/)\.\.(/|$)|^/|\\|^[A-Za-z][A-Za-z0-9+.-]*:|[\x00-\x1f]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRules:
    """Which columns mean what, and how the declared fields are read. None: there is no such."""

    fields: Mapping[str, FieldSpec] | None  # None: not settled yet, see `infer_fields`
    key: str | None = None  # None: the id is a hash of the raw fields
    time: str | None = None
    group: str | None = None
    subject: str | None = None
    consent: str | None = None
    media: str | None = None
    media_root: str | None = None  # put before the media column's relative paths
    probabilities: str | None = None  # pattern of columns with one *
    model_version: str | None = None
    truth: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawRows:
    """n rows as stored, and where they were."""

    refs: tuple[ObjectRef, ...]
    at: Integers  # (n,) each row's object, an index into `refs`
    row: Integers  # (n,) record number in its object; -1: the object itself is the sample
    table: pa.Table  # n rows
    ids: Column | None = None  # (n,) text; None: from the rules
    media: Column | None = None  # (n,) full uris; None: from the rules


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanBatch:
    """n samples, columns side by side, in the order they were stored."""

    refs: tuple[ObjectRef, ...]
    at: Integers  # (n,) each sample's object, an index into `refs`
    row: Integers  # (n,) record number in its object; -1: the object itself is the sample
    sample_id: Column  # text, no nulls
    fields: pa.Table  # declared fields, cleaned; categories are dictionary-encoded
    raw: pa.Table  # the same as stored; `content_hashes` of it are the revisions
    time: Column  # timestamp[us, UTC]
    group: Column | None  # text
    subject: Column | None  # text
    media: Column | None  # full uris as text
    eligible: Bools  # (n,) consent, where it is configured
    first: Bools  # (n,) False: this id came before in the window
    classes: tuple[str, ...]  # columns of `probabilities`, in order of name
    probabilities: Floats | None  # (n, len(classes)), rows sum to about 1
    model_version: Column | None  # text
    truth: Column | None  # text
    quarantined: tuple[Quarantined, ...]  # what is not among the n

    def __len__(self) -> int:
        return len(self.sample_id)

    def take(self, indices: Integers) -> CleanBatch:
        """These samples in this order; nothing is quarantined."""
        return replace(_taken(self, indices), quarantined=())


def table_format(uri: str) -> Literal["parquet", "csv", "jsonl"] | None:
    """The table format a name ends in; None: not a table.

    >>> table_format("s3://b/x.CSV.gz"), table_format("cat.png")
    ('csv', None)
    """
    name = uri.lower()
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    name = name.removesuffix(".gz")
    if name.endswith(".csv"):
        return "csv"
    return "jsonl" if name.endswith((".jsonl", ".ndjson")) else None


def probability_columns(pattern: str, names: list[str]) -> dict[str, str]:
    """Class -> column, in order of class.

    >>> probability_columns("p_*", ["p_dog", "p_cat", "age"])
    {'cat': 'p_cat', 'dog': 'p_dog'}
    """
    before, _, after = pattern.partition("*")
    long = len(before) + len(after)
    found = {
        name[len(before) : len(name) - len(after)]: name
        for name in names
        if len(name) > long and name.startswith(before) and name.endswith(after)
    }
    return dict(sorted(found.items()))


def infer_fields(
    table: pa.Table, rules: CleanRules, *, text: str | None, parse: bool
) -> dict[str, FieldSpec]:
    """Every column that has no other role, read as the type it is stored in.

    Args:
        table: Some rows.
        rules: Roles of columns.
        text: The column that is text and not a category.
        parse: Whether text whose every value reads as a number is a number (CSV).
    """
    roles = {rules.key, rules.time, rules.group, rules.subject, rules.consent, rules.media}
    roles |= {rules.model_version, rules.truth, OBJECT_CONTENT}
    if rules.probabilities:
        roles |= set(probability_columns(rules.probabilities, table.column_names).values())
    names = [name for name in table.column_names if name not in roles]
    return {
        name: FieldSpec(type="text")
        if name == text
        else _inferred(column_of(table, name), parse=parse)
        for name in names
    }


def clean_rows(raw: RawRows, rules: CleanRules) -> CleanBatch:
    """Apply the rules to one batch.

    Args:
        raw: n rows.
        rules: With `fields` settled.

    Returns:
        The rows that fit. `first` is still True everywhere: duplicates are the window's business.

    Raises:
        UnreadableObject: A column the rules cannot do without is absent.
        ValueError: `rules.fields` is None.
    """
    if rules.fields is None:
        raise ValueError("fields: expected rules with settled fields, got None")
    table, n = raw.table, raw.table.num_rows
    faults: list[Fault] = []
    ids = _ids(raw, rules, faults)
    fields: dict[str, Column] = {}
    for name, spec in rules.fields.items():
        fields[name] = _cleaned(table, name, spec, faults)
    media = _media(raw, rules, faults)
    classes, probabilities = _probabilities(raw, rules, faults)
    time = _cleaned(table, rules.time, FieldSpec(type="time"), faults) if rules.time else None
    declared = [name for name in table.column_names if name in rules.fields or not name]
    batch = CleanBatch(
        refs=raw.refs,
        at=raw.at,
        row=raw.row,
        sample_id=as_column([""] * n, pa.string()) if ids is None else ids,
        fields=table_of(fields),
        raw=table.select(declared),
        time=nulls(n, TIME) if time is None else time,
        group=_text(table, rules.group),
        subject=_text(table, rules.subject),
        media=media,
        eligible=_eligible(table, rules.consent),
        first=np.ones(n, dtype=bool),
        classes=classes,
        probabilities=probabilities,
        model_version=_text(table, rules.model_version),
        truth=_text(table, rules.truth),
        quarantined=(),
    )
    good, quarantined = _judge(raw, faults)
    kept = batch if good.all() else _taken(batch, np.flatnonzero(good))
    if ids is None:
        kept = replace(kept, sample_id=as_column(content_hashes(kept.raw), pa.string()))
    return replace(kept, quarantined=quarantined)


def empty_batch(refs: tuple[ObjectRef, ...], quarantined: tuple[Quarantined, ...]) -> CleanBatch:
    """No samples at all, and why."""
    nothing = np.empty(0, dtype=np.int64)
    raw = RawRows(refs=refs, at=nothing, row=nothing, table=pa.table({}), ids=nulls(0, pa.string()))
    return replace(clean_rows(raw, CleanRules(fields={})), quarantined=quarantined)


def _inferred(column: Column, *, parse: bool) -> FieldSpec:
    values = column.type
    if pa.types.is_boolean(values):
        return FieldSpec(type="boolean")
    if pa.types.is_temporal(values):
        return FieldSpec(type="time")
    if pa.types.is_integer(values) or pa.types.is_floating(values) or pa.types.is_decimal(values):
        return FieldSpec(type="number")
    if parse and column.null_count < len(column):
        cleaned, faults = clean_column("", column, FieldSpec(type="number"))
        if not faults and cleaned.null_count < len(cleaned):
            return FieldSpec(type="number")
    return FieldSpec(type="category")


def _cleaned(table: pa.Table, name: str, spec: FieldSpec, faults: list[Fault]) -> Column:
    present = name in table.column_names
    column = column_of(table, name) if present else nulls(table.num_rows, pa.string())
    cleaned, found = clean_column(name, column, spec)
    faults.extend(found)
    return cleaned


def _text(table: pa.Table, name: str | None) -> Column | None:
    if name is None:
        return None
    present = name in table.column_names
    return texts(column_of(table, name)) if present else nulls(table.num_rows, pa.string())


def _eligible(table: pa.Table, consent: str | None) -> Bools:
    """Nobody's row is used by a forgotten column: without the column nobody said yes."""
    if consent is None:
        return np.ones(table.num_rows, dtype=bool)
    if consent not in table.column_names:
        return np.zeros(table.num_rows, dtype=bool)
    return is_true(column_of(table, consent))


def _needed(raw: RawRows, name: str, what: str) -> Column:
    if name not in raw.table.column_names:
        uri = raw.refs[0].uri if raw.refs else "(no object)"
        got = ", ".join(raw.table.column_names)
        raise UnreadableObject(f"{uri}: expected a column {name!r} ({what}), got columns {got}")
    return column_of(raw.table, name)


def _ids(raw: RawRows, rules: CleanRules, faults: list[Fault]) -> Column | None:
    """Ids by key; None where they are hashes of the rows that fit."""
    if raw.ids is not None:
        return raw.ids
    if rules.key is None:
        return None
    ids = key_texts(_needed(raw, rules.key, "key"))
    faults.append(Fault(rows=bools(ids.is_null()), reason=f"{rules.key}: expected a key, got none"))
    return ids


def _media(raw: RawRows, rules: CleanRules, faults: list[Fault]) -> Column | None:
    """Full uris; a path that is not plainly below the root is a fault."""
    if raw.media is not None or rules.media is None:
        return raw.media
    root = (rules.media_root or "").rstrip("/") + "/"
    paths = key_texts(_needed(raw, rules.media, "media"))
    faults.append(Fault(rows=bools(paths.is_null()), reason=f"{rules.media}: expected a path"))
    inside = call("starts_with", paths, options=pc.MatchSubstringOptions(root))
    tail = call("utf8_slice_codeunits", paths, options=pc.SliceOptions(len(root)))
    below = call("if_else", inside, tail, paths) if root != "/" else paths
    leaves = bools(
        call("match_substring_regex", below, options=pc.MatchSubstringOptions(_LEAVES_ROOT))
    )
    faults.append(Fault(rows=leaves, reason=f"{rules.media}: expected a path below {root}"))
    return call("binary_join_element_wise", root, below, "")


def _probabilities(
    raw: RawRows, rules: CleanRules, faults: list[Fault]
) -> tuple[tuple[str, ...], Floats | None]:
    if rules.probabilities is None:
        return (), None
    found = probability_columns(rules.probabilities, raw.table.column_names)
    if not found:
        _needed(raw, rules.probabilities, "probabilities")
    number = FieldSpec(type="number")
    columns = [floats(_cleaned(raw.table, name, number, faults)) for name in found.values()]
    matrix = np.stack(columns).T  # columns lie together: reductions over classes are fast
    what = f"{rules.probabilities}: expected probabilities"
    # `not within` and not `outside`: a missing value is NaN and fails both ways.
    within: Bools = np.all((matrix >= 0) & (matrix <= 1), axis=1)
    faults.append(Fault(rows=np.logical_not(within), reason=f"{what} in 0..1"))
    summed: Bools = np.isclose(matrix.sum(axis=1), 1, rtol=0, atol=_SUM_TOLERANCE)
    faults.append(Fault(rows=np.logical_and(within, ~summed), reason=f"{what} that sum to 1"))
    return tuple(found), matrix


def _judge(raw: RawRows, faults: list[Fault]) -> tuple[Bools, tuple[Quarantined, ...]]:
    """Which rows fit, and the first reason of each that does not."""
    why = np.full(raw.table.num_rows, -1)
    for place, fault in enumerate(faults):
        why[fault.rows & (why < 0)] = place
    quarantined = tuple(
        _quarantined(raw, place, faults[int(why[place])].reason)
        for place in map(int, np.flatnonzero(why >= 0))
    )
    return why < 0, quarantined


def _quarantined(raw: RawRows, place: int, reason: str) -> Quarantined:
    ref, row = raw.refs[int(raw.at[place])], int(raw.row[place])
    return Quarantined(
        uri=ref.uri, version=ref.version, row=row if row >= 0 else None, reason=reason
    )


def _taken(batch: CleanBatch, indices: Integers) -> CleanBatch:
    def optional(column: Column | None) -> Column | None:
        return None if column is None else take_values(column, indices)

    matrix = batch.probabilities
    return replace(
        batch,
        at=batch.at[indices],
        row=batch.row[indices],
        sample_id=take_values(batch.sample_id, indices),
        fields=take_rows(batch.fields, indices),
        raw=take_rows(batch.raw, indices),
        time=take_values(batch.time, indices),
        group=optional(batch.group),
        subject=optional(batch.subject),
        media=optional(batch.media),
        eligible=batch.eligible[indices],
        first=batch.first[indices],
        probabilities=None if matrix is None else matrix[indices],
        model_version=optional(batch.model_version),
        truth=optional(batch.truth),
    )
