"""Old labels under a new schema."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.kinds import LabelSchema, kind_of
from retrue.kinds.migration import Migration, migrate_label

NEW = LabelSchema(kind="choice", classes=("feline", "canine", "bird", "finch"))
NEW_MANY = LabelSchema(kind="choices", classes=NEW.classes)
STEPS = [
    Migration(op="rename", source=("cat",), target=("feline",)),
    Migration(op="merge", source=("dog", "wolf"), target=("canine",)),
    Migration(op="split", source=("fowl",), target=("bird", "finch")),
    Migration(op="drop", source=("cow",)),
    Migration(op="add", target=("bird",)),
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"cat"', '"feline"'),
        ('"dog"', '"canine"'),
        ('"wolf"', '"canine"'),
        ('"fowl"', None),
        ('"cow"', None),
        ('"bird"', '"bird"'),
        ('"cannot_tell"', '"cannot_tell"'),
        ('"vanished undeclared"', None),
        (None, None),
    ],
)
def test_a_class_follows_the_declared_operations(old, new):
    assert migrate_label(old, STEPS, NEW) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["dog","wolf"]', '["canine"]'),
        ('["bird","cow"]', '["bird"]'),
        ('["cow"]', None),
        ('["bird","fowl"]', None),
    ],
)
def test_an_answer_of_several_classes_keeps_what_is_still_known(old, new):
    assert migrate_label(old, STEPS, NEW_MANY) == new


def test_operations_follow_each_other_in_the_order_declared():
    there = Migration(op="rename", source=("cat",), target=("dog",))
    onwards = Migration(op="rename", source=("dog",), target=("bird",))

    assert migrate_label('"cat"', [there, onwards], NEW) == '"bird"'


def test_one_rename_can_swap_two_classes():
    swap = Migration(op="rename", source=("bird", "finch"), target=("finch", "bird"))

    assert migrate_label('"bird"', [swap], NEW) == '"finch"'
    assert migrate_label('["bird","finch"]', [swap], NEW_MANY) == '["bird","finch"]'


def test_renaming_a_branch_moves_all_below_it_and_nothing_that_only_looks_alike():
    tree = LabelSchema(kind="taxonomy", classes=("beast/dog", "beast", "animals/dog"))
    rename = [Migration(op="rename", source=("animal",), target=("beast",))]

    assert migrate_label('"animal/dog"', rename, tree) == '"beast/dog"'
    assert migrate_label('"animal"', rename, tree) == '"beast"'
    assert migrate_label('"animals/dog"', rename, tree) == '"animals/dog"'


def test_a_number_stays_unless_the_new_limits_exclude_it():
    narrow = LabelSchema(kind="number", maximum=5)

    assert migrate_label("4.5", [], narrow) == "4.5"
    assert migrate_label("6", [], narrow) is None


@given(st.lists(st.sampled_from(["cat", "dog", "wolf", "fowl", "cow", "bird"]), unique=True))
def test_what_a_migration_returns_is_canonical(names):
    old = LabelSchema(kind="choices", classes=("cat", "dog", "wolf", "fowl", "cow", "bird"))
    label = kind_of(old).parse(names or ["cannot_tell"], old)

    moved = migrate_label(label, STEPS, NEW_MANY)

    assert moved is None or kind_of(NEW_MANY).parse(moved, NEW_MANY) == moved


@pytest.mark.parametrize(
    ("op", "source", "target"),
    [
        ("rename", ("a", "b"), ("c",)),
        ("merge", ("a",), ("b", "c")),
        ("split", ("a",), ("b",)),
        ("drop", ("a",), ("b",)),
        ("add", ("a",), ("b",)),
        ("delete", ("a",), ()),
    ],
)
def test_an_operation_whose_classes_do_not_fit_is_refused(op, source, target):
    with pytest.raises(ValueError, match="expected"):
        Migration(op=op, source=source, target=target)
