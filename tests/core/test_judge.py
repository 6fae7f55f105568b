"""Ballots become judgements: the rules of the house, and how far each person can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.judge import Ballot, Judgement, Vote, judge, none_of_these, rate_annotators
from retrue.kinds import LabelSchema
from retrue.records import AnnotatorGroup

SIDES = LabelSchema(kind="choice", classes=("left", "right"))
COLORS = LabelSchema(kind="choices", classes=("red", "green", "blue"), max_choices=2)
LENGTH = LabelSchema(kind="number", minimum=0, tolerance=1.0)
ANIMALS = LabelSchema(kind="taxonomy", classes=("animal/cat", "animal/dog", "plant"))
LEFT, RIGHT = '"left"', '"right"'


def vote(person: str, label: str | None, group: AnnotatorGroup = "crowd") -> Vote:
    problem = "" if label is not None else f"{person} skipped it"
    return Vote(annotator=person, group=group, label=label, problem=problem, lead_seconds=3.0)


def ballot(sample_id: str, *votes: Vote, audit: bool = False, **changes: object) -> Ballot:
    made = Ballot(
        sample_id=sample_id,
        votes=votes,
        complete=True,
        people_only=audit,
        predicted=None,
        predicted_probability=None,
        overdue=False,
    )
    return replace(made, **changes)


def judged(
    *ballots: Ballot, schema: LabelSchema = SIDES, min_confidence: float = 0.6
) -> list[Judgement]:
    return judge(ballots, schema, min_confidence=min_confidence, rng=np.random.default_rng(1))


def only(*ballots: Ballot, schema: LabelSchema = SIDES) -> Judgement:
    return judged(*ballots, schema=schema)[0]


# --- the rules ---------------------------------------------------------------------------------


def test_one_answer_of_a_person_nobody_was_compared_with_is_as_sure_as_people_are_assumed_to_be():
    found = only(ballot("a", vote("ann", LEFT)))

    # Right with 0.85, each of the three other options with 0.05: 0.85 / (0.85 + 3 * 0.05).
    assert (found.label, found.status, found.method, found.n_answers) == (
        LEFT,
        "accepted",
        "majority",
        1,
    )
    assert found.confidence == 0.85


def test_an_audit_item_needs_two_people_who_agree():
    alone = only(ballot("a", vote("ann", LEFT), audit=True))
    apart = only(ballot("a", vote("ann", LEFT), vote("bob", RIGHT), audit=True))
    agreed = only(ballot("a", vote("ann", LEFT), vote("bob", LEFT), audit=True))

    assert (alone.status, alone.reason) == ("disputed", "one answer, two are needed")
    assert (apart.status, apart.label) == ("disputed", None)
    assert apart.reason == f"people disagree: ann {LEFT}, bob {RIGHT}"
    assert (agreed.status, agreed.label) == ("accepted", LEFT)


def test_an_adjudicators_word_is_final_and_taken_for_the_truth():
    crowd = [vote(name, LEFT) for name in ("ann", "bob", "cleo")]

    found = only(ballot("a", *crowd, vote("judy", RIGHT, "adjudicator"), audit=True))

    assert (found.label, found.method, found.status) == (RIGHT, "adjudicated", "accepted")
    assert found.confidence == 1.0


def test_the_last_of_two_adjudicators_decides_even_while_others_are_waited_for():
    said = [vote("judy", RIGHT, "adjudicator"), vote("jim", LEFT, "adjudicator")]

    found = only(ballot("a", *said, complete=False))

    assert found.label == LEFT


def test_a_sample_waits_for_its_answers_unless_it_is_overdue():
    waiting = judged(ballot("a", vote("ann", LEFT), complete=False))
    overdue = only(ballot("a", vote("ann", LEFT), complete=False, overdue=True))

    assert waiting == []
    assert overdue.label == LEFT


def test_nobody_answered_in_time_is_missing_and_only_skips_are_unanswerable():
    missing = only(ballot("a", complete=False, overdue=True))
    skipped = only(ballot("a", vote("ann", None), vote("bob", None)))

    assert (missing.status, missing.reason) == ("missing", "no answer in time")
    assert (skipped.status, skipped.reason) == ("unanswerable", "ann skipped it; bob skipped it")


@pytest.mark.parametrize(
    ("schema", "label"), [(SIDES, '"cannot_tell"'), (COLORS, '["cannot_tell"]')]
)
def test_people_who_cannot_tell_make_a_sample_unanswerable(schema: LabelSchema, label: str):
    found = only(ballot("a", vote("ann", label), vote("bob", label), audit=True), schema=schema)

    assert (found.status, found.label, found.reason) == ("unanswerable", None, "people cannot tell")


def test_a_lone_answer_of_somebody_who_is_mostly_wrong_is_disputed():
    shared = [
        ballot(
            f"s{i}",
            *(vote(name, LEFT if i % 2 else RIGHT) for name in ("ann", "bob", "cleo")),
            vote("dan", (RIGHT if i % 2 else LEFT) if i % 3 else (LEFT if i % 2 else RIGHT)),
        )
        for i in range(30)
    ]

    of_dan, of_ann = judged(
        *shared, ballot("d", vote("dan", LEFT)), ballot("a", vote("ann", LEFT))
    )[-2:]

    assert (of_dan.status, of_ann.status) == ("disputed", "accepted")
    assert of_dan.reason == f"confidence {of_dan.confidence:.2f} is below 0.60"


def test_a_model_has_no_say_about_audit_items():
    sure = {"predicted": RIGHT, "predicted_probability": 0.999}
    plain = [ballot(f"s{i}", vote("ann", LEFT), vote("bob", LEFT), audit=True) for i in range(30)]
    predicted = [replace(one, **sure) for one in plain]

    assert judged(*plain) == judged(*predicted)


def test_none_of_these_is_an_answer_like_any_other():
    found = only(ballot("a", vote("ann", '"none_of_these"'), vote("bob", '"none_of_these"')))

    assert found.status == "accepted"
    assert none_of_these(found.label)
    assert not none_of_these(LEFT)
    assert not none_of_these(None)


# --- the kinds ---------------------------------------------------------------------------------


def test_choices_are_decided_option_by_option_and_are_as_sure_as_the_least_sure_option():
    said = [vote("ann", '["green","red"]'), vote("bob", '["red"]'), vote("cleo", '["blue","red"]')]

    found = only(ballot("a", *said, audit=True), schema=COLORS)

    # red 3 of 3, green and blue 1 of 3: the least sure option is at 2/3.
    assert (found.label, found.confidence, found.method) == ('["red"]', 0.6667, "majority")


def test_choices_that_share_nothing_or_are_too_many_together_are_disputed():
    apart = [vote("ann", '["red"]'), vote("bob", '["green"]')]
    circle = [
        vote("ann", '["green","red"]'),
        vote("bob", '["blue","green"]'),
        vote("cleo", '["blue","red"]'),
    ]

    for said in (apart, circle):
        (found,) = judged(ballot("a", *said), schema=COLORS, min_confidence=0.0)
        assert (found.status, found.label) == ("disputed", None)


def test_numbers_are_the_median_and_as_sure_as_the_share_of_answers_near_it():
    said = [vote("ann", "3"), vote("bob", "9"), vote("cleo", "4")]

    found = only(ballot("a", *said, audit=True), schema=LENGTH)

    assert (found.label, found.confidence, found.method) == ("4", 0.6667, "median")


def test_two_numbers_far_apart_are_disputed_in_an_audit():
    found = only(ballot("a", vote("ann", "3"), vote("bob", "9"), audit=True), schema=LENGTH)

    assert (found.status, found.confidence) == ("disputed", 0.0)


def test_paths_of_a_taxonomy_are_judged_as_classes():
    said = [vote("ann", '"animal/dog"'), vote("bob", '"animal/dog"'), vote("cleo", '"plant"')]

    found = only(ballot("a", *said, audit=True), schema=ANIMALS)

    assert (found.label, found.status) == ('"animal/dog"', "accepted")


@pytest.mark.parametrize("schema", [SIDES, COLORS, LENGTH, ANIMALS])
def test_nothing_asked_and_nothing_said_are_judged_too(schema: LabelSchema):
    assert judged(schema=schema) == []
    assert judged(ballot("a", complete=False), schema=schema) == []
    assert only(ballot("a", overdue=True), schema=schema).status == "missing"


# --- properties --------------------------------------------------------------------------------

VALUES = {
    "choice": [LEFT, RIGHT, '"none_of_these"', '"cannot_tell"'],
    "choices": ['["red"]', '["green","red"]', '["blue"]', '["cannot_tell"]'],
    "number": ["1", "2", "2.5", "40"],
    "taxonomy": ['"animal/cat"', '"animal/dog"', '"plant"', '"cannot_tell"'],
}


@st.composite
def crowds(draw: st.DrawFn, schema: LabelSchema) -> list[Ballot]:
    made: list[Ballot] = []
    for place in range(draw(st.integers(1, 12))):
        people = draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=4))
        said = st.one_of(st.none(), st.sampled_from(VALUES[schema.kind]))
        groups = st.sampled_from(["crowd", "crowd", "crowd", "adjudicator"])
        made.append(
            ballot(
                f"s{place}",
                *(vote(person, draw(said), draw(groups)) for person in people),
                audit=draw(st.booleans()),
                complete=draw(st.booleans()),
                overdue=draw(st.booleans()),
            )
        )
    return made


@pytest.mark.parametrize("schema", [SIDES, COLORS, LENGTH, ANIMALS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_ballot_is_judged_or_waits_and_a_judgement_says_what_it_must(
    data: st.DataObject, schema: LabelSchema
):
    ballots = data.draw(crowds(schema))

    found = {one.sample_id: one for one in judged(*ballots, schema=schema)}

    for one in ballots:
        final = any(v.group == "adjudicator" and v.label is not None for v in one.votes)
        assert (one.sample_id in found) == (one.complete or one.overdue or final)
    for one in found.values():
        assert 0 <= one.confidence <= 1
        assert (one.label is not None) == (one.status == "accepted")
        assert bool(one.reason) == (one.status != "accepted")


@pytest.mark.parametrize("schema", [SIDES, COLORS, LENGTH, ANIMALS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_order_of_samples_does_not_matter_where_no_tie_is_broken_by_chance(
    data: st.DataObject, schema: LabelSchema
):
    ballots = [one for one in data.draw(crowds(schema)) if not tied(one.votes)]
    shuffled = data.draw(st.permutations(ballots))

    there = {one.sample_id: one for one in judged(*ballots, schema=schema)}
    back = {one.sample_id: one for one in judged(*shuffled, schema=schema)}

    assert there.keys() == back.keys()
    for name, one in there.items():
        other = back[name]
        assert other.confidence == pytest.approx(one.confidence, abs=2e-4)  # 4 decimals are kept
        if abs(one.confidence - 0.6) > 1e-3:
            assert (other.label, other.status) == (one.label, one.status)


def tied(votes: Sequence[Vote]) -> bool:
    counts = sorted(Counter(v.label for v in votes if v.label is not None).values())
    return len(counts) > 1 and counts[-1] == counts[-2]


# --- people ------------------------------------------------------------------------------------


def a_crowd(
    rng: np.random.Generator, skills: dict[str, float], items: int, names: str = "abcde"
) -> list[Ballot]:
    """Everybody answers every item; mistakes are even over the other classes."""
    ballots: list[Ballot] = []
    for item in range(items):
        truth = int(rng.integers(len(names)))
        said = []
        for person, accuracy in skills.items():
            off = 0 if rng.random() < accuracy else int(rng.integers(1, len(names)))
            said.append(vote(person, f'"{names[(truth + off) % len(names)]}"'))
        ballots.append(ballot(f"s{item}", *said))
    return ballots


@pytest.mark.parametrize("names", ["ab", "abcde"])
def test_the_true_skill_lies_in_the_interval_about_as_often_as_promised(names: str):
    truth = {"ann": 0.985, "bob": 0.95, "cleo": 0.61}
    schema = LabelSchema(kind="choice", classes=tuple(names))
    inside: Counter[str] = Counter()

    for seed in range(100):
        crowd = a_crowd(np.random.default_rng(seed), truth, 300, names)
        for report in rate_annotators(crowd, schema, floor=0.7, fastest=0.5):
            inside[report.annotator] += (
                report.skill.low <= truth[report.annotator] <= report.skill.high
            )

    assert all(inside[name] >= 90 for name in truth), inside


def test_the_least_trusted_person_comes_first_and_is_named_only_when_surely_under_the_floor():
    truth = {"ann": 0.985, "bob": 0.95, "cleo": 0.5}
    schema = LabelSchema(kind="choice", classes=tuple("abcde"))

    many = rate_annotators(
        a_crowd(np.random.default_rng(3), truth, 200), schema, floor=0.7, fastest=0.5
    )
    few = rate_annotators(
        a_crowd(np.random.default_rng(3), truth, 4), schema, floor=0.7, fastest=0.5
    )

    assert [report.annotator for report in many] == ["cleo", "bob", "ann"]
    assert [report.below_floor for report in many] == [True, False, False]
    assert not any(report.below_floor for report in few)


def test_pace_is_told_and_hasty_answers_are_counted_not_dropped():
    slow = [replace(vote("ann", LEFT), lead_seconds=4.0) for _ in range(3)]
    hasty = replace(vote("bob", LEFT), lead_seconds=0.1)
    unknown = replace(vote("bob", LEFT), lead_seconds=None)
    ballots = [ballot("a", slow[0], hasty), ballot("b", slow[1], unknown), ballot("c", slow[2])]

    reports = {r.annotator: r for r in rate_annotators(ballots, SIDES, floor=0.7, fastest=0.5)}

    assert (reports["ann"].answers, reports["ann"].too_fast) == (3, 0)
    assert (reports["bob"].answers, reports["bob"].too_fast) == (2, 1)
    assert (reports["ann"].median_seconds, reports["bob"].median_seconds) == (4.0, 0.1)


def test_numbers_tell_pace_only():
    ballots = [ballot("a", vote("ann", "3"), vote("bob", "9"))]

    reports = rate_annotators(ballots, LENGTH, floor=0.7, fastest=0.5)

    assert [(r.annotator, r.answers, r.skill.n) for r in reports] == [("ann", 1, 0), ("bob", 1, 0)]


def test_whole_choices_are_compared_when_people_are_rated():
    red, both = '["red"]', '["green","red"]'
    ballots = [
        ballot(f"s{i}", vote("ann", red), vote("bob", red), vote("cleo", both if i % 2 else red))
        for i in range(40)
    ]

    reports = rate_annotators(ballots, COLORS, floor=0.7, fastest=0.5)

    assert reports[0].annotator == "cleo"
    assert reports[0].skill.mean < 0.7 < reports[1].skill.mean
