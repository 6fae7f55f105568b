from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from report_world import DAY, HOSTILE, HOUR, NOW, START, World, answer, verdict
from retrue.errors import ServiceUnavailable
from retrue.reading.pushing import STARTED, push_mark
from retrue.records import ProjectKey, QueueTask, canonical_json
from retrue.report.facts import gather_facts
from retrue.report.service import service_of
from retrue.report.story import gather_story


class Away:
    """A ledger whose server is away."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __getattr__(self, name: str) -> object:
        raise ServiceUnavailable("no ledger answers")


def test_a_planned_bootstrap_round_is_to_be_approved(begun: World):
    facts = gather_facts(begun.workspace, now=START + DAY)

    assert facts.service is None
    assert facts.next.command == f"retrue round approve {facts.progress[0].round_id}"
    # 20 audit samples want two answers, 20 others one
    assert (facts.progress[0].wanted, facts.progress[0].done) == (60, 0)
    assert facts.progress[0].cost == pytest.approx(7.2)


def test_an_empty_workspace_is_to_be_started():
    facts = gather_facts(World().workspace, now=START)

    assert facts.next.command == "retrue run cycle"
    assert (facts.version, facts.ready, facts.money.answers) == (0, 0, 0)


def test_the_champion_is_read_off_the_promotions_without_asking_the_registry(lived: World):
    lived.models.known.clear()

    service = gather_facts(lived.workspace, now=NOW).service

    assert service is not None
    assert (service.version, service.dataset_version) == ("2", 2)
    assert service.at_gate is not None
    assert service.at_gate.value == 0.923


def test_accuracy_in_service_rests_only_on_audits_planned_after_the_promotion(lived: World):
    service = gather_facts(lived.workspace, now=NOW).service

    assert service is not None
    assert service.measured is not None
    tasks = [
        task
        for item in lived.records.rounds()
        if item.plan.cause == "weekly"
        for task in lived.records.tasks(item.plan.round_id)
        if task.arm == "audit"
    ]
    labels = {s: v.label for s, v in _verdicts(lived).items()}
    right = sum(task.predicted == labels[task.sample_id] for task in tasks)
    assert service.measured.n == len(tasks) == 60
    assert service.measured.value == pytest.approx(right / 60)
    assert service.measured_population.windows == ("w10",)


def test_a_sample_that_stands_for_three_rows_weighs_three_times(begun: World):
    """Right on one sample of weight 3, wrong on nineteen of weight 1: 3 of 22."""
    _serve(begun)
    first = begun.records.rounds()[0].plan.round_id
    samples, tasks = begun.records.samples(first), begun.records.tasks(first)
    audit = [task for task in tasks if task.arm == "audit"]
    world = _replanned(
        begun,
        [replace(s, multiplicity=3 if s.sample_id == audit[0].sample_id else 1) for s in samples],
        [replace(task, predicted='"0"') for task in tasks],
    )
    given = [verdict(t.sample_id, 0 if t is audit[0] else 1, START + DAY) for t in audit]
    world.records.append_verdicts(first, given)
    world.close(first, START + DAY)

    service = gather_facts(world.workspace, now=NOW).service

    assert service is not None
    assert service.measured is not None
    assert service.measured.value == pytest.approx(3 / 22)


def test_audited_samples_without_a_label_widen_the_interval_to_the_worst_case(begun: World):
    _serve(begun)
    first = begun.records.rounds()[0].plan.round_id
    tasks = [replace(task, predicted='"0"') for task in begun.records.tasks(first)]
    world = _replanned(begun, begun.records.samples(first), tasks)
    audit = [task for task in tasks if task.arm == "audit"]
    world.records.append_verdicts(first, [verdict(t.sample_id, 0, START + DAY) for t in audit[:15]])
    world.close(first, START + DAY)

    service = gather_facts(world.workspace, now=NOW).service

    assert service is not None
    assert service.measured is not None
    assert (service.measured.n, service.measured.missing) == (15, 5)
    assert service.measured.provisional
    assert service.measured.low < 0.75 < service.measured.high


def test_samples_nobody_can_tell_are_counted_and_left_out(begun: World):
    _serve(begun)
    first = begun.records.rounds()[0].plan.round_id
    tasks = [replace(task, predicted='"0"') for task in begun.records.tasks(first)]
    world = _replanned(begun, begun.records.samples(first), tasks)
    audit = [task for task in tasks if task.arm == "audit"]
    given = [verdict(task.sample_id, 0, START + DAY) for task in audit]
    given[0] = replace(given[0], label=None, status="unanswerable")
    world.records.append_verdicts(first, given)
    world.close(first, START + DAY)

    service = gather_facts(world.workspace, now=NOW).service

    assert service is not None
    assert service.measured is not None
    assert (service.unanswerable, service.measured.missing, service.measured.n) == (1, 0, 19)


def test_the_alarm_budget_forgets_checks_older_than_a_year(lived: World):
    now = gather_facts(lived.workspace, now=NOW).budget
    later = gather_facts(lived.workspace, now=START + 8 * DAY + timedelta(days=365)).budget

    assert (now.checks, now.alarms) == (9, 2)
    assert now.left == pytest.approx(0.05 - 9 * 0.0008)
    assert later.checks == 8


def test_labels_of_closed_rounds_that_no_version_holds_are_ready(lived: World):
    facts = gather_facts(lived.workspace, now=NOW)

    assert facts.ready == 104  # the weekly round; all earlier ones are in v2
    assert facts.running == 0


def test_money_is_what_answers_cost_and_caps_count_what_was_asked(lived: World):
    facts = gather_facts(lived.workspace, now=NOW)

    given = sum(len(lived.records.answers(item.plan.round_id)) for item in lived.records.rounds())
    assert facts.money.answers == given
    assert facts.money.spent == pytest.approx(given * 0.12)
    assert facts.money.asked_today == 24 * 2 + 30
    assert facts.money.cap_day == 300


def test_answers_still_wanted_come_before_closing(lived: World):
    facts = gather_facts(lived.workspace, now=NOW)

    assert facts.next.command == "retrue label"
    assert f"{facts.progress[0].left} answers" in facts.next.what


def test_when_all_answers_are_in_the_round_is_to_be_closed(begun: World):
    round_id = begun.records.rounds()[0].plan.round_id
    begun.open(round_id, START + HOUR)
    begun.answer(round_id, START + DAY)

    facts = gather_facts(begun.workspace, now=START + DAY)

    assert facts.progress[0].left == 0
    assert facts.next.command == "retrue run close-round"


def test_a_challenger_that_passed_waits_for_a_person_before_anything_else(lived: World):
    data = {"champion": "2", "outcome": "waiting", "why": "better", "result": None}
    lived.gate(3, NOW, data)

    assert gather_facts(lived.workspace, now=NOW).next.command == "retrue model promote 3"

    lived.promote(3, NOW, "a person said so")

    assert gather_facts(lived.workspace, now=NOW).next.command == "retrue label"


def test_a_version_no_model_has_seen_is_to_be_trained_on(lived: World):
    for item in lived.records.rounds():
        if item.state in ("closed", "collecting"):
            lived.decide("round-cancelled", item.plan.round_id, NOW, {"round": item.plan.round_id})
    lived.decide("version", "3", NOW, {"version": 3, "verdict_files": []})

    facts = gather_facts(lived.workspace, now=NOW)

    assert facts.next.command == "retrue run retrain"


def test_a_new_class_found_by_a_probe_is_to_be_added(lived: World):
    lived.promote(1, NOW - DAY, "rolled back")
    opened = {"incident": "i2", "champion": "1", "window": "w10", "reasons": ["p_max"]}
    lived.decide("incident-opened", "i2", NOW - 2 * HOUR, opened)
    why = "7 of 40 people said none of these"
    decided = {"incident": "i2", "outcome": "new_class", "why": why}
    lived.decide("incident-decided", "i2", NOW - HOUR, decided)
    windows = [window for window in lived.state.windows() if window.window_id == "w10"]
    lived.round("probe", "i2/1", "a look", NOW - 2 * HOUR, {"audit": 5}, windows, error=0.1)

    facts = gather_facts(lived.workspace, now=NOW)

    assert facts.next.command == "retrue schema plan"
    assert facts.next.why == why


def test_a_cancelled_round_asks_for_nothing(begun: World):
    round_id = begun.records.rounds()[0].plan.round_id
    begun.decide("round-cancelled", "x", START + HOUR, {"round": round_id})

    facts = gather_facts(begun.workspace, now=START + HOUR)

    assert facts.progress == ()
    assert facts.money.asked_month == 0


def test_people_are_ranked_from_the_least_trusted_and_the_bad_one_is_named(lived: World):
    people = gather_story(lived.workspace, now=NOW).people

    assert people[0].report.annotator == HOSTILE
    assert [person.named for person in people] == [True, False, False]
    assert people[0].report.skill.mean < people[1].report.skill.mean <= people[2].report.skill.mean


def test_the_story_tells_corrections_with_who_said_what(lived: World):
    last = gather_story(lived.workspace, now=NOW).versions[-1]

    assert (last.version, last.corrected) == (2, 6)
    assert all(one.before != one.after for one in last.corrections)
    assert {"ana", "ben"} >= {who for who, _ in last.corrections[1].said} - {HOSTILE}
    moved = {one.label: (one.came, one.went) for one in last.classes}
    assert sum(came for came, _ in moved.values()) == sum(went for _, went in moved.values()) == 6


def test_the_gate_tells_which_items_changed_losses_first(lived: World):
    gate = gather_story(lived.workspace, now=NOW).gate

    assert gate is not None
    assert [item.gain for item in gate.changed] == [-1.0] * 4 + [1.0] * 19


def test_a_label_that_was_taken_back_does_not_wait_for_a_version(begun: World):
    round_id = begun.records.rounds()[0].plan.round_id
    first, second = (one.sample_id for one in begun.records.samples(round_id)[:2])
    begun.records.append_verdicts(round_id, [verdict(n, 1, START + DAY) for n in (first, second)])
    later = verdict(first, 2, START + 2 * DAY)
    begun.records.append_verdicts(round_id, [replace(later, label=None, status="disputed")])
    begun.close(round_id, START + 2 * DAY)

    assert gather_facts(begun.workspace, now=NOW).ready == 1


def test_a_deleted_answer_costs_nothing_and_is_wanted_again(begun: World):
    round_id = begun.records.rounds()[0].plan.round_id
    task = begun.records.tasks(round_id)[0]
    given = answer(task, "ana", canonical_json("1"), 1, START + DAY, 3.0)
    gone = replace(given, seq=2, status="deleted", value=None, revision="2")
    begun.records.append_answers(round_id, [given, gone])

    facts = gather_facts(begun.workspace, now=NOW)

    assert (facts.money.answers, facts.progress[0].done) == (0, 0)


def test_the_registry_is_not_woken_before_the_first_gate(begun: World):
    class Asleep:
        pass

    workspace = replace(begun.workspace, models=Asleep())

    story = gather_story(workspace, now=NOW)

    assert story.models == ()


def test_nothing_in_service_without_a_promotion(lived: World):
    decisions = [made for made in lived.records.decisions() if made.kind != "promotion"]

    assert service_of(lived.workspace, lived.records.rounds(), decisions) is None


def _serve(world: World) -> None:
    """A champion that was promoted before the first round was planned."""
    world.promote(1, START - DAY, "adopted")


def _verdicts(world: World):
    return {
        one.sample_id: one
        for item in world.records.rounds()
        for _, verdicts in world.records.verdict_files(item.plan.round_id)
        for one in verdicts
    }


def _replanned(world: World, samples, tasks) -> World:
    """The same world with other samples and tasks in its one round."""
    plan = world.records.rounds()[0].plan
    fresh = World()
    for made in world.records.decisions():
        fresh.records.decide(made)
    fresh.records.plan_round(plan, samples, tasks)
    return fresh


def test_a_round_whose_tasks_are_not_in_the_queue_is_pushed_first(begun: World):
    world = begun
    round_id = world.records.rounds()[-1].plan.round_id
    world.decide("round-opened", round_id, NOW, {"round": round_id})
    with world.state.lease("x", holder="t", ttl=DAY, now=NOW) as lease:
        world.state.set_value(push_mark(round_id), STARTED, lease)

    facts = gather_facts(world.workspace, now=NOW)

    assert facts.next.command == "retrue push"
    assert round_id in facts.next.what


def test_a_ledger_that_does_not_answer_is_what_to_see_to(begun: World):
    world = begun
    world.open(world.records.rounds()[-1].plan.round_id, NOW)
    away = Away(world.state)

    facts = gather_facts(replace(world.workspace, state=away), now=NOW)

    assert facts.next.command == "retrue doctor"
    assert "no ledger answers" in facts.next.why


def test_skipped_tasks_are_no_answers_and_not_waited_for(begun: World):
    world = begun
    item = world.records.rounds()[-1]
    world.open(item.plan.round_id, NOW)
    task = world.records.tasks(item.plan.round_id)[0]
    said = answer(task, "ana", "1", 1, NOW, 2.0)
    world.records.append_answers(item.plan.round_id, [replace(said, status="skipped", value=None)])

    (progress,) = [
        one
        for one in gather_facts(world.workspace, now=NOW).progress
        if one.round_id == item.plan.round_id
    ]

    assert (progress.done, progress.skipped) == (0, 1)
    assert progress.left == progress.wanted - 1


def test_answers_that_nobody_fetched_are_fetched_before_more_are_asked_for(begun: World):
    world = begun
    round_id = world.records.rounds()[-1].plan.round_id
    if world.records.round(round_id).state == "planned":
        world.open(round_id, NOW)
    task = world.records.tasks(round_id)[0]
    key = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
    shown = QueueTask(task_key=task.task_key, project=key, display={}, media_uri=None)
    world.queue.add([shown])
    world.queue.answer(task.task_key, "ana", '"1"', now=NOW)

    facts = gather_facts(world.workspace, now=NOW)

    assert facts.next.what == "Bring 1 answers home"
    assert facts.next.command == "retrue collect"
