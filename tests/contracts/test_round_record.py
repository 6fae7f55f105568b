"""What every RoundRecord must do, whatever it keeps its records in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.errors import RecordError
from retrue.ports import RoundRecord
from retrue.records import (
    Answer,
    Decision,
    ObjectRef,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    Window,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

WINDOW = Window(
    window_id="w1",
    stream="incoming",
    objects=(ObjectRef(uri="s3://b/k", version="e1", size=10, modified_at=NOON),),
    rows=100,
    eligible=90,
    duplicates=1,
    quarantined=2,
    first_time=NOON,
    last_time=None,
    model_version=None,
    recorded_at=NOON,
)
PLAN = RoundPlan(
    round_id="r1",
    kind="incoming",
    cause="w1",
    why="new rows, Übergröße",
    population=(WINDOW,),
    frame_rows=90,
    seed="s",
    arms={"audit": 1, "active": 1},
    schema_version=1,
    guideline_version="1",
    cost_per_label=0.12,
    currency="EUR",
    parent=None,
    planned_at=NOON,
)
SAMPLE = Sample(
    sample_id="a",
    revision="rev",
    window_id="w1",
    uri="s3://b/k",
    object_version="e1",
    row=None,
    fields='{"x":"ä"}',
    media_uri=None,
    media_version=None,
    media_sha256=None,
    group=None,
    subject="p",
    time=NOON,
    multiplicity=2,
)
TASK = Task(
    task_key="t1",
    round_id="r1",
    sample_id="a",
    arm="audit",
    group="crowd",
    overlap=2,
    score=None,
    inclusion_probability=0.25,
    trigger="audit",
    schema_version=1,
    guideline_version="1",
    predicted='"cat"',
    predicted_probability=0.5,
    gold=None,
)
ANSWER = Answer(
    seq=1,
    answer_id="17",
    revision="u1",
    task_key="t1",
    annotator="ann",
    status="answered",
    value='"cat"',
    note="",
    lead_seconds=2.5,
    answered_at=NOON,
    observed_at=NOON,
)
VERDICT = Verdict(
    sample_id="a",
    label='"cat"',
    confidence=0.75,
    n_answers=1,
    status="accepted",
    method="majority",
    reason="",
    schema_version=1,
    decided_at=NOON,
)


@pytest.fixture(params=["files", "files-and-cache", "memory"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> RoundRecord:
    if request.param == "memory":
        return MemoryRoundRecord()
    cache = tmp_path / "cache" if request.param == "files-and-cache" else None
    return FileRoundRecord(tmp_path / "data", cache=cache)


def decision(kind: str, *, at: datetime = NOON, cause: str = "r1", by: str = "retrue") -> Decision:
    return Decision(
        decision_id=f"{kind}-{cause}", kind=kind, at=at, by=by, data={"round": "r1", "n": [1, None]}
    )


def test_what_was_planned_is_read_back_equal(record: RoundRecord):
    samples = [replace(SAMPLE, sample_id="b"), SAMPLE]
    tasks = [replace(TASK, task_key="t2", sample_id="b"), TASK]

    record.plan_round(PLAN, samples, tasks)

    assert record.round("r1").plan == PLAN
    assert record.samples("r1") == samples
    assert record.tasks("r1") == tasks


def test_planning_a_round_twice_keeps_the_first_plan(record: RoundRecord):
    record.plan_round(PLAN, [SAMPLE], [TASK])

    record.plan_round(replace(PLAN, why="another reason"), [], [])

    assert record.round("r1").plan.why == PLAN.why
    assert record.samples("r1") == [SAMPLE]
    assert record.tasks("r1") == [TASK]


def test_rounds_come_in_order_of_planning(record: RoundRecord):
    later = replace(PLAN, round_id="a-later", planned_at=NOON + timedelta(days=1))
    record.plan_round(later, [], [])
    record.plan_round(PLAN, [], [])

    rounds = record.rounds()

    assert [found.plan.round_id for found in rounds] == ["r1", "a-later"]


def test_an_unknown_round_is_refused_with_the_list_of_known_ones(record: RoundRecord):
    record.plan_round(PLAN, [SAMPLE], [TASK])

    for read in (record.round, record.samples, record.tasks):
        with pytest.raises(RecordError, match=r"r9.*r1"):
            read("r9")


def test_a_round_goes_through_its_states(record: RoundRecord):
    states: list[str] = []
    record.plan_round(PLAN, [SAMPLE], [TASK])
    states.append(record.round("r1").state)

    record.decide(decision("round-opened"))
    states.append(record.round("r1").state)
    record.append_answers("r1", [ANSWER])
    states.append(record.round("r1").state)
    record.decide(decision("round-closed", at=NOON + timedelta(days=2)))
    states.append(record.round("r1").state)
    record.decide(decision("round-published"))
    states.append(record.rounds()[0].state)

    assert states == ["planned", "open", "collecting", "closed", "published"]
    assert record.round("r1").opened_at == NOON
    assert record.round("r1").closed_at == NOON + timedelta(days=2)


def test_a_cancelled_round_stays_cancelled_and_other_rounds_are_not_touched(record: RoundRecord):
    record.plan_round(PLAN, [], [])
    record.plan_round(replace(PLAN, round_id="r2"), [], [])

    record.decide(decision("round-opened"))
    record.decide(decision("round-cancelled"))

    assert [found.state for found in record.rounds()] == ["cancelled", "planned"]


def test_answers_come_by_seq_over_all_files(record: RoundRecord):
    record.plan_round(PLAN, [SAMPLE], [TASK])
    first, second, third = (replace(ANSWER, seq=seq) for seq in (1, 2, 3))

    names = [record.append_answers("r1", [third, first]), record.append_answers("r1", [second])]

    assert names == ["answers-0001.parquet", "answers-0002.parquet"]
    assert record.answers("r1") == [first, second, third]


def test_answers_to_unknown_tasks_are_kept_without_making_a_round(record: RoundRecord):
    record.append_answers("unknown", [ANSWER])

    assert record.answers("unknown") == [ANSWER]
    assert record.rounds() == []


def test_a_round_without_answers_verdicts_or_media_has_none(record: RoundRecord):
    record.plan_round(PLAN, [SAMPLE], [TASK])

    assert (record.answers("r1"), record.verdict_files("r1"), record.media("r1")) == ([], [], {})
    assert record.round("r1").state == "planned"


def test_verdict_files_come_oldest_first(record: RoundRecord):
    changed = replace(VERDICT, label=None, status="disputed", reason="2 of 4")

    names = [record.append_verdicts("r1", [VERDICT]), record.append_verdicts("r1", [changed])]

    assert record.verdict_files("r1") == [(names[0], [VERDICT]), (names[1], [changed])]
    assert names == ["verdicts-0001.parquet", "verdicts-0002.parquet"]


def test_appending_nothing_is_a_mistake(record: RoundRecord):
    with pytest.raises(ValueError, match="expected at least one"):
        record.append_answers("r1", [])
    with pytest.raises(ValueError, match="expected at least one"):
        record.append_verdicts("r1", [])

    assert record.answers("r1") == []


def test_media_are_kept_byte_for_byte(record: RoundRecord):
    media = {"aa": b"\x00\xff", "bb": b""}

    record.put_media("r1", media)
    record.plan_round(PLAN, [SAMPLE], [TASK])
    record.put_media("r1", {"aa": b"\x00\xff"})

    assert record.media("r1") == media


def test_media_left_by_a_run_that_was_cut_before_planning_are_replaced(record: RoundRecord):
    record.put_media("r1", {"old": b"1"})

    record.put_media("r1", {"new": b"2"})

    assert record.media("r1") == {"new": b"2"}


def test_media_of_a_planned_round_cannot_change(record: RoundRecord):
    record.put_media("r1", {"aa": b"1"})
    record.plan_round(PLAN, [SAMPLE], [TASK])

    with pytest.raises(RecordError, match="differ"):
        record.put_media("r1", {"bb": b"2"})

    assert record.media("r1") == {"aa": b"1"}


def test_deciding_twice_keeps_the_first_decision(record: RoundRecord):
    first = decision("gate")

    made = [record.decide(first), record.decide(first), record.decide(decision("gate", by="eve"))]

    assert made == [True, False, False]
    assert record.decisions() == [first]


def test_decisions_come_by_time_and_by_kind(record: RoundRecord):
    late = decision("gate", at=NOON + timedelta(hours=1))
    early = decision("gate", cause="r0")
    other = decision("version")
    for made in (late, other, early):
        record.decide(made)

    assert record.decisions("gate") == [early, late]
    assert record.decisions() == [early, other, late]
    assert record.decisions("promotion") == []


def test_the_same_decision_id_may_stand_in_two_kinds(record: RoundRecord):
    one = decision("gate")

    assert record.decide(one)
    assert record.decide(replace(one, kind="promotion"))


def test_a_time_of_another_zone_is_the_same_instant_after_reading(record: RoundRecord):
    there = timezone(timedelta(hours=2))
    verdict = replace(VERDICT, decided_at=NOON.astimezone(there))

    record.append_verdicts("r1", [verdict])

    assert record.verdict_files("r1")[0][1][0].decided_at == NOON


# --- reading a part ----------------------------------------------------------------------------


def two_rounds(record: RoundRecord) -> None:
    """r1 asks about a and b, r2 about b again; a wants two answers, b one."""
    samples = [SAMPLE, replace(SAMPLE, sample_id="b")]
    tasks = [TASK, replace(TASK, task_key="t2", sample_id="b", overlap=1)]
    record.plan_round(PLAN, samples, tasks)
    again = replace(TASK, task_key="t3", round_id="r2", sample_id="b", overlap=1)
    record.plan_round(replace(PLAN, round_id="r2"), samples[1:], [again])


def test_some_tasks_of_a_round_are_read_by_sample_and_by_answers_wanted(record: RoundRecord):
    two_rounds(record)

    assert [task.task_key for task in record.tasks("r1", about={"b", "c"})] == ["t2"]
    assert [task.task_key for task in record.tasks("r1", overlap=2)] == ["t1"]


def test_the_rounds_that_ask_about_a_sample_are_found(record: RoundRecord):
    two_rounds(record)

    assert record.rounds_asking(["a", "b", "c"]) == {"r1": {"a", "b"}, "r2": {"b"}}
    assert record.rounds_asking(["c"]) == {}


def test_answers_to_some_tasks_alone(record: RoundRecord):
    two_rounds(record)
    record.append_answers("r1", [ANSWER, replace(ANSWER, seq=2, answer_id="18", task_key="t2")])

    assert [one.answer_id for one in record.answers("r1", to={"t2"})] == ["18"]
    assert record.answers("r1", to=set()) == []


def test_a_tally_counts_what_stands_and_grows_with_every_file(record: RoundRecord):
    record.plan_round(PLAN, [SAMPLE], [TASK])
    skipped = replace(ANSWER, seq=2, answer_id="18", annotator="bob", status="skipped", value=None)
    april = replace(ANSWER, seq=3, answer_id="19", answered_at=NOON + timedelta(days=31))
    record.append_answers("r1", [ANSWER, skipped, april])
    first = record.tallies(["r1", "unknown"])
    record.append_answers("r1", [replace(ANSWER, seq=4, revision="u2", status="deleted")])

    assert first["unknown"].live == 0
    assert (first["r1"].live, first["r1"].given) == (3, 2)
    assert dict(first["r1"].answered) == {"2026-03": 1, "2026-04": 1}
    assert first["r1"].annotators == {"ann", "bob"}
    assert record.tallies(["r1"])["r1"].live == 2


def test_names_of_verdict_files_and_single_decisions_come_without_reading_all(
    record: RoundRecord,
):
    record.plan_round(PLAN, [SAMPLE], [TASK])
    names = [record.append_verdicts("r1", [VERDICT]) for _ in range(2)]
    record.decide(decision("gate"))

    assert record.verdict_names("r1") == names
    assert record.decision("gate", "gate-r1") == decision("gate")
    assert record.decision("gate", "other") is None
