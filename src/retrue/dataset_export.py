"""A dataset version as one table in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from retrue.dataset import Dataset
from retrue.errors import RepoError

__all__ = ["export_dataset"]


def export_dataset(dataset: Dataset, file: Path) -> int:
    """Write rows with their samples' fields; returns how many.

    A label that is no text or number (several classes) is written as JSON text. A field named as a
    column of the rows is written as "field.<name>".

    Args:
        dataset: What to write.
        file: Ends in .csv, .jsonl or .parquet; replaced if it exists.

    Raises:
        RepoError: Another ending, or the file cannot be written.
    """
    rows = dataset.rows.copy()
    rows["label"] = [
        json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
        for value in rows["label"]
    ]
    samples = dataset.samples()
    samples = samples.drop(columns=[n for n in ("group", "multiplicity") if n in samples])
    renamed = {n: f"field.{n}" for n in samples.columns if n in rows.columns}
    table = rows.join(samples.rename(columns=renamed)).reset_index()
    try:
        _write(table, file)
    except OSError as error:
        raise RepoError(f"{file}: expected to write there, got: {error.strerror}") from error
    return len(table)


def _write(table: pd.DataFrame, file: Path) -> None:
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    elif file.suffix == ".jsonl":
        table.to_json(file, orient="records", lines=True, date_format="iso", force_ascii=False)
    elif file.suffix == ".parquet":
        table.to_parquet(file, index=False)
    else:
        raise RepoError(f"{file}: expected a name ending in .csv, .jsonl or .parquet")
