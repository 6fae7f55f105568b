"""The model in service and how often it is right, with the population the figure speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from retrue.core.accuracy import Estimate, estimate_mean, union_probability
from retrue.core.score import score_labels
from retrue.reading.ballots import verdicts_about
from retrue.records import Decision, Round, Sample, Task, Verdict, Window, canonical_json
from retrue.report.reading import Data, estimate, part, text, texts, whole
from retrue.workspace import Workspace

__all__ = ["Population", "Service", "metric_name", "service_of"]

DONE = ("closed", "published")


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The traffic a figure speaks of."""

    windows: tuple[str, ...]
    rows: int  # distinct samples that could have been drawn
    outside: float  # share of the windows' rows that could not (no consent, did not fit), 0..1
    first: datetime | None  # None: the rows carry no time
    last: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The champion."""

    version: str
    since: datetime
    why: str  # it was promoted
    dataset_version: int | None  # None: trained elsewhere
    metric: str  # what the figures below count, "accuracy" or "recall of scratch"
    at_gate: Estimate | None  # on evaluation items, before it was promoted; None: not measured
    gate_population: Population
    measured: Estimate | None  # on items drawn after its promotion; None: no such round closed
    measured_population: Population
    unanswerable: int  # items drawn after its promotion of which people cannot tell the label

    @property
    def accuracy(self) -> Estimate | None:
        """The figure to quote: measured in service if there is one, else at the gate."""
        return self.measured or self.at_gate

    @property
    def population(self) -> Population:
        """What `accuracy` speaks of."""
        return self.measured_population if self.measured else self.gate_population


@dataclass(frozen=True, slots=True)
class _Audited:
    """One sample of audits in service."""

    sample: Sample
    predicted: str
    verdict: Verdict | None
    probability: float


def metric_name(workspace: Workspace) -> str:
    """What gate and report count: recall of the class that matters, or plain accuracy."""
    metrics = workspace.config.metrics
    if metrics.primary == "recall" and metrics.class_ is not None:
        return f"recall of {metrics.class_}"
    return "accuracy"


def service_of(
    workspace: Workspace,
    rounds: Sequence[Round],
    decisions: Sequence[Decision],
) -> Service | None:
    """The champion as the last promotion left it; None if nothing was promoted yet."""
    moves = [made for made in decisions if made.kind == "promotion"]
    if not moves:
        return None
    last = moves[-1]
    version = text(last.data, "version")
    gates = [m for m in decisions if m.kind == "gate" and m.data.get("challenger") == version]
    gate: Data = gates[-1].data if gates else {}
    windows = _windows(rounds)
    after = [r for r in rounds if r.plan.planned_at > last.at and r.state in DONE]
    audited = _audited(workspace, after, rounds)
    known = [one for one in audited if not (one.verdict and one.verdict.status == "unanswerable")]
    return Service(
        version=version,
        since=last.at,
        why=text(last.data, "why"),
        dataset_version=whole(gate, "dataset_version"),
        metric=metric_name(workspace),
        at_gate=estimate(part(gate, "accuracy")),
        gate_population=_population([windows[w] for w in texts(gate, "windows") if w in windows]),
        measured=_measure(workspace, known),
        measured_population=_population(
            list({w.window_id: w for item in after for w in item.plan.population}.values())
        ),
        unanswerable=len(audited) - len(known),
    )


def _windows(rounds: Sequence[Round]) -> dict[str, Window]:
    """Every window that was ever drawn from; the plans hold them, so no ledger is opened."""
    return {window.window_id: window for item in rounds for window in item.plan.population}


def _population(windows: Sequence[Window]) -> Population:
    rows = sum(window.rows + window.quarantined for window in windows)
    eligible = sum(window.eligible for window in windows)
    return Population(
        windows=tuple(window.window_id for window in windows),
        rows=eligible,
        outside=1 - eligible / rows if rows else 0.0,
        first=min((w.first_time for w in windows if w.first_time), default=None),
        last=max((w.last_time for w in windows if w.last_time), default=None),
    )


def _audited(
    workspace: Workspace, rounds: Sequence[Round], every: Sequence[Round]
) -> list[_Audited]:
    """Each audited sample once, weighted by every draw whose frame held its window."""
    draws: list[tuple[set[str], float]] = []
    found: dict[str, tuple[Sample, Task]] = {}
    for item in rounds:
        tasks = [
            task
            for task in workspace.records.tasks(item.plan.round_id)
            if task.arm == "audit" and task.inclusion_probability
        ]
        if tasks:
            frame = {window.window_id for window in item.plan.population}
            draws.append((frame, tasks[0].inclusion_probability or 1.0))
            samples = {s.sample_id: s for s in workspace.records.samples(item.plan.round_id)}
            for task in tasks:
                found.setdefault(task.sample_id, (samples[task.sample_id], task))
    verdicts = verdicts_about(workspace, every, found.keys())
    return [
        _Audited(
            sample,
            task.predicted,
            verdicts.get(task.sample_id),
            union_probability([p for frame, p in draws if sample.window_id in frame])
            or task.inclusion_probability
            or 1.0,
        )
        for sample, task in found.values()
        if task.predicted is not None
    ]


def _measure(workspace: Workspace, audited: Sequence[_Audited]) -> Estimate | None:
    metrics = workspace.config.metrics
    if metrics.primary == "recall" and metrics.class_ is not None:
        wanted = canonical_json(metrics.class_)
        audited = [one for one in audited if one.verdict and one.verdict.label == wanted]
    labels = [one.verdict.label if one.verdict else None for one in audited]
    if not any(label is not None for label in labels):
        return None
    right = score_labels(
        [label or one.predicted for label, one in zip(labels, audited, strict=True)],
        [one.predicted for one in audited],
        kind=workspace.labels.kind,
        tolerance=workspace.labels.tolerance,
    )
    # A drawn item without a label widens the interval to the worst case, it is not left out.
    score = np.where([label is None for label in labels], np.nan, right)
    return estimate_mean(
        score,
        np.array([one.probability for one in audited]),
        np.array([one.sample.multiplicity for one in audited]),
        np.array([one.sample.group or one.sample.sample_id for one in audited]),
    )
