"""train: fit a challenger on the newest version, compare, and promote it or hold it.

The comparison is paired, on the version's evaluation items, which no model trains on; every look
spends from the champion's alpha budget, keyed so that a rerun spends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, cast

import numpy as np

import retrue
from retrue.core.accuracy import Estimate, estimate_mean
from retrue.core.gate import PairedResult, alpha_for, compare_models
from retrue.core.score import score_labels
from retrue.ports import FitResult, Scores
from retrue.records import (
    DatasetRow,
    Decision,
    Json,
    Manifest,
    ModelVersion,
    Sample,
    canonical_json,
    short_hash,
)
from retrue.reference import load_reference, record_reference
from retrue.windows import media_reader
from retrue.workspace import Workspace

__all__ = ["TrainReport", "promote", "rollback", "train_model"]

Outcome = Literal["nothing", "first", "promoted", "waiting", "held", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What one call did, with its evidence."""

    outcome: Outcome
    why: str
    challenger: ModelVersion | None = None
    champion: ModelVersion | None = None  # as it was before this call
    result: PairedResult | None = None  # None: nothing to compare with
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
    gate = _gate_decision(workspace, fit_key)
    if gate is not None:
        cut = not dry_run and _finish(workspace, gate, now=now)
        why = "the promotion that was cut off is finished" if cut else "has its model and verdict"
        return TrainReport(outcome="nothing", why=f"v{manifest.version}: {why}")
    if dry_run:
        return TrainReport(outcome="nothing", why=f"would train on v{manifest.version}")
    with workspace.lease("train", now=now) as lease:
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
        if report.outcome in ("first", "promoted"):
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
    """Make the champion before this one the champion again; None if there was none."""
    champion = workspace.models.champion()
    moves = [
        made
        for made in workspace.records.decisions("promotion")
        if champion is not None and made.data["version"] == champion.version
    ]
    before = moves[-1].data["instead_of"] if moves else None
    model = _model(workspace, before)
    if model is not None:
        promote(workspace, model, why="rolled back", now=now)
    return model


def _fit_key(workspace: Workspace, manifest: Manifest) -> str:
    """Names one fit: same data, same configuration, same program = the same model."""
    return short_hash(manifest.digest, canonical_json(dict(_params(workspace))), digits=16)


def _params(workspace: Workspace) -> dict[str, str]:
    config = workspace.config
    params = {"kind": config.data.kind, "primary_metric": config.metrics.primary}
    params |= {name: str(value) for name, value in config.train.model_dump().items()}
    return params | {"retrue": retrue.__version__}


def _gate_decision(workspace: Workspace, fit_key: str) -> Decision | None:
    gates = workspace.records.decisions("gate")
    return next((gate for gate in gates if gate.data["fit_key"] == fit_key), None)


def _finish(workspace: Workspace, gate: Decision, *, now: datetime) -> bool:
    """Finish a promotion that was cut off after its decision; False if nothing was open."""
    model = _model(workspace, gate.data["challenger"])
    if gate.data["outcome"] not in ("first", "promoted") or model is None:
        return False
    if load_reference(workspace, model) is not None:  # the last thing a promotion does
        return False
    promote(workspace, model, why=str(gate.data["why"]), now=now)
    return True


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
    exam = _Exam.of(workspace, manifest)
    right = exam.score(workspace, fit.predicted)
    accuracy = exam.accuracy(right) if len(exam.rows) else None
    if champion is None or champion.version == challenger.version:
        report = TrainReport(
            outcome="first",
            why="the first model: there is nothing to compare it with",
            challenger=challenger,
            accuracy=accuracy,
        )
    else:
        said = _scored(workspace, champion, exam.rows)
        before = exam.score(workspace, said)
        result = _compare(workspace, exam, before, right, (champion, challenger), manifest)
        changes = exam.changes(before, right, said, fit.predicted)
        workspace.models.save_evidence(challenger, "changes.json", canonical_json(changes))
        report = TrainReport(
            outcome=_outcome(workspace, result),
            why=result.reason,
            challenger=challenger,
            champion=champion,
            result=result,
            accuracy=accuracy,
        )
    _record_gate(workspace, manifest, report, exam, now=now, fit_key=fit_key)
    return report


