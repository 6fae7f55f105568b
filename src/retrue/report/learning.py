"""Is the model getting better: learning curves, models so far, and the last gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retrue.core.accuracy import Estimate
from retrue.core.score import score_labels
from retrue.records import Decision, Json, Manifest, ModelVersion
from retrue.report.reading import Data, estimate, number, part, text, whole
from retrue.report.thumbnails import Look, Looks
from retrue.workspace import Workspace

__all__ = [
    "ChangedItem",
    "Gate",
    "ModelPoint",
    "Prefixes",
    "gather_models",
    "last_gate",
    "prefixes",
]

CURVE = "learning_curve.json"  # [[labels, accuracy], ...], from the fit stage
CHANGES = "changes.json"  # evaluation items the two models answer differently, from train


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPoint:
    """One model at its gate."""

    version: str
    labels: int  # it trained on
    accuracy: Estimate
    outcome: str  # of its gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """What one model's recipe reaches with the first n of its labels."""

    version: str
    points: tuple[tuple[int, float], ...]  # (labels, accuracy 0..1), rising


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedItem:
    """One evaluation item the challenger answers differently."""

    sample_id: str
    label: str
    before: str  # the champion's answer
    after: str  # the challenger's
    gain: float  # score after minus score before, -1..1
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The last paired comparison."""

    champion: str
    challenger: str
    at: datetime
    outcome: str  # promoted, waiting, held, rejected
    why: str
    delta: float  # challenger minus champion, -1..1
    low: float  # 95% interval
    high: float
    margin: float  # smallest gain worth a promotion
    p_value: float
    alpha: float
    items: int
    discordant: int
    minimum_detectable: float
    labels_needed: int | None
    changed: tuple[ChangedItem, ...]  # losses first; empty: not kept


def gather_models(
    decisions: Sequence[Decision], manifests: Sequence[Manifest]
) -> tuple[ModelPoint, ...]:
    """Every model that was measured at a gate, oldest first."""
    trained = {manifest.version: manifest.train for manifest in manifests}
    points: list[ModelPoint] = []
    for made in decisions:
        version, found = whole(made.data, "dataset_version"), estimate(part(made.data, "accuracy"))
        if made.kind == "gate" and found is not None and version in trained:
            points.append(
                ModelPoint(
                    version=text(made.data, "challenger"),
                    labels=trained[version],
                    accuracy=found,
                    outcome=text(made.data, "outcome"),
                )
            )
    return tuple(points)


def prefixes(workspace: Workspace, models: Sequence[ModelVersion]) -> Prefixes | None:
    """The newest model's learning curve; None if the fit stage drew none."""
    for model in reversed(models):
        kept = workspace.models.evidence(model, CURVE)
        points = _points(kept) if kept is not None else ()
        if points:
            return Prefixes(version=model.version, points=points)
    return None


def last_gate(
    workspace: Workspace,
    decisions: Sequence[Decision],
    models: Sequence[ModelVersion],
    looks: Looks,
) -> Gate | None:
    """The last gate with a comparison; None: no challenger met a champion yet."""
    for made in reversed(decisions):
        result = part(made.data, "result")
        if made.kind == "gate" and result is not None:
            by_version = {model.version: model for model in models}
            challenger = by_version.get(text(made.data, "challenger"))
            kept = workspace.models.evidence(challenger, CHANGES) if challenger else None
            changed = _changes(workspace, kept, looks) if kept is not None else ()
            return _gate(workspace, made, result, changed)
    return None


def _gate(
    workspace: Workspace, made: Decision, result: Data, changed: tuple[ChangedItem, ...]
) -> Gate:
    return Gate(
        champion=text(made.data, "champion"),
        challenger=text(made.data, "challenger"),
        at=made.at,
        outcome=text(made.data, "outcome"),
        why=text(made.data, "why"),
        delta=number(result, "delta") or 0.0,
        low=number(result, "low") or 0.0,
        high=number(result, "high") or 0.0,
        margin=workspace.config.model.margin,
        p_value=number(result, "p_value") or 0.0,
        alpha=number(result, "alpha") or 0.0,
        items=whole(result, "n") or 0,
        discordant=whole(result, "discordant") or 0,
        minimum_detectable=number(result, "minimum_detectable") or 0.0,
        labels_needed=whole(result, "labels_needed"),
        changed=changed,
    )


def _changes(workspace: Workspace, kept: str, looks: Looks) -> tuple[ChangedItem, ...]:
    rows = cast("list[Mapping[str, Json]]", json.loads(kept))  # our own file
    labels = [text(row, "label") for row in rows]
    before, after = (
        score_labels(
            labels,
            [text(row, side) for row in rows],
            kind=workspace.labels.kind,
            tolerance=workspace.labels.tolerance,
        )
        for side in ("before", "after")
    )
    found = [
        ChangedItem(
            sample_id=text(row, "sample_id"),
            label=labels[i],
            before=text(row, "before"),
            after=text(row, "after"),
            gain=float(after[i] - before[i]),
            look=looks.of(text(row, "sample_id")),
        )
        for i, row in enumerate(rows)
    ]
    return tuple(sorted(found, key=lambda item: (item.gain, item.sample_id)))


def _points(kept: str) -> tuple[tuple[int, float], ...]:
    rows = cast("list[tuple[int, float]]", json.loads(kept))  # our own file
    return tuple(sorted((int(labels), float(accuracy)) for labels, accuracy in rows))
