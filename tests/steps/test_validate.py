"""Validate: answers become verdicts, disagreements are asked again, rounds close, nothing drops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retrue.reading.ballots import last_verdicts
from retrue.records import Round, Task
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.validate import ValidateReport, judge_answers
from world import EXPERTS, World, a_config, some_labels

FLIP = {"left": "right", "right": "left"}


def asked(folder: Path, **config: object) -> World:
    """A first round in the queue: 30 audit items for two people, 30 training items for one."""
    world = World(folder, config=a_config(**config))
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    push_tasks(world.workspace(), now=world.sleep(hours=1))
    return world


def first(world: World) -> Round:
    return world.records.rounds()[0]


def tasks(world: World, arm: str) -> list[Task]:
    return [t for t in world.records.tasks(first(world).plan.round_id) if t.arm == arm]


def say(world: World, task: Task, words: Mapping[str, str | None]) -> None:
    """Person -> label, or None for a skip."""
    for person, label in words.items():
        value = label if label is None or label.startswith("{") else f'"{label}"'
        world.queue.answer(task.task_key, person, value, note="dark", now=world.now)


def judge(world: World, **time: float) -> ValidateReport:
    """Collect, judge, and push the disputes."""
    collect_answers(world.workspace(), now=world.sleep(**(time or {"hours": 1})))
    report = judge_answers(world.workspace(), now=world.now)
    push_tasks(world.workspace(), now=world.now)
    return report


def status(world: World, task: Task) -> tuple[str, str | None, str]:
    found = last_verdicts(world.workspace())[task.sample_id]
    return found.status, found.label, found.reason


def everybody(world: World) -> None:
    world.people_answer(EXPERTS)


def test_a_round_whose_answers_are_in_and_agree_is_closed_with_a_verdict_for_every_sample(
    tmp_path: Path,
):
    world = asked(tmp_path)
    everybody(world)

    report = judge(world)

    (only,) = report.rounds
    assert (only.accepted, only.disputed, only.waiting, only.closed) == (60, 0, 0, True)
    assert report.written == 60
    assert first(world).state == "closed"
    labels = {name: v.label for name, v in last_verdicts(world.workspace()).items()}
    assert labels == {name: f'"{world.truths[name]}"' for name in labels}
    assert world.state.samples_in_flight() == set()


def test_judging_again_writes_nothing_and_a_dry_run_never_does(tmp_path: Path):
    world = asked(tmp_path)
    everybody(world)
    collect_answers(world.workspace(), now=world.sleep(hours=1))

    dry = judge_answers(world.workspace(), now=world.now, dry_run=True)
    untouched = (first(world).state, last_verdicts(world.workspace()))
    judge(world)
    again = judge(world)

    assert (dry.written, untouched) == (60, ("collecting", {}))
    assert (again.written, again.rounds, again.disputes) == (0, (), ())


def test_an_audit_item_waits_for_its_second_person(tmp_path: Path):
    world = asked(tmp_path)
    audit = tasks(world, "audit")[0]
    say(world, audit, {"ann": "left"})

    one = judge(world)
    say(world, audit, {"bob": "left"})
    two = judge(world)

    assert (one.rounds[0].waiting, one.written) == (60, 0)
    assert two.rounds[0].waiting == 59
    assert status(world, audit) == ("accepted", '"left"', "")


def test_people_who_disagree_are_asked_about_once_and_the_adjudicators_word_is_final(
    tmp_path: Path,
):
    world = asked(tmp_path)
    audit = tasks(world, "audit")[0]
    truth = world.truths[audit.sample_id]
    say(world, audit, {"ann": truth, "bob": FLIP[truth]})
    world.people_answer(EXPERTS)

    opened = judge(world)
    meanwhile = judge(world)
    (child,) = [item for item in world.records.rounds() if item.plan.kind == "dispute"]
    (question,) = world.records.tasks(child.plan.round_id)
    world.queue.answer(question.task_key, "ann", f'"{FLIP[truth]}"', now=world.now)
    closed = judge(world)
    after = judge(world)

    assert opened.disputes == (child.plan.round_id,)
    assert (child.plan.parent, child.plan.arms) == (first(world).plan.round_id, {"dispute": 1})
    assert (question.group, question.overlap, question.sample_id) == (
        "adjudicator",
        1,
        audit.sample_id,
    )
    assert (meanwhile.disputes, meanwhile.rounds[0].closed) == ((), False)
    assert [item.closed for item in closed.rounds] == [True, True]  # parent and child at once
    assert status(world, audit) == ("accepted", f'"{FLIP[truth]}"', "")
    assert last_verdicts(world.workspace())[audit.sample_id].method == "adjudicated"
    assert (after.written, after.disputes) == (0, ())


def test_lone_answers_of_somebody_who_is_mostly_wrong_are_asked_again_up_to_the_cap(
    tmp_path: Path,
):
    world = asked(tmp_path, validate={"dispute_max": 0.1})
    for audit in tasks(world, "audit"):
        truth = world.truths[audit.sample_id]
        # dan is right on every third item; ann and bob always are, and outvote him.
        place = int(audit.sample_id[-4:])
        dan = truth if place % 3 == 0 else FLIP[truth]
        say(world, audit, {"ann": truth, "bob": truth, "dan": dan})
    for train in tasks(world, "random"):
        say(world, train, {"dan": world.truths[train.sample_id]})

    report = judge(world)

    (child,) = [item for item in world.records.rounds() if item.plan.kind == "dispute"]
    again = {task.sample_id for task in world.records.tasks(child.plan.round_id)}
    assert report.rounds[0].disputed == 30
    assert report.annotators[0].annotator == "dan"
    assert report.annotators[0].below_floor
    assert child.plan.arms == {"dispute": 6}  # a tenth of 60
    assert again <= {task.sample_id for task in tasks(world, "random")}


def test_an_answer_outside_the_schema_becomes_a_verdict_with_a_reason(tmp_path: Path):
    world = asked(tmp_path)
    wrong, skipped, unsure, broken = tasks(world, "random")[:4]
    say(world, wrong, {"ann": "up"})
    say(world, skipped, {"ann": None})
    say(world, unsure, {"ann": "cannot_tell"})
    say(world, broken, {"ann": "{broken"})
    for task in tasks(world, "audit") + tasks(world, "random")[4:]:
        say(world, task, dict.fromkeys(("ann", "bob"), world.truths[task.sample_id]))

    report = judge(world)

    assert status(world, wrong)[:2] == ("unanswerable", None)
    assert "expected one of left, right" in status(world, wrong)[2]
    assert status(world, skipped) == ("unanswerable", None, "ann skipped it: dark")
    assert status(world, unsure) == ("unanswerable", None, "people cannot tell")
    assert "expected JSON" in status(world, broken)[2]
    # Nothing is dropped: 60 asked, 60 verdicts.
    assert (report.written, report.rounds[0].unanswerable) == (60, 4)


def test_overdue_training_tasks_are_missing_and_the_round_closes(tmp_path: Path):
    world = asked(tmp_path)
    late = tasks(world, "random")[0]
    for task in tasks(world, "audit") + tasks(world, "random")[1:]:
        label = world.truths[task.sample_id]
        say(world, task, {"ann": label} | ({"bob": label} if task.arm == "audit" else {}))

    before = judge(world, days=13)
    after = judge(world, days=2)

    assert (before.rounds[0].waiting, before.rounds[0].closed) == (1, False)
    assert (after.rounds[0].waiting, after.rounds[0].closed) == (0, True)
    assert status(world, late) == ("missing", None, "no answer in time")


def test_an_overdue_audit_item_keeps_its_round_open(tmp_path: Path):
    world = asked(tmp_path)
    for task in tasks(world, "audit")[1:]:
        say(world, task, dict.fromkeys(("ann", "bob"), world.truths[task.sample_id]))

    report = judge(world, days=30)

    assert (report.rounds[0].waiting, report.rounds[0].closed) == (1, False)
    assert report.rounds[0].unanswerable == 30  # the training tasks: missing


def test_a_late_answer_to_a_missing_sample_becomes_its_verdict_after_the_round_closed(
    tmp_path: Path,
):
    world = asked(tmp_path)
    late = tasks(world, "random")[0]
    for task in tasks(world, "audit"):
        say(world, task, dict.fromkeys(("ann", "bob"), world.truths[task.sample_id]))
    judge(world, days=15)
    say(world, late, {"ann": "left"})

    report = judge(world)

    assert (first(world).state, report.written) == ("closed", 1)
    assert status(world, late) == ("accepted", '"left"', "")


def test_after_a_new_class_none_of_these_is_asked_again_and_the_rest_stays(tmp_path: Path):
    world = asked(tmp_path)
    strange = tasks(world, "random")[0]
    say(world, strange, {"ann": "none_of_these"})
    everybody(world)
    judge(world)
    before = status(world, strange)
    world.labels = some_labels(
        classes=["left", "right", "up"],
        version=2,
        migrations=[{"to": 2, "op": "add", "target": ["up"]}],
    )

    outdated = judge(world)
    planned = select_samples(world.workspace(), now=world.sleep(hours=1)).planned
    push_tasks(world.workspace(), now=world.now)
    (again,) = world.records.tasks(planned[0].plan.round_id)
    waiting = judge(world)
    world.queue.answer(again.task_key, "ann", '"up"', now=world.now)
    answered = judge(world)

    assert before == ("accepted", '"none_of_these"', "")
    assert status(world, strange) == ("accepted", '"up"', "")
    assert outdated.written == 1  # what a migration carries over is nothing new
    assert [item.plan.kind for item in planned] == ["relabel"]
    assert (again.arm, again.sample_id) == ("relabel", strange.sample_id)
    assert waiting.rounds[0].waiting == 1
    assert (answered.written, answered.rounds[0].closed) == (1, True)


def test_a_dispute_that_was_planned_and_never_opened_is_opened_by_the_next_run(tmp_path: Path):
    world = asked(tmp_path)
    audit = tasks(world, "audit")[0]
    say(world, audit, {"ann": "left", "bob": "right"})
    world.people_answer(EXPERTS)
    judge(world)
    (child,) = [item for item in world.records.rounds() if item.plan.kind == "dispute"]
    made = world.records._decisions
    for key in [key for key, one in made.items() if one.data.get("round") == child.plan.round_id]:
        del made[key]

    report = judge(world)

    assert report.disputes == (child.plan.round_id,)
    assert world.records.round(child.plan.round_id).state == "open"


def test_a_disputed_audit_item_is_taken_up_by_the_round_still_running_when_its_first_has_closed(
    tmp_path: Path,
):
    world = asked(tmp_path)
    everybody(world)
    judge(world)
    home = first(world).plan
    train = tasks(world, "random")[0]
    truth = world.truths[train.sample_id]
    second = later_audit(world, train)
    say(world, second, {"dan": FLIP[truth]})

    report = judge(world)

    (dispute,) = report.disputes
    assert world.records.round(dispute).plan.parent == second.round_id != home.round_id
    assert [t.sample_id for t in world.records.tasks(dispute)] == [train.sample_id]


def later_audit(world: World, train: Task) -> Task:
    """A second round draws a labelled sample for its audit: one answer more is wanted."""
    plan = replace(
        first(world).plan,
        round_id="adhoc-1",
        kind="adhoc",
        cause="again",
        arms={"audit": 1},
        planned_at=world.sleep(hours=1),
    )
    task = replace(train, task_key="k-again", round_id="adhoc-1", arm="audit", overlap=1)
    samples = [s for s in world.records.samples(train.round_id) if s.sample_id == train.sample_id]
    world.records.plan_round(plan, samples, [task])
    world.workspace().decide("round-opened", "adhoc-1", now=world.now, data={"round": "adhoc-1"})
    push_tasks(world.workspace(), now=world.now)
    return task
