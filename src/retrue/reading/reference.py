"""The traffic a champion is watched against: windows it was audited on, with its own outputs.

Never the labelled or training rows: those were picked, and traffic measured against them looks
drifted for ever (METHODS, drift). Kept with the model, so that a clone can watch too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np

from retrue.core.arrow import text_list
from retrue.core.profile import (
    Profile,
    finalise,
    from_json,
    merge_profiles,
    profile_categories,
    profile_numbers,
    to_json,
)
from retrue.errors import ModelError
from retrue.ports import Media, Scores
from retrue.reading.media import fault_of, media_reader, pin_media
from retrue.reading.windows import read_window, samples_of
from retrue.records import Json, ModelVersion, Quarantined, Sample, Window, canonical_json
from retrue.workspace import Workspace

__all__ = [
    "Reference",
    "is_output",
    "load_reference",
    "profile_outputs",
    "record_reference",
    "score_windows",
]

FILE = "reference.json"
CHUNK = 2_000  # rows scored at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What traffic looked like when the champion was audited."""

    model_version: str
    windows: tuple[str, ...]
    outputs: Profile  # of the champion, on rows it did not train on
    features: Profile  # of all rows


def record_reference(
    workspace: Workspace, model: ModelVersion, *, lost: list[Quarantined] | None = None
) -> Reference | None:
    """Keep the reference with a model; finds one that is there. None: no window was audited.

    The windows are those of the last round whose audit items the model's dataset holds. What of
    them cannot be read is added to `lost`; where nothing can, that is None as well.
    """
    known = load_reference(workspace, model)
    if known is not None:
        return known
    windows = _audited_windows(workspace)
    if not windows:
        return None
    trained_on = _training_ids(workspace, model)
    features: Profile = {}
    for window in windows:
        profile = workspace.state.profile(window.window_id)
        raw = {name: column for name, column in profile.items() if not is_output(name)}
        features = merge_profiles(features, raw) if features else raw
    unread: list[Quarantined] = []
    outputs = score_windows(workspace, model, windows, leave_out=trained_on, lost=unread)
    if lost is not None:
        lost += unread
    if unread and not outputs:
        return None
    reference = Reference(
        model_version=model.version,
        windows=tuple(window.window_id for window in windows),
        outputs=outputs,
        features=features,
    )
    workspace.models.save_evidence(model, FILE, _to_text(reference))
    return reference


def load_reference(workspace: Workspace, model: ModelVersion) -> Reference | None:
    """The reference kept with a model.

    Raises:
        ModelError: What is kept there cannot be read.
    """
    text = workspace.models.evidence(model, FILE)
    if text is None:
        return None
    try:
        data = json.loads(text)
        return Reference(
            model_version=data["model_version"],
            windows=tuple(data["windows"]),
            outputs=from_json(data["outputs"]),
            features=from_json(data["features"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"model {model.name} {model.version}: expected a reference in {FILE}, got: {error}. "
            "Promote the model again to record it anew."
        ) from error


def is_output(name: str) -> bool:
    """Whether a profile's column was written by a model."""
    return name in ("p_max", "predicted") or name.startswith("p[")


def score_windows(
    workspace: Workspace,
    model: ModelVersion,
    windows: Sequence[Window],
    *,
    lost: list[Quarantined],
    leave_out: AbstractSet[str] = frozenset(),
) -> Profile:
    """Profile of a model's outputs on windows, chunk by chunk.

    Args:
        workspace: Where the windows are.
        model: Who scores.
        windows: What is scored.
        lost: Objects and media that cannot be read are added, and passed over.
        leave_out: Samples the model trained on: its outputs there tell nothing of traffic.
    """
    total: Profile = {}
    for chunk in _chunks(_samples(workspace, windows, leave_out, lost)):
        kept, read = _readable(workspace, chunk, lost)
        if not kept:
            continue
        scores = workspace.models.score(model, kept, read)
        profile = profile_outputs(scores, workspace.state.freeze_centers(_centers(scores)))
        total = merge_profiles(total, profile) if total else profile
    return finalise(total)


def profile_outputs(scores: Scores, centers: Mapping[str, float]) -> Profile:
    """Profile of one chunk of outputs; the columns are named as ingest names logged ones.

    Args:
        scores: A model's outputs, n rows.
        centers: Bin centres, as frozen in the ledger: only equal ones can be compared.
    """
    names = [_plain(label) for label in scores.classes]
    if not names:
        numbers = np.array(scores.predicted, dtype=float)
        return {"predicted": profile_numbers(numbers, center=centers["predicted"])}
    columns = {f"p[{name}]": scores.probabilities[:, i] for i, name in enumerate(names)}
    columns["p_max"] = scores.probabilities.max(axis=1)
    predicted = Counter(_plain(label) for label in scores.predicted)
    return {
        **{name: profile_numbers(v, center=centers[name]) for name, v in columns.items()},
        "predicted": profile_categories(dict(predicted)),
    }


def _centers(scores: Scores) -> dict[str, float]:
    """Bins are finest at their centre: small probabilities near 0, sure ones near 1."""
    if not scores.classes:
        return {"predicted": float(np.median(np.array(scores.predicted, dtype=float)))}
    return {f"p[{_plain(label)}]": 0.0 for label in scores.classes} | {"p_max": 1.0}


def _plain(label: str) -> str:
    """A canonical label as the log's column names spell it."""
    value = cast("Json", json.loads(label))
    return value if isinstance(value, str) else canonical_json(value)


def _audited_windows(workspace: Workspace) -> tuple[Window, ...]:
    rounds = [
        item.plan
        for item in workspace.records.rounds()
        if item.state in ("closed", "published")
        and item.plan.kind != "probe"
        and item.plan.population
        and item.plan.arms.get("audit", 0)
    ]
    return rounds[-1].population if rounds else ()


def _training_ids(workspace: Workspace, model: ModelVersion) -> set[str]:
    if model.dataset_version is None:
        return set()
    rows = workspace.repo.rows(model.dataset_version)
    return {row.sample_id for row in rows if row.split == "train"}


def _readable(
    workspace: Workspace, chunk: Sequence[Sample], lost: list[Quarantined]
) -> tuple[Sequence[Sample], Media]:
    """The samples whose media a model can be shown, and what shows them."""
    if workspace.config.data.kind in ("table", "text"):  # a model of these looks at no media
        return chunk, media_reader(workspace.store, {})
    pinned = pin_media(chunk, workspace.store, fault_of(workspace.config))
    lost += pinned.lost.values()
    return pinned.samples, media_reader(workspace.store, pinned.media)


def _samples(
    workspace: Workspace,
    windows: Sequence[Window],
    leave_out: AbstractSet[str],
    lost: list[Quarantined],
) -> Iterator[Sample]:
    for window in windows:
        for batch in read_window(window, workspace.config, workspace.store, lost=lost):
            names = text_list(batch.sample_id)
            kept = np.array(
                [i for i, name in enumerate(names) if name not in leave_out], dtype=np.int64
            )
            once = [1] * len(kept)
            yield from samples_of(batch, kept, window.window_id, multiplicity=once)


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while chunk := list(islice(samples, CHUNK)):
        yield chunk


def _to_text(reference: Reference) -> str:
    return json.dumps(
        {
            "model_version": reference.model_version,
            "windows": list(reference.windows),
            "outputs": to_json(reference.outputs),
            "features": to_json(reference.features),
        }
    )
