"""The files of the record: whole or not at all, written once, damage named with its remedy."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import retrue
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.tables_arrow import from_table, schema_of, to_table
from retrue.errors import RecordError
from retrue.records import Answer, DatasetRow, Decision, RoundPlan, Sample, Task, Verdict

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = RoundPlan(
    round_id="r1",
    kind="adhoc",
    cause="me",
    why="to see",
    population=(),
    frame_rows=0,
    seed="s",
    arms={},
    schema_version=1,
    guideline_version="1",
    cost_per_label=0.0,
    currency="EUR",
    parent=None,
    planned_at=NOON,
)


def verdict(sample_id: str) -> Verdict:
    return Verdict(
        sample_id=sample_id,
        label='"x"',
        confidence=1.0,
        n_answers=1,
        status="accepted",
        method="majority",
        reason="",
        schema_version=1,
        decided_at=NOON,
    )


def paths(folder: Path) -> list[str]:
    """What another process needs to import this file, and the folder it shall write to."""
    return [str(Path(retrue.__file__).parents[1]), str(Path(__file__).parent), str(folder)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    text: str
    whole: int | None
    real: float
    yes: bool
    at: datetime | None
    one_of: Literal["a", "b"] | None


def everything(**changes: object) -> Everything:
    values = {"text": "ä", "whole": None, "real": 1.5, "yes": True, "at": NOON, "one_of": "b"}
    return Everything(**{**values, **changes})


@given(
    st.lists(
        st.builds(
            Everything,
            text=st.text(st.characters(exclude_categories=["Cs"])),
            whole=st.none() | st.integers(-(2**63), 2**63 - 1),
            real=st.floats(allow_nan=False),
            yes=st.booleans(),
            at=st.none() | st.datetimes(timezones=st.just(UTC)),
            one_of=st.sampled_from(["a", "b", None]),
        )
    )
)
def test_any_rows_come_back_from_a_table_as_they_were(rows: list[Everything]):
    table = to_table(Everything, rows)

    assert from_table(Everything, table) == rows
    assert table.schema == schema_of(Everything)


@pytest.mark.parametrize("record", [Sample, Task, Answer, Verdict, DatasetRow])
def test_an_empty_table_has_the_columns_of_its_record(record: type):
    table = to_table(record, [])

    assert table.schema.names == list(record.__dataclass_fields__)
    assert from_table(record, table) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text": None}, "text: expected a value"),
        ({"one_of": "c"}, "one_of: expected one of"),
        ({"at": datetime(2026, 1, 1)}, "at: expected a time with a zone"),  # noqa: DTZ001
        ({"whole": "7"}, "Everything"),
        ({"whole": 2**63}, "Everything"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(wrong: dict[str, object], message: str):
    row = everything(**wrong)

    with pytest.raises(ValueError, match=message):
        to_table(Everything, [row])


def test_a_table_of_other_columns_is_refused():
    table = to_table(Everything, [everything()]).drop_columns(["real"])

    with pytest.raises(ValueError, match=r"real double.*got"):
        from_table(Everything, table)


def test_what_a_killed_process_left_is_ignored_and_does_not_stop_the_next(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    folder = tmp_path / "rounds" / "r1"
    folder.mkdir(parents=True)
    for name in (".verdicts-0001.parquet.99.tmp", ".plan.json.99.tmp", "verdicts-0001.parquet.tmp"):
        (folder / name).write_bytes(b"half")

    before = record.rounds()
    name = record.append_verdicts("r1", [verdict("a")])

    assert before == []
    assert record.verdict_files("r1") == [(name, [verdict("a")])]


def test_a_round_cut_before_its_plan_does_not_exist_and_planning_again_completes_it(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    record.plan_round(PLAN, [], [])
    (tmp_path / "rounds" / "r1" / "plan.json").unlink()
    (tmp_path / "rounds" / "r1" / "tasks.parquet").write_bytes(b"half")

    before = record.rounds()
    record.plan_round(PLAN, [], [])

    assert before == []
    assert record.tasks("r1") == []


def test_writing_leaves_no_temporary_file(tmp_path: Path):
    record = FileRoundRecord(tmp_path)

    record.plan_round(PLAN, [], [])
    record.append_verdicts("r1", [verdict("a")])

    names = sorted(path.name for path in (tmp_path / "rounds" / "r1").iterdir())
    assert names == ["plan.json", "samples.parquet", "tasks.parquet", "verdicts-0001.parquet"]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path):
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from test_records_files import FileRoundRecord, verdict\n"
        "record = FileRoundRecord(Path(sys.argv[3]))\n"
        "for n in range(5): record.append_verdicts('r1', [verdict(f'{sys.argv[4]}-{n}')])\n"
    )

    writers = [
        subprocess.Popen([sys.executable, "-c", script, *paths(tmp_path), str(writer)])
        for writer in range(2)
    ]
    codes = [process.wait(timeout=120) for process in writers]

    files = FileRoundRecord(tmp_path).verdict_files("r1")
    assert codes == [0, 0]
    assert [name for name, _ in files] == [f"verdicts-{n:04d}.parquet" for n in range(1, 11)]
    assert len({kept.sample_id for _, group in files for kept in group}) == 10


def test_more_than_9999_files_stay_in_order(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    first = tmp_path / "rounds" / "r1" / record.append_verdicts("r1", [verdict("a")])
    first.rename(first.with_name("verdicts-9999.parquet"))

    name = record.append_verdicts("r1", [verdict("b")])

    assert name == "verdicts-10000.parquet"
    assert [group[0].sample_id for _, group in record.verdict_files("r1")] == ["a", "b"]


def test_any_flipped_byte_is_noticed_or_harmless(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    rows = [verdict(f"s{i}") for i in range(20)]
    path = tmp_path / "rounds" / "r1" / record.append_verdicts("r1", rows)
    whole = path.read_bytes()
    noticed = 0

    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert record.verdict_files("r1") == [(path.name, rows)]
        except RecordError:
            noticed += 1

    assert noticed > len(whole) / 7 / 3


@pytest.mark.parametrize("name", ["plan.json", "samples.parquet", "tasks.parquet"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe"])
def test_a_damaged_round_file_is_named(tmp_path: Path, name: str, content: bytes):
    record = FileRoundRecord(tmp_path)
    record.plan_round(PLAN, [], [])
    (tmp_path / "rounds" / "r1" / name).write_bytes(content)

    with pytest.raises(RecordError, match=rf"{name}.*dvc checkout"):
        (record.round("r1"), record.samples("r1"), record.tasks("r1"))


def test_a_missing_round_file_is_named(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    record.plan_round(PLAN, [], [])
    (tmp_path / "rounds" / "r1" / "tasks.parquet").unlink()

    with pytest.raises(RecordError, match=r"tasks\.parquet.*dvc pull"):
        record.tasks("r1")


def test_a_file_of_another_kind_is_named(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    record.plan_round(PLAN, [], [])
    pq.write_table(pa.table({"x": [1]}), tmp_path / "rounds" / "r1" / "media.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "rounds" / "r1" / "answers-0001.parquet")

    with pytest.raises(RecordError, match=r"media\.parquet.*'x'"):
        record.media("r1")
    with pytest.raises(RecordError, match=r"answers-0001.*columns of Answer"):
        record.answers("r1")


def test_a_damaged_decision_is_named(tmp_path: Path):
    record = FileRoundRecord(tmp_path)
    record.decide(Decision(decision_id="d1", kind="gate", at=NOON, by="me", data={}))
    (tmp_path / "decisions" / "gate" / "d1.json").write_text('{"kind": "gate"}')

    with pytest.raises(RecordError, match=r"d1\.json.*dvc checkout"):
        record.decisions()


@pytest.mark.parametrize("name", ["../up", "/etc", "", ".hidden", "a/b", "a\nb", "x" * 101])
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str):
    record = FileRoundRecord(tmp_path / "data")

    with pytest.raises(RecordError, match="round id"):
        record.append_verdicts(name, [verdict("a")])
    with pytest.raises(RecordError, match="decision"):
        record.decide(Decision(decision_id="d", kind=name, at=NOON, by="me", data={}))
    with pytest.raises(RecordError, match="decision"):
        record.decide(Decision(decision_id=name, kind="gate", at=NOON, by="me", data={}))

    assert list(tmp_path.rglob("*.*")) == []


def test_a_folder_with_an_equals_sign_adds_no_column(tmp_path: Path):
    record = FileRoundRecord(tmp_path / "team=blue")

    record.append_verdicts("r1", [verdict("a")])

    assert record.verdict_files("r1")[0][1] == [verdict("a")]


FULL_DISK = """
import resource, signal, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from test_records_files import FileRoundRecord, PLAN, RecordError, verdict
record = FileRoundRecord(Path(sys.argv[3]))
record.append_verdicts("r1", [verdict("kept")])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    record.append_verdicts("r1", [verdict(str(i * i)) for i in range(5000)])
except RecordError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a file size limit")
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a file size limit")
@pytest.mark.parametrize("limit", [0, 8000])
def test_a_disk_that_is_full_is_said_plainly_and_changes_nothing(tmp_path: Path, limit: int):
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *paths(tmp_path), str(limit)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert "verdicts-0002.parquet: could not be written" in said
    assert "Nothing was changed" in said
    assert [path.name for path in (tmp_path / "rounds" / "r1").iterdir()] == [
        "verdicts-0001.parquet"
    ]
    assert FileRoundRecord(tmp_path).verdict_files("r1")[0][1] == [verdict("kept")]


