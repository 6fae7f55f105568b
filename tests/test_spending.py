"""Spending: what caps leave, by the day and by the month."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from loop_facts import a_round
from retrue.reading.spending import answers_asked, answers_left, price_of
from retrue.records import Answer, Task
from world import World, a_config

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


def a_task(round_id: str, number: int, overlap: int) -> Task:
    return Task(
        task_key=f"{round_id}-{number}",
        round_id=round_id,
        sample_id=f"s{number}",
        arm="random",
        group="crowd",
        overlap=overlap,
        score=None,
        inclusion_probability=None,
        trigger="",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def capped(folder, **caps: int) -> World:
    return World(folder, config=a_config(select={"caps": {"cost_per_label": "0.12 EUR", **caps}}))


def plan(world: World, round_id: str, at: datetime, *overlaps: int) -> None:
    round_plan = replace(a_round(round_id, "adhoc", round_id).plan, planned_at=at)
    tasks = [a_task(round_id, n, overlap) for n, overlap in enumerate(overlaps)]
    world.records.plan_round(round_plan, [], tasks)


def test_a_round_asks_its_overlaps_and_nothing_for_labels_that_exist(tmp_path):
    world = capped(tmp_path)
    plan(world, "r", NOON, 2, 1, 0)

    assert answers_asked(world.workspace(), world.records.round("r")) == 3
    assert price_of(world.config) == (0.12, "EUR")


def test_without_a_cap_anything_may_be_asked(tmp_path):
    assert answers_left(capped(tmp_path).workspace(), NOON) is None


@pytest.mark.parametrize(
    ("caps", "left"), [({"day": 10}, 7), ({"month": 10}, 5), ({"day": 4, "month": 10}, 1)]
)
def test_the_cap_that_leaves_least_counts(tmp_path, caps, left):
    world = capped(tmp_path, **caps)
    plan(world, "today", NOON.replace(hour=0), 2, 1)
    plan(world, "yesterday", NOON.replace(day=30, hour=23), 2)
    plan(world, "last-month", NOON.replace(month=2, day=28), 9)
    plan(world, "last-year", NOON.replace(year=2025), 9)

    assert answers_left(world.workspace(), NOON) == left


def test_a_round_over_the_cap_leaves_less_than_nothing(tmp_path):
    world = capped(tmp_path, day=2)
    plan(world, "r", NOON, 3)

    assert answers_left(world.workspace(), NOON) == -1


def test_a_cancelled_round_costs_the_answers_that_were_given(tmp_path):
    world = capped(tmp_path, day=10)
    plan(world, "r", NOON, 2, 2)
    world.workspace().decide("round-cancelled", "r", now=NOON, data={"round": "r"})
    before = answers_left(world.workspace(), NOON)
    answer = Answer(
        seq=1,
        answer_id="1",
        revision="1",
        task_key="r-0",
        annotator="ann",
        status="answered",
        value='"left"',
        note="",
        lead_seconds=None,
        answered_at=NOON,
        observed_at=NOON,
    )
    world.records.append_answers("r", [answer, replace(answer, seq=2, revision="2")])

    assert (before, answers_left(world.workspace(), NOON)) == (10, 9)
