"""Ingest: new objects become one window, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.config import Config, Labels
from retrue.core.profile import CategoryProfile, NumberProfile, n_rows
from retrue.errors import ConfigError, LeaseHeld
from retrue.steps.ingest import IngestReport, ingest_windows
from retrue.workspace import Workspace
from windows_bench import NOON, World, config

NOTHING = None  # a port that ingest must never ask


def workspace(world: World, settings: Config) -> Workspace:
    return Workspace(
        root=Path("absent"),
        config=settings,
        labels=Labels(kind="choice", classes=("a", "b")),
        store=world.store,
        state=MemoryWorkingState(),
        queue=NOTHING,
        records=MemoryRoundRecord(),
        repo=NOTHING,
        models=NOTHING,
        notify=NOTHING,
        holder="test",
    )


def ingest(place: Workspace, now: datetime, **more: bool) -> IngestReport:
    (report,) = ingest_windows(place, now=now, **more)
    return report


@pytest.mark.parametrize("later", ["name", None])
def test_another_key_than_the_first_windows_is_refused_with_what_to_do(later):
    world = World()
    world.put("a.csv", b"id,name,x\n1,a,5\n")
    first = workspace(world, config(key="id"))
    ingest(first, world.now)
    world.put("b.csv", b"id,name,x\n2,b,5\n")

    other = replace(first, config=config(key=later))

    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=r"data\.incoming\.key: expected 'id'.*got.*Put the"):
            ingest(other, world.now, dry_run=dry_run)
    assert ingest(first, world.now).window is not None


def test_a_key_is_free_until_the_first_window_and_each_stream_has_its_own():
    world = World()
    ingest(workspace(world, config(key="id")), world.now)
    world.put("a.csv", b"id,name,x,p_a\n1,a,5,1\n")
    place = workspace(world, config(key="name"))
    ingest(place, world.now, dry_run=True)
    ingest(replace(place, config=config(key="id")), world.now)

    log = replace(place, config=config("inference", key="name"))

    assert ingest(log, world.now).window is not None


def test_new_objects_become_a_window_with_counts_and_a_profile():
    world = World()
    world.put("a.csv", b"id,at,ok,x\n1,2026-01-01,yes,5\n2,2026-01-03,no,7\n1,2026-01-02,yes,5\n")
    world.put("b.csv", b"id,at,ok,x\n3,2026-01-02,yes,many\n")
    place = workspace(world, config(key="id", time="at", data__consent={"column": "ok"}))

    report = ingest(place, world.now)

    window = report.window
    assert window is not None
    assert (window.rows, window.eligible, window.duplicates, window.quarantined) == (2, 1, 1, 1)
    assert [str(at)[:10] for at in (window.first_time, window.last_time)] == [
        "2026-01-01",
        "2026-01-03",
    ]
    assert place.state.windows() == [window]
    assert place.state.quarantined(window.window_id) == list(report.quarantined)
    profile = place.state.profile(window.window_id)
    assert n_rows(profile) == 3
    assert isinstance(profile["x"], NumberProfile)
    assert place.state.centers() == {"x": 5.0}


def test_nothing_new_writes_nothing():
    world = World()
    world.put("a.csv", b"id\n1\n")
    place = workspace(world, config(key="id"))
    ingest(place, world.now)

    report = ingest(place, world.now + timedelta(hours=1))

    assert (report.window, report.skipped) == (None, 1)
    assert len(place.state.windows()) == 1


def test_an_object_that_arrives_late_within_the_look_back_is_found_and_one_before_it_is_not():
    world = World()
    world.put("a.csv", b"id\n1\n")
    place = workspace(world, config(key="id", look_back_hours=2))
    ingest(place, world.now)
    late = world.put("late.csv", b"id\n2\n", hours_ago=1)
    world.put("too-late.csv", b"id\n3\n", hours_ago=3)

    report = ingest(place, world.now)

    assert report.window is not None
    assert report.window.objects == (late,)
    assert ingest(place, world.now).window is None


def test_where_names_rise_older_names_are_not_listed_again_and_the_look_back_still_is():
    for rise in (False, True):
        world = World()
        world.put("2026-01-01.csv", b"id\n1\n", hours_ago=9)
        world.put("2026-01-02.csv", b"id\n2\n", hours_ago=1)
        world.put("2026-01-03.csv", b"id\n3\n")
        place = workspace(world, config(key="id", look_back_hours=2, names_rise=rise))
        ingest(place, world.now)
        changed = world.put("2026-01-02.csv", b"id\n2\n4\n")  # the oldest name in the look-back
        new = world.put("2026-01-04.csv", b"id\n5\n")
        older = world.put("2026-01-00.csv", b"id\n6\n")  # a name that did not rise

        report = ingest(place, world.now)

        assert report.window is not None
        assert report.window.objects == ((changed, new) if rise else (changed, new, older))


def test_a_changed_object_is_read_again():
    world = World()
    world.put("a.csv", b"id\n1\n")
    place = workspace(world, config(key="id"))
    first = ingest(place, world.now)
    world.put("a.csv", b"id\n1\n2\n")

    second = ingest(place, world.now)

    assert first.window is not None
    assert second.window is not None
    assert second.window.rows == 2
    assert second.window.window_id != first.window.window_id


def test_a_corrupt_object_is_told_once_and_read_when_it_changed():
    world = World()
    bad = world.put("a.parquet", b"nonsense")
    place = workspace(world, config(key="id"))

    first = ingest(place, world.now)
    second = ingest(place, world.now)
    world.put("a.parquet", b"still nonsense")
    third = ingest(place, world.now)

    assert [(item.uri, item.row) for item in first.unreadable] == [(bad.uri, None)]
    assert first.quarantined == ()
    assert (second.window, second.unreadable) == (None, ())
    assert len(third.unreadable) == 1
    assert len(place.state.quarantined()) == 2


def test_a_dry_run_looks_and_writes_nothing():
    world = World()
    world.put("a.csv", b"id,x\n1,5\n")
    place = workspace(world, config(key="id"))

    report = ingest(place, world.now, dry_run=True)

    assert report.window is not None
    assert report.window.rows == 1
    assert place.state.windows() == []
    assert place.state.centers() == {}
    assert place.state.cursor("incoming").position is None


def test_centers_stay_as_the_first_window_froze_them_so_that_profiles_merge():
    world = World()
    world.put("a.csv", b"id,x\n1,5\n")
    place = workspace(world, config(key="id"))
    ingest(place, world.now)
    world.put("b.csv", b"id,x\n2,500\n")

    report = ingest(place, world.now)

    assert report.window is not None
    assert place.state.profile(report.window.window_id)["x"].center == 5.0


def test_a_clock_that_runs_ahead_does_not_carry_the_cursor_past_what_is_to_come():
    world = World()
    world.put("ahead.csv", b"id\n1\n", hours_ago=-1000)
    place = workspace(world, config(key="id", look_back_hours=1))
    ingest(place, world.now)
    new = world.put("new.csv", b"id\n2\n")

    report = ingest(place, world.now)

    assert report.window is not None
    assert report.window.objects == (new,)


def test_the_model_of_an_inference_window_is_named_only_when_all_rows_agree():
    world = World()
    world.put("a.csv", b"id,v,p_a,p_b\n1,m1,0.1,0.9\n2,m1,0.2,0.8\n")
    settings = config("inference", key="id", model_version="v", probabilities="p_*")
    place = workspace(world, settings)
    one = ingest(place, world.now).window
    world.put("b.csv", b"id,v,p_a,p_b\n3,m1,0.1,0.9\n4,m2,0.2,0.8\n")

    mixed = ingest(place, world.now).window

    assert one is not None
    assert mixed is not None
    assert (one.model_version, mixed.model_version) == ("m1", None)
    predicted = place.state.profile(one.window_id)["predicted"]
    assert predicted == CategoryProfile(missing=0, counts={"b": 2})


def test_two_ingests_do_not_run_at_once():
    world = World()
    world.put("a.csv", b"id\n1\n")
    place = workspace(world, config(key="id"))

    with place.lease("ingest-incoming", now=NOON), pytest.raises(LeaseHeld):
        ingest(replace(place, holder="another"), NOON)
