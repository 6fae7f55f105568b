"""Drift: which windows are checked, what an alarm opens, what a probe decides."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrue.adapters.records_files import FileRoundRecord
from retrue.core.incident import read_incidents
from retrue.cycle import close_rounds, open_rounds
from retrue.reading import probing
from retrue.steps.collect import collect_answers
from retrue.steps.drift import DriftReport, check_windows, close_incident
from retrue.steps.ingest import ingest_windows
from retrue.steps.train import promote
from retrue.steps.validate import judge_answers
from world import BUCKET, EXPERTS, World, a_config


@pytest.fixture
def world(tmp_path) -> World:
    """A model in service, audited on 30 of 300 rows."""
    return trained(World(tmp_path))


def trained(world: World) -> World:
    world.arrive("a", 300)
    open_rounds(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS)
    assert close_rounds(world.workspace(), now=world.sleep(hours=1)).train.outcome == "first"
    return world


def night(world: World, name: str, *, shift: float = 0.0, rows: int = 300) -> DriftReport:
    """New traffic comes in and is checked; no round is opened."""
    world.arrive(name, rows, shift=shift, stream="log")
    ingest_windows(world.workspace(), now=world.sleep(hours=23))
    return check(world)


def put(world: World, name: str, **columns: list[object]) -> DriftReport:
    data = parquet(**columns)
    world.store.put(f"{BUCKET}/log/{name}.parquet", data, modified_at=world.now)
    ingest_windows(world.workspace(), now=world.sleep(hours=23))
    return check(world)


def check(world: World, **more: bool) -> DriftReport:
    return check_windows(world.workspace(), now=world.sleep(hours=1), **more)


def cycle(world: World, name: str, **more: float) -> DriftReport:
    """A whole day: traffic, checks, rounds, answers, verdicts."""
    world.arrive(name, 300, stream="log", **more)
    report = open_rounds(world.workspace(), now=world.sleep(hours=12)).drift
    world.people_answer(EXPERTS)
    close_rounds(world.workspace(), now=world.sleep(hours=12))
    return report


def opened(world: World) -> list[object]:
    return [made.data["incident"] for made in world.records.decisions("incident-opened")]


# --- what is checked -------------------------------------------------------------------------


def test_without_a_champion_there_is_nothing_to_compare_with(tmp_path):
    report = check(World(tmp_path))

    assert (report.checks, report.why) == ((), "no champion yet: nothing to compare with")


def test_a_champion_without_audited_traffic_says_what_is_missing(world):
    world.models._evidence.clear()
    world.records._plans = {}  # nothing was ever audited

    report = night(world, "log1", shift=3)

    assert report.checks == ()
    assert "audit a window first" in report.why


def test_a_champion_promoted_before_any_audit_gets_its_reference_when_there_is_one(world):
    world.models._evidence.clear()

    dry = check(world, dry_run=True)
    report = night(world, "log1")

    assert "no reference" in dry.why
    assert [one.alarm for one in report.checks] == [False]


def test_quiet_traffic_raises_no_alarm_and_the_check_is_on_record_once(world):
    first, again = night(world, "log1"), check(world)

    (quiet,) = first.checks
    assert (quiet.alarm, quiet.incident, quiet.reasons) == (False, None, ())
    assert again.checks == ()
    (made,) = world.records.decisions("drift-check")
    assert made.data["window_record"]["window_id"] == quiet.window_id
    assert 0 < made.data["alpha_spent"] < 0.05 / 52
    assert made.data["alpha_spent"] == pytest.approx(sum(t["alpha"] for t in made.data["tests"]))


def test_windows_from_before_the_champion_served_are_not_checked(world):
    night(world, "log1")
    first = world.models.champion()
    second = replace(first, version="2", dataset_version=None)
    world.models._versions["2"] = second
    world.models._folders["2"] = world.models._folders["1"]
    promote(world.workspace(), second, why="a test", now=world.sleep(hours=1))

    before, after = check(world), night(world, "log2")

    assert before.checks == ()
    assert [one.window_id for one in after.checks] == [
        world.state.windows("inference")[-1].window_id
    ]


def test_a_dry_run_tells_of_the_alarm_and_writes_nothing(world):
    world.arrive("log1", 300, shift=3, stream="log")
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    before = len(world.records.decisions())

    report = check(world, dry_run=True)

    assert [(one.alarm, one.incident) for one in report.checks] == [(True, None)]
    assert len(world.records.decisions()) == before


# --- odd windows -----------------------------------------------------------------------------


def test_a_window_without_a_single_good_row_is_no_drift_and_can_be_recorded(world, tmp_path):
    report = put(
        world,
        "bad",
        id=[None, None],
        x=[1.0, 2.0],
        y=[1.0, 2.0],
        p_left=[0.5, 0.5],
        p_right=[0.5, 0.5],
    )

    windows = world.state.windows("inference")
    assert [window.rows for window in windows] == [0]
    (one,) = report.checks
    assert (one.rows, one.alarm, one.alpha_spent) == (0, False, 0)
    files = FileRoundRecord(tmp_path / "files")
    assert files.decide(world.records.decisions("drift-check")[0])


def test_a_column_that_is_gone_is_told_and_is_no_alarm(tmp_path):
    data = a_config().data.model_dump(exclude_none=True)
    del data["fields"]  # columns as they come
    data["inference"] = {"uri": f"{BUCKET}/log", "key": "id"}
    world = trained(World(tmp_path, config=a_config(data=data)))
    place = replace(world.workspace(), models=Lenient(world))
    odd = parquet(id=[str(n) for n in range(50)], other=[0.0] * 50)
    world.store.put(f"{BUCKET}/log/odd.parquet", odd, modified_at=world.now)
    ingest_windows(place, now=world.sleep(hours=23))

    (one,) = check_windows(place, now=world.sleep(hours=1)).checks

    assert one.alarm is False
    assert {test.name for test in one.tests if test.statistic == "none"} == {"x", "y", "other"}
    (made,) = world.records.decisions("drift-check")
    assert json.dumps(made.data, allow_nan=False)


def parquet(**columns: list[object]) -> bytes:
    data = io.BytesIO()
    pd.DataFrame(columns).to_parquet(data, index=False)
    return data.getvalue()


class Lenient:
    """The registry of a world whose champion thinks of something for rows without its columns."""

    def __init__(self, world: World) -> None:
        self._models = world.models

    def __getattr__(self, name: str):
        return getattr(self._models, name)

    def score(self, model, samples, media):
        x = np.random.default_rng(0).normal(size=len(samples))
        fields = [json.dumps({"x": value, "y": 0.0}) for value in x]
        known = [replace(one, fields=text) for one, text in zip(samples, fields, strict=True)]
        return self._models.score(model, known, media)


def test_outputs_that_another_model_logged_are_scored_again(tmp_path):
    data = a_config().data.model_dump(exclude_none=True)
    data["inference"]["model_version"] = "model"
    world = trained(World(tmp_path, config=a_config(data=data)))
    quiet = world.arrive("a2", 300)  # rows like those of the audit
    x = [1.0 if world.truths[name] == "right" else -1.0 for name in quiet]
    same = {
        "id": quiet,
        "x": x,
        "y": [0.0] * 300,
        "p_left": [0.999] * 300,
        "p_right": [0.001] * 300,
    }

    theirs = put(world, "theirs", **same, model=["9"] * 300).checks[0]
    mixed = put(world, "mixed", **same, model=["1"] * 150 + ["9"] * 150).checks[0]
    ours = put(world, "ours", **same, model=["v1"] * 300).checks[0]

    assert "rescored by champion 1: logged by model 9" in theirs.note
    assert "logged by model unknown" in mixed.note
    assert ours.note == ""
    said = {test.name: test.value for test in theirs.tests}
    assert said["predicted"] < 0.2
    assert {test.name: test.value for test in ours.tests}["predicted"] > 0.4


# --- incidents -------------------------------------------------------------------------------


def test_a_shift_opens_one_incident_however_many_nights_it_lasts(world):
    reports = [night(world, f"log{n}", shift=3) for n in range(5)]

    assert len(opened(world)) == 1
    assert {report.checks[0].incident for report in reports} == set(opened(world))
    assert "x" in " ".join(reports[0].checks[0].reasons)


def test_several_shifted_windows_in_one_call_open_one_incident(world):
    for name in ("log1", "log2"):
        world.arrive(name, 300, shift=3, stream="log")
        ingest_windows(world.workspace(), now=world.sleep(hours=1))

    report = check(world)

    assert [one.alarm for one in report.checks] == [True, True]
    assert len(opened(world)) == 1


@pytest.mark.parametrize("days", [10, None])
def test_a_shift_a_person_muted_or_accepted_opens_nothing_and_asks_nobody(world, days):
    night(world, "log1", shift=3)
    (name,) = opened(world)
    until = None if days is None else world.now.replace(day=20)
    close_incident(world.workspace(), str(name), now=world.sleep(hours=1), until=until)

    report = cycle(world, "log2", shift=3)

    assert report.checks[0].incident == name
    assert len(opened(world)) == 1
    assert [item.plan.kind for item in world.records.rounds()] == ["bootstrap"]


def test_when_the_mute_is_over_the_same_shift_opens_another(world):
    night(world, "log1", shift=3)
    (name,) = opened(world)
    until = world.now.replace(day=6)
    close_incident(world.workspace(), str(name), now=world.sleep(hours=1), until=until)
    world.sleep(days=5)

    night(world, "log2", shift=3)

    assert len(opened(world)) == 2


# --- probes ----------------------------------------------------------------------------------


def test_a_loss_is_found_by_the_probe_and_decided_once(world):
    cycle(world, "log1", shift=2)

    report = cycle(world, "log2", shift=2)
    again = check(world)

    (probe,) = report.probes
    assert (probe.outcome.outcome, probe.outcome.n, probe.decided) == ("loss", 20, True)
    assert again.probes == ()
    (made,) = world.records.decisions("incident-decided")
    assert made.data["outcome"] == "loss"
    assert [item.plan.kind for item in world.records.rounds()] == [
        "bootstrap",
        "probe",
        "inference",
    ]


def test_an_undecided_probe_buys_the_next_block_and_no_more_than_its_maximum(world):
    world.truths = Harmless(world.truths)
    reports = [cycle(world, f"log{n}", shift=3) for n in range(5)]

    outcomes = [(p.outcome.n, p.outcome.outcome, p.decided) for r in reports for p in r.probes]
    assert outcomes[0] == (20, "undecided", False)
    assert outcomes[-1][2] is True
    drawn = sum(i.plan.arms["audit"] for i in world.records.rounds() if i.plan.kind == "probe")
    assert drawn == 40
    assert "inference" not in [item.plan.kind for item in world.records.rounds()]


class Harmless(dict[str, str]):
    """Shifted points are right, as the model says: it lost nothing by the shift."""

    def __getitem__(self, name: str) -> str:
        return "right" if name.startswith("log") else super().__getitem__(name)


def test_a_window_smaller_than_the_probe_is_decided_when_it_is_used_up(world):
    world.truths = Harmless(world.truths)
    world.arrive("log1", 30, shift=4, stream="log")
    for _ in range(4):
        report = open_rounds(world.workspace(), now=world.sleep(hours=12)).drift
        world.people_answer(EXPERTS)
        close_rounds(world.workspace(), now=world.sleep(hours=12))

    drawn = [i.plan.arms["audit"] for i in world.records.rounds() if i.plan.kind == "probe"]
    assert drawn == [20, 10]
    assert len(world.records.decisions("incident-decided")) == 1
    assert report.probes == ()


def test_the_probe_is_read_in_the_order_of_drawing(world):
    cycle(world, "log1", shift=2)
    probe = world.records.rounds()[-1].plan.round_id
    (incident,) = read_incidents(world.records.decisions(), world.records.rounds())

    items = probing._probe_items(world.workspace(), incident)

    samples = world.records.samples(probe)
    keyed = {task.sample_id: task.task_key for task in world.records.tasks(probe)}
    assert [json.loads(label) for label, _ in items] == [world.truths[s.sample_id] for s in samples]
    assert [keyed[s.sample_id] for s in samples] != sorted(keyed.values())


def test_a_new_class_waits_for_the_schema(world):
    world.truths = Strange(world.truths)
    cycle(world, "log1", shift=2)
    world.arrive("log2", 300, shift=2, stream="log")

    opening = open_rounds(world.workspace(), now=world.sleep(hours=12))

    (probe,) = opening.drift.probes
    assert (probe.outcome.outcome, probe.decided) == ("new_class", True)
    assert opening.select.planned == ()
    assert "retrue schema apply" in opening.select.waiting[0].do


class Strange(dict[str, str]):
    """Half of the new points are of no known class."""

    def __getitem__(self, name: str) -> str:
        strange = name.startswith("log") and int(name[-1]) % 2
        return "none_of_these" if strange else super().__getitem__(name)


def test_a_champion_without_an_audited_accuracy_is_not_probed_for_ever(world):
    world.records._decisions = {
        key: made for key, made in world.records._decisions.items() if made.kind != "gate"
    }
    for n in range(4):
        world.arrive(f"log{n}", 300, shift=3, stream="log")
        open_rounds(world.workspace(), now=world.sleep(hours=12))
        world.people_answer(EXPERTS)
        collect_answers(world.workspace(), now=world.sleep(hours=6))
        judge_answers(world.workspace(), now=world.sleep(hours=6))

    (made,) = world.records.decisions("incident-decided")
    assert made.data["outcome"] == "undecided"
    assert "no audited accuracy" in made.data["why"]
