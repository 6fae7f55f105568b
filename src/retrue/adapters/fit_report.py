"""What one fit is worth, as files: predictions, metrics and plots that DVC shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrue.adapters.whole_files import parquet_bytes, replace_file
from retrue.config import Labels
from retrue.core.score import score_labels
from retrue.ports import Scores
from retrue.records import DatasetRow

__all__ = ["Outputs", "accuracy", "measure", "write_metrics", "write_plots", "write_predictions"]

Floats = NDArray[np.float64]
DIGITS = 6
LEAST = 1e-6  # a probability of 0 for what happened would cost infinitely much


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outputs:
    """A model's outputs on a dataset, row by row."""

    rows: Sequence[DatasetRow]
    scores: Scores
    out_of_fold: NDArray[np.bool_]  # (n,), True: the model that said it did not train on the row

    def where(self, keep: NDArray[np.bool_]) -> Outputs:
        """The rows that `keep` marks."""
        places = [int(place) for place in np.flatnonzero(keep)]
        scores = Scores(
            classes=self.scores.classes,
            probabilities=self.scores.probabilities[places],
            predicted=tuple(self.scores.predicted[place] for place in places),
        )
        return Outputs(
            rows=[self.rows[place] for place in places],
            scores=scores,
            out_of_fold=self.out_of_fold[places],
        )

    @property
    def evaluation(self) -> Outputs:
        """The evaluation rows."""
        return self.where(np.array([row.split == "eval" for row in self.rows], dtype=bool))


def write_predictions(path: Path, outputs: Outputs) -> None:
    """Write sample_id, split, label, predicted, out_of_fold and a p_<class> column per class."""
    columns: dict[str, pa.Array[Any]] = {
        "sample_id": pa.array([row.sample_id for row in outputs.rows], pa.string()),
        "split": pa.array([row.split for row in outputs.rows], pa.string()),
        "label": pa.array([row.label for row in outputs.rows], pa.string()),
        "predicted": pa.array(list(outputs.scores.predicted), pa.string()),
        "out_of_fold": pa.array(outputs.out_of_fold.tolist(), pa.bool_()),
    }
    for column, label in enumerate(outputs.scores.classes):
        chances = outputs.scores.probabilities[:, column]
        columns[f"p_{json.loads(label)}"] = pa.array(chances.tolist(), pa.float64())
    replace_file(path, parquet_bytes(pa.table(columns)))


def accuracy(rows: Sequence[DatasetRow], predicted: Sequence[str], labels: Labels) -> float:
    """Mean score of the predictions, 0..1; rows must not be empty."""
    return float(_right(rows, predicted, labels).mean())


def measure(outputs: Outputs, labels: Labels, *, trained_on: int) -> dict[str, float]:
    """Counts, and on the evaluation rows: accuracy, loss, recall per class.

    `accuracy_weighted` weighs each row by multiplicity / inclusion probability, over rows that
    have one. What cannot be known (no evaluation rows) is left out.
    """
    seen = outputs.evaluation
    metrics = {"n_train": float(trained_on), "n_eval": float(len(seen.rows))}
    if not seen.rows:
        return metrics
    right = _right(seen.rows, seen.scores.predicted, labels)
    metrics["accuracy"] = float(right.mean())
    weights = np.array([_weight(row) for row in seen.rows])
    if weights.sum() > 0:
        metrics["accuracy_weighted"] = float(np.average(right, weights=weights))
        metrics["n_eval_weighted"] = float((weights > 0).sum())
    if labels.kind == "number":
        metrics |= _number_errors(seen)
    else:
        metrics["log_loss"] = _log_loss(seen)
        metrics |= _recalls(seen, right)
    return {name: round(value, DIGITS) for name, value in metrics.items()}


def write_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Write metrics as one JSON object of names and numbers."""
    text = json.dumps(dict(metrics), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))


def write_plots(
    folder: Path, outputs: Outputs, curve: Sequence[tuple[int, float]], labels: Labels
) -> None:
    """Write confusion.csv (a row per evaluation item) and learning_curve.json, as DVC reads them.

    Args:
        folder: Made if absent.
        outputs: Of the model.
        curve: (training labels, accuracy on the evaluation rows) points.
        labels: For the kind; numbers get no confusion table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points = [{"n_train": count, "accuracy": round(value, DIGITS)} for count, value in curve]
    text = json.dumps({"learning_curve": points}, indent=2) + "\n"
    replace_file(folder / "learning_curve.json", lambda file: file.write(text.encode()))
    if labels.kind == "number":
        return
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["actual", "predicted"])
    seen = outputs.evaluation
    for row, predicted in zip(seen.rows, seen.scores.predicted, strict=True):
        writer.writerow([_plain(row.label), _plain(predicted)])
    table = lines.getvalue().encode()
    replace_file(folder / "confusion.csv", lambda file: file.write(table))


def _right(rows: Sequence[DatasetRow], predicted: Sequence[str], labels: Labels) -> Floats:
    truth = [row.label for row in rows]
    return score_labels(truth, predicted, kind=labels.kind, tolerance=labels.tolerance)


def _weight(row: DatasetRow) -> float:
    return row.multiplicity / row.inclusion_probability if row.inclusion_probability else 0.0


def _number_errors(seen: Outputs) -> dict[str, float]:
    truth = np.array([float(row.label) for row in seen.rows])
    gap = truth - np.array([float(label) for label in seen.scores.predicted])
    return {
        "mean_absolute_error": float(np.abs(gap).mean()),
        "root_mean_square_error": float(np.sqrt((gap**2).mean())),
    }


def _log_loss(seen: Outputs) -> float:
    """Mean of -log p(label); with several classes per item, mean over the yes-or-no questions."""
    chances = np.clip(seen.scores.probabilities, LEAST, 1 - LEAST)
    truth = [_names(row.label) for row in seen.rows]
    classes = [cast("str", json.loads(label)) for label in seen.scores.classes]
    said = np.array([[name in names for name in classes] for names in truth], dtype=bool)
    if any(row.label.startswith("[") for row in seen.rows):
        return float(-np.log(np.where(said, chances, 1 - chances)).mean())
    # A label the model has no class for counts as the least probability.
    own = np.where(said.any(axis=1), (chances * said).sum(axis=1), LEAST)
    return float(-np.log(own).mean())


def _recalls(seen: Outputs, right: Floats) -> dict[str, float]:
    """Share found of each class that occurs; with several classes per item, of its items."""
    names = [_names(row.label) for row in seen.rows]
    predicted = [_names(label) for label in seen.scores.predicted]
    several = any(row.label.startswith("[") for row in seen.rows)
    recalls: dict[str, float] = {}
    for name in sorted({name for one in names for name in one}):
        held = [place for place, one in enumerate(names) if name in one]
        found = [name in predicted[place] if several else right[place] for place in held]
        recalls[f"recall_{name}"] = float(np.mean(found))
    return recalls


def _names(label: str) -> set[str]:
    value = cast("object", json.loads(label))
    return set(cast("list[str]", value)) if isinstance(value, list) else {str(value)}


def _plain(label: str) -> str:
    return "|".join(sorted(_names(label)))
