"""Adopting a model that was trained elsewhere: what goes into it is read off the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from retrue.adapters.model_files import FeatureType, ModelSpec
from retrue.config import Config, Labels
from retrue.errors import ConfigError, ModelError
from retrue.records import ModelVersion, canonical_json
from retrue.workspace import Workspace

__all__ = ["adopt_model", "spec_of"]

SIDE = 16  # pixels per side, as the default image trainer scales


@runtime_checkable
class _Adopts(Protocol):
    """A registry that takes models of others in; MLflow does."""

    def adopt(self, model_uri: str, *, spec: ModelSpec, now: datetime) -> ModelVersion: ...


def adopt_model(
    workspace: Workspace, name_or_uri: str, *, classes: Sequence[str] = (), now: datetime
) -> ModelVersion:
    """Bring a model into the registry as challenger.

    Args:
        workspace: Its configuration says what goes into the model.
        name_or_uri: `models:/name/3`, `runs:/...`, or a registered name (its newest version).
        classes: In the order of the model's probabilities; none: sorted by name.
        now: When it is adopted.

    Raises:
        ModelError: There is no such model, or it cannot be trusted.
        ConfigError: The configuration does not say what goes in.
    """
    if not isinstance(workspace.models, _Adopts):
        raise ModelError("this model registry takes no models of others in")
    uri = name_or_uri if ":/" in name_or_uri else f"models:/{name_or_uri}/latest"
    spec = spec_of(workspace.config, workspace.labels, classes)
    return workspace.models.adopt(uri, spec=spec, now=now)


def spec_of(config: Config, labels: Labels, classes: Sequence[str] = ()) -> ModelSpec:
    """What goes into a model of this workspace and what comes out.

    Args:
        config: The declared fields are a table model's columns, in their order.
        labels: Its kind and classes.
        classes: In the order of the model's probabilities; none: sorted by name.

    Raises:
        ConfigError: A table without declared fields: their order is the model's columns.
    """
    data = config.data
    if data.kind == "table" and data.fields is None:
        raise ConfigError(
            "data.fields: expected the model's columns, in its order, got none. "
            "An adopted model cannot be asked for them."
        )
    features: dict[str, FeatureType] = {}
    for name, rule in (data.fields or {}).items():
        if data.kind in ("table", "other") and rule.type != "time":
            features[name] = "category" if rule.type == "boolean" else rule.type
    names = classes or sorted(labels.classes)
    return ModelSpec(
        trainer="adopted",
        data_kind=data.kind,
        label_kind=labels.kind,
        classes=() if labels.kind == "number" else tuple(canonical_json(name) for name in names),
        features=features,
        text=data.text if data.kind == "text" else None,
        side=SIDE if data.kind == "image" else None,
        constant={},
    )
