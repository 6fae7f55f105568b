"""Every step is cut at every outside call, run again, and must leave what a whole run leaves.

A killed process is followed by another one, under another name and after its leases ran out; a
caller that only saw a cut connection tries again by itself.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from faults.cuts import Cuts
from faults.naive import naive_collect, naive_push
from faults.stations import Stations, stations
from faults.worlds import Act, Doubled, calls_of, cut_and_rerun, facts
from retrue.errors import LeaseLost
from world import World

# Where each step has most to do; `test_the_stations_have_work_for_every_step` sees to it.
STEPS = [
    *("ingest/first", "ingest/probe", "drift/probe", "drift/aimed", "select/first", "select/aimed"),
    *("push/first", "collect/first", "collect/second", "validate/first", "validate/second"),
    *("version/second", "version/gate", "train/second", "train/gate"),
]
TICKS = ["open/first", "open/probe", "open/aimed", "close/first", "close/second", "close/gate"]
# Killed before a call is killed after the one before it; before the first, nothing has happened.
WAYS = (("after", "kill"), ("before", "cut"), ("after", "cut"))
TICK_CUTS = 15  # of each whole tick, drawn by seed; single steps are cut everywhere

Folders = Iterator[Path]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Stations:
    return stations(tmp_path_factory.mktemp("life"))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return (tmp_path / str(number) for number in itertools.count())


def every_cut(calls: int) -> list[Cuts]:
    return [Cuts(at=at, when=when, how=how) for at in range(1, calls + 1) for when, how in WAYS]


def damage(picture: bytes, act: Act, cuts: list[Cuts], folders: Folders) -> list[str]:
    """What the cuts changed for good; empty: nothing."""
    _, whole = calls_of(picture, act, next(folders))
    found: list[str] = []
    for cut in cuts:
        where = f"{cut.how} {cut.when} call {cut.at}"
        try:
            left = facts(cut_and_rerun(picture, act, cut, next(folders)))
        except Doubled as doubled:
            found.append(f"{where}: {doubled}")
            continue
        wrong = [name for name in whole if left[name] != whole[name]]
        if wrong:
            found.append(f"{where} ({cut.calls[cut.at - 1]}): {', '.join(wrong)}")
    return found


@pytest.mark.parametrize("station", STEPS)
def test_a_step_cut_at_any_call_is_finished_by_running_it_again(
    station: str, life: Stations, folders: Folders
):
    picture, act = life[station]
    calls, _ = calls_of(picture, act, next(folders))

    lost = damage(picture, act, every_cut(calls), folders)

    assert calls > 0
    assert lost == []


@pytest.mark.parametrize("station", TICKS)
def test_a_whole_tick_cut_anywhere_is_finished_by_the_next(
    station: str, life: Stations, folders: Folders
):
    picture, act = life[station]
    calls, _ = calls_of(picture, act, next(folders))
    cuts = random.Random(station).sample(every_cut(calls), TICK_CUTS)  # noqa: S311 - no secret

    lost = damage(picture, act, cuts, folders)

    assert lost == []


def test_the_stations_have_work_for_every_step(life: Stations, folders: Folders):
    before = {
        name: facts(World.develop(picture, next(folders))) for name, (picture, _) in life.items()
    }

    changed = {
        name: {
            key
            for key, value in calls_of(*life[name], next(folders))[1].items()
            if value != before[name][key]
        }
        for name in life
    }

    assert all(changed[name] for name in [*STEPS, *TICKS])
    assert "windows" in changed["ingest/probe"]
    assert "incidents" in changed["drift/probe"]
    assert "incidents" in changed["drift/aimed"]
    assert "rounds" in changed["select/first"]
    assert "tasks" in changed["push/first"]
    assert "answers" in changed["collect/second"]
    assert {"verdicts", "rounds"} <= changed["validate/first"]
    assert "versions" in changed["version/gate"]
    assert {"champion", "models"} <= changed["train/second"]
    assert "models" in changed["train/gate"]


# --- the harness would notice --------------------------------------------------------------------


def test_the_same_cuts_catch_a_push_that_does_not_ask_what_is_there(
    life: Stations, folders: Folders
):
    picture, _ = life["push/first"]
    calls, _ = calls_of(picture, naive_push, next(folders))

    lost = damage(picture, naive_push, every_cut(calls), folders)

    assert any("task" in line for line in lost), lost


@pytest.mark.parametrize(
    ("cursor_first", "sign"), [(True, "answers"), (False, "answer in")], ids=["loses", "doubles"]
)
def test_the_same_cuts_catch_a_collect_that_loses_or_doubles_answers(
    cursor_first: bool, sign: str, life: Stations, folders: Folders
):
    picture, _ = life["collect/second"]
    act = partial(naive_collect, cursor_first=cursor_first)
    calls, _ = calls_of(picture, act, next(folders))

    lost = damage(picture, act, every_cut(calls), folders)

    assert any(sign in line for line in lost), lost


# --- one writer ----------------------------------------------------------------------------------


def test_a_process_thought_dead_cannot_write_after_another_took_over(
    life: Stations, folders: Folders
):
    picture, _ = life["collect/second"]
    world = World.develop(picture, next(folders))
    slow = world.workspace(holder="slow")

    with slow.lease("collect", now=world.now) as old:
        quick = world.workspace(holder="quick").lease("collect", now=world.sleep(hours=7))
        with quick, pytest.raises(LeaseLost):
            slow.state.set_value("collect/cursor", "9", old)

    assert world.state.value("collect/cursor") != "9"
