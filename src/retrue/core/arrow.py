"""The one door to pyarrow's columns and kernels, typed: its stubs leave most half unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "Bools",
    "Column",
    "Floats",
    "Integers",
    "as_column",
    "bools",
    "call",
    "cast_column",
    "column_of",
    "decoded",
    "dictionary_column",
    "dictionary_parts",
    "floats",
    "nulls",
    "set_lookup",
    "table_of",
    "take_rows",
    "take_values",
    "text_bytes",
    "text_list",
    "time_span",
]

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


class Column(Protocol):
    """A `pyarrow.Array` of any type, as far as we use it."""

    @property
    def type(self) -> pa.DataType:
        """The type of its values."""
        ...

    @property
    def null_count(self) -> int:
        """How many are null."""
        ...

    def __len__(self) -> int: ...

    def is_valid(self) -> Column:
        """True where there is a value."""
        ...

    def is_null(self) -> Column:
        """True where there is none; NaN is a value."""
        ...

    def to_pylist(self) -> list[object]:
        """Python values, None for null."""
        ...

    def to_numpy(self, *, zero_copy_only: bool) -> npt.NDArray[np.generic]:
        """As numpy, in numpy's own idea of null."""
        ...


class _Arrow(Protocol):
    def array(self, values: object, type: pa.DataType | None = None) -> Column: ...  # noqa: A002
    def nulls(self, n: int, kind: pa.DataType) -> Column: ...
    def scalar(self, value: object) -> object: ...
    def table(self, columns: Mapping[str, Column]) -> pa.Table: ...


class _Kernels(Protocol):
    def call_function(
        self, name: str, args: Sequence[object], options: pc.FunctionOptions | None
    ) -> Column: ...
    def take(self, values: Column, indices: Column) -> Column: ...
    def cast(self, column: Column, kind: pa.DataType, *, safe: bool) -> Column: ...


# The modules themselves, seen as the few typed functions above.
_arrow = cast("_Arrow", pa)
_kernels = cast("_Kernels", pc)


def call(name: str, *args: object, options: pc.FunctionOptions | None = None) -> Column:
    """Apply a kernel by name; plain Python values become scalars.

    >>> call("add", as_column([1, 2]), 1).to_pylist()
    [2, 3]
    """
    ready: list[object] = [
        arg if isinstance(arg, pa.Array | pa.Scalar) else _arrow.scalar(arg) for arg in args
    ]
    return _kernels.call_function(name, ready, options)


def as_column(values: object, kind: pa.DataType | None = None) -> Column:
    """A column of Python values or a numpy array."""
    return _arrow.array(values, kind)


def nulls(n: int, kind: pa.DataType) -> Column:
    """A column of n nulls."""
    return _arrow.nulls(n, kind)


def cast_column(column: Column, kind: pa.DataType, *, safe: bool = True) -> Column:
    """The same values in another type.

    Raises:
        pyarrow.ArrowInvalid: A value does not fit (`safe`), or text does not read as one.
    """
    return _kernels.cast(column, kind, safe=safe)


def column_of(rows: pa.Table | pa.RecordBatch, name: str) -> Column:
    """A table's column as one array."""
    if isinstance(rows, pa.Table):
        chunks = rows.column(name)
        return cast(
            "Column", chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        )
    return cast("Column", rows.column(name))


def table_of(columns: Mapping[str, Column]) -> pa.Table:
    """Columns side by side, all of one length."""
    return _arrow.table(columns)


def take_values(column: Column, indices: Integers) -> Column:
    """The values at these places; any place may come twice."""
    return _kernels.take(column, as_column(indices))


def take_rows(table: pa.Table, indices: Integers) -> pa.Table:
    """The rows at these places; a table without columns is left as it is."""
    if not table.num_columns:
        return table
    return cast("_Rows", table).take(as_column(indices))


def decoded(column: Column) -> Column:
    """Values in place of dictionary indices."""
    if not pa.types.is_dictionary(column.type):
        return column
    values, indices = dictionary_parts(column)
    return _kernels.take(values, indices)


def dictionary_parts(column: Column) -> tuple[Column, Column]:
    """Distinct values of a column, and each row's index among them (null stays null).

    >>> [part.to_pylist() for part in dictionary_parts(as_column(["a", "b", None, "a"]))]
    [['a', 'b'], [0, 1, None, 0]]
    """
    encoded = column if pa.types.is_dictionary(column.type) else call("dictionary_encode", column)
    both = cast("_Dictionary", encoded)
    return both.dictionary, both.indices


def dictionary_column(indices: Column, values: Column) -> Column:
    """The column that `dictionary_parts` takes apart."""
    return cast("_FromArrays", pa.DictionaryArray).from_arrays(indices, values)


def set_lookup(values: Column) -> pc.FunctionOptions:
    """Options of the kernel `is_in`."""
    return cast("_SetLookup", pc.SetLookupOptions)(value_set=values)


def time_span(column: Column, known: Sequence[datetime] = ()) -> list[datetime]:
    """First and last of a time column's values and of some known ones; [] without any."""
    ends = cast("_Ends", call("min_max", column)).as_py()
    times = [*known, *(time for time in ends.values() if time is not None)]
    return [min(times), max(times)] if times else []


class _Ends(Protocol):
    def as_py(self) -> dict[str, datetime | None]: ...


class _Rows(Protocol):
    def take(self, indices: Column) -> pa.Table: ...


class _FromArrays(Protocol):
    def from_arrays(self, indices: Column, values: Column) -> Column: ...


class _SetLookup(Protocol):
    def __call__(self, *, value_set: Column) -> pc.FunctionOptions: ...


def text_bytes(column: Column) -> tuple[npt.NDArray[np.uint8], Integers]:
    """UTF-8 bytes of a text column one after the other, and n + 1 offsets of where texts begin."""
    _, offsets, data = cast("_Buffers", column).buffers()
    begin = cast("_Buffers", column).offset
    places = np.frombuffer(offsets, dtype=np.int32)[begin : begin + len(column) + 1]
    return np.frombuffer(data or b"", dtype=np.uint8), places.astype(np.int64)


class _Buffers(Protocol):
    @property
    def offset(self) -> int: ...
    def buffers(self) -> tuple[bytes, bytes, bytes | None]: ...


class _Dictionary(Protocol):
    @property
    def dictionary(self) -> Column: ...
    @property
    def indices(self) -> Column: ...


def bools(column: Column) -> Bools:
    """A boolean column as numpy, null is False: shape (n,)."""
    return cast("Bools", call("coalesce", column, False).to_numpy(zero_copy_only=False))


def floats(column: Column) -> Floats:
    """A number column as float64, null is NaN: shape (n,)."""
    wide = cast_column(column, pa.float64(), safe=False)
    return cast("Floats", wide.to_numpy(zero_copy_only=False))


def text_list(column: Column) -> list[str | None]:
    """A text column as Python values."""
    return cast("list[str | None]", column.to_pylist())
