from __future__ import annotations

import pytest

from retrue.errors import ConfigError
from retrue.reading.schemas import apply_schema, plan_schema, recorded_schema, schema_problems
from small_world import SmallWorld, fruit_labels

RENAMED = {
    "version": 2,
    "classes": ["apple", "nashi"],
    "migrations": [{"to": 2, "op": "rename", "source": ["pear"], "target": ["nashi"]}],
}


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    apply_schema(world.workspace(), now=world.sleep())
    return world


def change(world, **changes):
    world.labels = fruit_labels(**changes)
    return world.workspace()


def test_the_first_schema_is_applied_without_any_migration(tmp_path):
    world = SmallWorld(tmp_path)
    assert recorded_schema(world.records) is None

    made = apply_schema(world.workspace(), now=world.sleep())

    assert made.data["version"] == 1
    assert made.data["added"] == ["apple", "pear"]
    assert recorded_schema(world.records).classes == ("apple", "pear")


def test_applying_the_same_schema_again_adds_no_decision(world):
    apply_schema(world.workspace(), now=world.sleep())

    assert len(world.records.decisions("schema")) == 1


def test_a_declared_rename_leads_to_the_next_version(world):
    workspace = change(world, **RENAMED)

    made = apply_schema(workspace, now=world.sleep())

    assert made.data["added"] == ["nashi"]
    assert made.data["removed"] == ["pear"]
    assert recorded_schema(world.records).version == 2


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"classes": ["apple", "plum"]}, "Raise it to 2"),
        ({"version": 2, "classes": ["apple", "pear", "plum"]}, "'plum' is new"),
        ({"version": 2, "classes": ["apple", "plum"]}, "'pear' is gone"),
        (
            RENAMED | {"migrations": [{"to": 2, "op": "drop", "source": ["cherry"]}]},
            "'cherry', which is none",
        ),
        ({"version": 2, "kind": "choices"}, "kind: expected choice"),
    ],
)
def test_a_schema_that_contradicts_the_one_before_is_refused(world, changes, word):
    workspace = change(world, **changes)

    problems = schema_problems(workspace)

    assert any(word in problem for problem in problems)
    with pytest.raises(ConfigError, match=r"labels\.yaml"):
        apply_schema(workspace, now=world.sleep())
    assert recorded_schema(world.records).version == 1


def test_going_back_is_refused(world):
    apply_schema(change(world, **RENAMED), now=world.sleep())

    problems = schema_problems(change(world))

    assert len(problems) == 1
    assert "Versions never go back" in problems[0]


def test_a_taxonomy_branch_moves_with_all_below_it(tmp_path):
    world = SmallWorld(tmp_path, labels=fruit_labels(kind="taxonomy", classes=["pome/apple", "b"]))
    apply_schema(world.workspace(), now=world.sleep())

    workspace = change(
        world,
        kind="taxonomy",
        version=2,
        classes=["malus/apple", "b"],
        migrations=[{"to": 2, "op": "rename", "source": ["pome"], "target": ["malus"]}],
    )

    assert schema_problems(workspace) == []


def test_the_plan_counts_what_becomes_of_each_label(world):
    world.bootstrap()
    world.answer(lambda _, key: '"pear"' if int(key, 16) % 2 else '"apple"')
    world.come_home()
    before = [
        v
        for _, found in world.records.verdict_files(world.records.rounds()[0].plan.round_id)
        for v in found
    ]
    pears = sum(one.label == '"pear"' for one in before)
    apples = sum(one.label == '"apple"' for one in before)
    assert pears
    assert apples

    plan = plan_schema(
        change(
            world,
            version=2,
            classes=["apple", "nashi", "conference"],
            migrations=[
                {"to": 2, "op": "split", "source": ["pear"], "target": ["nashi", "conference"]}
            ],
        )
    )

    assert plan.problems == ()
    assert plan.pending
    assert [(move.old, move.new, move.samples) for move in plan.moves] == [('"pear"', None, pears)]
    assert plan.ask_again == pears
    assert plan.kept == apples