@dataclass(frozen=True, slots=True)
class _Exam:
    """The evaluation items of one version that were drawn with a known probability."""

    rows: Sequence[DatasetRow]
    weight: np.ndarray  # (n,), multiplicity / inclusion probability

    @classmethod
    def of(cls, workspace: Workspace, manifest: Manifest) -> _Exam:
        rows = [
            row
            for row in workspace.repo.rows(manifest.version)
            if row.split == "eval" and row.inclusion_probability is not None
        ]
        metrics = workspace.config.metrics
        if metrics.primary == "recall" and metrics.class_ is not None:
            wanted = canonical_json(metrics.class_)
            rows = [row for row in rows if row.label == wanted]
        weight = [row.multiplicity / (row.inclusion_probability or 1.0) for row in rows]
        return cls(rows, np.array(weight, dtype=float))

    def score(self, workspace: Workspace, predicted: Mapping[str, str]) -> np.ndarray:
        """How right each prediction is, 0..1, shape (n,)."""
        return score_labels(
            [row.label for row in self.rows],
            [predicted[row.sample_id] for row in self.rows],
            kind=workspace.labels.kind,
            tolerance=workspace.labels.tolerance,
        )

    def accuracy(self, right: np.ndarray) -> Estimate:
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
        """The items on which the two models are not equally right, for people to look at."""
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

    @property
    def groups(self) -> np.ndarray:
        return np.array([row.group for row in self.rows])


def _scored(
    workspace: Workspace, model: ModelVersion, rows: Sequence[DatasetRow]
) -> dict[str, str]:
    samples: dict[str, Sample] = {}
    kept: dict[str, bytes] = {}
    for round_id in sorted({row.round_id for row in rows}):
        samples |= {item.sample_id: item for item in workspace.records.samples(round_id)}
        kept |= workspace.records.media(round_id)
    wanted = [samples[row.sample_id] for row in rows]
    scores: Scores = workspace.models.score(model, wanted, media_reader(workspace.store, kept))
    return dict(zip((row.sample_id for row in rows), scores.predicted, strict=True))


def _compare(
    workspace: Workspace,
    exam: _Exam,
    before: np.ndarray,
    after: np.ndarray,
    models: tuple[ModelVersion, ModelVersion],
    manifest: Manifest,
) -> PairedResult:
    champion, challenger = models
    key = f"{champion.version}/{challenger.version}/{manifest.digest}"
    looks = [
        cast("str", made.data["key"])
        for made in workspace.records.decisions("gate")
        if made.data["champion"] == champion.version
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
    exam: _Exam,
    *,
    now: datetime,
    fit_key: str,
) -> None:
    champion = report.champion.version if report.champion else None
    challenger = report.challenger.version if report.challenger else None
    data: dict[str, Json] = {
        "fit_key": fit_key,
        "key": f"{champion}/{challenger}/{manifest.digest}",
        "champion": champion,
        "challenger": challenger,
        "dataset_version": manifest.version,
        "outcome": report.outcome,
        "why": report.why,
        "items": len(exam.rows),
        "windows": list[Json](sorted({row.window_id for row in exam.rows})),
        "result": _plain(report.result),
        "accuracy": _plain(report.accuracy),
    }
    workspace.decide("gate", fit_key, now=now, data=data)
    if report.challenger is not None:
        workspace.models.save_evidence(report.challenger, "gate.json", canonical_json(data))


def _plain(result: PairedResult | Estimate | None) -> dict[str, Json] | None:
    if result is None:
        return None
    return cast("dict[str, Json]", json.loads(json.dumps(asdict(result))))
