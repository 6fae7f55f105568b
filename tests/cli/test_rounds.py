from __future__ import annotations

import json

import pytest

from retrue.cli.rounds import app
from retrue.errors import ConfigError, RecordError, WorkspaceError
from retrue.steps.collect import collect_answers
from retrue.steps.push import push_tasks
from retrue.steps.validate import judge_answers
from small_world import SmallWorld, a_config


@pytest.fixture
def world(tmp_path):
    return SmallWorld(tmp_path)


def split(person, key):  # noqa: ARG001
    return '"apple"' if person == "ann" else '"pear"'


def test_a_dry_run_shows_picks_and_cost_and_plans_nothing(world):
    world.arrive("a")
    world.ingest()

    result = world.call(app, "open", "adhoc", "--why", "odd pears", "--budget", "5", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "would be planned: odd pears" in result.output
    assert "5 samples" in result.output
    assert "EUR" in result.output
    assert world.records.rounds() == []


def test_the_newest_unsampled_windows_are_taken_and_a_rerun_finds_the_round(world):
    world.bootstrap()
    world.arrive("b")
    newest = world.ingest()

    result = world.call(app, "open", "incoming", "--why", "new season")

    assert result.exit_code == 0, result.output
    made = world.records.rounds()[-1]
    assert [window.window_id for window in made.plan.population] == [newest]
    assert made.plan.cause.startswith("pat/")
    again = world.call(app, "open", "incoming", "--why", "new season", "--window", newest[:6])
    assert again.exit_code == 0, again.output
    assert len(world.records.rounds()) == 2


def test_when_every_window_was_sampled_a_person_has_to_name_one(world):
    world.bootstrap()

    result = world.call(app, "open", "incoming", "--why", "more")

    assert isinstance(result.exception, WorkspaceError)
    assert "--window" in str(result.exception)


def test_a_planned_round_waits_for_approval_and_then_is_open(world):
    world.config = a_config(round={"open": "ask"})
    world.arrive("a")
    world.ingest()
    world.call(app, "open", "incoming", "--why", "first look")
    (planned,) = world.records.rounds()
    assert planned.state == "planned"

    dry = world.call(app, "approve", planned.plan.round_id, "--dry-run")
    assert world.records.rounds()[0].state == "planned"
    result = world.call(app, "approve", planned.plan.round_id)

    assert "would be opened" in dry.output
    assert result.exit_code == 0, result.output
    assert world.records.rounds()[0].state == "open"
    assert world.records.decisions("round-opened")[0].by == "pat"
    assert "is open" in world.call(app, "approve", planned.plan.round_id).output


def test_list_and_show_say_how_far_a_round_is_and_who_answered(world):
    item = world.bootstrap()
    world.answer(split)
    world.come_home()

    listed = world.call(app, "list", "--json")
    shown = world.call(app, "show", item.plan.round_id)

    (first, dispute) = json.loads(listed.output)
    assert first["plan"]["round_id"] == item.plan.round_id
    assert first["given"] == first["wanted"]
    assert dispute["plan"]["kind"] == "dispute"
    assert "4 samples" in shown.output
    assert "ann: " in shown.output
    assert "4.0 s each" in shown.output
    assert "disputed: " in shown.output
    assert "people disagree" in shown.output
    assert f"went on in {dispute['plan']['round_id']}" in shown.output
    assert world.call(app, "list").exit_code == 0


def test_a_round_with_unresolved_audit_is_not_closed_by_accident(world):
    item = world.bootstrap()

    result = world.call(app, "close", item.plan.round_id)

    assert isinstance(result.exception, RecordError)
    assert "4 audit samples have no verdict" in str(result.exception)
    assert world.records.rounds()[0].state == "open"


def test_closing_with_missing_audit_says_that_accuracy_becomes_provisional(world):
    item = world.bootstrap()
    keys = [task.task_key for task in world.records.tasks(item.plan.round_id)]

    result = world.call(app, "close", item.plan.round_id, "--accept-missing")

    assert result.exit_code == 0, result.output
    assert "8 unanswered tasks withdrawn" in result.output
    assert "provisional" in result.output
    assert world.records.rounds()[0].state == "closed"
    assert world.queue.tasks(keys) == []
    assert world.state.samples_in_flight() == set()


def test_closing_early_lets_training_tasks_go_and_keeps_what_was_answered(world):
    item = world.bootstrap()
    tasks = world.records.tasks(item.plan.round_id)
    audit = {task.task_key for task in tasks if task.arm == "audit"}
    for person in ("ann", "bob"):
        for key in audit:
            world.queue.answer(key, person, '"apple"', now=world.now)
    world.come_home()
    assert world.records.rounds()[0].state == "collecting"

    result = world.call(app, "close", item.plan.round_id)

    assert result.exit_code == 0, result.output
    assert "4 unanswered tasks withdrawn" in result.output
    assert world.publish() == 1
    assert len(world.repo.rows(1)) == 4


def test_answers_that_came_home_are_judged_before_a_round_is_closed(world):
    item = world.bootstrap()
    world.answer()
    collect_answers(world.workspace(), now=world.sleep())

    result = world.call(app, "close", item.plan.round_id)

    assert result.exit_code == 0, result.output
    assert "provisional" not in result.output
    assert world.publish() == 1


def test_a_half_answered_training_task_of_a_closed_round_is_judged_by_what_there_is(world):
    world.config = a_config(
        labels={"answers_per_item": {"train": 2, "audit": 2}}, validate={"min_confidence": 0.5}
    )
    item = world.bootstrap()
    world.answer(people=["ann"])
    world.come_home()

    result = world.call(app, "close", item.plan.round_id, "--accept-missing")

    assert result.exit_code == 0, result.output
    assert world.publish() == 1
    rows = world.repo.rows(1)
    assert {(row.arm, row.n_answers) for row in rows} == {("random", 1)}
    assert len(rows) == 4


def test_cancelling_withdraws_tasks_and_its_answers_stop_counting(world):
    item = world.bootstrap()
    world.answer(limit=2)
    world.come_home()

    dry = world.call(app, "cancel", item.plan.round_id, "--why", "wrong bucket", "--dry-run")
    assert world.records.rounds()[0].state == "collecting"
    result = world.call(app, "cancel", item.plan.round_id, "--why", "wrong bucket")

    assert "would be cancelled" in dry.output
    assert "2 answers stay on record" in result.output
    assert world.records.rounds()[0].state == "cancelled"
    assert world.records.decisions("round-cancelled")[0].data["why"] == "wrong bucket"
    assert world.state.samples_in_flight() == set()
    left = world.queue.tasks(t.task_key for t in world.records.tasks(item.plan.round_id))
    assert all(copy.answered for copy in left)


def test_a_closed_round_cannot_be_cancelled(world):
    item = world.bootstrap()
    world.answer()
    world.come_home()

    result = world.call(app, "cancel", item.plan.round_id, "--why", "no")

    assert isinstance(result.exception, RecordError)
    assert "answers void" in str(result.exception)


def test_an_adjudicators_word_settles_a_dispute(world):
    item = world.bootstrap()
    world.answer(split)
    world.come_home()
    disputed = world.records.tasks(world.records.rounds()[1].plan.round_id)[0].sample_id

    result = world.call(
        app,
        "adjudicate",
        item.plan.round_id,
        "--sample",
        disputed,
        "--label",
        "pear",
        person="judy",
    )

    assert result.exit_code == 0, result.output
    world.come_home()
    last = {
        v.sample_id: v
        for _, found in world.records.verdict_files(item.plan.round_id)
        for v in found
    }
    assert (last[disputed].label, last[disputed].method) == ('"pear"', "adjudicated")


def test_a_sample_nobody_is_asked_about_any_more_gets_a_dispute_round_of_its_own(world):
    world.config = a_config(validate={"dispute_group": "expert"})
    item = world.bootstrap()
    world.answer(split)
    world.come_home()
    disputed = world.records.tasks(world.records.rounds()[1].plan.round_id)[0].sample_id
    words = ("--sample", disputed, "--label", "pear")

    world.config = a_config(
        validate={"dispute_group": "expert"}, queue={"annotators": {"adjudicator": ["judy"]}}
    )
    result = world.call(app, "adjudicate", item.plan.round_id, *words, person="judy")

    assert result.exit_code == 0, result.output
    made = world.records.rounds()[-1]
    assert (made.plan.kind, made.plan.parent) == ("dispute", item.plan.round_id)
    again = world.call(app, "adjudicate", item.plan.round_id, *words, person="judy")
    assert len(world.records.rounds()) == 3
    assert again.exit_code == 0  # a second word supersedes the first


def test_only_adjudicators_adjudicate(world):
    item = world.bootstrap()
    world.answer(split)
    world.come_home()

    result = world.call(app, "adjudicate", item.plan.round_id, "--sample", "a-0", "--label", "pear")

    assert isinstance(result.exception, ConfigError)
    assert "adjudicator" in str(result.exception)


def test_adjudicating_in_turn_shows_each_dispute_and_passes_over_empty_answers(world):
    item = world.bootstrap()
    world.answer(split)
    world.come_home()

    result = world.call(
        app, "adjudicate", item.plan.round_id, person="judy", typed="pear\n" + "\n" * 20
    )

    assert result.exit_code == 0, result.output
    assert "ann says" in result.output
    assert "weight: " in result.output
    assert "1 decided" in result.output


def test_a_round_that_was_cancelled_is_not_pushed_or_judged(world):
    item = world.bootstrap()
    world.call(app, "cancel", item.plan.round_id, "--why", "no")

    assert push_tasks(world.workspace(), now=world.sleep()) == ()
    assert judge_answers(world.workspace(), now=world.sleep()).written == 0
