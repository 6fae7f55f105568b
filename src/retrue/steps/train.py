"""train: fit a challenger on the newest version, compare, and promote it or hold it.

The comparison is paired, on the version's evaluation items, which no model trains on; every look
spends from the champion's alpha budget, keyed so that a rerun spends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal, cast

import numpy as np

import retrue
from retrue.core.accuracy import Estimate
from retrue.core.gate import PairedResult, SliceResult, alpha_for, check_slices, compare_models
from retrue.ports import FitResult, Lease
from retrue.reading.exam import Exam
from retrue.reading.reference import load_reference, record_reference
from retrue.records import Decision, Json, Manifest, ModelVersion, canonical_json, short_hash
from retrue.secrecy import without_secrets
from retrue.workspace import Workspace

__all__ = ["TrainReport", "promote", "rollback", "train_model"]

Outcome = Literal["nothing", "first", "promoted", "waiting", "held", "rejected"]

PROMOTED = ("first", "promoted")  # outcomes that make the challenger champion
ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What one call did, with its evidence."""

    outcome: Outcome
    why: str
    challenger: ModelVersion | None = None
    champion: ModelVersion | None = None  # as it was before this call
    result: PairedResult | None = None  # None: nothing to compare with
    slices: tuple[SliceResult, ...] = ()  # registered slices, under the same two models
    accuracy: Estimate | None = None  # of the challenger on the evaluation items


def train_model(workspace: Workspace, *, now: datetime, dry_run: bool = False) -> TrainReport:
    """Train on the newest version if no model has seen it, and put the model to the gate.

    Raises:
        TrainingError: The fit stage failed; its last words are in the message.
        LeaseHeld: Another process is training.
    """
    versions = workspace.repo.versions()
    if not versions:
        return TrainReport(outcome="nothing", why="there is no dataset version yet")
    manifest = versions[-1]
    fit_key = _fit_key(workspace, manifest)
    gates = workspace.records.decisions("gate")
    seen = any(gate.data["fit_key"] == fit_key for gate in gates)
    settled = f"v{manifest.version}: has its model and verdict"
    if dry_run:
        why = settled if seen else f"would train on v{manifest.version}"
        return TrainReport(outcome="nothing", why=why)
    with workspace.lease("train", now=now) as lease:
        finished = bool(gates) and _finish(workspace, gates[-1], now=now)
        if not seen:
            return _train(workspace, manifest, fit_key, lease, now=now)
        if finished:
            workspace.repo.record("Model: promotion finished", lease=lease)
            settled = f"v{manifest.version}: the promotion that was cut off is finished"
    return TrainReport(outcome="nothing", why=settled)


def _train(
    workspace: Workspace, manifest: Manifest, fit_key: str, lease: Lease, *, now: datetime
) -> TrainReport:
    champion = workspace.models.champion()
    fit = workspace.repo.fit(manifest.version, lease=lease)
    challenger = workspace.models.register(
        fit,
        manifest,
        fit_key=fit_key,
        params=_params(workspace),
        dataset_dir=workspace.repo.folder(manifest.version),
        now=now,
    )
    curve: list[Json] = [[count, score] for count, score in fit.curve]
    workspace.models.save_evidence(challenger, "learning_curve.json", canonical_json(curve))
    report = _gate(workspace, manifest, fit, challenger, champion, now=now, fit_key=fit_key)
    workspace.state.check_lease(lease)
    if report.outcome in PROMOTED:
        promote(workspace, challenger, why=report.why, now=now)
    workspace.repo.record(f"Model {challenger.version}: {report.outcome}", lease=lease)
    return report


def promote(workspace: Workspace, model: ModelVersion, *, why: str, now: datetime) -> None:
    """Make a model the champion and record the traffic it will be watched against.

    The decision is written before the alias moves: whoever finds the one without the other runs
    this again, and each part finds what is there.
    """
    champion = workspace.models.champion()
    if champion is None or champion.version != model.version:
        moves = workspace.records.decisions("promotion")
        if not moves or moves[-1].data["version"] != model.version:
            workspace.decide(
                "promotion",
                f"{model.name}/{model.version}/{len(moves)}",
                now=now,
                data={
                    "model": model.name,
                    "version": model.version,
                    "instead_of": champion.version if champion else None,
                    "why": why,
                },
            )
        workspace.models.set_alias("champion", model.version)
    record_reference(workspace, model)


