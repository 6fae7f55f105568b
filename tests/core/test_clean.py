"""Cleaning: what fits, what does not, and who a row is."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrue.core.arrow import as_column
from retrue.core.clean import CleanBatch, CleanRules, RawRows, clean_rows, infer_fields
from retrue.core.columns import FieldSpec, clean_column
from retrue.core.identity import content_hashes, word_hashes
from retrue.core.seen import SeenIds
from retrue.errors import UnreadableObject
from retrue.records import ObjectRef

REF = ObjectRef(
    uri="mem://raw/t.csv", version="1", size=1, modified_at=datetime(2026, 1, 1, tzinfo=UTC)
)
NUMBER, CATEGORY = FieldSpec(type="number"), FieldSpec(type="category")


def clean(columns: dict[str, list[object]], **rules: object) -> CleanBatch:
    table = pa.table(columns)
    raw = RawRows(
        refs=(REF,),
        at=np.zeros(table.num_rows, dtype=np.int64),
        row=np.arange(table.num_rows),
        table=table,
    )
    return clean_rows(raw, CleanRules(**{"fields": {}, **rules}))


def test_a_batch_of_every_kind_of_mistake_by_hand():
    fields = {
        "age": FieldSpec(type="number", minimum=0, maximum=120, required=True),
        "colour": FieldSpec(type="category", names={"rot": "red"}),
    }
    columns = {
        "id": ["a", "", "c", "d", "e", "f"],
        "age": ["30", "31", "old", "-1", "NA", "121"],
        "colour": ["rot", "red", "red", "red", "red", "red"],
    }

    batch = clean(columns, fields=fields, key="id")

    assert batch.fields.to_pylist() == [{"age": 30.0, "colour": "red"}]
    assert batch.sample_id.to_pylist() == ["a"]
    assert {item.row: item.reason for item in batch.quarantined} == {
        1: "id: expected a key, got none",
        2: "age: expected a number, got text",
        3: "age: expected at least 0, got less",
        4: "age: required, got a missing value",
        5: "age: expected at most 120, got more",
    }


@pytest.mark.parametrize(
    ("raw", "spec", "cleaned"),
    [
        ([1, 2], FieldSpec(type="number", factor=0.5), [0.5, 1.0]),
        ([1.0, -999.0], FieldSpec(type="number", missing=(-999,)), [1.0, None]),
        (["1", "-999"], FieldSpec(type="number", missing=("-999",)), [1.0, None]),
        ([float("nan"), 2.0], NUMBER, [None, 2.0]),
        ([True, False], NUMBER, [1.0, 0.0]),
        ([" 1e3 ", ""], NUMBER, [1000.0, None]),
        ([7, -999], FieldSpec(type="category", missing=(-999,)), ["7", None]),
        ([" a", "A", "N/A"], FieldSpec(type="category", names={"A": "a"}), ["a", "a", None]),
        (["x ", "NA"], FieldSpec(type="text"), ["x ", None]),
        (["Yes", "0", "", None], FieldSpec(type="boolean"), [True, False, None, None]),
        ([1, 0], FieldSpec(type="boolean"), [True, False]),
        ([None, None], FieldSpec(type="number"), [None, None]),
        ([[1], None], FieldSpec(type="category"), ["[1]", None]),
        (
            ["2026-01-01T02:00:00+02:00", "2026-01-01"],
            FieldSpec(type="time"),
            [datetime(2026, 1, 1, tzinfo=UTC)] * 2,
        ),
    ],
)
def test_columns_are_read_by_their_rules(raw: list[object], spec: FieldSpec, cleaned: list[object]):
    found, faults = clean_column("x", as_column(raw), spec)

    assert found.to_pylist() == cleaned
    assert faults == []


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (["maybe"], "boolean"),
        (["tomorrow"], "time"),
        ([1_700_000_000], "time"),
        ([float("inf")], "number"),
        (["1,5 kg"], "number"),
    ],
)
def test_what_does_not_fit_its_type_is_a_fault_without_the_value(raw: list[object], kind: str):
    found, faults = clean_column("col", as_column(raw), FieldSpec(type=kind))

    assert found.to_pylist() == [None]
    assert [fault.rows.tolist() for fault in faults] == [[True]]
    assert faults[0].reason.startswith("col: expected")
    assert f" {raw[0]}" not in faults[0].reason


def test_cleaning_never_enters_identity():
    columns = {"age": ["30", "NA"], "c": ["rot", "red"]}
    plain = clean(columns, fields={"age": NUMBER, "c": CATEGORY})

    rules = {
        "age": FieldSpec(type="number", factor=2),
        "c": FieldSpec(type="category", names={"rot": "red"}),
    }
    other = clean(columns, fields=rules)

    assert plain.sample_id.to_pylist() == other.sample_id.to_pylist()
    assert content_hashes(plain.raw) == content_hashes(other.raw)


def test_a_rows_hash_does_not_depend_on_the_type_its_file_stored_it_in():
    whole = pa.table({"x": pa.array([1, 2]), "t": pa.array(["a", "b"])})
    with_a_gap = pa.table(
        {"t": pa.array(["a", "b", "c"]).dictionary_encode(), "x": [1.0, 2.0, None]}
    )
    wider = whole.append_column("new", pa.nulls(2))

    assert content_hashes(with_a_gap)[:2] == content_hashes(whole) == content_hashes(wider)


CELLS = st.one_of(
    st.none(), st.text(max_size=4), st.sampled_from(["1:a", "s1:", "n0", ";", ":", "3:xs1"])
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20))
@example([("x1:bs:y", None), ("x", "y")])  # a text that looks like two cells
def test_rows_have_one_hash_exactly_when_they_are_equal(rows: list[tuple[str | None, str | None]]):
    table = pa.table(
        {
            "a": pa.array([r[0] for r in rows], pa.string()),
            "b": pa.array([r[1] for r in rows], pa.string()),
        }
    )

    hashes = content_hashes(table)

    assert len(set(hashes)) == len(set(rows))
    assert len(set(zip(rows, hashes, strict=True))) == len(set(rows))


def test_numbers_and_texts_and_big_numbers_are_told_apart():
    values = [
        pa.array([1]),
        pa.array(["1"]),
        pa.array([True]),
        pa.array([2**53]),
        pa.array([2**53 + 1]),
    ]

    hashes = [content_hashes(pa.table({"x": value}))[0] for value in values]

    assert len(set(hashes)) == len(values)


@given(st.lists(st.text(max_size=40), max_size=60), st.integers(0, 5))
def test_texts_hash_alike_wherever_they_stand(texts: list[str], start: int):
    column = pa.array(["pad", *texts, "x" * 30], pa.string())

    sliced = word_hashes(column.slice(start))

    assert (
        sliced.tolist() == word_hashes(pa.array(column.to_pylist()[start:], pa.string())).tolist()
    )
    assert len(set(sliced.tolist())) == len(set(column.to_pylist()[start:]))


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9), max_size=9))
def test_an_id_is_first_exactly_once(batches: list[list[str]]):
    seen, known = SeenIds(), set[str]()

    for batch in batches:
        expected = [i not in known and i not in batch[:n] for n, i in enumerate(batch)]
        assert seen.add(pa.array(batch)).tolist() == expected
        known |= set(batch)

    assert len(seen) == len(known)


def test_probabilities_must_be_such():
    columns = {"p_b": [0.3, 1.3, 0.3, None], "p_a": [0.7, -0.3, 0.3, 1.0]}

    batch = clean(columns, probabilities="p_*")

    assert batch.classes == ("a", "b")
    assert batch.probabilities is not None
    assert batch.probabilities.tolist() == [[0.7, 0.3]]
    assert {item.row: item.reason for item in batch.quarantined} == {
        1: "p_*: expected probabilities in 0..1",
        2: "p_*: expected probabilities that sum to 1",
        3: "p_*: expected probabilities in 0..1",
    }


@pytest.mark.parametrize(
    "path",
    [
        "../k.png",
        "a/../../k.png",
        "/etc/passwd",
        "http://x/k.png",
        "s3://other/k",
        "a\\..\\k",
        "a\nb",
        None,
    ],
)
def test_a_media_path_that_leaves_its_root_is_quarantined(path: str | None):
    columns = {"id": ["1", "2", "3"], "img": [path, "a/b.png", "s3://b/r/c..d.png"]}

    batch = clean(columns, key="id", media="img", media_root="s3://b/r/")

    assert batch.media is not None
    assert batch.media.to_pylist() == ["s3://b/r/a/b.png", "s3://b/r/c..d.png"]
    assert [item.row for item in batch.quarantined] == [0]


def test_only_a_clear_yes_is_consent():
    said = ["yes", "true", "1", "no", "", None, "sure"]

    batch = clean({"ok": said, "id": list("abcdefg")}, key="id", consent="ok")
    nobody_asked = clean({"id": ["a"]}, key="id", consent="ok")

    assert batch.eligible.tolist() == [True, True, True, False, False, False, False]
    assert nobody_asked.eligible.tolist() == [False]


@pytest.mark.parametrize("rules", [{"key": "id"}, {"probabilities": "p_*"}, {"media": "img"}])
def test_an_object_without_a_column_that_is_needed_is_unreadable(rules: dict[str, str]):
    with pytest.raises(UnreadableObject, match=r"mem://raw/t\.csv: expected a column"):
        clean({"a": ["1"]}, **rules)


def test_columns_that_have_no_role_are_fields_of_the_type_they_are_stored_in():
    table = pa.table({"id": ["a"], "p_a": [1.0], "n": [1], "s": ["007"], "d": ["x"], "b": [True]})
    rules = CleanRules(fields=None, key="id", probabilities="p_*")

    stored = infer_fields(table, rules, text="d", parse=False)
    parsed = infer_fields(table, rules, text="d", parse=True)

    kinds = {name: spec.type for name, spec in stored.items()}
    assert kinds == {"n": "number", "s": "category", "d": "text", "b": "boolean"}
    assert parsed["s"].type == "number"


def test_rows_are_taken_in_any_order_with_all_that_belongs_to_them():
    batch = clean(
        {"id": ["a", "b", "c"], "x": [1, 2, 3]}, key="id", fields={"x": NUMBER}, group="id"
    )

    few = batch.take(np.array([2, 0]))

    assert few.sample_id.to_pylist() == ["c", "a"]
    assert few.fields.column("x").to_pylist() == [3.0, 1.0]
    assert few.row.tolist() == [2, 0]
    assert few.group is not None
    assert few.group.to_pylist() == ["c", "a"]
    assert len(few) == 2
