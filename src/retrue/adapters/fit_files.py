"""What the `fit` stage promises: model/, metrics.json, predictions.parquet and plots/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from retrue.adapters.whole_files import read_parquet
from retrue.errors import RecordError, TrainingError
from retrue.ports import FitResult

__all__ = ["read_fit"]


def read_fit(folder: Path) -> FitResult:
    """What a `fit` stage wrote into a workspace, checked.

    Raises:
        TrainingError: A file is missing or damaged, or a metric is not a number.
    """
    for name in ("model", "metrics.json", "predictions.parquet", "plots"):
        if not (folder / name).exists():
            raise TrainingError(f"stage fit: expected it to write {name}, found none.")
    raw = cast("object", json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    items = cast("dict[str, object]", raw) if isinstance(raw, dict) else {}
    metrics = {key: float(value) for key, value in items.items() if isinstance(value, int | float)}
    if not metrics or len(metrics) != len(items):
        raise TrainingError(f"metrics.json: expected an object of names and numbers, got {raw!r}")
    return FitResult(
        model_dir=folder / "model",
        metrics=metrics,
        plots=tuple(sorted(path for path in (folder / "plots").rglob("*") if path.is_file())),
        predictions=folder / "predictions.parquet",
        predicted=_predicted(folder / "predictions.parquet"),
        curve=_curve(folder / "plots" / "learning_curve.json"),
    )


def _curve(path: Path) -> tuple[tuple[int, float], ...]:
    """The default trainer's learning curve; a command of the team's own need not make one."""
    if not path.exists():
        return ()
    raw = cast("dict[str, list[dict[str, float]]]", json.loads(path.read_text(encoding="utf-8")))
    points = raw.get("learning_curve", [])
    return tuple((int(point["n_train"]), float(point["accuracy"])) for point in points)


def _predicted(path: Path) -> dict[str, str]:
    try:
        table = read_parquet(path).select(["sample_id", "predicted"])
    except (RecordError, KeyError) as error:
        raise TrainingError(
            f"predictions.parquet: expected the columns sample_id and predicted, got: {error}"
        ) from error
    rows = cast("list[dict[str, str]]", table.to_pylist())
    return {row["sample_id"]: row["predicted"] for row in rows}
