from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.score import score_labels
from retrue.records import canonical_json

SETS = st.lists(st.sampled_from("abcd"), unique=True).map(sorted).map(canonical_json)


def test_choices_get_the_share_of_names_both_sides_have():
    truth = ['["a","b"]', '["a"]', "[]", "[]"]
    said = ['["b","c"]', '["a"]', "[]", '["a"]']

    assert score_labels(truth, said, kind="choices") == pytest.approx([1 / 3, 1, 1, 0])


def test_one_class_said_of_a_set_counts_as_a_set_of_one():
    assert score_labels(['["a","b"]'], ['"a"'], kind="choices").tolist() == [0.5]


def test_a_number_is_right_up_to_and_with_its_tolerance():
    found = score_labels(["1", "1", "1"], ["1.5", "0.5", "1.51"], kind="number", tolerance=0.5)

    assert found.tolist() == [1, 1, 0]


def test_without_a_tolerance_only_the_same_number_is_right():
    assert score_labels(["2", "2"], ["2.0", "2.1"], kind="number").tolist() == [1, 0]


def test_a_parent_in_a_taxonomy_is_not_its_child():
    assert score_labels(['"a/b"', '"a"'], ['"a"', '"a"'], kind="taxonomy").tolist() == [0, 1]


def test_nothing_asked_is_nothing_scored():
    assert score_labels([], [], kind="choice").shape == (0,)


def test_sides_of_different_length_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match=r"longer|shorter"):
        score_labels(['"a"'], [], kind="choice")


@given(st.lists(st.tuples(SETS, SETS)))
def test_the_score_of_sets_is_symmetric_and_1_only_where_they_are_equal(pairs):
    one, other = [a for a, _ in pairs], [b for _, b in pairs]

    found = score_labels(one, other, kind="choices")

    assert found.tolist() == score_labels(other, one, kind="choices").tolist()
    assert [bool(score == 1) for score in found] == [a == b for a, b in pairs]
