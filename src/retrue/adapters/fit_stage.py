"""What the DVC stage `fit` runs: train on `data/dataset`, and write model, scores and pictures.

Pure: it reads files and writes files; the same files in, the same predictions and metrics out.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrue.adapters.fit_command import (
    labels_json,
    read_scores,
    score_by_command,
    train_by_command,
    write_samples,
)
from retrue.adapters.fit_data import FitData, Places, read_fit_data
from retrue.adapters.fit_report import (
    Outputs,
    accuracy,
    measure,
    write_metrics,
    write_plots,
    write_predictions,
)
from retrue.adapters.model_files import model_inputs, predict, save_estimator, write_spec
from retrue.adapters.trainer_sklearn import (
    Trained,
    TrainingSet,
    model_spec,
    train_default,
)
from retrue.config import Config, Labels
from retrue.errors import ConfigError, ModelError, TrainingError
from retrue.ports import Scores
from retrue.records import canonical_json, short_hash

__all__ = ["run_fit"]

FOLDS = 5
PARTS = (0.25, 0.5, 0.75, 1.0)  # of the training labels, oldest first: the learning curve


def run_fit(root: Path, config: Config, labels: Labels, *, out: Path) -> str:
    """Train on the workspace's dataset and write model/, predictions, metrics and plots/.

    Args:
        root: The workspace: data/dataset and data/rounds are read, commands run here.
        config: Which model, with what options.
        labels: The label schema.
        out: Where the four outputs go; what an earlier fit left there is replaced.

    Returns:
        One line for people: what was done.

    Raises:
        TrainingError: No model can come of it; the message says what is missing.
        ConfigError: An option, the entry point or a command is wrong.
        RecordError: The dataset or the records are damaged.
    """
    for name in ("model", "plots"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    data = read_fit_data(root, config)
    if not data.rows:
        _write(out, labels, _nothing(), (), trained_on=0)
        return "fit: the dataset is empty, so no model was trained. Label a round first."
    if config.train.command is not None:
        outputs = _fit_command(root, config, labels, data, out / "model")
        curve: list[tuple[int, float]] = []
    else:
        outputs, curve = _fit_here(root, config, labels, data, out / "model")
    _write(out, labels, outputs, curve, trained_on=len(data.training))
    return f"fit: trained on {len(data.training)} labels, judged on {len(data.evaluation)}."


def _write(
    out: Path,
    labels: Labels,
    outputs: Outputs,
    curve: Sequence[tuple[int, float]],
    *,
    trained_on: int,
) -> None:
    write_predictions(out / "predictions.parquet", outputs)
    write_plots(out / "plots", outputs, curve, labels)
    write_metrics(out / "metrics.json", measure(outputs, labels, trained_on=trained_on))


def _nothing() -> Outputs:
    empty = Scores(classes=(), probabilities=np.zeros((0, 0)), predicted=())
    return Outputs(rows=(), scores=empty, out_of_fold=np.zeros(0, dtype=bool))


# --- models of ours and entry points ---------------------------------------------------------


def _fit_here(
    root: Path, config: Config, labels: Labels, data: FitData, folder: Path
) -> tuple[Outputs, list[tuple[int, float]]]:
    train = _trainer(root, config, labels, data)
    trained = train(data.training)
    trusted = () if config.train.entry_point is None else (_package(config.train.entry_point),)
    try:
        save_estimator(folder, trained.estimator, trusted=trusted)
    except ModelError as error:
        raise TrainingError(str(error)) from error
    write_spec(folder, trained.spec)
    scores = _scores(trained, data)
    whole = config.train.entry_point is None  # a team's own training may take hours: fit it once
    outputs = _cross_fit(train, data, scores) if whole else _in_sample(data, scores)
    curve = _learning_curve(train, data, labels) if whole else []
    return outputs, curve


Train = Callable[[Places], Trained]


def _trainer(root: Path, config: Config, labels: Labels, data: FitData) -> Train:
    """What trains a model on some rows of the dataset."""
    entry_point = config.train.entry_point
    trainer = "sklearn" if entry_point is None else "entry_point"
    samples = data.at(data.training).samples
    spec = model_spec(config, labels, samples, trainer=trainer)

    def default(places: Places) -> Trained:
        part = data.at(places)
        inputs = model_inputs(spec, part.samples, part.media)
        return train_default(config, spec, inputs, part.labels, part.weights)

    def own(places: Places) -> Trained:
        part = data.at(places)
        training = TrainingSet(
            samples=part.samples,
            media=part.media,
            labels=part.labels,
            weights=part.weights,
            splits=[row.split for row in part.rows],
            inputs=model_inputs(spec, part.samples, part.media),
        )
        estimator = _call(root, cast("str", entry_point), training)
        known = cast("Sequence[object] | None", getattr(estimator, "classes_", None))
        names = set(part.labels) if known is None else {_canonical(name) for name in known}
        classes = () if labels.kind == "number" else tuple(sorted(names))
        return Trained(estimator=cast("Any", estimator), spec=replace(spec, classes=classes))

    return default if entry_point is None else own


def _canonical(name: object) -> str:
    text = str(name)
    return text if text.startswith('"') else canonical_json(text)


def _scores(trained: Trained, data: FitData) -> Scores:
    return predict(
        trained.estimator, trained.spec, model_inputs(trained.spec, data.samples, data.media)
    )


def _in_sample(data: FitData, scores: Scores) -> Outputs:
    unseen = np.ones(len(data.rows), dtype=bool)
    unseen[data.training] = False
    return Outputs(rows=data.rows, scores=scores, out_of_fold=unseen)


def _cross_fit(train: Train, data: FitData, scores: Scores) -> Outputs:
    """Replace what the model says about its own training rows by what a model without them says.

    A fold is a hash of the group, so a row keeps its fold as the dataset grows. Where the rest is
    too little to train on, the row keeps the model's own word and `out_of_fold` is False.
    """
    outputs = _in_sample(data, scores)
    chances, predicted = scores.probabilities.copy(), list(scores.predicted)
    unseen = outputs.out_of_fold.copy()
    own = data.training
    groups = [data.rows[int(place)].group for place in own]
    fold = np.array([int(short_hash(group, digits=8), 16) % FOLDS for group in groups])
    for number in np.unique(fold):
        held = own[fold == number]
        try:
            trained = train(own[fold != number])
        except TrainingError:
            continue
        part = _scores(trained, data.at(held))
        chances[held] = _aligned(part, scores.classes)
        for row, label in zip(held, part.predicted, strict=True):
            predicted[int(row)] = label
        unseen[held] = True
    return Outputs(
        rows=data.rows,
        scores=Scores(classes=scores.classes, probabilities=chances, predicted=tuple(predicted)),
        out_of_fold=unseen,
    )


def _aligned(scores: Scores, classes: Sequence[str]) -> NDArray[np.float64]:
    """The probabilities as columns of these classes; a class the scores lack has 0."""
    chances = np.zeros((len(scores.predicted), len(classes)))
    for column, label in enumerate(scores.classes):
        chances[:, classes.index(label)] = scores.probabilities[:, column]
    return chances


def _learning_curve(train: Train, data: FitData, labels: Labels) -> list[tuple[int, float]]:
    """Accuracy on the evaluation rows after a quarter, a half, ... of the training labels."""
    judged = data.at(data.evaluation)
    if not judged.rows:
        return []
    points: list[tuple[int, float]] = []
    for part in PARTS:
        prefix = data.training[: round(part * len(data.training))]
        try:
            trained = train(prefix)
        except TrainingError:  # too few labels, or one class so far: the curve begins later
            continue
        value = accuracy(judged.rows, _scores(trained, judged).predicted, labels)
        points.append((len(prefix), value))
    return points


def _call(root: Path, entry_point: str, training: TrainingSet) -> object:
    module_name, _, name = entry_point.partition(":")
    with _importing_from(root):
        try:
            found = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"train.entry_point: expected package.module:function, got {entry_point}: {error}"
            ) from error
        return cast("Callable[[TrainingSet], object]", found)(training)


@contextmanager
def _importing_from(root: Path) -> Generator[None]:
    """The workspace's own modules can be imported, for a block."""
    sys.path.insert(0, os.fspath(root))
    try:
        yield
    finally:
        sys.path.remove(os.fspath(root))


