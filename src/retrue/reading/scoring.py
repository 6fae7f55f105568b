"""What the champion says of samples: as logged where the log is its own, else asked now."""

from __future__ import annotations

from collections.abc import Sequence

from retrue.config import Config
from retrue.ports import Media, Scores
from retrue.records import ModelVersion, Sample, Window
from retrue.workspace import Workspace

__all__ = ["in_names_of", "is_logged_by", "score_samples"]


def is_logged_by(window: Window, model: ModelVersion, config: Config) -> bool:
    """Whether a window has logged outputs, and they are this model's.

    Where no column names the model, a log is taken to be the champion's. Where one does, a window
    without a single name holds rows of several models, or of nobody knows whom.
    """
    source = config.data.stream(window.stream)
    if source is None or source.probabilities is None:
        return False
    if window.model_version is None:
        return source.model_version is None
    return window.model_version in (model.version, f"v{model.version}")


def score_samples(
    workspace: Workspace, model: ModelVersion, samples: Sequence[Sample], media: Media
) -> tuple[Scores, tuple[str, ...]]:
    """A model's outputs, and what it predicts in the names of today's schema."""
    scores = workspace.models.score(model, samples, media)
    return scores, in_names_of(workspace, model, scores.predicted)


def in_names_of(
    workspace: Workspace,
    model: ModelVersion,
    predicted: Sequence[str],
    *,
    schema_version: int | None = None,
) -> tuple[str, ...]:
    """A model's labels in the names of another schema than it learnt.

    A class that has no counterpart there keeps its old name, which equals no label: the model is
    wrong wherever it says so.

    Args:
        workspace: Where the schema's migrations are.
        model: Who predicted; an adopted model speaks in today's names.
        predicted: Canonical JSON.
        schema_version: Whose names are wanted; None: today's.
    """
    manifests = {one.version: one for one in workspace.repo.versions()}
    learnt = manifests.get(model.dataset_version or 0)
    if learnt is None:
        return tuple(predicted)
    old, new = learnt.schema_version, schema_version
    return tuple(workspace.labels.migrate(label, old, new) or label for label in predicted)
