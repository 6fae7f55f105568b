"""The dataset digest: every column, no order, and rows can be taken out of it."""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.digest import content_digest, dataset_digest, subtract
from retrue.records import DatasetRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = DatasetRow(
    sample_id="a",
    label='"ä"',
    confidence=0.5,
    n_answers=2,
    verdict="r1/verdicts-0001.parquet",
    arm="audit",
    inclusion_probability=None,
    multiplicity=1,
    round_id="r1",
    window_id="w1",
    group="a",
    split="eval",
    schema_version=1,
    guideline_version="1",
    labelled_at=NOON,
)
ROWS = st.lists(
    st.builds(
        replace,
        st.just(ROW),
        sample_id=st.text(max_size=3),
        label=st.text(max_size=3),
        inclusion_probability=st.none() | st.floats(0, 1),
        labelled_at=st.datetimes(timezones=st.just(UTC)),
    ),
    max_size=8,
)


def by_hand(row: DatasetRow) -> int:
    """The recipe of the module's docstring, written out a second time."""

    def size(data: bytes) -> bytes:
        return struct.pack(">Q", len(data)) + data

    line = b"retrue-row-1\n"
    for name in sorted(field.name for field in fields(row)):
        value = getattr(row, name)
        if isinstance(value, str):
            line += size(name.encode()) + b"s" + size(value.encode())
        elif isinstance(value, int):
            line += size(name.encode()) + b"i" + size(b"%d" % value)
        elif isinstance(value, float):
            line += size(name.encode()) + b"f" + size(struct.pack(">d", value))
        elif isinstance(value, datetime):
            line += size(name.encode()) + b"t" + size(b"%d" % round(value.timestamp() * 10**6))
    return int(hashlib.blake2b(line, digest_size=32).hexdigest(), 16)


def test_the_digest_can_be_computed_from_its_description():
    other = replace(ROW, sample_id="b", inclusion_probability=0.25)

    digest = dataset_digest([ROW, other])

    assert int(digest, 16) == (by_hand(ROW) + by_hand(other)) % 2**256
    assert len(digest) == 64


@given(ROWS, st.randoms())
def test_order_does_not_matter(rows: list[DatasetRow], rng: random.Random):
    shuffled = list(rows)
    rng.shuffle(shuffled)

    assert dataset_digest(shuffled) == dataset_digest(rows)
    assert content_digest(shuffled) == content_digest(rows)


@given(ROWS, st.data())
def test_a_row_can_be_taken_out(rows: list[DatasetRow], data: st.DataObject):
    gone = data.draw(st.sampled_from([ROW, *rows]))
    rest = [*rows, ROW]
    rest.remove(gone)

    left = subtract(dataset_digest([*rows, ROW]), dataset_digest([gone]))

    assert left == dataset_digest(rest)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sample_id", "b"),
        ("label", '"a"'),
        ("confidence", 0.5001),
        ("n_answers", 3),
        ("verdict", "r1/verdicts-0002.parquet"),
        ("arm", "active"),
        ("inclusion_probability", 0.0),
        ("multiplicity", 2),
        ("round_id", "r2"),
        ("window_id", "w2"),
        ("group", "b"),
        ("split", "train"),
        ("schema_version", 2),
        ("guideline_version", "2"),
        ("labelled_at", NOON + timedelta(microseconds=1)),
    ],
)
def test_every_column_counts_and_content_leaves_out_only_clock_and_file(column: str, value: object):
    changed = replace(ROW, **{column: value})

    assert dataset_digest([changed]) != dataset_digest([ROW])
    same_content = content_digest([changed]) == content_digest([ROW])
    assert same_content == (column in {"labelled_at", "verdict"})


def test_every_column_is_tested_above():
    marks = test_every_column_counts_and_content_leaves_out_only_clock_and_file.pytestmark

    assert [case[0] for case in marks[0].args[1]] == [field.name for field in fields(DatasetRow)]


def test_values_cannot_run_into_each_other():
    one = replace(ROW, group="ab", guideline_version="c")
    other = replace(ROW, group="a", guideline_version="bc")

    assert dataset_digest([one]) != dataset_digest([other])


def test_a_doubled_row_is_noticed():
    assert dataset_digest([ROW, ROW]) != dataset_digest([ROW])
    assert dataset_digest([ROW, ROW]) != dataset_digest([])


def test_equal_instants_and_zeros_are_equal():
    elsewhere = replace(ROW, labelled_at=NOON.astimezone(timezone(timedelta(hours=-5))))

    assert dataset_digest([elsewhere]) == dataset_digest([ROW])
    assert dataset_digest([replace(ROW, confidence=-0.0)]) == dataset_digest(
        [replace(ROW, confidence=0.0)]
    )


def test_a_number_and_its_text_are_different():
    text = replace(ROW, n_answers="2")

    assert dataset_digest([text]) != dataset_digest([ROW])


@pytest.mark.parametrize(
    "wrong",
    [{"confidence": float("nan")}, {"labelled_at": datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_what_has_no_one_meaning_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataset_digest([replace(ROW, **wrong)])
