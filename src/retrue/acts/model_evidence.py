"""What is known of each model, and whether its evidence allows to promote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from retrue.core.build import diff_rows
from retrue.errors import ModelError
from retrue.records import Decision, Json, ModelVersion
from retrue.steps.train import promote
from retrue.workspace import Workspace

__all__ = [
    "ModelDiff",
    "ModelFacts",
    "diff_models",
    "model_facts",
    "promote_by_hand",
    "refusal",
]

PASSED = ("first", "promoted", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model with the verdict on it."""

    model: ModelVersion
    outcome: str  # first, promoted, waiting, held, rejected; "": never put to the gate
    why: str
    gate: Mapping[str, Json]  # the gate's evidence; empty: none
    promotions: tuple[tuple[datetime, str, str], ...]  # (when, by, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDiff:
    """Two models side by side."""

    a: ModelFacts
    b: ModelFacts
    metrics: tuple[tuple[str, float | None, float | None], ...]  # name, a, b
    data: Mapping[str, int] | None  # rows added, changed, removed, same; None: one was adopted
    gate: Mapping[str, Json] | None  # of a gate that compared the two; None: none did


def model_facts(workspace: Workspace, version: str | None = None) -> list[ModelFacts]:
    """All models, oldest first, or one of them ("3", "v3" or an alias).

    Raises:
        ModelError: There is no such model.
    """
    models = workspace.models.versions()
    if version is not None:
        models = [_find(models, version)]
    gates, moves = workspace.records.decisions("gate"), workspace.records.decisions("promotion")
    return [_facts(model, gates, moves) for model in models]


def diff_models(workspace: Workspace, a: str, b: str) -> ModelDiff:
    """Two models side by side: figures, data, and the test that compared them.

    Raises:
        ModelError: One of them does not exist.
        RepoError: A dataset version's files are on no remote we can reach.
    """
    (left,), (right,) = model_facts(workspace, a), model_facts(workspace, b)
    names = dict.fromkeys([*left.model.metrics, *right.model.metrics])
    pair = {left.model.version, right.model.version}
    gates = [
        made.data
        for made in workspace.records.decisions("gate")
        if {str(made.data["champion"]), str(made.data["challenger"])} == pair
    ]
    return ModelDiff(
        a=left,
        b=right,
        metrics=tuple(
            (name, left.model.metrics.get(name), right.model.metrics.get(name)) for name in names
        ),
        data=_data_diff(workspace, left.model, right.model),
        gate=gates[-1] if gates else None,
    )


def refusal(workspace: Workspace, facts: ModelFacts) -> str:
    """Why the gate does not allow to promote this model; "": it does."""
    champion = workspace.models.champion()
    if champion is None or champion.version == facts.model.version:
        return ""
    if not facts.outcome:
        return f"model {facts.model.version} was never compared with champion {champion.version}"
    if facts.outcome not in PASSED:
        return f"the gate said {facts.outcome}: {facts.why}"
    against = facts.gate.get("champion")
    if facts.outcome == "waiting" and against != champion.version:
        return (
            f"it was compared with model {against}, and champion is {champion.version} by now: "
            "that evidence is out of date"
        )
    return ""


def promote_by_hand(
    workspace: Workspace, facts: ModelFacts, *, force_reason: str | None, now: datetime
) -> None:
    """Promote by a person's word; a reason given against the gate is recorded.

    Raises:
        ModelError: The gate refused it and no reason was given.
    """
    against = refusal(workspace, facts)
    if against and not force_reason:
        raise ModelError(f"model {facts.model.version}: {against}")
    why = f"forced: {force_reason} (against the gate: {against})" if against else facts.why
    promote(workspace, facts.model, why=why or "by a person's word", now=now)


def _facts(model: ModelVersion, gates: list[Decision], moves: list[Decision]) -> ModelFacts:
    mine = [made.data for made in gates if made.data["challenger"] == model.version]
    gate: Mapping[str, Json] = mine[-1] if mine else {}
    return ModelFacts(
        model=model,
        outcome=str(gate.get("outcome", "")),
        why=str(gate.get("why", "")),
        gate=gate,
        promotions=tuple(
            (made.at, made.by, str(made.data["why"]))
            for made in moves
            if made.data["version"] == model.version
        ),
    )


def _find(models: list[ModelVersion], name: str) -> ModelVersion:
    for model in models:
        if name.removeprefix("v") == model.version or name in model.aliases:
            return model
    known = ", ".join(model.version for model in models) or "none yet"
    raise ModelError(f"model {name}: expected one of: {known}")


def _data_diff(workspace: Workspace, a: ModelVersion, b: ModelVersion) -> dict[str, int] | None:
    if a.dataset_version is None or b.dataset_version is None:
        return None
    repo = workspace.repo
    diff = diff_rows(repo.rows(a.dataset_version), repo.rows(b.dataset_version))
    return {
        "added": len(diff.added),
        "changed": len(diff.changed),
        "removed": len(diff.removed),
        "same": diff.same,
    }
