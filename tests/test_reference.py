"""The reference: traffic a champion was audited on, with its own outputs, kept with it."""

from __future__ import annotations

import numpy as np
import pytest

from retrue.core.profile import n_rows
from retrue.cycle import close_rounds, open_rounds
from retrue.errors import ModelError
from retrue.ports import Scores
from retrue.reading.reference import (
    is_output,
    load_reference,
    profile_outputs,
    record_reference,
    score_windows,
)
from world import EXPERTS, World


@pytest.fixture
def world(tmp_path) -> World:
    """A model in service, taught by 60 of 300 rows, half of them audit."""
    world = World(tmp_path)
    world.arrive("a", 300)
    open_rounds(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS)
    close_rounds(world.workspace(), now=world.sleep(hours=1))
    return world


def test_features_are_of_all_rows_and_outputs_of_those_it_did_not_train_on(world):
    reference = load_reference(world.workspace(), world.models.champion())

    assert reference.windows == (world.state.windows()[0].window_id,)
    assert set(reference.features) == {"x", "y"}
    assert set(reference.outputs) == {"p[left]", "p[right]", "p_max", "predicted"}
    assert n_rows(reference.features) == 300
    assert n_rows(reference.outputs) == 270


def test_a_reference_is_recorded_once(world):
    champion = world.models.champion()
    before = load_reference(world.workspace(), champion)
    world.arrive("b", 300)
    open_rounds(world.workspace(), now=world.sleep(hours=1))

    again = record_reference(world.workspace(), champion)

    assert again.windows == before.windows
    assert n_rows(again.outputs) == n_rows(before.outputs)


def test_a_damaged_reference_says_what_to_do(world):
    champion = world.models.champion()
    world.models.save_evidence(champion, "reference.json", '{"windows": []}')

    with pytest.raises(ModelError, match="Promote the model again"):
        load_reference(world.workspace(), champion)


def test_windows_are_scored_one_after_the_other_into_one_profile(world):
    window = world.state.windows()[0]
    champion = world.models.champion()

    whole = score_windows(world.workspace(), champion, [window], lost=[])
    twice = score_windows(world.workspace(), champion, [window, window], lost=[])

    assert n_rows(whole) == 300
    assert n_rows(twice) == 600
    assert twice["predicted"].counts == {k: 2 * v for k, v in whole["predicted"].counts.items()}


def test_outputs_of_a_model_of_numbers_are_one_column():
    scores = Scores(classes=(), probabilities=np.zeros((3, 0)), predicted=("1", "2.5", "4"))

    profile = profile_outputs(scores, {"predicted": 2.5})

    assert list(profile) == ["predicted"]
    assert n_rows(profile) == 3


def test_outputs_are_named_as_the_log_names_them():
    scores = Scores(
        classes=('"left"', '["a","b"]'),
        probabilities=np.array([[0.3, 0.7]]),
        predicted=('["a","b"]',),
    )
    centers = {"p[left]": 0.0, 'p[["a","b"]]': 0.0, "p_max": 1.0}

    profile = profile_outputs(scores, centers)

    assert set(profile) == {*centers, "predicted"}
    assert all(is_output(name) for name in profile)
    assert not is_output("price")
