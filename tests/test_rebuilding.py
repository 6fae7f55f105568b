from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.acts.rebuilding import rebuild_ledger, recorded_windows
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.core.window_json import window_from_json, window_to_json
from retrue.errors import LeaseHeld, RecordError
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.train import train_model
from small_world import NOON, SmallWorld


@pytest.fixture
def world(tmp_path):
    """A sampled window `a`, with a few answers brought home, and a quiet window `b`."""
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer(limit=3)
    collect_answers(world.workspace(), now=world.sleep())
    world.arrive("b")
    world.ingest()
    return world


def lose(world):
    world.state = MemoryWorkingState()
    world.sleep()
    return rebuild_ledger(world.workspace(), now=world.now)


def test_a_rebuilt_ledger_has_the_same_window_and_profile(world):
    before = world.state
    sampled = before.windows()[0]

    report = lose(world)

    assert (report.windows, report.lost) == (1, ())
    assert world.state.windows() == [sampled]
    assert world.state.profile(sampled.window_id) == before.profile(sampled.window_id)
    assert world.state.centers() == before.centers()


def test_only_windows_without_a_record_are_ingested_again(world):
    lose(world)

    (report,) = ingest_windows(world.workspace(), now=world.sleep())

    assert [ref.uri.rsplit("/", 1)[-1] for ref in report.window.objects] == ["b.csv"]
    (again,) = ingest_windows(world.workspace(), now=world.sleep())
    assert again.window is None


def test_a_quiet_window_before_a_sampled_one_is_found_again(tmp_path):
    world = SmallWorld(tmp_path)
    world.arrive("quiet")
    world.ingest()
    world.sleep(hours=100)  # far outside the look-back
    world.arrive("late")
    late = world.ingest()
    window = next(w for w in world.state.windows() if w.window_id == late)
    world.workspace().decide(
        "drift-check", "x", now=world.now, data={"window_record": window_to_json(window)}
    )

    lose(world)

    assert recorded_windows(world.workspace()) == [window]
    (report,) = ingest_windows(world.workspace(), now=world.sleep())
    assert [ref.uri.rsplit("/", 1)[-1] for ref in report.window.objects] == ["quiet.csv"]


def test_answers_and_tasks_are_neither_lost_nor_doubled(world):
    round_id = world.records.rounds()[0].plan.round_id
    flying = world.state.samples_in_flight()
    tasks = world.records.tasks(round_id)

    report = lose(world)

    assert report.tasks == len(tasks)
    assert world.state.samples_in_flight() == flying
    (pushed,) = push_tasks(world.workspace(), now=world.sleep())
    assert (pushed.added, pushed.copies_removed) == (0, 0)
    assert collect_answers(world.workspace(), now=world.sleep()).new == 0
    assert len(world.records.answers(round_id)) == 3


def test_a_window_whose_objects_are_gone_is_reported_and_the_rest_goes_on(world):
    world.store.delete("memory://bucket/in/a.csv")

    report = lose(world)

    (lost,) = report.lost
    assert lost.window_id == world.records.rounds()[0].plan.population[0].window_id
    assert "a.csv" in lost.reason
    assert report.tasks > 0


def test_bins_are_those_of_the_champions_reference(tmp_path):
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer()
    world.come_home()
    world.publish()
    assert train_model(world.workspace(), now=world.sleep()).outcome == "first"
    before = world.state.centers()

    report = lose(world)

    assert report.centers > 0
    assert before.items() <= world.state.centers().items()


def test_a_running_step_keeps_the_ledger(world):
    other = replace(world.workspace(), holder="another process")

    with other.lease("push", now=world.now), pytest.raises(LeaseHeld):
        rebuild_ledger(world.workspace(), now=world.now)

    assert len(world.state.windows()) == 2


def test_settled_samples_are_not_in_flight_after_a_rebuild(world):
    world.answer()
    world.come_home()
    assert world.records.rounds()[0].state == "closed"

    report = lose(world)

    assert report.in_flight == 0


@given(
    rows=st.integers(0, 10**9),
    model=st.none() | st.text(),
    uris=st.lists(st.text(min_size=1), max_size=3),
    seconds=st.none() | st.integers(0, 10**8),
)
def test_any_window_survives_its_way_through_json(rows, model, uris, seconds):
    from datetime import timedelta

    from retrue.records import ObjectRef, Window

    window = Window(
        window_id="w",
        stream="inference",
        objects=tuple(ObjectRef(uri=u, version="1", size=rows, modified_at=NOON) for u in uris),
        rows=rows,
        eligible=rows,
        duplicates=0,
        quarantined=1,
        first_time=None if seconds is None else NOON - timedelta(seconds=seconds),
        last_time=None,
        model_version=model,
        recorded_at=NOON,
    )

    assert window_from_json(window_to_json(window)) == window


@pytest.mark.parametrize(
    "change", [{"rows": "3"}, {"rows": True}, {"stream": "other"}, {"recorded_at": "soon"}]
)
def test_a_damaged_window_record_is_named(world, change):
    data = window_to_json(world.state.windows()[0]) | change

    with pytest.raises(RecordError, match="window record"):
        window_from_json(data)
