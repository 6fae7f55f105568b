"""Every kind keeps the same promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.kinds import CANNOT_TELL, KINDS, NONE_OF_THESE, BadLabel, LabelSchema, kind_of

ANIMALS = LabelSchema(kind="choice", classes=("cat", "dog", "7"))
MANY = LabelSchema(kind="choices", classes=("cat", "dog", "7"), max_choices=2)
TREE = LabelSchema(kind="taxonomy", classes=("animal/cat", "animal/dog", "rock"))
METRES = LabelSchema(kind="number", minimum=-10, maximum=10, unit="m", tolerance=0.1)
SCHEMAS = [ANIMALS, MANY, TREE, METRES]

foreign = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["cat", "7", "animal/dog", '"cat"', '["cat"]', "3.5", CANNOT_TELL]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def labels(schema: LabelSchema) -> st.SearchStrategy[str]:
    kind = kind_of(schema)
    options = st.sampled_from(kind.options(schema) or ("",))
    values: st.SearchStrategy[object] = {
        "choices": st.sets(st.sampled_from(schema.classes or ("",)), min_size=1, max_size=2).map(
            list
        ),
        "number": st.floats(-10, 10),
    }.get(schema.kind, options)
    return values.map(lambda value: kind.parse(value, schema))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.kind)
@given(value=foreign)
def test_whatever_comes_in_is_parsed_to_a_fixed_point_or_refused_as_a_bad_label(schema, value):
    kind = kind_of(schema)

    try:
        label = kind.parse(value, schema)
    except BadLabel:
        return

    assert kind.parse(label, schema) == label


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.kind)
@given(data=st.data())
def test_labels_survive_the_way_to_classes_and_back(schema, data):
    given_labels = data.draw(st.lists(labels(schema), max_size=5))
    kind = kind_of(schema)

    classes = kind.to_classes(given_labels, schema)

    assert len(classes) == len(given_labels)
    assert kind.from_classes(classes, schema) == given_labels


@pytest.mark.parametrize(
    ("schema", "value", "label"),
    [
        (ANIMALS, " cat ", '"cat"'),
        (ANIMALS, 7, '"7"'),
        (ANIMALS, ["dog"], '"dog"'),
        (ANIMALS, NONE_OF_THESE, '"none_of_these"'),
        (MANY, ["dog", "cat", "dog"], '["cat","dog"]'),
        (MANY, "dog", '["dog"]'),
        (MANY, CANNOT_TELL, '["cannot_tell"]'),
        (TREE, [["animal", "dog"]], '"animal/dog"'),
        (TREE, ["rock"], '"rock"'),
        (TREE, CANNOT_TELL, '"cannot_tell"'),
        (METRES, "3.50", "3.5"),
        (METRES, -0.0, "0"),
        (METRES, 2, "2"),
    ],
)
def test_an_answer_has_one_canonical_text(schema, value, label):
    assert kind_of(schema).parse(value, schema) == label


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (ANIMALS, "cow", "one of cat, dog, 7, none_of_these, cannot_tell"),
        (ANIMALS, ["cat", "dog"], "exactly one option"),
        (ANIMALS, True, "one of"),
        (MANY, [], "at least one option"),
        (MANY, ["cat", NONE_OF_THESE], "only on its own"),
        (MANY, ["cat", "dog", "7"], "at most 2 classes"),
        (TREE, "animal", "one of"),
        (TREE, [["animal", "dog"], ["rock"]], "one path"),
        (TREE, None, "a path"),
        (METRES, 11, "-10..10 m"),
        (METRES, "NaN", "finite"),
        (METRES, "1e999", "finite"),
        (METRES, 10**400, "finite"),
        (METRES, True, "a number"),
        (METRES, "three", "a number"),
    ],
)
def test_a_label_outside_the_schema_is_told_what_was_expected(schema, value, expected):
    with pytest.raises(BadLabel, match=expected) as caught:
        kind_of(schema).parse(value, schema)

    assert caught.value.where == "label"
    assert caught.value.got == value


def test_every_choice_offers_the_two_outcomes_and_a_number_offers_nothing():
    offered = {schema.kind: kind_of(schema).options(schema) for schema in SCHEMAS}

    assert offered.pop("number") == ()
    assert all(options[-2:] == (NONE_OF_THESE, CANNOT_TELL) for options in offered.values())
    assert {kind.aggregate for kind in KINDS.values()} == {"categorical", "multi", "numeric"}


def test_options_decided_one_by_one_still_make_one_sensible_label():
    rows = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, -1, 0, 0, 0]])

    made = KINDS["choices"].from_classes(rows, MANY)

    assert made == ['["cat"]', '["cannot_tell"]', '["none_of_these"]', None]


def test_a_task_without_answers_has_no_label():
    assert KINDS["choice"].from_classes(np.array([-1, 0]), ANIMALS) == [None, '"cat"']
    assert KINDS["number"].from_classes(np.array([np.nan, 1.0]), METRES) == [None, "1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "box"}, "kind: expected one of"),
        ({"kind": "choice"}, "classes: expected at least one"),
        ({"kind": "choice", "classes": ("a", "a")}, "distinct"),
        ({"kind": "choice", "classes": ("cannot_tell",)}, "always offered"),
        ({"kind": "choice", "classes": (" a",)}, "no space"),
        ({"kind": "choice", "classes": ('"a"',)}, "not starting with"),
        ({"kind": "choices", "classes": ("a",), "max_choices": 0}, "max_choices"),
        ({"kind": "taxonomy", "classes": ("a//b",)}, "named levels"),
        ({"kind": "taxonomy", "classes": ("a",), "separator": ""}, "separator"),
        ({"kind": "number", "classes": ("a",)}, "expected none"),
        ({"kind": "number", "minimum": 2.0, "maximum": 1.0}, "minimum"),
        ({"kind": "number", "tolerance": -1.0}, "tolerance"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LabelSchema(**fields)
