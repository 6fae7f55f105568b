"""Models in memory: satisfies `retrue.ports.ModelRegistry` while the process lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from retrue.adapters.model_scorer import ModelScorer
from retrue.config import Config, Labels
from retrue.errors import ModelError
from retrue.ports import FitResult, Media, Scores
from retrue.records import Manifest, ModelVersion, Sample, short_hash

__all__ = ["MemoryModels"]


class MemoryModels:
    """The registry as dictionaries; models are read from the folders that fits wrote.

    A fit folder without `model.json` (a stand-in in a test of something else) is scored by a fixed
    function of the sample's id, so that steps can be tried without training anything.
    """

    def __init__(self, root: Path, config: Config, labels: Labels) -> None:
        self._name = config.model_name
        self._labels = labels
        self._scorer = ModelScorer(root, config, labels)
        self._versions: dict[str, ModelVersion] = {}
        self._folders: dict[str, Path] = {}
        self._fit_keys: dict[str, str] = {}  # fit key -> version
        self._aliases: dict[str, str] = {}  # alias -> version
        self._evidence: dict[tuple[str, str], str] = {}

    def champion(self) -> ModelVersion | None:
        """The model with the alias `champion`."""
        return next((model for model in self.versions() if "champion" in model.aliases), None)

    def versions(self) -> list[ModelVersion]:
        """Every version, oldest first."""
        return [replace(model, aliases=self._names(number)) for number, model in self._all()]

    def register(
        self,
        fit: FitResult,
        manifest: Manifest,
        *,
        fit_key: str,
        params: Mapping[str, str],  # noqa: ARG002 - there is no run to keep them with
        dataset_dir: Path,  # noqa: ARG002
        now: datetime,
    ) -> ModelVersion:
        """Add a version as challenger; the same `fit_key` finds the first."""
        if fit_key not in self._fit_keys:
            number = str(len(self._versions) + 1)
            self._fit_keys[fit_key] = number
            self._folders[number] = fit.model_dir
            self._versions[number] = ModelVersion(
                name=self._name,
                version=number,
                run_id=f"run-{number}",
                dataset_version=manifest.version,
                dataset_digest=manifest.digest,
                aliases=(),
                created_at=now,
                metrics=dict(fit.metrics),
            )
        number = self._fit_keys[fit_key]
        self._aliases["challenger"] = number
        return replace(self._versions[number], aliases=self._names(number))

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version.

        Raises:
            ModelError: There is no such version.
        """
        self._known(version)
        self._aliases[alias] = version

    def score(self, model: ModelVersion, samples: Sequence[Sample], media: Media) -> Scores:
        """The model's outputs.

        Raises:
            ModelError: There is no such version, or it cannot read these samples.
        """
        folder = self._folders[self._known(model.version)]
        if (folder / "model.json").exists():
            return self._scorer.score(self._scorer.load(folder), samples, media)
        return _by_id(self._labels, model.version, samples)

    def save_evidence(self, model: ModelVersion, name: str, text: str) -> None:
        """Keep a small text with a model; the same name is replaced."""
        self._evidence[self._known(model.version), name] = text

    def evidence(self, model: ModelVersion, name: str) -> str | None:
        """What `save_evidence` kept; None if absent."""
        return self._evidence.get((model.version, name))

    def _all(self) -> list[tuple[str, ModelVersion]]:
        return list(self._versions.items())

    def _names(self, number: str) -> tuple[str, ...]:
        return tuple(sorted(alias for alias, held in self._aliases.items() if held == number))

    def _known(self, version: str) -> str:
        if version not in self._versions:
            known = ", ".join(self._versions) or "none"
            raise ModelError(f"model {self._name}: expected one of {known}, got {version}.")
        return version


def _by_id(labels: Labels, version: str, samples: Sequence[Sample]) -> Scores:
    """The same sample and version get the same label, and nobody learnt anything."""
    classes = tuple(f'"{name}"' for name in labels.classes)
    if not classes:
        return Scores(
            classes=(), probabilities=np.zeros((len(samples), 0)), predicted=("0",) * len(samples)
        )
    seeds = [int(short_hash(version, sample.sample_id, digits=8), 16) for sample in samples]
    chances = np.array(
        [np.random.default_rng(seed).dirichlet(np.ones(len(classes))) for seed in seeds]
    ).reshape(len(samples), len(classes))
    predicted = tuple(classes[int(place)] for place in chances.argmax(axis=1)) if seeds else ()
    return Scores(classes=classes, probabilities=chances, predicted=predicted)
