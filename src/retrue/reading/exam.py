"""The evaluation items of one dataset version: what every model is asked, and how right it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retrue.core.accuracy import Estimate, estimate_mean
from retrue.core.score import score_labels
from retrue.errors import ModelError, TrainingError
from retrue.ports import Media
from retrue.reading.media import media_reader
from retrue.reading.scoring import in_names_of
from retrue.records import (
    DatasetRow,
    Json,
    Manifest,
    ModelVersion,
    Sample,
    canonical_json,
)
from retrue.workspace import Workspace

__all__ = ["Exam"]

NOTHING = ""  # no label is written so: what a model that cannot answer says


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exam:
    """Evaluation items that were drawn with a known probability; for recall, of one class."""

    rows: Sequence[DatasetRow]
    weight: np.ndarray  # (n,), multiplicity / inclusion probability
    kind: str  # of label
    tolerance: float  # numbers this close are right, in the label's unit
    schema_version: int  # the labels are in its names

    @classmethod
    def of(cls, workspace: Workspace, manifest: Manifest) -> Exam:
        """The exam of a version, under the metric that is configured."""
        metrics = workspace.config.metrics
        wanted = None if metrics.class_ is None else canonical_json(metrics.class_)
        rows = [
            row
            for row in workspace.repo.rows(manifest.version)
            if row.split == "eval"
            and row.inclusion_probability
            and (metrics.primary != "recall" or wanted in (None, row.label))
        ]
        return cls(
            rows=rows,
            weight=np.array([row.multiplicity / (row.inclusion_probability or 1) for row in rows]),
            kind=workspace.labels.kind,
            tolerance=workspace.labels.tolerance,
            schema_version=manifest.schema_version,
        )

    def score(self, predicted: Mapping[str, str]) -> np.ndarray:
        """How right each prediction is, 0..1, shape (n,).

        Raises:
            TrainingError: An item has no prediction.
        """
        try:
            said = [predicted[row.sample_id] for row in self.rows]
        except KeyError as error:
            raise TrainingError(
                f"predictions: expected one for each of {len(self.rows)} evaluation items, "
                f"got none for sample {error}."
            ) from None
        right = np.zeros(len(self.rows))
        told = [i for i, label in enumerate(said) if label != NOTHING]
        right[told] = score_labels(
            [self.rows[i].label for i in told],
            [said[i] for i in told],
            kind=self.kind,
            tolerance=self.tolerance,
        )
        return right

    def accuracy(self, right: np.ndarray) -> Estimate | None:
        """The mean score with its interval; None: there are no items."""
        if not self.rows:
            return None
        probability = np.array([row.inclusion_probability for row in self.rows], dtype=float)
        multiplicity = np.array([row.multiplicity for row in self.rows], dtype=float)
        return estimate_mean(right, probability, multiplicity, self.groups)

    def changes(
        self,
        before: np.ndarray,
        after: np.ndarray,
        said_before: Mapping[str, str],
        said_after: Mapping[str, str],
    ) -> list[Json]:
        """The items on which two models are not equally right, for people to look at."""
        return [
            {
                "sample_id": row.sample_id,
                "label": row.label,
                "before": said_before[row.sample_id],
                "after": said_after[row.sample_id],
            }
            for row, old, new in zip(self.rows, before, after, strict=True)
            if old != new
        ]

    def asked(self, workspace: Workspace, model: ModelVersion) -> dict[str, str]:
        """What another model says of the items, in the version's names, by sample id.

        A model that cannot read an item (a column it needs is gone) is wrong there: it would be in
        service too.

        Raises:
            ModelError: It can read none of them: then it is the model that is broken.
        """
        kept: dict[str, bytes] = {}
        for round_id in sorted({row.round_id for row in self.rows}):
            kept |= workspace.records.media(round_id)
        wanted = self._samples(workspace)
        said = _predict(workspace, model, wanted, media_reader(workspace.store, kept))
        names = in_names_of(
            workspace, model, list(said.values()), schema_version=self.schema_version
        )
        told = dict(zip(said, names, strict=True))
        return {row.sample_id: told.get(row.sample_id, NOTHING) for row in self.rows}

    def slices(self, workspace: Workspace, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Which items are in which slice: "column=value" -> mask of shape (n,).

        A sample without the column is in the slice of `None`, so that no item goes unwatched.
        """
        fields = [json.loads(sample.fields) for sample in self._samples(workspace)]
        masks: dict[str, np.ndarray] = {}
        for column in columns:
            values = np.array([str(one.get(column)) for one in fields], dtype=object)
            for value in sorted(set(values.tolist())):
                masks[f"{column}={value}"] = values == value
        return masks

    def _samples(self, workspace: Workspace) -> list[Sample]:
        """The items' samples, in order."""
        samples: dict[str, Sample] = {}
        for round_id in sorted({row.round_id for row in self.rows}):
            samples |= {item.sample_id: item for item in workspace.records.samples(round_id)}
        return [samples[row.sample_id] for row in self.rows]

    @property
    def groups(self) -> np.ndarray:
        """Items that are not independent share a value, shape (n,)."""
        return np.array([row.group for row in self.rows])


def _predict(
    workspace: Workspace, model: ModelVersion, samples: Sequence[Sample], media: Media
) -> dict[str, str]:
    """Predictions by sample id, without the samples the model cannot read."""
    try:
        scores = workspace.models.score(model, samples, media)
    except ModelError as error:
        if len(samples) == 1:
            raise
        said: dict[str, str] = {}
        half = len(samples) // 2
        for part in (samples[:half], samples[half:]):
            try:
                said |= _predict(workspace, model, part, media)
            except ModelError:
                continue
        if not said:
            raise error from None
        return said
    return dict(zip((sample.sample_id for sample in samples), scores.predicted, strict=True))
