"""What tools do after a cut, and what people do behind our back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from faults.cuts import Cuts, Killed, cut
from faults.queues import LateAdds, LateImport
from faults.worlds import closed, opened
from retrue.errors import ServiceUnavailable
from retrue.ports import AnnotationQueue
from retrue.records import QueueTask
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.validate import judge_answers
from retrue.steps.version import build_version
from world import EXPERTS, World


def planned(world: World) -> World:
    """A first round, opened and not pushed."""
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    return world


def copies(world: World) -> Counter[str]:
    return Counter(task.task_key for task in world.queue._state.tasks.values())


def wanted(world: World) -> Counter[str]:
    (only,) = world.records.rounds()
    return Counter(task.task_key for task in world.records.tasks(only.plan.round_id))


def copied(queue: AnnotationQueue, world: World, key: str) -> None:
    """Somebody imports a task once more."""
    (task,) = {id(t): t for t in world.queue._state.tasks.values() if t.task_key == key}.values()
    queue.add([task])


def test_tasks_that_were_taken_in_without_a_reply_are_not_added_again(tmp_path: Path):
    world = planned(World(tmp_path, queue=LateAdds(times=1)))

    with pytest.raises(ServiceUnavailable):
        push_tasks(world.workspace(), now=world.now)
    (report,) = push_tasks(world.workspace(), now=world.now)

    assert copies(world) == wanted(world)
    assert (report.added, report.copies_removed) == (0, 0)


def test_an_import_that_goes_on_after_the_cut_is_waited_for(tmp_path: Path):
    world = planned(World(tmp_path, queue=LateImport(each_ask=7)))

    with pytest.raises(ServiceUnavailable):
        push_tasks(world.workspace(), now=world.now)
    (report,) = push_tasks(world.workspace(), now=world.now)

    assert copies(world) == wanted(world)
    assert report.added == 0


def test_of_two_copies_the_answered_one_stays_and_its_answer_counts_once(tmp_path: Path):
    world = planned(World(tmp_path, queue=LateAdds(times=1)))
    with pytest.raises(ServiceUnavailable):
        push_tasks(world.workspace(), now=world.now)
    key = world.queue.open_tasks("ann", "crowd")[0].task_key
    copied(world.queue, world, key)
    last = max(copy.tool_id for copy in world.queue.tasks([key]))
    world.queue.answer(key, "ann", '"left"', now=world.now, tool_id=last)

    (report,) = push_tasks(world.workspace(), now=world.now)
    collected = collect_answers(world.workspace(), now=world.sleep(hours=1))

    assert [copy.tool_id for copy in world.queue.tasks([key])] == [last]
    assert report.copies_removed == 1
    assert collected.new == 1


def test_copies_that_were_both_answered_stay_and_are_one_persons_one_vote(tmp_path: Path):
    world = planned(World(tmp_path, queue=LateAdds(times=1)))
    with pytest.raises(ServiceUnavailable):
        push_tasks(world.workspace(), now=world.now)
    (only,) = world.records.rounds()
    audit = next(t for t in world.records.tasks(only.plan.round_id) if t.arm == "audit")
    copied(world.queue, world, audit.task_key)
    for copy in world.queue.tasks([audit.task_key]):
        world.queue.answer(audit.task_key, "ann", '"left"', now=world.now, tool_id=copy.tool_id)

    (report,) = push_tasks(world.workspace(), now=world.now)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    judged = judge_answers(world.workspace(), now=world.sleep(hours=1))

    assert report.copies_removed == 0
    assert copies(world)[audit.task_key] == 2
    # One person, twice: the audit still waits for a second person.
    assert (judged.rounds[0].waiting, judged.written) == (sum(wanted(world).values()), 0)


def test_a_task_a_person_deleted_takes_no_collected_answer_with_it(tmp_path: Path):
    world = planned(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    world.people_answer(EXPERTS)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    saved = next(iter(world.queue._state.current.values()))
    world.queue.delete(saved.answer.answer_id, now=world.now)
    world.queue.remove([str(saved.tool_id)])

    collected = collect_answers(world.workspace(), now=world.sleep(hours=1))
    judged = judge_answers(world.workspace(), now=world.sleep(hours=1))

    assert (collected.deleted, collected.new) == (0, 0)
    assert judged.rounds[0].closed
    # The missing answer is known of: the next collect has no reason to look for deletions.
    asked = Cuts()
    collect_answers(world.workspace(lambda port: cut(port, asked)), now=world.sleep(hours=1))
    assert "MemoryQueue.answer_ids" not in asked.calls


def test_an_answer_taken_back_before_its_task_was_deleted_is_deleted(tmp_path: Path):
    world = planned(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    world.people_answer(EXPERTS)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    saved = next(iter(world.queue._state.current.values()))
    world.queue.delete(saved.answer.answer_id, now=world.now)

    collected = collect_answers(world.workspace(), now=world.sleep(hours=1))
    world.queue.remove([str(saved.tool_id)])
    judged = judge_answers(world.workspace(), now=world.sleep(hours=1))
    (pushed,) = push_tasks(world.workspace(), now=world.sleep(hours=1))

    assert collected.deleted == 1
    assert judged.rounds[0].waiting == 1
    assert not judged.rounds[0].closed
    assert pushed.added == 1  # and is asked again


def test_an_answer_deleted_between_a_cut_and_the_next_run_is_found(tmp_path: Path):
    world = planned(World(tmp_path))
    push_tasks(world.workspace(), now=world.now)
    world.people_answer(EXPERTS, limit=10)
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS, limit=1)
    (only,) = world.records.rounds()
    before = len(world.records.answers(only.plan.round_id))
    cut_after_writing(world)
    newest = world.records.answers(only.plan.round_id)[-1]
    world.queue.delete(newest.answer_id, now=world.now)

    collected = collect_answers(world.workspace(), now=world.sleep(hours=1))

    assert len(world.records.answers(only.plan.round_id)) == before + 2  # given, and deleted
    assert collected.deleted == 1


def cut_after_writing(world: World) -> None:
    """A collect that dies right after it wrote its answers."""

    class UntilWritten(Cuts):
        def around(self, name, call):
            result = super().around(name, call)
            if name.endswith("append_answers"):
                raise Killed(name)
            return result

    faults = UntilWritten()
    with pytest.raises(Killed):
        collect_answers(world.workspace(lambda port: cut(port, faults)), now=world.sleep(hours=1))
    world.sleep(hours=7)


def test_an_answer_changed_after_publishing_changes_the_next_version_and_no_earlier_one(
    tmp_path: Path,
):
    world = World(tmp_path)
    world.arrive("first", 100)
    opened(world)
    world.people_answer(EXPERTS)
    closed(world)
    (first,) = world.repo.versions()
    (only,) = world.records.rounds()
    train = {t.task_key: t for t in world.records.tasks(only.plan.round_id) if t.arm == "random"}
    saved = next(s for s in world.queue._state.current.values() if s.answer.task_key in train)
    sample_id = train[saved.answer.task_key].sample_id
    other = {'"left"': '"right"', '"right"': '"left"'}[saved.answer.value]
    world.queue.change(saved.answer.answer_id, other, now=world.sleep(hours=1))

    collect_answers(world.workspace(), now=world.sleep(hours=1))
    judge_answers(world.workspace(), now=world.sleep(hours=1))
    second = build_version(world.workspace(), now=world.sleep(hours=1), force=True).manifest

    assert second is not None
    assert (second.changed, second.added, second.removed) == (1, 0, 0)
    assert world.repo.versions()[0] == first
    assert label(world, 1, sample_id) == saved.answer.value
    assert label(world, 2, sample_id) == other


def label(world: World, version: int, sample_id: str) -> str:
    return next(row.label for row in world.repo.rows(version) if row.sample_id == sample_id)


def test_what_an_annotator_is_shown_has_no_field_that_tells():
    assert set(QueueTask.__dataclass_fields__) == {"task_key", "project", "display", "media_uri"}
