"""Flat dataclasses as Arrow tables: the columns are the fields, in their order.

`str`, `int`, `float`, `bool`, aware `datetime` (UTC, microseconds), `Literal` of text, and each of
them `| None`. Nothing is guessed from values, so an empty table has the same schema as a full one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as type_hints

import pyarrow as pa

__all__ = ["Record", "from_table", "schema_of", "to_table"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


RecordT = TypeVar("RecordT", bound=Record)

_ARROW: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    type: object  # a key of _ARROW
    nullable: bool
    allowed: frozenset[str] | None  # of a Literal; None: any value of the type


@cache
def _columns(record: type[Record]) -> tuple[_Column, ...]:
    hints = type_hints(record)
    return tuple(_column(field.name, hints[field.name]) for field in fields(record))


def _column(name: str, hint: object) -> _Column:
    nullable = get_origin(hint) in (Union, UnionType) and type(None) in get_args(hint)
    if nullable:
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        allowed = frozenset(cast("tuple[str, ...]", get_args(hint)))
        return _Column(name=name, type=str, nullable=nullable, allowed=allowed)
    if hint not in _ARROW:
        raise ValueError(f"{name}: expected str, int, float, bool, datetime or Literal, got {hint}")
    return _Column(name=name, type=hint, nullable=nullable, allowed=None)


def schema_of(record: type[Record]) -> pa.Schema:
    """The Arrow schema of a dataclass.

    Raises:
        ValueError: A field is of a type that has no column type here.

    >>> from retrue.records import Verdict
    >>> schema_of(Verdict).field("label").nullable, schema_of(Verdict).field("status").nullable
    (True, False)
    """
    return pa.schema(
        [
            pa.field(column.name, _ARROW[column.type], nullable=column.nullable)
            for column in _columns(record)
        ]
    )


def to_table(record: type[RecordT], rows: Sequence[RecordT]) -> pa.Table:
    """The rows as a table of `schema_of(record)`, in their order.

    Raises:
        ValueError: A value is of another type than its field, None where the field has no None,
            or a time without a zone; the message names the column.
    """
    values: dict[str, list[object]] = {}
    for column in _columns(record):
        values[column.name] = [cast("object", getattr(row, column.name)) for row in rows]
        _check(column, values[column.name])
    try:
        return pa.Table.from_pydict(values, schema=schema_of(record))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{record.__name__}: {error}") from error


def from_table(record: type[RecordT], table: pa.Table) -> list[RecordT]:
    """The rows of a table that `to_table` made.

    Raises:
        ValueError: The table has other columns or types, or a value its field does not allow.
    """
    expected = schema_of(record)
    if not table.schema.equals(expected):
        raise ValueError(
            f"expected the columns of {record.__name__} ({_shown(expected)}), "
            f"got {_shown(table.schema)}"
        )
    names = [column.name for column in _columns(record)]
    values = [_values(column, table) for column in _columns(record)]
    return [record(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def _shown(schema: pa.Schema) -> str:
    return ", ".join(f"{name} {of}" for name, of in zip(schema.names, schema.types, strict=True))


def _values(column: _Column, table: pa.Table) -> list[object]:
    stored = table.column(column.name)
    if pa.types.is_timestamp(stored.type):
        # Arrow's own conversion loads pandas first, which alone takes longer than `status` may.
        ticks = stored.cast(pa.int64()).to_pylist()
        values: list[object] = [_time(tick) for tick in ticks]
    else:
        values = cast("list[object]", stored.to_pylist())
    _check(column, values)
    return values


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def _check(column: _Column, values: Iterable[object]) -> None:
    for value in values:
        if value is None:
            if not column.nullable:
                raise ValueError(f"{column.name}: expected a value in every row, got None")
        elif column.allowed is not None and value not in column.allowed:
            raise ValueError(
                f"{column.name}: expected one of {sorted(column.allowed)}, got {value!r}"
            )
        elif isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{column.name}: expected a time with a zone, got {value}")