def rollback(workspace: Workspace, *, now: datetime) -> ModelVersion | None:
    """Make the champion before this one the champion again; None if there was none.

    Rolling back twice goes back two champions, never forward to the one that was left.
    """
    champion = workspace.models.champion()
    moves = [
        made
        for made in workspace.records.decisions("promotion")
        if champion is not None
        and made.data["version"] == champion.version
        and made.data["why"] != ROLLED_BACK
    ]
    before = moves[-1].data["instead_of"] if moves else None
    model = _model(workspace, before)
    if model is not None:
        promote(workspace, model, why=ROLLED_BACK, now=now)
    return model


def _fit_key(workspace: Workspace, manifest: Manifest) -> str:
    """Names one fit: same data, same configuration, same program = the same model."""
    return short_hash(manifest.digest, canonical_json(dict(_params(workspace))), digits=16)


def _params(workspace: Workspace) -> dict[str, str]:
    config = workspace.config
    params = {"kind": config.data.kind, "primary_metric": config.metrics.primary}
    params |= {
        name: without_secrets(str(value)) for name, value in config.train.model_dump().items()
    }
    return params | {"retrue": retrue.__version__}


def _finish(workspace: Workspace, gate: Decision, *, now: datetime) -> bool:
    """Finish a promotion that was cut off after its decision; False if nothing was open."""
    model = _model(workspace, gate.data["challenger"])
    if gate.data["outcome"] not in PROMOTED or model is None or _whole(workspace, model):
        return False
    since = [made for made in workspace.records.decisions("promotion") if made.at >= gate.at]
    if any(made.data["version"] != model.version for made in since):
        return False  # a person has gone on to another
    promote(workspace, model, why=str(gate.data["why"]), now=now)
    return _whole(workspace, model)


def _whole(workspace: Workspace, model: ModelVersion) -> bool:
    """Whether a promotion came to its end: the alias points there, the reference is kept."""
    champion = workspace.models.champion()
    served = champion is not None and champion.version == model.version
    return served and load_reference(workspace, model) is not None


def _model(workspace: Workspace, version: Json) -> ModelVersion | None:
    return next((m for m in workspace.models.versions() if m.version == version), None)


def _gate(
    workspace: Workspace,
    manifest: Manifest,
    fit: FitResult,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    *,
    now: datetime,
    fit_key: str,
) -> TrainReport:
    exam = Exam.of(workspace, manifest)
    right = exam.score(fit.predicted)
    report = TrainReport(
        outcome="first",
        why="the first model: there is nothing to compare it with",
        challenger=challenger,
        accuracy=exam.accuracy(right),
    )
    if champion is not None and champion.version != challenger.version:
        report = replace(report, champion=champion)
        report = _against(workspace, manifest, exam, fit, report)
    _record_gate(workspace, manifest, report, exam, now=now, fit_key=fit_key)
    return report


def _against(
    workspace: Workspace, manifest: Manifest, exam: Exam, fit: FitResult, report: TrainReport
) -> TrainReport:
    """The report with the paired test of challenger against champion."""
    champion, challenger = report.champion, report.challenger
    if champion is None or challenger is None:
        raise ValueError("expected a champion and a challenger")
    if not exam.rows:
        why = "no evaluation item to compare the models on: audit a window first"
        return replace(report, outcome="held", why=why)
    said = exam.asked(workspace, champion)
    before, after = exam.score(said), exam.score(fit.predicted)
    key = _key(champion, challenger, manifest)
    result = _compare(workspace, exam, before, after, champion, key)
    changes = exam.changes(before, after, said, fit.predicted)
    workspace.models.save_evidence(challenger, "changes.json", canonical_json(changes))
    slices = _slices(workspace, exam, before, after, key)
    outcome, why = _watched(_outcome(workspace, result), result.reason, slices)
    return replace(report, outcome=outcome, why=why, result=result, slices=slices)


