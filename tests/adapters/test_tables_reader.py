"""Tables as they come: damaged rows are told one by one, good rows around them are kept."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.adapters import tables_reader
from retrue.adapters.marked_text import MARK, MarkedText
from retrue.adapters.tables_reader import read_table
from retrue.errors import UnreadableObject


def read(data: bytes, name: str):
    batches = list(read_table(io.BytesIO(data), name))
    rows = [row for batch in batches for row in batch.rows.tolist()]
    cells = [cell for batch in batches for cell in batch.batch.to_pylist()]
    return dict(zip(rows, cells, strict=True)), dict(bad for batch in batches for bad in batch.bad)


def test_a_csv_row_with_a_cell_too_few_is_told_and_the_others_keep_their_numbers():
    good, bad = read(b"a,b\n1,2\n3\n4,5\n6,7,8\n9,\n", "x.csv")

    assert good == {0: {"a": "1", "b": "2"}, 2: {"a": "4", "b": "5"}, 4: {"a": "9", "b": ""}}
    assert bad == {1: "expected 2 cells, got 1", 3: "expected 2 cells, got 3"}


def test_a_csv_row_that_is_not_utf8_is_told():
    good, bad = read(b"a\nx\n\xff\ny\n", "x.csv")

    assert good == {0: {"a": "x"}, 2: {"a": "y"}}
    assert bad == {1: "expected UTF-8 text"}


def test_a_csv_row_that_is_neither_utf8_nor_as_wide_as_the_others_is_told():
    good, bad = read(b"a,b\n1,2\n\xff\xfe,3,4\n5,6\n", "x.csv")

    assert good == {0: {"a": "1", "b": "2"}, 2: {"a": "5", "b": "6"}}
    assert bad == {1: "expected 2 cells, got 3"}


def test_a_csv_whose_names_are_not_utf8_is_unreadable():
    with pytest.raises(UnreadableObject, match="name is no UTF-8 text"):
        read(b"a,\xff\n1,2\n", "x.csv")


def test_characters_cut_between_two_reads_stay_whole():
    class InPieces(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            return super().read(3)

    text = MarkedText(InPieces("aé€😀z".encode() + b"\xf0\x9f"))

    assert text.read().decode() == "aé€😀z" + MARK * 2


def test_csv_cells_may_hold_line_breaks():
    good, bad = read(b'a,b\n"one\ntwo",1\nthree,2\n', "x.csv")

    assert good == {0: {"a": "one\ntwo", "b": "1"}, 1: {"a": "three", "b": "2"}}
    assert bad == {}


def test_csv_cells_stay_text_so_that_neighbours_do_not_change_them():
    good, _ = read(b"a\n007\n2026-01-01\ntrue\n", "x.csv")

    assert [row["a"] for row in good.values()] == ["007", "2026-01-01", "true"]


def test_malformed_lines_of_a_jsonl_are_told_with_their_line_numbers():
    data = b'{"a": 1}\nnot json\n\n[1]\n{"a": 2.5}\n{"a": "x"}\n{"a": 3, "b": "y"}'

    good, bad = read(data, "x.jsonl")

    assert {row: cells["a"] for row, cells in good.items()} == {0: 1.0, 4: 2.5, 6: 3.0}
    assert good[6]["b"] == "y"
    assert sorted(bad) == [1, 3, 5]
    assert bad[5] == "a: expected number as in the lines around, got text"


def test_json_text_that_looks_like_a_time_stays_text():
    good, _ = read(b'{"at": "2026-01-01"}\n{"at": "2026-01-02T00:00:00"}\n', "x.jsonl")

    assert [row["at"] for row in good.values()] == ["2026-01-01", "2026-01-02T00:00:00"]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=60), st.integers(1, 7))
def test_the_size_of_the_blocks_leaves_no_trace(values: list[int], lines_per_block: int):
    data = "".join(f'{{"a": {v}}}\n' if v % 5 else "broken\n" for v in values).encode()
    whole = read(data, "x.jsonl")

    before, tables_reader.BLOCK_BYTES = tables_reader.BLOCK_BYTES, 12 * lines_per_block
    try:
        in_blocks = read(data, "x.jsonl")
    finally:
        tables_reader.BLOCK_BYTES = before

    assert [list(part) for part in in_blocks] == [list(part) for part in whole]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "x.csv"),
        (b"a,a\n1,2\n", "x.csv"),
        (b"no gzip", "x.csv.gz"),
        (b"PAR1PAR1", "x.parquet"),
        (b"", "x.parquet"),
        (b"?", "x.xlsx"),
    ],
)
def test_an_object_that_cannot_be_read_is_told_by_name(data: bytes, name: str):
    with pytest.raises(UnreadableObject, match="x"):
        read(data, name)


def test_a_parquet_damaged_in_its_middle_gives_its_rows_up_to_there():
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"a": list(range(40_000))}), sink, row_group_size=10_000, use_dictionary=False
    )
    data = bytearray(sink.getvalue())
    start = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(2).column(0).data_page_offset
    data[start : start + 64] = b"\xff" * 64
    rows: list[int] = []

    batches = read_table(io.BytesIO(bytes(data)), "x.parquet")

    with pytest.raises(UnreadableObject, match=r"x\.parquet"):
        rows.extend(row for batch in batches for row in batch.rows.tolist())

    assert rows == list(range(len(rows)))


def test_texts_that_repeat_come_as_dictionaries_and_others_do_not():
    sink = io.BytesIO()
    table = pa.table({"few": ["a", "b"] * 5_000, "many": [f"name-{i}" for i in range(10_000)]})
    pq.write_table(table, sink)

    (batch,) = read_table(io.BytesIO(sink.getvalue()), "x.parquet")

    assert pa.types.is_dictionary(batch.batch.column("few").type)
    assert pa.types.is_string(batch.batch.column("many").type)
