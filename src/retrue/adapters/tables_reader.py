"""Rows out of parquet, CSV and JSONL bytes, batch by batch in bounded memory.

A row's values must not depend on its neighbours, or the same row would get another identity in
another file. So CSV cells stay text, JSON text that looks like a time stays text, and what a cell
means is decided later, by the rules of its column (`retrue.core.clean`).
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from retrue.adapters.marked_text import MARK, MarkedText
from retrue.core.arrow import column_of
from retrue.core.clean import table_format
from retrue.errors import UnreadableObject
from retrue.ports import TableBatch

__all__ = ["BATCH_ROWS", "BLOCK_BYTES", "read_table"]

BATCH_ROWS = 131_072  # rows of a parquet batch
BLOCK_BYTES = 8 << 20  # bytes of a CSV or JSONL batch; also the longest record

_REPEATED_BYTES = 2.0  # a text column that takes less per value holds few distinct texts

_Damage = (pa.ArrowException, OSError, EOFError, zlib.error, OverflowError)


def read_table(file: BinaryIO, uri: str) -> Iterator[TableBatch]:
    """The rows of one object, in order.

    Args:
        file: Seekable bytes.
        uri: Names the format by its ending: .parquet, .pq, .csv, .jsonl, .ndjson; the text formats
            may end in .gz as well.

    Yields:
        Batches of at most `BATCH_ROWS` rows (parquet) or `BLOCK_BYTES` bytes (text). Columns of a
        CSV are text, an empty cell is "".

    Raises:
        UnreadableObject: The bytes are not what the name says.
    """
    kind = table_format(uri)
    if kind is None:
        raise UnreadableObject(
            f"{uri}: expected a name ending in .parquet, .csv or .jsonl. Rename it or move it away."
        )
    readers: dict[str, Callable[[BinaryIO], Iterator[TableBatch]]] = {
        "parquet": _parquet,
        "csv": _csv,
        "jsonl": _jsonl,
    }
    # gzip.GzipFile is a BinaryIO in all but name.
    source = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if uri.endswith(".gz") else file
    try:
        yield from readers[kind](source)
    except _Damage as error:
        raise UnreadableObject(
            f"{uri}: expected {kind}, got bytes that do not read as such: {error}. "
            "Write the object again; it is read again when it changes."
        ) from error


def _repeated_texts(file: BinaryIO) -> list[str]:
    """Text columns of few distinct values: as dictionaries they are read and counted faster."""
    with pq.ParquetFile(file, pre_buffer=False) as table:
        metadata = table.metadata
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    chunks = [group.column(place) for place in range(group.num_columns)]
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY" and "RLE_DICTIONARY" in chunk.encodings
        if chunk.total_uncompressed_size <= _REPEATED_BYTES * chunk.num_values
    ]


class _Batches(Protocol):
    def iter_batches(self, *, batch_size: int) -> Iterator[pa.RecordBatch]: ...


def _parquet(file: BinaryIO) -> Iterator[TableBatch]:
    first = 0
    repeated = _repeated_texts(file)
    # pre_buffer would hold all of a row group's bytes at once.
    with pq.ParquetFile(file, pre_buffer=False, read_dictionary=repeated) as table:
        for batch in cast("_Batches", table).iter_batches(batch_size=BATCH_ROWS):
            yield TableBatch(rows=np.arange(first, first + batch.num_rows), batch=batch)
            first += batch.num_rows


def _csv(file: BinaryIO) -> Iterator[TableBatch]:
    skipped: list[tuple[int, str]] = []

    def skip(row: pa_csv.InvalidRow) -> Literal["skip"]:
        # The header is row 1 and empty lines are not counted.
        expected, got = row.expected_columns, row.actual_columns
        skipped.append(((row.number or 2) - 2, f"expected {expected} cells, got {got}"))
        return "skip"

    names = _csv_names(file)
    source = MarkedText(file)
    reader = pa_csv.open_csv(
        io.BufferedReader(source, BLOCK_BYTES),
        # Row numbers are only known without threads.
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.binary())),
    )
    next_record, told = 0, 0
    for batch in reader:
        # The parser runs ahead: bad rows of later blocks may be known already, never later ones.
        lost = np.array([number for number, _ in skipped], dtype=np.int64)
        rows = _skip_numbers(next_record, batch.num_rows, lost)
        next_record = int(rows[-1]) + 1 if len(rows) else next_record
        table = TableBatch(rows=rows, batch=batch, bad=tuple(skipped[told:]))
        yield _decode_text(table, marked=source.marked)
        told = len(skipped)
    if told < len(skipped):
        empty = pa.RecordBatch.from_pylist([], schema=pa.schema([(n, pa.string()) for n in names]))
        yield TableBatch(rows=np.empty(0, dtype=np.int64), batch=empty, bad=tuple(skipped[told:]))


def _csv_names(file: BinaryIO) -> list[str]:
    line = io.BufferedReader(MarkedText(file)).readline(BLOCK_BYTES)
    head = pa_csv.open_csv(io.BytesIO(line), read_options=pa_csv.ReadOptions(use_threads=False))
    names = list(head.schema.names)
    if any(MARK in name for name in names):
        raise pa.ArrowInvalid("a column's name is no UTF-8 text")
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise pa.ArrowInvalid(f"column {twice[0]!r} is there twice")
    return names


def _skip_numbers(start: int, n: int, lost: np.ndarray) -> np.ndarray:
    """The next `n` record numbers from `start` on that are not in `lost`.

    >>> _skip_numbers(2, 3, np.array([0, 3])).tolist()
    [2, 4, 5]
    """
    ahead = np.arange(start, start + n + int((lost >= start).sum()))
    return ahead[~np.isin(ahead, lost)][:n]


def _decode_text(table: TableBatch, *, marked: bool) -> TableBatch:
    """Cells as text; records that are not UTF-8 are told as bad."""
    schema = pa.schema([(name, pa.string()) for name in table.batch.schema.names])
    batch = table.batch.cast(schema)
    if not marked:
        return TableBatch(rows=table.rows, batch=batch, bad=table.bad)
    cells = [cast("list[str]", batch.column(n).to_pylist()) for n in range(batch.num_columns)]
    good = np.array([not any(MARK in cell for cell in row) for row in zip(*cells, strict=True)])
    wrong = tuple((int(row), "expected UTF-8 text") for row in table.rows[~good])
    kept = batch.filter(pa.array(good))
    return TableBatch(rows=table.rows[good], batch=kept, bad=table.bad + wrong)


def _jsonl(file: BinaryIO) -> Iterator[TableBatch]:
    first = 0
    for block in _line_blocks(file):
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        batch = _parse_block(block)
        if batch is not None and batch.num_rows == lines:
            yield TableBatch(rows=np.arange(first, first + lines), batch=batch)
        else:
            yield _parse_lines(block, first)
        first += lines


def _line_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, about `BLOCK_BYTES` at a time."""
    rest = b""
    while chunk := file.read(BLOCK_BYTES):
        whole, newline, tail = chunk.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail
        else:
            rest += chunk
        if len(rest) > BLOCK_BYTES:
            raise pa.ArrowInvalid(f"a line of more than {BLOCK_BYTES} bytes")
    if rest:
        yield rest


