"""Push: every task of an open round is in the queue once, and shows nothing that tells."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from faults.cuts import Cuts, cut
from retrue.errors import LeaseHeld, ServiceUnavailable
from retrue.records import QueueTask, Task
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from world import EXPERTS, World, a_config


def selected(world: World) -> World:
    """A round that is open and not pushed yet."""
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    return world


def tasks(world: World) -> list[Task]:
    return [t for r in world.records.rounds() for t in world.records.tasks(r.plan.round_id)]


def shown(world: World) -> list[QueueTask]:
    return list(world.queue._state.tasks.values())


def test_every_task_is_in_the_queue_once_and_a_rerun_adds_nothing(tmp_path: Path):
    world = selected(World(tmp_path))

    (first,) = push_tasks(world.workspace(), now=world.now)
    (second,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    assert sorted(task.task_key for task in shown(world)) == sorted(
        task.task_key for task in tasks(world)
    )
    assert (first.tasks, first.added, first.copies_removed) == (60, 60, 0)
    assert second.added == 0
    assert world.state.samples_in_flight() == {task.sample_id for task in tasks(world)}


def test_an_annotator_sees_the_display_fields_and_nothing_that_tells(tmp_path: Path):
    world = selected(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)

    text = json.dumps([asdict(task) for task in shown(world)])

    assert {name for task in shown(world) for name in task.display} == {"x", "y"}
    for telling in ("audit", "random", "bootstrap", "probability", "score", "gold", "first-"):
        assert telling not in text


def test_a_key_tells_nothing_of_its_sample_and_keys_of_both_arms_are_mixed(tmp_path: Path):
    world = selected(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)

    arms = {task.task_key: task.arm for task in tasks(world)}
    order = [arms[task.task_key] for task in shown(world)]

    assert all(task.sample_id not in task.task_key for task in tasks(world))
    # Sorted by arm there would be one change; in an order that tells nothing there are many.
    assert sum(a != b for a, b in itertools.pairwise(order)) > 10


def test_only_the_declared_display_fields_are_shown(tmp_path: Path):
    base = a_config()
    data = base.data.model_copy(update={"display": ("y",)})
    world = selected(World(tmp_path, config=base.model_copy(update={"data": data})))

    push_tasks(world.workspace(), now=world.now)

    assert {tuple(task.display) for task in shown(world)} == {("y",)}


def test_a_sample_whose_answers_were_all_given_before_is_not_asked_again(tmp_path: Path):
    world = selected(World(tmp_path))
    free = tasks(world)[0]
    plan = world.records.rounds()[0].plan
    world.records._tasks[plan.round_id][0] = Task(**{**asdict(free), "overlap": 0})

    (report,) = push_tasks(world.workspace(), now=world.now)

    assert free.task_key not in {task.task_key for task in shown(world)}
    assert (report.tasks, report.added) == (59, 59)


def test_a_round_that_waits_for_approval_is_not_pushed(tmp_path: Path):
    world = selected(World(tmp_path, config=a_config(round={"open": "ask"})))

    reports = push_tasks(world.workspace(), now=world.now)

    assert [item.state for item in world.records.rounds()] == ["planned"]
    assert reports == ()
    assert shown(world) == []


def test_a_dry_run_counts_what_is_missing_and_adds_nothing(tmp_path: Path):
    world = selected(World(tmp_path))

    (report,) = push_tasks(world.workspace(), now=world.now, dry_run=True)

    assert (report.added, shown(world)) == (60, [])


def test_a_task_that_is_not_there_after_the_push_is_an_error_and_the_next_push_adds_it(
    tmp_path: Path,
):
    world = selected(World(tmp_path))
    lossy = world.workspace()
    add = world.queue.add
    world.queue.add = lambda asked: add(asked[:-1])  # a tool that drops one without a word

    with pytest.raises(ServiceUnavailable, match="expected 60 tasks in the queue, 1 are not there"):
        push_tasks(lossy, now=world.now)
    world.queue.add = add
    (report,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    assert report.added == 1
    assert len(shown(world)) == 60


def test_a_clean_push_looks_at_no_task_and_a_rerun_only_counts(tmp_path: Path):
    world = selected(World(tmp_path))
    first, second = Cuts(), Cuts()

    push_tasks(world.workspace(lambda port: cut(port, first)), now=world.now)
    push_tasks(world.workspace(lambda port: cut(port, second)), now=world.sleep(hours=1))

    assert asked_of_queue(first) == ["held", "add"]
    assert asked_of_queue(second) == ["held"]


def asked_of_queue(counted: Cuts) -> list[str]:
    port = "MemoryQueue."
    return [call.removeprefix(port) for call in counted.calls if call.startswith(port)]


def test_a_tool_that_keeps_more_than_it_was_given_is_looked_at_and_the_copies_removed(
    tmp_path: Path,
):
    world = selected(World(tmp_path))
    add = world.queue.add
    world.queue.add = lambda asked: add(asked) + add(asked[:3])  # a proxy that tries again

    (report,) = push_tasks(world.workspace(), now=world.now)

    assert (report.added, report.copies_removed) == (60, 3)
    assert len({task.task_key for task in shown(world)}) == len(shown(world)) == 60


def test_a_copy_that_comes_after_its_task_was_answered_is_removed_by_the_next_push(tmp_path: Path):
    world = selected(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    late = shown(world)
    world.people_answer(EXPERTS)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    world.queue.add(late)

    (report,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    assert report.copies_removed == len(late)
    assert len(shown(world)) == len(late)


def test_a_task_that_a_person_deleted_comes_back_while_it_waits_for_answers(tmp_path: Path):
    world = selected(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    world.people_answer(EXPERTS, limit=5)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    answered = {saved.answer.task_key for saved in world.queue._state.current.values()}
    for saved in list(world.queue._state.current.values()):
        world.queue.delete(saved.answer.answer_id, now=world.now)
    world.queue.remove([str(tool_id) for tool_id in world.queue._state.tasks])

    (report,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    back = {task.task_key for task in shown(world)}
    assert report.added == len(back)
    assert back >= {task.task_key for task in tasks(world)} - answered
    complete = [t.task_key for t in tasks(world) if t.task_key in answered and t.overlap == 1]
    assert not back & set(complete)


def test_tasks_go_to_the_tool_in_an_order_that_tells_nothing(tmp_path: Path):
    world = selected(World(tmp_path))

    push_tasks(world.workspace(), now=world.now)

    keys = [task.task_key for task in shown(world)]
    assert keys == sorted(keys)


def test_two_processes_do_not_push_at_once(tmp_path: Path):
    world = selected(World(tmp_path))

    with world.workspace(holder="other").lease("push", now=world.now), pytest.raises(LeaseHeld):
        push_tasks(world.workspace(), now=world.now)

    assert shown(world) == []


def test_a_new_ledger_adds_nothing_to_what_the_tool_holds(tmp_path: Path):
    world = selected(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    world.people_answer(EXPERTS, limit=5)
    world.state.clear()

    (report,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    assert report.added == 0
    assert len(shown(world)) == 60
    assert world.state.samples_in_flight() == {task.sample_id for task in tasks(world)}
