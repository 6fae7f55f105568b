"""Reading probes: what a random look at alarmed traffic says of the champion's accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

import numpy as np

from retrue.core.incident import Incident, read_incidents
from retrue.core.judge import none_of_these
from retrue.core.probe import ProbeOutcome, probe_outcome
from retrue.core.score import score_labels
from retrue.ports import Lease
from retrue.reading.ballots import last_verdicts
from retrue.records import Json, ModelVersion, Task
from retrue.workspace import Workspace

__all__ = ["ProbeReport", "decide_probes"]

DONE = ("closed", "published")
NEW_CLASS = 2  # answers that fit no class, as in `core.probe`


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What an incident's probe showed."""

    incident_id: str
    outcome: ProbeOutcome
    decided: bool  # False: another block is needed


def decide_probes(
    workspace: Workspace, champion: ModelVersion, now: datetime, lease: Lease, *, dry_run: bool
) -> list[ProbeReport]:
    """Read the probes whose answers are all in; decide where no further block may be drawn."""
    rounds = workspace.records.rounds()
    by_id = {item.plan.round_id: item for item in rounds}
    most = workspace.config.drift.probe.max
    reports: list[ProbeReport] = []
    for incident in read_incidents(workspace.records.decisions(), rounds):
        if incident.state != "probing" or incident.champion != champion.version:
            continue
        probes = [by_id[probe] for probe in incident.probes]
        if any(item.state not in DONE for item in probes):
            continue
        outcome = _outcome(workspace, champion, incident)
        drawn = sum(item.plan.arms.get("audit", 0) for item in probes)
        spent = drawn >= min(most, probes[0].plan.frame_rows)
        decided = outcome.outcome != "undecided" or spent
        reports.append(
            ProbeReport(incident_id=incident.incident_id, outcome=outcome, decided=decided)
        )
        if decided and not dry_run:
            workspace.state.check_lease(lease)
            data = cast("dict[str, Json]", asdict(outcome))
            data |= {"incident": incident.incident_id, "why": outcome.reason}
            workspace.decide("incident-decided", incident.incident_id, now=now, data=data)
    return reports


def _outcome(workspace: Workspace, champion: ModelVersion, incident: Incident) -> ProbeOutcome:
    """Judge an incident's probe labels against the champion's own audit."""
    baseline = _baseline(workspace, champion)
    items = _probe_items(workspace, incident)
    if baseline is None or not items:
        return _without_comparison(items)
    labels, predicted = zip(*items, strict=True)
    right = score_labels(
        labels, predicted, kind=workspace.labels.kind, tolerance=workspace.labels.tolerance
    )
    probe = workspace.config.drift.probe
    return probe_outcome(
        (right >= 1).astype(float)[: probe.max],
        np.array([none_of_these(label) for label in labels], dtype=bool)[: probe.max],
        baseline[0],
        baseline[1],
        margin=probe.margin,
        maximum=probe.max,
        block=probe.labels,
    )


def _without_comparison(items: Sequence[tuple[str, str]]) -> ProbeOutcome:
    """Labels alone can show a new class, and no loss."""
    count = sum(none_of_these(label) for label, _ in items)
    return ProbeOutcome(
        outcome="new_class" if count >= NEW_CLASS else "undecided",
        loss_found=False,
        new_class_found=count >= NEW_CLASS,
        loss=0.0,
        low=-1.0,
        high=1.0,
        n=len(items),
        none_count=count,
        reason=f"{count} of {len(items)} answers fit no class. There is no audited accuracy of the "
        "champion to compare with."
        if items
        else "no probed sample has a label.",
    )


def _probe_items(workspace: Workspace, incident: Incident) -> list[tuple[str, str]]:
    """(label, prediction) of probed samples with a verdict, in draw order."""
    verdicts = last_verdicts(workspace)
    items: list[tuple[str, str]] = []
    for probe in incident.probes:
        tasks = {task.sample_id: task for task in workspace.records.tasks(probe)}
        for sample in workspace.records.samples(probe):  # written in order of drawing
            task: Task = tasks[sample.sample_id]
            verdict = verdicts.get(sample.sample_id)
            if verdict is None or verdict.label is None or task.predicted is None:
                continue
            old, new = task.schema_version, workspace.labels.version
            moved = workspace.labels.migrate(task.predicted, old, new)
            label = workspace.labels.migrate(verdict.label, verdict.schema_version, new)
            items.append((label or verdict.label, moved or task.predicted))
    return items


def _baseline(workspace: Workspace, champion: ModelVersion) -> tuple[int, int] | None:
    """(right, items) of the champion on its own evaluation items, from its gate."""
    gates = workspace.records.decisions("gate")
    mine = [gate for gate in gates if gate.data["challenger"] == champion.version]
    if not mine:
        return None
    accuracy = mine[-1].data["accuracy"]
    if not isinstance(accuracy, dict):
        return None
    n = int(cast("int", accuracy["n"]))
    return round(cast("float", accuracy["value"]) * n), n
