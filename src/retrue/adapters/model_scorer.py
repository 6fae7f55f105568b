"""Scores samples with a stored model, in batches."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from retrue.adapters.fit_command import read_scores, score_by_command, write_samples
from retrue.adapters.model_files import (
    Estimator,
    ModelSpec,
    load_estimator,
    model_inputs,
    predict,
    read_spec,
)
from retrue.config import Config, Labels
from retrue.errors import ModelError
from retrue.ports import Media, Scores
from retrue.records import Sample

__all__ = ["Loaded", "ModelScorer"]

BATCH = 2000  # samples, with their media, in memory at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A model that is ready to score."""

    spec: ModelSpec
    folder: Path
    estimator: Estimator | None  # None: a command reads the folder


class ModelScorer:
    """What turns a stored model and samples into `Scores`.

    Args:
        root: The workspace; commands run here.
        config: For `train.score`.
        labels: The label schema.
        trusted: Modules whose types a stored model may hold.
    """

    def __init__(
        self, root: Path, config: Config, labels: Labels, *, trusted: Sequence[str] = ()
    ) -> None:
        self._root = root
        self._config = config
        self._labels = labels
        self._trusted = trusted

    def load(self, folder: Path) -> Loaded:
        """Read a model folder; a command's folder is only described.

        Raises:
            ModelError: The model is damaged or cannot be trusted.
        """
        spec = read_spec(folder)
        own = None if spec.trainer == "command" else load_estimator(folder, trusted=self._trusted)
        return Loaded(spec=spec, folder=folder, estimator=own)

    def score(self, model: Loaded, samples: Sequence[Sample], media: Media) -> Scores:
        """A model's outputs, in the order of the samples.

        Raises:
            ModelError: The model cannot read these samples, or there is no command to ask it.
            TrainingError: A team's scoring command failed.
        """
        parts = [self._part(model, part, media) for part in _batches(samples)]
        return Scores(
            classes=parts[0].classes,
            probabilities=np.concatenate([part.probabilities for part in parts]),
            predicted=tuple(label for part in parts for label in part.predicted),
        )

    def fetch_foreign(
        self, model_uri: str, tracking_uri: str, folder: Path
    ) -> tuple[Estimator, str]:
        """A model somebody logged with MLflow, if it is scikit-learn's in skops format.

        Returns:
            The model, and the SHA-256 of its file.

        Raises:
            ModelError: It is something else, or holds types nobody trusts.
        """
        import mlflow.artifacts

        folder.mkdir(parents=True)
        fetch = cast("Any", mlflow.artifacts).download_artifacts
        got = Path(
            fetch(
                artifact_uri=model_uri,
                dst_path=os.fspath(folder),
                tracking_uri=tracking_uri,
                registry_uri=tracking_uri,  # else MLflow opens a database of its own right here
            )
        )
        described = cast("object", yaml.safe_load((got / "MLmodel").read_text(encoding="utf-8")))
        flavors = cast("dict[str, dict[str, dict[str, object]]]", described).get("flavors", {})
        format_ = flavors.get("sklearn", {}).get("serialization_format")
        if format_ != "skops":
            raise ModelError(
                f"{model_uri}: expected a scikit-learn model in skops format, got "
                f"{format_ or ', '.join(flavors) or 'no model'}. Log it again with "
                'serialization_format="skops": a pickle may run anything when it is read.'
            )
        content = hashlib.sha256((got / "model.skops").read_bytes()).hexdigest()
        return load_estimator(got, trusted=self._trusted), content

    def _part(self, model: Loaded, samples: Sequence[Sample], media: Media) -> Scores:
        spec = model.spec
        wanted = [media(sample) for sample in samples] if _has_media(spec, samples) else None
        if not samples:  # scikit-learn refuses to look at nothing
            empty = np.zeros((0, len(spec.classes)))
            return Scores(classes=spec.classes, probabilities=empty, predicted=())
        if model.estimator is None:
            return self._by_command(model.folder, samples, wanted)
        try:
            return predict(model.estimator, spec, model_inputs(spec, samples, wanted))
        except (ValueError, KeyError, IndexError) as error:
            raise ModelError(f"model: it cannot read these samples: {error}") from error

    def _by_command(
        self, folder: Path, samples: Sequence[Sample], media: Sequence[bytes] | None
    ) -> Scores:
        if self._config.train.score is None:
            raise ModelError(
                "model: it was trained by train.command, and there is no train.score to ask it. "
                "Set train.score in configs/project.yaml."
            )
        with tempfile.TemporaryDirectory(prefix="retrue-score-") as name:
            shelf = Path(name)
            write_samples(shelf / "samples", "samples", samples, media)
            output = shelf / "predictions.parquet"
            score_by_command(self._root, self._config, folder, shelf / "samples", output)
            return read_scores(output, samples, self._labels)


def _has_media(spec: ModelSpec, samples: Sequence[Sample]) -> bool:
    other = spec.data_kind == "other" and any(sample.media_uri for sample in samples)
    return spec.data_kind == "image" or other


def _batches(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, max(len(samples), 1), BATCH):
        yield samples[start : start + BATCH]
