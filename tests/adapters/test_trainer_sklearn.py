from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fit_workspace import CHOICE, config_for, picture, sample_of
from retrue.adapters.model_files import load_estimator, model_inputs, predict, save_estimator
from retrue.adapters.trainer_sklearn import model_spec, train_default, usable
from retrue.config import Config, Labels
from retrue.errors import ConfigError, ModelError, TrainingError
from retrue.ports import Scores
from retrue.records import Sample

NUMBER = Labels.model_validate({"kind": "number", "tolerance": 0.5})
CHOICES = Labels.model_validate({"kind": "choices", "classes": ["a", "b", "c"]})
TABLE = [
    sample_of(
        f"s{i}",
        {
            "x": None if i == 7 else float(i % 10),
            "shop": "ab"[i % 2],
            "said": ["up", "down"][i % 2],
        },
    )
    for i in range(60)
]


def learnt(
    config: Config, schema: Labels, samples: Sequence[Sample], labels: Sequence[str], folder: Path
) -> Scores:
    """What the default model says of its own training rows, after having been stored."""
    spec = model_spec(config, schema, samples)
    inputs = model_inputs(spec, samples, None)
    trained = train_default(config, spec, inputs, labels, np.ones(len(labels)))
    save_estimator(folder, trained.estimator)
    return predict(load_estimator(folder), trained.spec, inputs)


@pytest.mark.parametrize("estimator", ["logistic_regression", "hist_gradient_boosting"])
def test_a_table_with_gaps_and_categories_is_learnt(estimator: str, tmp_path: Path):
    labels = ['"yes"' if i % 2 else '"no"' for i in range(60)]
    config = config_for("table", options={"estimator": estimator})

    scores = learnt(config, CHOICE, TABLE, labels, tmp_path)

    assert scores.classes == ('"no"', '"yes"')
    assert list(scores.predicted) == labels
    assert np.allclose(scores.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("kind", ["table", "text"])
def test_several_classes_per_item_are_learnt_one_by_one(kind: str, tmp_path: Path):
    labels = ['["a","c"]' if i % 2 else '["c"]' for i in range(60)]

    scores = learnt(config_for(kind), CHOICES, TABLE, labels, tmp_path)

    assert scores.classes == ('"a"', '"c"')
    assert list(scores.predicted) == labels
    assert set(scores.probabilities[:, 1]) == {1.0}  # every item had it: nothing to learn


def test_an_item_with_none_of_the_classes_is_a_no_to_each_of_them(tmp_path: Path):
    labels = ['["a"]' if i % 2 else '["none_of_these"]' for i in range(60)]

    scores = learnt(config_for("table"), CHOICES, TABLE, labels, tmp_path)

    assert scores.classes == ('"a"',)
    assert list(scores.predicted) == labels


def test_numbers_are_predicted_as_numbers_without_probabilities(tmp_path: Path):
    samples = [sample_of(f"s{i}", {"x": float(i)}) for i in range(50)]

    scores = learnt(
        config_for("table", options={"C": 1000}),
        NUMBER,
        samples,
        [str(2 * i) for i in range(50)],
        tmp_path,
    )

    assert scores.probabilities.shape == (50, 0)
    assert [float(label) for label in scores.predicted] == pytest.approx(range(0, 100, 2), abs=0.5)


def test_heavier_labels_win_where_labels_contradict_each_other():
    samples = [sample_of(f"s{i}", {"x": 1.0}) for i in range(4)]
    config = config_for("table")
    spec = model_spec(config, CHOICE, samples)
    inputs = model_inputs(spec, samples, None)
    labels = ['"no"', '"no"', '"no"', '"yes"']

    trained = train_default(config, spec, inputs, labels, np.array([0.1, 0.1, 0.1, 1.0]))

    assert predict(trained.estimator, trained.spec, inputs).predicted[0] == '"yes"'


def test_a_category_never_seen_before_is_no_error():
    config = config_for("table")
    spec = model_spec(config, CHOICE, TABLE)
    labels = ['"yes"' if i % 2 else '"no"' for i in range(60)]
    trained = train_default(config, spec, model_inputs(spec, TABLE, None), labels, np.ones(60))

    new = model_inputs(spec, [sample_of("new", {"shop": "elsewhere"})], None)

    assert len(predict(trained.estimator, trained.spec, new).predicted) == 1


def test_times_are_not_learnt_from():
    config = Config.model_validate(
        {
            "project": "p",
            "data": {
                "kind": "table",
                "incoming": {"uri": "in"},
                "fields": {"at": {"type": "time"}, "x": {"type": "number"}},
            },
        }
    )

    assert model_spec(config, CHOICE, TABLE).features == {"x": "number"}


def test_an_unknown_option_is_named_with_those_there_are():
    config = config_for("table", options={"estimater": "x"})

    with pytest.raises(ConfigError, match=r"(?s)options\.estimater.*Known options: .*max_iter"):
        model_spec(config, CHOICE, TABLE)


def test_an_option_of_another_kind_of_data_is_refused():
    config = config_for("image", options={"estimator": "hist_gradient_boosting"})

    with pytest.raises(ConfigError, match="expected logistic_regression"):
        model_spec(config, CHOICE, TABLE)


def test_data_of_another_kind_has_no_default_model():
    config = config_for("other")
    spec = model_spec(config, CHOICE, TABLE)

    with pytest.raises(ConfigError, match=r"train\.command or train\.entry_point"):
        train_default(config, spec, None, ['"no"', '"yes"'], np.ones(2))


@pytest.mark.parametrize(("schema", "label"), [(CHOICE, '"no"'), (CHOICES, '["a"]')])
def test_one_class_teaches_nothing(schema: Labels, label: str):
    config = config_for("table")
    spec = model_spec(config, schema, TABLE)

    with pytest.raises(TrainingError, match="at least two classes"):
        train_default(config, spec, model_inputs(spec, TABLE, None), [label] * 60, np.ones(60))


def test_bytes_that_are_no_picture_are_an_error_of_the_model():
    spec = model_spec(config_for("image"), CHOICE, TABLE)

    with pytest.raises(ModelError, match="expected a picture"):
        model_inputs(spec, TABLE[:1], [b"no picture"])


def test_pictures_of_any_size_become_rows_of_equal_length():
    spec = model_spec(config_for("image", options={"side": 4}), CHOICE, TABLE)
    media = [picture(np.ones((8, 8))), picture(np.zeros((30, 20)))]

    rows = np.asarray(model_inputs(spec, TABLE[:2], media))

    assert rows.shape == (2, 16)
    assert rows.sum(axis=1).tolist() == [16, 0]


def test_only_labels_that_say_something_about_the_classes_can_be_learnt():
    labels = ['"yes"', '"none_of_these"', '"cannot_tell"', '["none_of_these"]', '["cannot_tell"]']

    assert usable(labels).tolist() == [True, False, False, True, False]
