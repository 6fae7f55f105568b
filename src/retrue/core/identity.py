"""Who a row is: 128-bit hashes over its raw values, before any cleaning.

A row's message is made of its non-null cells in order of column name, each as name, type tag and
value that say where they end, so that no two different rows share one. Numbers are tagged as
numbers whatever carried them: 1 and 1.0 are one value (a table library that meets a gap turns whole
numbers into floats), the text "1" is another. An absent column and a null are the same.
"""

from __future__ import annotations

import hashlib
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retrue.core.arrow import (
    Column,
    as_column,
    call,
    cast_column,
    column_of,
    decoded,
    floats,
    text_bytes,
)
from retrue.records import Json, canonical_json

__all__ = ["content_hashes", "key_texts", "texts", "word_hashes"]

_EXACT = 1 << 53  # whole numbers up to here are exact as float64


def content_hashes(raw: pa.Table) -> list[str]:
    """BLAKE2b-128 of every row.

    Args:
        raw: The declared fields as they were stored, n rows.

    Returns:
        n times 32 hexadecimal digits; equal exactly when the rows' values are.

    >>> a, b = content_hashes(pa.table({"x": [1, 2], "y": ["u", None]}))
    >>> content_hashes(pa.table({"y": ["u"], "x": [1.0]})) == [a], a == b
    (True, False)
    """
    cells = [_cells(name, column_of(raw, name)) for name in sorted(raw.column_names)]
    if cells:
        messages = cast("list[str]", call("binary_join_element_wise", *cells, "").to_pylist())
    else:
        messages = [""] * raw.num_rows
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in messages]


def word_hashes(ids: Column) -> npt.NDArray[np.uint64]:
    """A 64-bit hash per text, shape (n,), for finding duplicates; nulls are not expected.

    Among n different texts, two share a hash with probability about n * n / 3.7e19.
    """
    data, offsets = text_bytes(ids)
    lengths = offsets[1:] - offsets[:-1]
    padded = np.concatenate([data, np.zeros(8, dtype=np.uint8)])
    # Every 8 bytes of the data as one number, wherever they begin.
    words = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))
    hashes = _mix(lengths.astype(np.uint64))
    rows, at = np.arange(len(lengths)), offsets[:-1]
    while len(rows := rows[(left := lengths[rows] - (at[rows] - offsets[rows])) > 0]):
        left = left[left > 0]
        unused = np.uint64(8) * np.maximum(8 - left, 0).astype(np.uint64)
        word = words[at[rows]] << unused
        hashes[rows] = _mix(hashes[rows] ^ word)
        at = at + 8
    return hashes


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every bit over all 64 (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def key_texts(column: Column) -> Column:
    """A key column as text; null and "" are null. A whole number is written without a point.

    >>> key_texts(as_column([7.0, None])).to_pylist()
    ['7', None]
    """
    found = texts(column)
    return call("if_else", call("equal", found, ""), pa.scalar(None, pa.string()), found)


def texts(column: Column) -> Column:
    """Any column as text: JSON for lists and objects, hexadecimal digits for bytes.

    >>> texts(as_column([[1, 2]])).to_pylist()
    ['[1,2]']
    """
    column = decoded(column)
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_nested(kind):
        cells = cast("list[Json]", column.to_pylist())
        return as_column(
            [None if cell is None else canonical_json(cell) for cell in cells], pa.string()
        )
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        blobs = cast("list[bytes | None]", column.to_pylist())
        return as_column([None if blob is None else blob.hex() for blob in blobs], pa.string())
    return cast_column(column, pa.string())


def _cells(name: str, column: Column) -> Column:
    """Name, tag and value of every cell as text that says where it ends; "" for null."""
    column = decoded(column)
    kind, head = column.type, f"{len(name)}:{name}"
    if pa.types.is_boolean(kind):
        cells = call("if_else", column, f"{head}b1", f"{head}b0")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        cells = _number_cells(head, column)
    else:
        tag = "t" if pa.types.is_timestamp(kind) else "j" if pa.types.is_nested(kind) else "s"
        found = texts(_whole_microseconds(column))
        length = cast_column(call("binary_length", found), pa.string())
        cells = call("binary_join_element_wise", f"{head}{tag}", length, ":", found, "")
    return call("coalesce", cells, "")


def _whole_microseconds(column: Column) -> Column:
    """Times as microseconds, so that a file's time unit leaves no trace."""
    if pa.types.is_timestamp(column.type):
        micros = cast_column(column, pa.timestamp("us", tz="UTC"), safe=False)
        return cast_column(micros, pa.int64())
    return column


def _number_cells(head: str, column: Column) -> Column:
    """The bits of the number as float64, or all digits of a whole number too big for that."""
    values = floats(column) + 0.0  # -0.0 becomes 0.0
    values[np.isnan(values)] = np.nan  # one kind of NaN
    bits = cast_column(as_column(values.view(np.int64)), pa.string())
    cells = call("binary_join_element_wise", f"{head}n", bits, "")
    if pa.types.is_integer(column.type):
        digits = cast_column(column, pa.string())
        big = call("binary_join_element_wise", f"{head}i", digits, "")
        cells = call("if_else", as_column(np.abs(values) >= _EXACT), big, cells)
    return call("if_else", column.is_valid(), cells, pa.scalar(None, pa.string()))
