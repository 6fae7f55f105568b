from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loop_facts import BLANK, a_picture
from retrue.core.represent import SIDE, pixels, represent
from retrue.records import Sample


def rows(*fields: dict[str, object]) -> list[Sample]:
    return [replace(BLANK, fields=json.dumps(one)) for one in fields]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_numbers_are_standardised_and_a_missing_one_stands_at_the_mean():
    found = represent(rows({"x": 1}, {"x": 3}, {"x": None}, {}), None, kind="table")

    assert found[:, 0] == pytest.approx([-np.sqrt(2), np.sqrt(2), 0, 0])


def test_categories_that_are_anagrams_of_each_other_are_told_apart():
    names = ["listen", "silent", "enlist", "tinsel"]

    found = represent(rows(*({"word": name} for name in names)), None, kind="table")

    assert len(np.unique(found.argmax(axis=1))) > 1
    assert (found.sum(axis=1) == 1).all()


def test_a_category_has_the_same_cell_in_every_call():
    alone = represent(rows({"c": "blå ☃"}), None, kind="table")
    among = represent(rows({"c": "x"}, {"c": "blå ☃"}), None, kind="table")

    assert alone[0].argmax() == among[1].argmax()


def test_a_missing_category_is_no_category():
    found = represent(rows({"c": "x"}, {"c": None}), None, kind="table")

    assert found[1].tolist() == [0] * found.shape[1]


def test_booleans_are_categories_and_not_numbers():
    found = represent(rows({"ok": True}, {"ok": False}), None, kind="table")

    assert set(found.ravel()) == {0.0, 1.0}


def test_numbers_too_large_to_square_are_no_trouble():
    found = represent(rows({"x": 1e300}, {"x": -1e300}), None, kind="table")

    assert found[:, 0] == pytest.approx([1, -1])


def test_rows_without_any_field_are_all_the_same():
    assert represent(rows({}, {}), None, kind="other").tolist() == [[0], [0]]


def test_texts_with_the_same_words_are_alike_in_any_language():
    found = represent(
        rows({"t": "größe straße"}, {"t": "straße größe"}, {"t": "привет мир"}, {"t": None}),
        None,
        kind="text",
        text="t",
    )

    assert cosine(found[0], found[1]) == pytest.approx(1)
    assert cosine(found[0], found[2]) < 0.5
    assert not found[3].any()


def test_pictures_of_one_scene_differ_in_what_changed_and_not_in_the_scene():
    scene = np.full((32, 32), 200)
    left, right = scene.copy(), scene.copy()
    left[:8, :8] = 0
    right[-8:, -8:] = 0

    found = represent(rows({}, {}, {}), [a_picture(p) for p in (left, left, right)], kind="image")

    assert cosine(found[0], found[1]) == pytest.approx(1, abs=1e-5)
    assert cosine(found[0], found[2]) < 0


def test_bytes_that_are_no_picture_are_like_nothing_and_stop_nobody():
    noise = np.random.default_rng(0).integers(0, 255, (2, 32, 32))
    one, other = map(a_picture, noise)

    found = represent(rows({}, {}, {}, {}), [one, b"", other[:500], other], kind="image")

    assert found.shape == (4, SIDE * SIDE)
    assert found.any(axis=1).tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="expected a picture"):
        pixels(other[:500], side=SIDE)


def test_pixels_are_grey_values_between_0_and_1():
    white = a_picture(np.full((4, 6), 255), "JPEG")

    assert pixels(white, side=3) == pytest.approx(np.ones((3, 3)), abs=0.02)


def test_pictures_without_bytes_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="media is needed"):
        represent(rows({}), None, kind="image")
    with pytest.raises(ValueError, match="shorter"):
        represent(rows({}, {}), [a_picture(np.zeros((2, 2)))], kind="image")


CELLS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.lists(st.dictionaries(st.sampled_from("abc"), CELLS), min_size=1, max_size=8))
def test_every_table_becomes_finite_numbers(fields):
    found = represent(rows(*fields), None, kind="table")

    assert found.shape[0] == len(fields)
    assert np.isfinite(found).all()