def _package(entry_point: str) -> str:
    return entry_point.partition(":")[0].partition(".")[0]


# --- commands --------------------------------------------------------------------------------


def _fit_command(
    root: Path, config: Config, labels: Labels, data: FitData, folder: Path
) -> Outputs:
    spec = model_spec(config, labels, data.samples, trainer="command")
    with tempfile.TemporaryDirectory(prefix="retrue-fit-") as name:
        shelf = Path(name)
        _write_dataset(shelf / "dataset", data, labels)
        train_by_command(root, config, shelf / "dataset", folder)
        predictions = folder / "predictions.parquet"
        if config.train.score is not None:
            write_samples(shelf / "samples", "samples", data.samples, data.media)
            predictions = shelf / "predictions.parquet"
            score_by_command(root, config, folder, shelf / "samples", predictions)
        scores = read_scores(predictions, data.samples, labels)
    write_spec(folder, replace(spec, classes=scores.classes))
    return _in_sample(data, scores)


def _write_dataset(folder: Path, data: FitData, labels: Labels) -> None:
    train, judged = data.at(data.training), data.at(data.evaluation)
    columns: dict[str, pa.Array[Any]] = {
        "label": pa.array(train.labels, pa.string()),
        "weight": pa.array(train.weights.tolist(), pa.float64()),
        "group": pa.array([row.group for row in train.rows], pa.string()),
    }
    write_samples(folder, "train", train.samples, train.media, columns)
    write_samples(folder, "eval", judged.samples, judged.media)
    (folder / "labels.json").write_text(labels_json(labels), encoding="utf-8")
