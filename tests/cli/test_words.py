"""Reports in words, and the exit codes that scripts go by."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from retrue.cli import codes, show, words
from retrue.cli.stage import migrate_under
from retrue.config import Labels
from retrue.core.openings import Waiting
from retrue.steps.collect import CollectReport
from retrue.steps.drift import DriftReport, WindowCheck
from retrue.steps.push import PushReport
from retrue.steps.select import SelectReport
from retrue.steps.train import TrainReport
from retrue.steps.validate import RoundVerdicts, ValidateReport
from retrue.steps.version import VersionReport


def a_check(*, alarm: bool) -> WindowCheck:
    return WindowCheck(
        window_id="w1",
        rows=1200,
        alarm=alarm,
        reasons=("hue moved up",) * 7 if alarm else (),
        tests=(),
        alpha_spent=0.001,
        low_confidence=None,
        incident="i1" if alarm else None,
        note="",
    )


def a_round(*, waiting: int, closed: bool) -> RoundVerdicts:
    return RoundVerdicts(
        round_id="r1",
        kind="bootstrap",
        accepted=3,
        disputed=1,
        unanswerable=0,
        waiting=waiting,
        closed=closed,
    )


def judged(*rounds: RoundVerdicts) -> ValidateReport:
    return ValidateReport(rounds=rounds, written=0, annotators=(), disputes=())


def test_drift_exits_with_3_only_if_a_window_drifted():
    quiet = DriftReport(checks=(a_check(alarm=False),), probes=(), why="")
    alarmed = DriftReport(checks=(a_check(alarm=False), a_check(alarm=True)), probes=(), why="")

    assert (codes.of_drift(quiet), codes.of_drift(alarmed)) == (0, 3)


def test_train_exits_with_4_if_the_gate_refused():
    found = {
        outcome: codes.of_train(TrainReport(outcome=outcome, why=""))
        for outcome in ("nothing", "first", "promoted", "waiting", "held", "rejected")
    }

    assert {name for name, code in found.items() if code == 4} == {"held", "rejected"}
    assert set(found.values()) == {0, 4}


def test_validate_exits_with_5_if_answers_are_missing_and_nothing_closed():
    waiting, closed = a_round(waiting=2, closed=False), a_round(waiting=0, closed=True)

    assert codes.of_validate(judged(waiting)) == 5
    assert codes.of_validate(judged(waiting, closed)) == 0
    assert codes.of_validate(judged()) == 0


def test_a_drifted_window_is_told_with_its_strongest_reasons_and_the_next_step():
    told = words.drift(DriftReport(checks=(a_check(alarm=True),), probes=(), why=""))

    assert told[0].startswith("window w1: DRIFT, incident i1 (1,200 rows")
    assert told.count("  hue moved up") == words.SHOWN
    assert "  and 2 more" in told
    assert "retrue select" in told[-1]


def test_a_round_that_waits_for_a_person_says_what_to_do():
    waiting = Waiting(why="round r1 is planned", do="`retrue round approve r1`")

    told = words.select(SelectReport(planned=(), waiting=(waiting,)), dry_run=False)

    assert told == ["waiting: round r1 is planned", "  to go on: `retrue round approve r1`"]


def test_a_dry_push_says_would():
    report = PushReport(round_id="r1", tasks=40, added=7, copies_removed=0)

    told = words.push([report], "in Label Studio", dry_run=True)

    assert told == ["round r1: 40 tasks, 7 would be added"]


def test_a_round_that_waits_for_a_person_is_named_where_nothing_is_open():
    told = words.push([], "in Label Studio", dry_run=False, planned=["r2"])

    assert told[-1] == "r2 waits for a person: `retrue round approve r2`"


def test_collected_answers_are_counted_and_foreign_ones_named():
    report = CollectReport(new=1, changed=2, deleted=0, unknown=3, rounds=("r1",))

    told = words.collect(report, commit="0123456789abcdef")

    assert told[0] == "1 new answer, 2 changed, 0 deleted, in r1"
    assert "3 answers to tasks that are not ours" in told[1]
    assert "Recorded as 0123456789ab." in told


def test_a_closed_round_leads_to_a_version_and_an_open_one_does_not():
    closed = words.validate(judged(a_round(waiting=0, closed=True)))
    waiting = words.validate(judged(a_round(waiting=2, closed=False)))

    assert "retrue version" in closed[-1]
    assert "waits for 2 samples" in waiting[0]
    assert not any("retrue version" in line for line in waiting)


def test_no_version_says_why():
    told = words.version(VersionReport(manifest=None, why="no closed round waits for a version"))

    assert told == ["No new version: no closed round waits for a version."]


@dataclass(frozen=True, slots=True)
class Figure:
    at: datetime
    low: float
    rows: tuple[np.int64, ...]
    shape: np.ndarray


def test_a_record_becomes_plain_json_whatever_it_holds():
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)

    found = show.plain(Figure(noon, float("nan"), (np.int64(3),), np.array([[1.5, np.inf]])))

    assert found == {
        "at": "2025-01-01T12:00:00+00:00",
        "low": None,
        "rows": [3],
        "shape": [[1.5, None]],
    }


def test_an_old_version_is_built_under_the_names_of_its_time():
    labels = Labels.model_validate(
        {
            "version": 3,
            "kind": "choice",
            "classes": ["feline", "dog"],
            "migrations": [
                {"to": 2, "op": "rename", "source": ["tom"], "target": ["cat"]},
                {"to": 3, "op": "rename", "source": ["cat"], "target": ["feline"]},
            ],
        }
    )

    migrate = migrate_under(labels)

    assert migrate('"tom"', 1, 3) == '"feline"'
    assert migrate('"tom"', 1, 2) == '"cat"'
    assert migrate('"cat"', 2, 2) == '"cat"'
    assert migrate('"tom"', 1, 1) == '"tom"'
