from __future__ import annotations

import json

import pytest

from retrue.cli.models import app
from retrue.errors import ModelError
from retrue.steps.train import promote
from small_world import SmallWorld


@pytest.fixture
def world(tmp_path):
    """Model 1 in service; model 2 was put to the gate and held."""
    from retrue.steps.train import train_model

    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer()
    world.come_home()
    world.publish()
    train_model(world.workspace(), now=world.sleep())
    world.config = world.config.model_copy(
        update={"train": world.config.train.model_copy(update={"seed": 7})}
    )
    train_model(world.workspace(), now=world.sleep())
    return world


def gate(world, version, outcome, champion="1"):
    """What the gate would have said of a model."""
    world.workspace().decide(
        "gate",
        f"{version}/{outcome}",
        now=world.sleep(),
        data={
            "fit_key": f"{version}/{outcome}",
            "key": "",
            "champion": champion,
            "challenger": version,
            "dataset_version": 1,
            "outcome": outcome,
            "why": f"it is {outcome}",
            "result": {"delta": 0.05, "p_value": 0.01, "minimum_detectable": 0.02},
            "accuracy": None,
        },
    )


def champion(world):
    return world.models.champion().version


def test_models_are_listed_with_the_gates_verdict(world):
    result = world.call(app, "list", "--json")

    first, second = json.loads(result.output)
    assert (first["model"]["version"], first["outcome"]) == ("1", "first")
    assert second["model"]["version"] == "2"
    assert "champion" in world.call(app, "list").output


def test_showing_a_model_takes_a_version_or_an_alias(world):
    assert "model 1" in world.call(app, "show", "champion").output
    assert "dataset v1" in world.call(app, "show", "v2").output
    assert isinstance(world.call(app, "show", "9").exception, ModelError)


def test_a_model_the_gate_rejected_is_refused_with_exit_code_4(world):
    gate(world, "2", "rejected")

    result = world.call(app, "promote", "2", "--yes")

    assert result.exit_code == 4
    assert "--force-reason" in result.output
    assert champion(world) == "1"


def test_a_reason_against_the_gate_is_recorded(world):
    gate(world, "2", "rejected")

    result = world.call(app, "promote", "2", "--yes", "--force-reason", "sensor 3 is gone")

    assert result.exit_code == 0, result.output
    assert champion(world) == "2"
    made = world.records.decisions("promotion")[-1]
    assert made.by == "pat"
    assert "sensor 3 is gone" in made.data["why"]
    assert "rejected" in made.data["why"]


def test_a_model_that_passed_is_promoted_with_its_evidence_shown(world):
    gate(world, "2", "waiting")

    dry = world.call(app, "promote", "2", "--dry-run")
    assert champion(world) == "1"
    result = world.call(app, "promote", "2", "--yes")

    assert "would be the champion" in dry.output
    assert result.exit_code == 0, result.output
    assert "smallest gain this test could see: 2.0%" in result.output
    assert champion(world) == "2"


def test_evidence_against_an_older_champion_is_out_of_date(world):
    gate(world, "2", "waiting", champion="0")

    result = world.call(app, "promote", "2", "--yes")

    assert result.exit_code == 4
    assert "out of date" in result.output


def test_rollback_brings_the_one_before_back(world):
    gate(world, "2", "waiting")
    world.call(app, "promote", "2", "--yes")

    result = world.call(app, "rollback", "--yes")

    assert result.exit_code == 0, result.output
    assert champion(world) == "1"


def test_rollback_says_when_there_is_none_before(world):
    result = world.call(app, "rollback", "--yes")

    assert result.exit_code == 1
    assert "none before it" in result.output


def test_two_models_are_laid_side_by_side(world):
    gate(world, "2", "held")
    model = world.models.versions()[1]
    promote(world.workspace(), world.models.versions()[0], why="again", now=world.sleep())

    result = world.call(app, "diff", "champion", model.version)

    assert "model 1 -> model 2" in result.output
    assert "accuracy: 0.5 -> 0.5" in result.output
    assert "0 added" in result.output
    assert "gate: held: it is held" in result.output
