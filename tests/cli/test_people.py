from __future__ import annotations

import json

import pytest

from retrue.cli.people import app
from retrue.reading.ballots import gather
from retrue.steps.validate import judge_answers
from small_world import SmallWorld


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer()
    world.come_home()
    return world


def test_annotators_are_listed_with_skill_and_pace(world):
    result = world.call(app, "annotators", "--json")

    reports = {one["annotator"]: one for one in json.loads(result.output)}
    assert set(reports) == {"ann", "bob"}
    assert reports["ann"]["median_seconds"] == 4.0
    assert 0 < reports["bob"]["skill"]["low"] < reports["bob"]["skill"]["mean"]
    table = world.call(app, "annotators")
    assert "crowd" in table.output
    assert "4" in table.output


def test_voided_answers_stop_counting_and_their_samples_are_judged_anew(world):
    world.publish()
    before = gather(world.workspace(), now=world.now)
    told = {name for name, one in before.items() if "bob" in _people(one)}
    assert told

    result = world.call(app, "answers", "void", "--annotator", "bob", "--reason", "a bot")

    assert result.exit_code == 0, result.output
    assert "they had a part in v1" in result.output
    (made,) = world.records.decisions("answers-voided")
    assert (made.by, made.data["reason"]) == ("pat", "a bot")
    after = gather(world.workspace(), now=world.now)
    assert all("bob" not in _people(one) for one in after.values())
    assert judge_answers(world.workspace(), now=world.sleep()).written == len(told)


def test_a_dry_run_voids_nothing(world):
    result = world.call(app, "answers", "void", "--annotator", "bob", "--reason", "x", "--dry-run")

    assert "would be void" in result.output
    assert world.records.decisions("answers-voided") == []


def test_voiding_the_same_answers_again_finds_nothing_to_do(world):
    world.call(app, "answers", "void", "--annotator", "bob", "--reason", "a bot")

    result = world.call(app, "answers", "void", "--annotator", "bob", "--reason", "a bot")

    assert "nothing to do" in result.output
    assert len(world.records.decisions("answers-voided")) == 1


def test_answers_outside_the_span_go_on_counting(world):
    result = world.call(
        app, "answers", "void", "--annotator", "bob", "--until", "2026-03-02", "--reason", "x"
    )

    assert "nothing to do" in result.output


def _people(one):
    return {vote.annotator for vote in one.ballot.votes}