# --- what makes a long record quick ------------------------------------------------------------


def asking(record: FileRoundRecord, round_id: str, *sample_ids: str) -> None:
    """A round with a task about each sample."""
    tasks = [a_task(round_id, name) for name in sample_ids]
    record.plan_round(replace(PLAN, round_id=round_id), [], tasks)


def a_task(round_id: str, sample_id: str) -> Task:
    return Task(
        task_key=f"{round_id}/{sample_id}",
        round_id=round_id,
        sample_id=sample_id,
        arm="active",
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=None,
        trigger="",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def of_long_ago(data: Path) -> None:
    """Let every folder look as if nothing had happened there for an hour."""
    for folder in (data, *data.rglob("*")):
        if folder.is_dir():
            then = folder.stat().st_mtime - 3600
            os.utime(folder, (then, then))


def test_forty_rounds_are_indexed_and_a_new_process_finds_them_and_later_ones(tmp_path: Path):
    first = FileRoundRecord(tmp_path / "data", cache=tmp_path / "cache")
    for number in range(40):
        asking(first, f"r{number}", f"s{number}", "everywhere")
    first.rounds_asking(["s1"])
    asking(first, "late", "s1")

    again = FileRoundRecord(tmp_path / "data", cache=tmp_path / "cache")
    found = again.rounds_asking(["s1", "s39", "nobody"])

    assert (tmp_path / "cache/asked.arrow").exists()
    assert found == {"r1": {"s1"}, "r39": {"s39"}, "late": {"s1"}}
    assert len(again.rounds_asking(["everywhere"])) == 40


def test_a_round_that_was_replaced_is_looked_through_again(tmp_path: Path):
    record = FileRoundRecord(tmp_path / "data", cache=tmp_path / "cache")
    for number in range(40):
        asking(record, f"r{number}", f"s{number}")
    record.rounds_asking(["s1"])
    shutil.rmtree(tmp_path / "data/rounds/r1")
    asking(record, "r1", "forgotten-and-restored")

    again = FileRoundRecord(tmp_path / "data", cache=tmp_path / "cache")

    assert again.rounds_asking(["s1", "s2", "forgotten-and-restored"]) == {
        "r1": {"forgotten-and-restored"},
        "r2": {"s2"},
    }


def test_what_was_kept_is_used_until_a_folder_changes(tmp_path: Path):
    data, cache = tmp_path / "data", tmp_path / "cache"
    record = FileRoundRecord(data, cache=cache)
    asking(record, "r1", "a")
    record.decide(opened("r1"))
    of_long_ago(data)
    FileRoundRecord(data, cache=cache).rounds()
    kept = {path.name for path in cache.iterdir()}

    before = FileRoundRecord(data, cache=cache).rounds()
    record.append_answers("r1", [an_answer()])
    record.decide(replace(opened("r1"), decision_id="closed", kind="round-closed"))
    asking(record, "r2", "b")
    after = FileRoundRecord(data, cache=cache).rounds()

    assert {"rounds.json", "decisions.json"} <= kept
    assert [(item.plan.round_id, item.state) for item in before] == [("r1", "open")]
    assert [(item.plan.round_id, item.state) for item in after] == [
        ("r1", "closed"),
        ("r2", "planned"),
    ]


@pytest.mark.parametrize("name", ["rounds.json", "decisions.json", "tallies.json", "asked.arrow"])
def test_a_damaged_or_foreign_cache_only_costs_time(tmp_path: Path, name: str):
    data, cache = tmp_path / "data", tmp_path / "cache"
    cache.mkdir()
    (cache / name).write_text('{"not": "ours"}')
    record = FileRoundRecord(data, cache=cache)
    asking(record, "r1", "a")
    record.decide(opened("r1"))
    record.append_answers("r1", [an_answer()])

    assert record.rounds()[0].state == "collecting"
    assert record.tallies(["r1"])["r1"].live == 1
    assert record.rounds_asking(["a"]) == {"r1": {"a"}}


def opened(round_id: str) -> Decision:
    return Decision(
        decision_id="opened", kind="round-opened", at=NOON, by="retrue", data={"round": round_id}
    )


def an_answer() -> Answer:
    return Answer(
        seq=1,
        answer_id="1",
        revision="1",
        task_key="r1/a",
        annotator="ann",
        status="answered",
        value='"x"',
        note="",
        lead_seconds=None,
        answered_at=NOON,
        observed_at=NOON,
    )
