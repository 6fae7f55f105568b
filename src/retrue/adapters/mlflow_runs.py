"""One run per fit: parameters, metrics, the dataset it ate, its model in MLflow's own layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from retrue.adapters.mlflow_door import Client, Run
from retrue.adapters.model_files import ModelSpec, load_estimator, untrusted_types
from retrue.records import Manifest

__all__ = [
    "CREATED_AT",
    "DATASET_DIGEST",
    "DATASET_VERSION",
    "FIT_KEY",
    "RunFacts",
    "find_or_create_run",
    "log_dataset",
    "log_facts",
    "save_flavor",
]

FIT_KEY = "retrue.fit_key"
DATASET_VERSION = "retrue.dataset_version"
DATASET_DIGEST = "retrue.dataset_digest"
CREATED_AT = "retrue.created_at"
_DIGEST_DIGITS = 32  # of 64: MLflow's column holds 36; the whole digest is in the profile and tags
_PARAM_LENGTH = 6000  # characters MLflow keeps of a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What names a run and its version."""

    fit_key: str
    name: str
    dataset_version: int | None  # None: adopted
    dataset_digest: str  # "" when adopted
    config_hash: str
    git_commit: str | None  # None: not known
    created_at: datetime

    @property
    def tags(self) -> Mapping[str, str]:
        """As tags of the run and of the version."""
        tags = {FIT_KEY: self.fit_key, CREATED_AT: self.created_at.isoformat()}
        if self.dataset_version is not None:
            tags[DATASET_VERSION] = str(self.dataset_version)
            tags[DATASET_DIGEST] = self.dataset_digest
        if self.config_hash:
            tags["retrue.config_hash"] = self.config_hash
        if self.git_commit:
            tags["retrue.git_commit"] = self.git_commit
        return tags


def find_or_create_run(
    client: Client, experiment: str, artifacts: Path | None, facts: RunFacts
) -> Run:
    """The run with this fit key, or a new one."""
    known = client.get_experiment_by_name(experiment)
    if known is None:
        location = None if artifacts is None else artifacts.resolve().as_uri()
        experiment_id = client.create_experiment(experiment, artifact_location=location)
    else:
        experiment_id = known.experiment_id
    found = client.search_runs([experiment_id], f"tags.`{FIT_KEY}` = '{facts.fit_key}'")
    if found:
        return found[0]
    started = round(facts.created_at.timestamp() * 1000)
    return client.create_run(experiment_id, started, dict(facts.tags), facts.name)


def log_facts(
    client: Client,
    run: Run,
    *,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    now: datetime,
) -> None:
    """Parameters and metrics the run does not have yet."""
    from mlflow.entities import Metric, Param

    at = round(now.timestamp() * 1000)
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(_metric_name(name), value, at, 0)
            for name, value in metrics.items()
            if _metric_name(name) not in run.data.metrics
        ],
        params=[
            Param(name, value[:_PARAM_LENGTH])
            for name, value in params.items()
            if name not in run.data.params
        ],
    )


def log_dataset(client: Client, run: Run, manifest: Manifest, folder: Path) -> None:
    """The dataset version as the run's input, under our digest: MLflow's own sees 10,000 rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if run.inputs and run.inputs.dataset_inputs:
        return
    name = f"{manifest.project}/dataset/v{manifest.version}"
    facts = {
        "digest": manifest.digest,
        "content_digest": manifest.content_digest,
        "rows": manifest.rows,
        "train": manifest.train,
        "eval": manifest.evaluation,
        "classes": dict(manifest.classes),
    }
    dataset = Dataset(
        name=name,
        digest=manifest.digest[:_DIGEST_DIGITS],
        source_type="dvc",
        source=json.dumps({"tag": name, "folder": folder.name}),
        schema=None,
        profile=json.dumps(facts),
    )
    tags = [InputTag("mlflow.data.context", "training"), InputTag(DATASET_DIGEST, manifest.digest)]
    client.log_inputs(run.info.run_id, [DatasetInput(dataset, tags)])


def save_flavor(folder: Path, spec: ModelSpec, shelf: Path, *, trusted: Sequence[str] = ()) -> Path:
    """The model as MLflow stores it; a command's model folder is copied as it is.

    Args:
        folder: What the fit stage wrote.
        spec: Its description.
        shelf: An empty or absent folder to write below.
        trusted: As for `load_estimator`.

    Returns:
        The folder to log.
    """
    out = shelf / "model"
    if spec.trainer == "command":
        shutil.copytree(folder, out)
        return out
    # Imported by name: the functions' own types are only partial.
    flavor = cast("Any", import_module("mlflow.sklearn"))
    infer_signature = cast("Any", import_module("mlflow.models")).infer_signature

    estimator = load_estimator(folder, trusted=trusted)
    example = _example(spec)
    flavor.save_model(
        estimator,
        out,
        serialization_format="skops",
        # Named, or MLflow loads the model in a new process to see what it imports.
        pip_requirements=["scikit-learn", "skops", "pandas"],
        signature=infer_signature(example, np.asarray(estimator.predict(example))),
        input_example=example if spec.features else None,
        skops_trusted_types=untrusted_types(folder / "model.skops", known=()),
    )
    shutil.copy(folder / "model.json", out / "model.json")
    return out


def _example(spec: ModelSpec) -> object:
    """One made-up row: an input example with a real one would leak data out of the records."""
    if spec.data_kind == "image":
        side = spec.side or 1
        return np.zeros((1, side * side), dtype=np.float32)
    if spec.data_kind == "text":
        return ["a text"]
    from pandas import DataFrame

    return DataFrame(
        {name: [0.0 if kind == "number" else ""] for name, kind in spec.features.items()}
    )


def _metric_name(name: str) -> str:
    """MLflow refuses some characters that a class may have in its name.

    >>> _metric_name("recall_état:7")
    'recall_état_7'
    """
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
