"""Collect: every observed state of every answer comes home once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from faults.cuts import Cuts, Killed, cut
from retrue.adapters.queue_memory import MemoryQueue
from retrue.core.answers import live_answers
from retrue.ports import ObservedAnswers
from retrue.records import Answer, ProjectKey, QueueTask
from retrue.steps.collect import CURSOR, UNKNOWN, CollectReport, collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from world import EXPERTS, World


def asked(folder: Path) -> World:
    """A world whose first round is in the queue."""
    world = World(folder)
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    push_tasks(world.workspace(), now=world.sleep(hours=1))
    return world


def collect(world: World, **how: bool) -> CollectReport:
    return collect_answers(world.workspace(), now=world.sleep(hours=1), **how)


def home(world: World) -> str:
    return world.records.rounds()[0].plan.round_id


def on_file(world: World) -> list[Answer]:
    return world.records.answers(home(world))


def first_task(world: World) -> str:
    return world.queue.open_tasks("ann", "crowd")[0].task_key


def test_answers_come_home_once_numbered_in_order_of_observation(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=7)
    first = collect(world)
    world.people_answer(EXPERTS, limit=5)

    second = collect(world)
    third = collect(world)

    assert (first.new, second.new, third.new) == (7, 5, 0)
    assert (first.rounds, third.rounds) == ((home(world),), ())
    assert [answer.seq for answer in on_file(world)] == list(range(1, 13))
    assert len({answer.observed_at for answer in on_file(world)}) == 2
    assert world.records.rounds()[0].state == "collecting"


def test_an_edit_is_a_further_state_and_the_note_is_kept(tmp_path: Path):
    world = asked(tmp_path)
    answer_id = world.queue.answer(
        first_task(world), "ann", '"left"', note="blurred", lead_seconds=2.5, now=world.now
    )
    collect(world)
    world.queue.change(answer_id, '"right"', note="looked twice", now=world.now)

    report = collect(world)

    assert (report.new, report.changed, report.deleted) == (0, 1, 0)
    assert [(a.value, a.note) for a in on_file(world)] == [
        ('"left"', "blurred"),
        ('"right"', "looked twice"),
    ]
    assert on_file(world)[0].lead_seconds == 2.5
    assert [a.value for a in live_answers(on_file(world))] == ['"right"']


def test_a_skip_comes_home_with_its_reason(tmp_path: Path):
    world = asked(tmp_path)
    world.queue.answer(first_task(world), "ann", None, note="out of focus", now=world.now)

    report = collect(world)

    (skipped,) = on_file(world)
    assert report.new == 1
    assert (skipped.status, skipped.value, skipped.note) == ("skipped", None, "out of focus")


def test_answers_to_tasks_that_are_not_ours_are_kept_apart(tmp_path: Path):
    world = asked(tmp_path)
    stranger = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
    world.queue.add([QueueTask(task_key="theirs", project=stranger, display={}, media_uri=None)])
    world.queue.answer("theirs", "ann", '"left"', now=world.now)
    world.queue.answer(first_task(world), "ann", '"left"', now=world.now)

    report = collect(world)
    world.queue.delete(world.records.answers(UNKNOWN)[0].answer_id, now=world.now)
    taken_back = collect(world)

    assert (report.new, report.unknown, taken_back.deleted) == (2, 1, 1)
    assert [a.task_key for a in world.records.answers(UNKNOWN)] == ["theirs", "theirs"]
    assert len(on_file(world)) == 1


def test_a_deleted_answer_is_found_by_the_falling_count(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=6)
    collect(world)
    gone = on_file(world)[2]
    world.queue.delete(gone.answer_id, now=world.now)

    report = collect(world)

    assert (report.new, report.deleted) == (0, 1)
    assert on_file(world)[-1].status == "deleted"
    assert gone.answer_id not in {a.answer_id for a in live_answers(on_file(world))}
    assert collect(world).deleted == 0


def test_a_new_answer_does_not_hide_a_deleted_one_nor_does_a_strangers(tmp_path: Path):
    world = asked(tmp_path)
    stranger = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
    world.queue.add([QueueTask(task_key="theirs", project=stranger, display={}, media_uri=None)])
    answered = world.queue.answer(first_task(world), "ann", '"left"', now=world.now)
    collect(world)
    world.queue.delete(answered, now=world.now)
    world.queue.answer("theirs", "ann", '"left"', now=world.now)
    world.queue.answer(first_task(world), "bob", '"left"', now=world.now)

    report = collect(world)

    assert (report.new, report.deleted) == (2, 1)


def test_a_deletion_the_count_cannot_show_is_found_by_a_sweep(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=6)
    collect(world)
    world.queue.delete(on_file(world)[0].answer_id, now=world.now)
    world.queue.count = lambda: 6  # a tool whose cheap count lags

    quick, swept = collect(world), collect(world, sweep=True)

    assert (quick.deleted, swept.deleted) == (0, 1)


def test_the_cursor_moves_last_so_a_kill_before_it_loses_and_doubles_nothing(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=9)
    calls = Cuts()
    twin = World.develop(world.photograph(), tmp_path / "twin")
    collect_answers(twin.workspace(lambda port: cut(port, calls)), now=twin.now)
    moved = max(i for i, name in enumerate(calls.calls, 1) if name.endswith("set_value"))
    killed = Cuts(at=moved, when="before")

    with pytest.raises(Killed):
        collect_answers(world.workspace(lambda port: cut(port, killed)), now=world.now)
    assert world.state.value(CURSOR) is None
    assert len(on_file(world)) == 9
    report = collect(world)

    assert report.new == 0
    assert len(on_file(world)) == 9
    assert world.state.value(CURSOR) is not None


def test_with_the_ledger_lost_nothing_is_written_twice_and_deletions_are_still_found(
    tmp_path: Path,
):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=8)
    collect(world)
    world.state.clear()
    world.queue.delete(on_file(world)[0].answer_id, now=world.now)
    world.people_answer(EXPERTS, limit=2)

    report = collect(world)

    assert (report.new, report.deleted, report.unknown) == (2, 1, 0)
    assert len(on_file(world)) == 8 + 2 + 1


@dataclass
class HidesOne:
    """A queue that leaves an answer out of what is new, as a page that shifts while it is read."""

    queue: MemoryQueue
    hidden: str = ""  # an answer's id
    more: int = 0  # answers that it counts, and never shows
    reads: list[str] = field(default_factory=list)  # cursors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)

    def count(self) -> int:
        return self.queue.count() + self.more

    def answers(self, cursor: str) -> ObservedAnswers:
        self.reads.append(cursor)
        seen = self.queue.answers(cursor)
        kept = [one for one in seen.answers if cursor == "" or one.answer_id != self.hidden]
        return replace(seen, answers=tuple(kept))


def test_an_answer_that_the_tool_counts_and_did_not_show_is_looked_for_among_all(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=3)
    collect(world)
    hidden = world.queue.answer(first_task(world), "ann", '"left"', now=world.now)
    world.people_answer(EXPERTS, limit=2)
    tool = HidesOne(world.queue, hidden)

    report = collect_answers(replace(world.workspace(), queue=tool), now=world.now)

    assert report.new == 3
    assert hidden in {answer.answer_id for answer in on_file(world)}
    assert [cursor == "" for cursor in tool.reads] == [False, True]


def test_a_tool_that_counts_more_than_it_ever_shows_is_not_read_whole_every_time(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=3)
    collect(world)
    tool = HidesOne(world.queue, more=1)

    for _ in range(3):
        collect_answers(replace(world.workspace(), queue=tool), now=world.sleep(hours=1))

    assert tool.reads.count("") == 1


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path):
    world = asked(tmp_path)
    world.people_answer(EXPERTS, limit=4)

    report = collect(world, dry_run=True)

    assert report.new == 4
    assert on_file(world) == []
    assert world.state.value(CURSOR) is None