def _slices(
    workspace: Workspace, exam: Exam, before: np.ndarray, after: np.ndarray, key: str
) -> tuple[SliceResult, ...]:
    """The registered slices, each held against the loss it may bear."""
    metrics = workspace.config.metrics
    masks = exam.slices(workspace, metrics.slices)
    found = check_slices(
        masks,
        before,
        after,
        exam.weight,
        exam.groups,
        margins=dict.fromkeys(masks, metrics.slice_margin),
        rng=np.random.default_rng(int(short_hash(key, "slices", digits=12), 16)),
    )
    return tuple(found)


def _watched(outcome: Outcome, why: str, slices: Sequence[SliceResult]) -> tuple[Outcome, str]:
    """A promotion under the slices: worse ones forbid it, those nobody can judge ask a person."""
    worse = [f"{one.name} ({one.n} items)" for one in slices if one.verdict == "worse"]
    unclear = [f"{one.name} (n={one.n})" for one in slices if one.verdict == "not checkable"]
    if outcome not in ("promoted", "waiting") or not (worse or unclear):
        return outcome, why
    if worse:
        return "held", f"{why} But it is worse on {', '.join(worse)}."
    return "waiting", f"{why} A person must look: not checkable on {', '.join(unclear)}."


def _key(champion: ModelVersion | None, challenger: ModelVersion | None, of: Manifest) -> str:
    """Names one look; the same look spends its alpha once."""
    names = [model.version if model else None for model in (champion, challenger)]
    return f"{names[0]}/{names[1]}/{of.digest}"


def _compare(
    workspace: Workspace,
    exam: Exam,
    before: np.ndarray,
    after: np.ndarray,
    champion: ModelVersion,
    key: str,
) -> PairedResult:
    looks = [
        cast("str", made.data["key"])
        for made in workspace.records.decisions("gate")
        if made.data["champion"] == champion.version and made.data["result"] is not None
    ]
    place = looks.index(key) + 1 if key in looks else len(looks) + 1
    model = workspace.config.model
    return compare_models(
        before,
        after,
        exam.weight,
        exam.groups,
        alpha=alpha_for(place, model.alpha),
        margin=model.margin,
        rng=np.random.default_rng(int(short_hash(key, digits=12), 16)),
    )


def _outcome(workspace: Workspace, result: PairedResult) -> Outcome:
    if result.decision == "promote":
        return "promoted" if workspace.config.model.promote == "auto" else "waiting"
    return "held" if result.decision == "hold" else "rejected"


def _record_gate(
    workspace: Workspace,
    manifest: Manifest,
    report: TrainReport,
    exam: Exam,
    *,
    now: datetime,
    fit_key: str,
) -> None:
    champion = report.champion.version if report.champion else None
    challenger = report.challenger.version if report.challenger else None
    data: dict[str, Json] = {
        "fit_key": fit_key,
        "key": _key(report.champion, report.challenger, manifest),
        "champion": champion,
        "challenger": challenger,
        "dataset_version": manifest.version,
        "outcome": report.outcome,
        "why": report.why,
        "items": len(exam.rows),
        "windows": list[Json](sorted({row.window_id for row in exam.rows})),
        "result": _plain(report.result),
        "slices": list[Json](_plain(one) for one in report.slices),
        "accuracy": _plain(report.accuracy),
    }
    workspace.decide("gate", fit_key, now=now, data=data)
    if report.challenger is not None:
        workspace.models.save_evidence(report.challenger, "gate.json", canonical_json(data))


def _plain(result: PairedResult | Estimate | SliceResult | None) -> dict[str, Json] | None:
    if result is None:
        return None
    return cast("dict[str, Json]", json.loads(json.dumps(asdict(result))))
