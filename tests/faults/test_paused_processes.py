"""Real processes, stopped in the middle of a step and resumed after another took their lease."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retrue.adapters.queue_files import FileQueue
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.state_sql import open_ledger
from retrue.core.answers import live_answers
from retrue.errors import LeaseHeld, LeaseLost
from retrue.ports import ObservedAnswers
from retrue.records import Answer, QueueTask
from retrue.steps.collect import CollectReport, collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.workspace import LEASE_TTL, Workspace
from world import NOON, World

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "world", "retrue.adapters.state_sql"])
LATER = NOON + timedelta(days=1)


def pause(parent: object) -> None:
    """Say so, and stop this process until somebody resumes it."""
    parent.send("stopping")
    os.kill(os.getpid(), signal.SIGSTOP)


class PausingQueue(FileQueue):
    """Our machine falls asleep with the tool's answers in hand, or with tasks on their way."""

    def __init__(self, folder: Path, parent: object) -> None:
        super().__init__(folder)
        self._parent = parent

    def answers(self, cursor: str) -> ObservedAnswers:
        found = super().answers(cursor)
        pause(self._parent)
        return found

    def add(self, tasks: Sequence[QueueTask]) -> int:
        pause(self._parent)
        return super().add(tasks)


class PausingRecords(FileRoundRecord):
    """The last moment there is: the lease was checked, the file is not written yet."""

    def __init__(self, data: Path, parent: object) -> None:
        super().__init__(data)
        self._parent = parent

    def append_answers(self, round_id: str, answers: Sequence[Answer]) -> str:
        pause(self._parent)
        return super().append_answers(round_id, answers)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_schema")


def workspace(folder: Path, url: str, holder: str) -> Workspace:
    """One worker's view of what all share: records, queue and ledger."""
    return replace(
        World(folder).workspace(),
        records=FileRoundRecord(folder / "data"),
        queue=FileQueue(folder / "queue"),
        state=open_ledger(url, workspace="points"),
        holder=holder,
    )


def planned(folder: Path, url: str) -> tuple[Workspace, list[str]]:
    """A workspace with an open round, and the keys of its tasks."""
    world = World(folder)
    world.arrive("first", 100)
    ours = replace(workspace(folder, url, "host:0"), store=world.store)
    ingest_windows(ours, now=NOON)
    select_samples(ours, now=NOON)
    (item,) = ours.records.rounds()
    return ours, [task.task_key for task in ours.records.tasks(item.plan.round_id)]


def answered(folder: Path, url: str) -> tuple[Workspace, str]:
    """A workspace whose round is in the queue, with ten answers; and the round's id."""
    ours, _ = planned(folder, url)
    push_tasks(ours, now=NOON)
    for task in ours.queue.open_tasks("ann", "crowd")[:10]:
        ours.queue.answer(task.task_key, "ann", '"left"', now=NOON)
    return ours, ours.records.rounds()[0].plan.round_id


def collect_and_stop(folder: str, url: str, place: str, parent: object) -> None:
    """Collect, and fall asleep at the queue or at the records."""
    ours = workspace(Path(folder), url, "host:1")
    if place == "queue":
        ours = replace(ours, queue=PausingQueue(Path(folder) / "queue", parent))
    else:
        ours = replace(ours, records=PausingRecords(Path(folder) / "data", parent))
    say(parent, lambda: collect_answers(ours, now=NOON))


def push_and_stop(folder: str, url: str, parent: object) -> None:
    """Push, and fall asleep with the tasks on their way into the tool."""
    ours = workspace(Path(folder), url, "host:1")
    ours = replace(ours, queue=PausingQueue(Path(folder) / "queue", parent))
    say(parent, lambda: push_tasks(ours, now=NOON))


def say(parent: object, step: object) -> None:
    """How the step ended."""
    try:
        step()
    except LeaseLost as lost:
        parent.send(str(lost))
    else:
        parent.send("done")


def hear(end: object) -> str:
    assert end.poll(60), "the other process said nothing"
    return end.recv()


def stopped(target: object, *args: object) -> tuple[object, object]:
    """A process that stands still inside its step, and our end of the line to it."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=target, args=(*args, theirs))
    process.start()
    assert hear(ours) == "stopping"
    return process, ours


def resumed(process: object, end: object) -> str:
    """What became of the step."""
    os.kill(process.pid, signal.SIGCONT)
    said = hear(end)
    process.join()
    return said


@pytest.mark.parametrize("place", ["queue", "records"])
def test_a_collect_that_slept_through_its_lease_counts_nothing_twice(
    url: str, tmp_path: Path, place: str
):
    ours, round_id = answered(tmp_path, url)
    process, end = stopped(collect_and_stop, str(tmp_path), url, place)
    other = replace(ours, holder="host:2")

    with pytest.raises(LeaseHeld, match="host:1"):
        collect_answers(other, now=NOON + LEASE_TTL / 2)
    taken_over = collect_answers(other, now=LATER)
    before = ours.records.answers(round_id)
    said = resumed(process, end)

    assert taken_over.new == 10
    assert "expected host:1 with token" in said
    assert "run the step again" in said
    live = live_answers(ours.records.answers(round_id))
    assert {one.answer_id for one in live} == {one.answer_id for one in before}
    assert ours.records.tallies([round_id])[round_id].given == len(live) == 10
    if place == "queue":  # it had not begun to write, and wrote nothing
        assert ours.records.answers(round_id) == before
    nothing = CollectReport(new=0, changed=0, deleted=0, unknown=0, rounds=())
    assert collect_answers(other, now=LATER) == nothing


def test_a_push_that_slept_through_its_lease_leaves_no_task_twice(url: str, tmp_path: Path):
    ours, keys = planned(tmp_path, url)
    process, end = stopped(push_and_stop, str(tmp_path), url)
    other = replace(ours, holder="host:2")

    with pytest.raises(LeaseHeld, match="host:1"):
        push_tasks(other, now=NOON + LEASE_TTL / 2)
    (taken_over,) = push_tasks(other, now=LATER)
    said = resumed(process, end)
    # No token reaches into the tool: what was on its way arrives, and its push is to be run again.
    (again,) = push_tasks(replace(ours, holder="host:3"), now=LATER)

    assert (taken_over.tasks, taken_over.added) == (len(keys), len(keys))
    assert "expected host:1 with token" in said
    assert again.copies_removed == len(keys)
    assert sorted(copy.task_key for copy in ours.queue.tasks(keys)) == sorted(keys)
