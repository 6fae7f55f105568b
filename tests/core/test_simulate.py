"""Simulated annotators have the habits they were given."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.simulate import SimulatedAnnotator, annotator_rng, answer_of, lead_of
from retrue.kinds import LabelSchema, kind_of

PETS = LabelSchema(kind="choice", classes=("cat", "dog", "owl"))
ANN = SimulatedAnnotator(name="ann", accuracy=0.8, seconds=4)
SCHEMAS = {
    "choice": (PETS, "cat"),
    "choices": (
        LabelSchema(kind="choices", classes=("cat", "dog", "owl"), max_choices=2),
        '["cat","owl"]',
    ),
    "taxonomy": (LabelSchema(kind="taxonomy", classes=("a/cat", "a/dog", "car")), "a/dog"),
    "number": (LabelSchema(kind="number", minimum=0, maximum=0.12345, tolerance=0.01), "0.1"),
}


def said(person: SimulatedAnnotator, truth: str, n: int = 2_000) -> Counter[str]:
    return Counter(
        answer_of(person, truth, PETS, rng=annotator_rng("s", person.name, str(i)))[0]
        for i in range(n)
    )


def test_answers_are_right_with_the_given_accuracy_and_wrong_evenly():
    counts = said(ANN, "cat")

    # 2,000 draws: one standard error is 0.009 for the right share, 0.007 for each wrong one.
    assert counts['"cat"'] / 2_000 == pytest.approx(0.8, abs=0.036)
    assert counts['"dog"'] / 2_000 == pytest.approx(0.1, abs=0.027)
    assert counts['"owl"'] / 2_000 == pytest.approx(0.1, abs=0.027)


def test_a_confused_class_takes_all_mistakes():
    counts = said(replace(ANN, confuses={"cat": "owl"}), "cat")

    assert counts.keys() == {'"cat"', '"owl"'}


def test_a_spammer_picks_evenly_whatever_the_truth():
    counts = said(replace(ANN, accuracy=1, spammer=True), "cat")

    assert min(counts[f'"{name}"'] for name in PETS.classes) / 2_000 > 1 / 3 - 0.04


def test_a_class_the_schema_lacks_is_none_of_these_with_a_note():
    right = answer_of(replace(ANN, accuracy=1), "cow", PETS, rng=annotator_rng("s", "a", "t"))
    wrong = answer_of(replace(ANN, accuracy=0), "cow", PETS, rng=annotator_rng("s", "a", "t"))

    assert right == ('"none_of_these"', "cow")
    assert json.loads(wrong[0]) in PETS.classes
    assert wrong[1] == ""


def test_of_a_set_only_the_classes_the_schema_has_are_named():
    schema = LabelSchema(kind="choices", classes=("cat", "dog"))

    value, note = answer_of(
        replace(ANN, accuracy=1), '["cow","dog"]', schema, rng=annotator_rng("s", "a", "t")
    )

    assert (value, note) == ('["dog"]', "")


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
@given(key=st.text(max_size=8), spammer=st.booleans())
def test_a_mistake_fits_the_schema_and_is_not_the_truth(kind: str, key: str, *, spammer: bool):
    schema, truth = SCHEMAS[kind]
    person = replace(ANN, accuracy=0, spammer=spammer)

    value, _ = answer_of(person, truth, schema, rng=annotator_rng("s", "ann", key))

    assert kind_of(schema).parse(json.loads(value), schema) == value
    if not spammer:
        assert value != kind_of(schema).parse(truth, schema)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_the_same_seed_person_and_task_give_the_same_answer(kind: str):
    schema, truth = SCHEMAS[kind]

    def draw(seed: str) -> list[tuple[str, str]]:
        person = replace(ANN, accuracy=0.3)
        return [
            answer_of(person, truth, schema, rng=annotator_rng(seed, "ann", str(i)))
            for i in range(50)
        ]

    assert draw("s") == draw("s")
    assert draw("s") != draw("other")


def test_lead_times_have_the_given_mean_and_are_never_nothing():
    leads = [lead_of(ANN, rng=annotator_rng("s", "ann", str(i))) for i in range(4_000)]

    # Coefficient of variation 0.53: one standard error is 0.034 seconds.
    assert sum(leads) / len(leads) == pytest.approx(4, abs=0.14)
    assert min(leads) >= 0.1


def test_impossible_people_are_refused():
    with pytest.raises(ValueError, match=r"accuracy: expected 0\.\.1, got -0\.1"):
        replace(ANN, accuracy=-0.1)
    with pytest.raises(ValueError, match="seconds: expected > 0, got 0"):
        replace(ANN, seconds=0)
