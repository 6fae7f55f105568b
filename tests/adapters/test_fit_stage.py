from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from fit_workspace import (
    CHOICE,
    config_for,
    empty,
    labelled,
    picture,
    sample_of,
    table_workspace,
)
from retrue.adapters.fit_data import read_fit_data
from retrue.adapters.fit_files import read_fit
from retrue.adapters.fit_stage import run_fit
from retrue.adapters.model_files import load_estimator, model_inputs, predict, read_spec
from retrue.config import Config, Labels
from retrue.errors import ConfigError, TrainingError
from retrue.records import canonical_json

TRAIN_PROGRAM = """\
import json, os, pathlib, sys
import pyarrow as pa, pyarrow.parquet as pq
dataset, output = map(pathlib.Path, sys.argv[1:])
train = pq.read_table(dataset / "train.parquet").to_pylist()
assert "label" not in pq.read_table(dataset / "eval.parquet").column_names
assert json.loads((dataset / "labels.json").read_text())["classes"] == ["no", "yes"]
means = {}
for label in ("no", "yes"):
    xs = [json.loads(r["fields"])["x"] for r in train if json.loads(r["label"]) == label]
    means[label] = sum(xs) / len(xs)
(output / "means.json").write_text(json.dumps(means))
(output / "environment.json").write_text(json.dumps(dict(os.environ)))
"""
SCORE_PROGRAM = """\
import json, pathlib, sys
import pyarrow as pa, pyarrow.parquet as pq
model, samples, output = map(pathlib.Path, sys.argv[1:])
means = json.loads((model / "means.json").read_text())
rows = pq.read_table(samples / "samples.parquet").to_pylist()
xs = [json.loads(r["fields"])["x"] for r in rows]
said = [min(means, key=lambda name: abs(means[name] - x)) for x in xs]
pq.write_table(pa.table({"sample_id": [r["sample_id"] for r in rows], "predicted": said,
    "p_no": [float(s == "no") for s in said], "p_yes": [float(s == "yes") for s in said]}), output)
"""
ENTRY_POINT = """\
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.compose import make_column_transformer

def train(training):
    model = make_pipeline(make_column_transformer(("passthrough", ["x"])), LogisticRegression())
    return model.fit(training.inputs, training.names())

def train_own(training):
    return Mine()

class Mine:
    classes_ = ["no", "yes"]
    def predict(self, x):
        return ["yes" if value > 0 else "no" for value in x["x"]]
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table_workspace(tmp_path_factory.mktemp("tables"))


def predictions(out: Path) -> list[dict[str, object]]:
    return pq.read_table(out / "predictions.parquet").to_pylist()


def test_a_table_is_learnt_and_every_promised_file_is_written(tables: Path, tmp_path: Path):
    said = run_fit(tables, config_for("table"), CHOICE, out=tmp_path)

    fit = read_fit(tmp_path)
    assert said == "fit: trained on 80 labels, judged on 40."
    assert fit.metrics["accuracy"] >= 0.9
    assert fit.metrics["accuracy_weighted"] == fit.metrics["accuracy"]
    assert (fit.metrics["n_train"], fit.metrics["n_eval"]) == (80, 40)
    assert 0 < fit.metrics["log_loss"] < 0.4
    assert {"recall_no", "recall_yes"} <= set(fit.metrics)
    assert [path.name for path in fit.plots] == ["confusion.csv", "learning_curve.json"]
    assert (tmp_path / "plots/confusion.csv").read_text().startswith("actual,predicted\n")
    curve = json.loads((tmp_path / "plots/learning_curve.json").read_text())["learning_curve"]
    assert [point["n_train"] for point in curve] == [20, 40, 60, 80]
    assert curve[-1]["accuracy"] == fit.metrics["accuracy"]


def test_the_same_inputs_give_the_same_bytes(tables: Path, tmp_path: Path):
    for name in ("one", "two"):
        run_fit(tables, config_for("table"), CHOICE, out=tmp_path / name)

    for name in ("predictions.parquet", "metrics.json", "plots/learning_curve.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_predictions_on_training_rows_come_from_models_that_did_not_see_them(tmp_path: Path):
    rng = np.random.default_rng(3)
    shops = [f"shop{i}" for i in range(60)]  # a name per row: only a model that saw it knows
    samples = [sample_of(f"s{i:03d}", {"shop": shops[i]}) for i in range(60)]
    labels = ["yes" if yes else "no" for yes in rng.random(60) < 0.5]
    labelled(tmp_path, samples, labels, evaluation=10)

    run_fit(tmp_path, config_for("table"), CHOICE, out=tmp_path)

    train = [row for row in predictions(tmp_path) if row["split"] == "train"]
    right = np.mean([row["label"] == row["predicted"] for row in train])
    assert all(row["out_of_fold"] for row in train)
    assert right < 0.8


def test_the_stored_model_gives_the_stored_predictions(tables: Path, tmp_path: Path):
    config = config_for("table")
    run_fit(tables, config, CHOICE, out=tmp_path)
    data = read_fit_data(tables, config)

    spec = read_spec(tmp_path / "model")
    model = load_estimator(tmp_path / "model")
    scores = predict(model, spec, model_inputs(spec, data.samples, data.media))

    kept = {row["sample_id"]: row for row in predictions(tmp_path)}
    for place in data.evaluation:
        row = kept[data.samples[place].sample_id]
        assert row["predicted"] == scores.predicted[place]
        assert row["p_yes"] == scores.probabilities[place, scores.classes.index('"yes"')]


def test_none_of_these_is_not_learnt_but_counts_as_an_error(tmp_path: Path):
    samples = [sample_of(f"s{i:03d}", {"x": float(i % 2)}) for i in range(40)]
    labels = [["no", "yes"][i % 2] for i in range(40)]
    labels[0] = labels[20] = "none_of_these"
    labelled(tmp_path, samples, labels, evaluation=10)

    run_fit(tmp_path, config_for("table"), CHOICE, out=tmp_path)

    metrics = read_fit(tmp_path).metrics
    assert metrics["n_train"] == 29
    assert metrics["accuracy"] == 0.9
    assert metrics["recall_none_of_these"] == 0
    assert "p_none_of_these" not in predictions(tmp_path)[0]


def test_an_empty_dataset_gives_empty_files_and_says_so(tmp_path: Path):
    said = run_fit(empty(tmp_path), config_for("table"), CHOICE, out=tmp_path)

    assert "empty" in said
    assert read_fit(tmp_path).metrics == {"n_train": 0, "n_eval": 0}
    assert predictions(tmp_path) == []


def test_one_class_is_an_error_that_says_what_to_do(tmp_path: Path):
    labelled(tmp_path, [sample_of("a", {"x": 1.0}), sample_of("b", {"x": 2.0})], ["yes", "yes"])

    with pytest.raises(TrainingError, match="at least two classes"):
        run_fit(tmp_path, config_for("table"), CHOICE, out=tmp_path)


def test_without_evaluation_rows_there_is_a_model_but_no_accuracy(tmp_path: Path):
    samples = [sample_of(f"s{i}", {"x": float(i % 2)}) for i in range(12)]
    labelled(tmp_path, samples, [["no", "yes"][i % 2] for i in range(12)])

    run_fit(tmp_path, config_for("table"), CHOICE, out=tmp_path)

    assert read_fit(tmp_path).metrics == {"n_train": 12, "n_eval": 0}


def test_labels_that_only_programs_gave_weigh_less(tmp_path: Path):
    samples = [sample_of(f"s{i}", {"x": float(i)}) for i in range(3)]
    annotators = {"s0": "bot", "s1": "ann"}
    labelled(tmp_path, samples, ["no", "yes", "yes"], annotators=annotators)
    config = Config.model_validate(
        {
            "project": "defects",
            "data": {"kind": "table", "incoming": {"uri": "in"}},
            "queue": {"annotators": {"program": ["bot"]}},
        }
    )

    data = read_fit_data(tmp_path, config)

    assert data.weights.tolist() == pytest.approx([0.27, 0.9, 0.9])


def test_images_of_digits_are_learnt_from_300_labels(tmp_path: Path):
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:500]
    media = [picture(digits.images[i] / 16) for i in order]
    samples = [sample_of(f"s{n:04d}", media=data) for n, data in enumerate(media)]
    labels = [str(digits.target[i]) for i in order]
    labelled(tmp_path, samples, labels, evaluation=200, media=media)
    schema = Labels.model_validate({"kind": "choice", "classes": [str(i) for i in range(10)]})

    run_fit(tmp_path, config_for("image"), schema, out=tmp_path)

    metrics = read_fit(tmp_path).metrics
    assert metrics["n_train"] == 300
    assert metrics["accuracy"] >= 0.92
    assert metrics["log_loss"] < 0.35


def test_images_that_were_not_kept_are_an_error_that_names_the_setting(tmp_path: Path):
    samples = [sample_of(f"s{n}", media=picture(np.full((8, 8), n / 4))) for n in range(4)]
    labelled(tmp_path, samples, ["no", "yes", "no", "yes"])

    with pytest.raises(TrainingError, match="keep_media"):
        run_fit(tmp_path, config_for("image"), CHOICE, out=tmp_path)


def test_a_command_trains_and_scores_without_our_secrets(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "hunter2")
    monkeypatch.setenv("LEDGER", "postgresql://me:hunter2@host/db")
    (tmp_path / "train.py").write_text(TRAIN_PROGRAM)
    (tmp_path / "score.py").write_text(SCORE_PROGRAM)
    config = config_for(
        "table",
        command=f"{sys.executable} {tmp_path}/train.py {{dataset}} {{output}}",
        score=f"{sys.executable} {tmp_path}/score.py {{model}} {{samples}} {{output}}",
        seed=7,
    )

    run_fit(tables, config, CHOICE, out=tmp_path / "out")

    fit = read_fit(tmp_path / "out")
    environment = (fit.model_dir / "environment.json").read_text()
    assert fit.metrics["accuracy"] >= 0.9
    assert read_spec(fit.model_dir).classes == ('"no"', '"yes"')
    assert "hunter2" not in environment
    assert json.loads(environment)["RETRUE_SEED"] == "7"
    assert not any(
        row["out_of_fold"] for row in predictions(tmp_path / "out") if row["split"] == "train"
    )


def test_a_command_that_fails_is_quoted(tables: Path, tmp_path: Path):
    config = config_for("table", command="echo the disk is full >&2; exit 3 # {output}")

    with pytest.raises(TrainingError, match="the disk is full"):
        run_fit(tables, config, CHOICE, out=tmp_path)


def test_a_command_that_hangs_is_ended(tables: Path, tmp_path: Path):
    config = config_for("table", command="sleep 60", options={"timeout_hours": 0.0001})

    with pytest.raises(TrainingError, match="timeout_hours"):
        run_fit(tables, config, CHOICE, out=tmp_path)


def test_a_command_that_leaves_samples_out_is_refused(tables: Path, tmp_path: Path):
    program = (
        "import pyarrow as pa, pyarrow.parquet as pq, sys; "
        "pq.write_table(pa.table({'sample_id': ['s0000'], 'predicted': ['no']}), "
        "sys.argv[1] + '/predictions.parquet')"
    )
    config = config_for("table", command=f'{sys.executable} -c "{program}" {{output}}')

    with pytest.raises(TrainingError, match="119 have none"):
        run_fit(tables, config, CHOICE, out=tmp_path)


def test_an_entry_point_of_the_workspace_trains(tables: Path, tmp_path: Path):
    (tables / "our_training.py").write_text(ENTRY_POINT)

    run_fit(tables, config_for("table", entry_point="our_training:train"), CHOICE, out=tmp_path)

    assert read_fit(tmp_path).metrics["accuracy"] >= 0.9
    assert read_spec(tmp_path / "model").trainer == "entry_point"


def test_an_entry_point_may_return_an_object_of_its_own_module(tables: Path, tmp_path: Path):
    (tables / "our_training.py").write_text(ENTRY_POINT)
    config = config_for("table", entry_point="our_training:train_own")

    run_fit(tables, config, CHOICE, out=tmp_path)

    assert read_fit(tmp_path).metrics["accuracy"] == 1
    assert load_estimator(tmp_path / "model", trusted=["our_training"])


def test_an_entry_point_that_is_not_there_is_named(tables: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"package\.module:function"):
        run_fit(tables, config_for("table", entry_point="nowhere:x"), CHOICE, out=tmp_path)


def test_labels_are_canonical_json_in_predictions(tables: Path, tmp_path: Path):
    run_fit(tables, config_for("table"), CHOICE, out=tmp_path)

    allowed = {canonical_json("no"), canonical_json("yes")}
    assert {row["predicted"] for row in predictions(tmp_path)} <= allowed
