"""A team's own training and scoring programs: any shell command, in its own environment.

`train.command` gets `{dataset}`, a folder with

- `train.parquet`: sample_id, fields (JSON), media (path below the folder, or null), label
  (canonical JSON), weight, group
- `eval.parquet`: the same samples without labels and weights: no model trains on them
- `labels.json`: the label kind, and the classes
- `media/`: one file per picture, sound, ..., named by its SHA-256

and fills `{output}`. `train.score` gets `{model}` (that folder), `{samples}` (a folder with
`samples.parquet` and `media/`, as above) and writes the file `{output}`: parquet with sample_id,
predicted (canonical JSON or plain text) and p_<class> columns. Variables of ours with secrets in
them are not handed on; `RETRUE_SEED` is. `train.options.timeout_hours` (12) ends what hangs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from retrue.adapters.process import Runner, last_words, run_process
from retrue.adapters.whole_files import parquet_bytes, read_parquet, replace_file
from retrue.config import Config, Labels
from retrue.errors import ConfigError, RecordError, ServiceUnavailable, TrainingError
from retrue.kinds import BadLabel, kind_of
from retrue.ports import Scores
from retrue.records import Sample, canonical_json

__all__ = ["labels_json", "read_scores", "score_by_command", "train_by_command", "write_samples"]

TIMEOUT_HOURS = 12.0
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|WEBHOOK|_AUTH|DATABASE_URL", re.I)
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
# With these the command would run in our environment, not in its own.
_OURS = frozenset({"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"})


def train_by_command(
    root: Path, config: Config, dataset: Path, output: Path, *, run: Runner = run_process
) -> None:
    """Run `train.command` in the workspace.

    Raises:
        TrainingError: It failed, took too long, or left its output folder empty.
    """
    output.mkdir(parents=True, exist_ok=True)
    command = _filled("train.command", config.train.command, dataset=dataset, output=output)
    _run(root, config, "train.command", command, run)
    if not any(output.iterdir()):
        raise TrainingError("train.command: expected files in {output}, found none.")


def score_by_command(
    root: Path,
    config: Config,
    model: Path,
    samples: Path,
    output: Path,
    *,
    run: Runner = run_process,
) -> None:
    """Run `train.score` in the workspace.

    Raises:
        TrainingError: It failed, took too long, or wrote no predictions.
        ConfigError: There is no such command.
    """
    command = _filled(
        "train.score", config.train.score, model=model, samples=samples, output=output
    )
    _run(root, config, "train.score", command, run)
    if not output.exists():
        raise TrainingError("train.score: expected it to write the file {output}, found none.")


def write_samples(
    folder: Path,
    name: str,
    samples: Sequence[Sample],
    media: Sequence[bytes] | None,
    columns: Mapping[str, pa.Array[Any]] | None = None,
) -> None:
    """Write `<name>.parquet` and the media files beside it.

    Args:
        folder: Made if absent.
        name: Without ending.
        samples: Length n.
        media: Bytes per sample, or None.
        columns: More columns of length n.
    """
    (folder / "media").mkdir(parents=True, exist_ok=True)
    paths: list[str | None] = [None] * len(samples)
    for place, data in enumerate(media or ()):
        # Named by what the bytes are, not by what a record says: no name leads out of the folder.
        paths[place] = f"media/{hashlib.sha256(data).hexdigest()}"
        (folder / cast("str", paths[place])).write_bytes(data)
    table: dict[str, pa.Array[Any]] = {
        "sample_id": pa.array([sample.sample_id for sample in samples], pa.string()),
        "fields": pa.array([sample.fields for sample in samples], pa.string()),
        "media": pa.array(paths, pa.string()),
        **(columns or {}),
    }
    replace_file(folder / f"{name}.parquet", parquet_bytes(pa.table(table)))


def read_scores(path: Path, samples: Sequence[Sample], labels: Labels) -> Scores:
    """Read the predictions a command wrote, in the order of the samples.

    Raises:
        TrainingError: The file is no such table, misses samples, or names unknown labels.
    """
    try:
        table = read_parquet(path)
        ids = cast("list[str]", table["sample_id"].to_pylist())
        said = cast("list[object]", table["predicted"].to_pylist())
    except (RecordError, KeyError) as error:
        raise TrainingError(
            f"{path.name}: expected parquet with sample_id and predicted, got: {error}"
        ) from error
    place = {sample_id: row for row, sample_id in enumerate(ids)}
    missing = [sample.sample_id for sample in samples if sample.sample_id not in place]
    if missing:
        raise TrainingError(
            f"{path.name}: expected a prediction for each of {len(samples)} samples, "
            f"{len(missing)} have none, the first is {missing[0]}."
        )
    order = [place[sample.sample_id] for sample in samples]
    names = sorted(name for name in table.column_names if name.startswith("p_"))
    chances = np.zeros((len(order), len(names)))
    for column, name in enumerate(names):
        chances[:, column] = np.asarray(table[name].to_pylist(), dtype=float)[order]
    return Scores(
        classes=tuple(canonical_json(name.removeprefix("p_")) for name in names),
        probabilities=chances,
        predicted=tuple(_parsed(path, said[row], labels) for row in order),
    )


def _parsed(path: Path, value: object, labels: Labels) -> str:
    try:
        return kind_of(labels.label_schema).parse(value, labels.label_schema)
    except BadLabel as error:
        raise TrainingError(f"{path.name}: predicted: {error}") from error


def _filled(key: str, command: str | None, **folders: Path) -> str:
    if command is None:
        raise ConfigError(f"{key}: expected a shell command, found none")
    for name, folder in folders.items():
        command = command.replace(f"{{{name}}}", shlex.quote(str(folder)))
    return command


def _run(root: Path, config: Config, key: str, command: str, run: Runner) -> None:
    try:
        hours = float(config.train.options.get("timeout_hours", TIMEOUT_HOURS))
    except ValueError as error:
        raise ConfigError(f"train.options.timeout_hours: {error}") from error
    hidden = [part for name in _hidden(os.environ) for part in ("-u", name)]
    try:
        finished = run(
            ["env", *hidden, "sh", "-c", command],
            cwd=root,
            env={"RETRUE_SEED": str(config.train.seed)},
            timeout=hours * 3600,
        )
    except ServiceUnavailable as error:  # a program of the team's, not a service: no use to retry
        raise TrainingError(
            f"{key}: expected an end within {hours:g} hours (train.options.timeout_hours), got none"
        ) from error
    if finished.code != 0:
        raise TrainingError(
            f"{key}: expected exit code 0, got {finished.code}. Its last words:\n"
            + last_words(finished)
        )


def _hidden(environment: Mapping[str, str]) -> list[str]:
    return sorted(
        name
        for name, value in environment.items()
        if name in _OURS or _SECRET_NAME.search(name) or _PASSWORD.search(value)
    )


def labels_json(labels: Labels) -> str:
    """What `labels.json` says."""
    return json.dumps({"kind": labels.kind, "classes": list(labels.classes)}, indent=2) + "\n"