def _parse_block(block: bytes) -> pa.RecordBatch | None:
    """The block as a batch; None where line by line will tell what is wrong."""
    one_block = pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    try:
        table = pa_json.read_json(io.BytesIO(block), read_options=one_block)
        times = [n for n in table.column_names if pa.types.is_timestamp(column_of(table, n).type)]
        if times:  # text that looks like a time: keep the text
            as_text = pa_json.ParseOptions(
                explicit_schema=pa.schema([(t, pa.string()) for t in times])
            )
            table = pa_json.read_json(
                io.BytesIO(block), read_options=one_block, parse_options=as_text
            )
    except pa.ArrowException:
        return None
    return table.combine_chunks().to_batches()[0] if table.num_rows else None


def _parse_lines(block: bytes, first: int) -> TableBatch:
    """Line by line: what is no JSON object, or has another type than most, is told as bad."""
    records: dict[int, dict[str, object]] = {}
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(block.split(b"\n"), start=first):
        if not line.strip():
            continue
        try:
            record = cast("object", json.loads(line))
        except ValueError as error:  # malformed JSON or bytes that are not UTF-8
            bad.append((number, f"expected a JSON object: {error}"))
            continue
        if isinstance(record, dict):
            records[number] = cast("dict[str, object]", record)
        else:
            bad.append((number, f"expected a JSON object, got a {type(record).__name__}"))
    types = _common_types(list(records.values()))
    for number, record in list(records.items()):
        if odd := _odd_cell(record, types):
            bad.append((number, odd))
            del records[number]
    cells = {name: [record.get(name) for record in records.values()] for name in types}
    return TableBatch(
        rows=np.array(list(records), dtype=np.int64),
        batch=pa.RecordBatch.from_pydict(cells),
        bad=tuple(sorted(bad)),
    )


def _common_types(records: list[dict[str, object]]) -> dict[str, str]:
    """The type most cells of each column have."""
    seen: dict[str, Counter[str]] = {}
    for record in records:
        for name, cell in record.items():
            if cell is not None:
                seen.setdefault(name, Counter())[_json_type(cell)] += 1
    return {name: types.most_common(1)[0][0] for name, types in seen.items()}


def _odd_cell(record: dict[str, object], types: dict[str, str]) -> str | None:
    for name, cell in record.items():
        if cell is not None and _json_type(cell) != types[name]:
            return f"{name}: expected {types[name]} as in the lines around, got {_json_type(cell)}"
    return None


def _json_type(cell: object) -> str:
    if isinstance(cell, bool):
        return "true or false"
    if isinstance(cell, int | float):
        return "number"
    return "text" if isinstance(cell, str) else "list" if isinstance(cell, list) else "object"
