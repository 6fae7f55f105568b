from __future__ import annotations

import json

import pytest

from retrue.cli import drifts, ledgers, schemas
from retrue.errors import RecordError
from small_world import SmallWorld, fruit_labels


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    world.workspace().decide(
        "incident-opened",
        "abc",
        now=world.now,
        data={"incident": "abc", "champion": "1", "window": "w1", "reasons": ["weight +10%"]},
    )
    return world


def test_incidents_are_listed_and_shown(world):
    listed = world.call(drifts.app, "list", "--json")
    shown = world.call(drifts.app, "show", "abc")

    assert [item["incident_id"] for item in json.loads(listed.output)] == ["abc"]
    assert "weight +10%" in shown.output
    assert "abc" in world.call(drifts.app, "list").output
    assert isinstance(world.call(drifts.app, "show", "xyz").exception, RecordError)


def test_a_muted_incident_is_quiet_until_the_date(world):
    dry = world.call(drifts.app, "mute", "abc", "--until", "2026-04-01", "--dry-run")
    assert world.records.decisions("incident-muted") == []
    result = world.call(drifts.app, "mute", "abc", "--until", "2026-04-01")

    assert "would be muted" in dry.output
    assert "is muted until 2026-04-01" in result.output
    assert "quiet until 2026-04-01" in world.call(drifts.app, "show", "abc").output


def test_another_date_for_a_muted_incident_is_refused_not_ignored(world):
    world.call(drifts.app, "mute", "abc", "--until", "2026-04-01")

    result = world.call(drifts.app, "mute", "abc", "--until", "2026-05-01")

    assert isinstance(result.exception, RecordError)
    assert "2026-04-01" in str(result.exception)


def test_a_date_that_has_passed_is_refused(world):
    result = world.call(drifts.app, "mute", "abc", "--until", "2026-01-01")

    assert isinstance(result.exception, RecordError)


def test_an_accepted_shift_is_recorded_with_the_persons_name(world):
    result = world.call(drifts.app, "accept", "abc")

    assert result.exit_code == 0, result.output
    (made,) = world.records.decisions("incident-accepted")
    assert made.by == "pat"


def test_a_schema_is_planned_then_applied(world):
    world.call(schemas.app, "apply")
    world.labels = fruit_labels(
        version=2,
        classes=["apple", "pear", "plum"],
        migrations=[{"to": 2, "op": "add", "target": ["plum"]}],
    )

    plan = world.call(schemas.app, "plan")
    dry = world.call(schemas.app, "apply", "--dry-run")
    assert len(world.records.decisions("schema")) == 1
    result = world.call(schemas.app, "apply")

    assert "version 1 -> version 2" in plan.output
    assert "version 1 -> version 2" in dry.output
    assert "version 2 is applied" in result.output
    assert world.records.decisions("schema")[-1].data["added"] == ["plum"]
    assert "was applied before" in world.call(schemas.app, "apply").output


def test_a_plan_that_cannot_be_applied_exits_with_1(world):
    world.call(schemas.app, "apply")
    world.labels = fruit_labels(classes=["apple", "plum"])

    result = world.call(schemas.app, "plan")

    assert result.exit_code == 1
    assert "problem: " in result.output


def test_a_ledger_is_rebuilt_after_a_look_and_a_question(world):
    world.bootstrap()

    dry = world.call(ledgers.app, "rebuild", "--dry-run")
    refused = world.call(ledgers.app, "rebuild", typed="n\n")
    result = world.call(ledgers.app, "rebuild", "--yes")

    assert "1 recorded windows would be read again" in dry.output
    assert refused.exit_code == 1
    assert result.exit_code == 0, result.output
    assert "1 windows read again, 8 tasks" in result.output
    assert "8 samples still wait" in result.output
