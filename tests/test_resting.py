"""Rounds at rest: what is judged once and for all, and what makes it move again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from retrue.reading.resting import gather_moving
from retrue.reading.voiding import Void, void_answers
from retrue.steps.collect import collect_answers
from retrue.steps.validate import judge_answers
from small_world import SmallWorld, fruit_labels

LONG = 24 * 40  # hours; the grace time is thirty days


def settled(folder: Path) -> SmallWorld:
    """A world whose first round was closed long ago and judged since."""
    world = SmallWorld(folder)
    world.bootstrap()
    world.answer()
    collect_answers(world.workspace(), now=world.sleep())
    judge_answers(world.workspace(), now=world.sleep())
    assert {item.state for item in world.records.rounds()} == {"closed"}
    judge_answers(world.workspace(), now=world.sleep(LONG))
    return world


def moving(world: SmallWorld) -> set[str]:
    return set(gather_moving(world.workspace(), now=world.sleep()).asked)


def test_a_round_rests_with_the_first_validation_after_its_grace_time(tmp_path: Path):
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer()
    collect_answers(world.workspace(), now=world.sleep())
    judge_answers(world.workspace(), now=world.sleep())

    in_grace = moving(world)
    world.sleep(LONG)
    unjudged_since = moving(world)
    judge_answers(world.workspace(), now=world.sleep())

    assert len(in_grace) == len(unjudged_since) == 8
    assert moving(world) == set()


def test_rounds_at_rest_lend_what_several_people_answered_and_their_verdicts_stand(tmp_path: Path):
    world = settled(tmp_path)
    (item,) = world.records.rounds()
    round_id = item.plan.round_id
    shared = {task.sample_id for task in world.records.tasks(round_id, overlap=2)}
    before = world.records.verdict_files(round_id)

    found = gather_moving(world.workspace(), now=world.sleep())
    report = judge_answers(world.workspace(), now=world.sleep())

    assert shared
    assert set(found.lent) == shared
    assert all(len(one.ballot.votes) == 2 for one in found.lent.values())
    assert report.written == 0
    assert {one.annotator for one in report.annotators} == {"ann", "bob"}
    assert world.records.verdict_files(round_id) == before


def test_a_void_moves_the_rounds_it_touches_until_they_are_judged_again(tmp_path: Path):
    world = settled(tmp_path)
    far = Void(
        annotator="ann",
        since=world.now - timedelta(days=1),
        until=world.now,
        reason="nothing was said in that time",
    )
    void = Void(annotator="ann", since=None, until=world.now, reason="clicked through")

    void_answers(world.workspace(), far, now=world.sleep())
    untouched = moving(world)
    void_answers(world.workspace(), void, now=world.sleep())
    touched = moving(world)
    report = judge_answers(world.workspace(), now=world.sleep())

    assert (untouched, len(touched)) == (set(), 8)
    assert report.written > 0
    assert moving(world) == set()


def test_other_rules_of_judging_move_everything_once(tmp_path: Path):
    world = settled(tmp_path)

    world.labels = fruit_labels(
        version=2,
        classes=["apple", "pear", "plum"],
        migrations=[{"to": 2, "op": "add", "target": ["plum"]}],
    )
    changed = moving(world)
    judge_answers(world.workspace(), now=world.sleep())

    assert len(changed) == 8
    assert moving(world) == set()


def test_after_a_lost_ledger_everything_is_judged_once(tmp_path: Path):
    world = settled(tmp_path)

    world.state.clear()

    assert len(moving(world)) == 8
