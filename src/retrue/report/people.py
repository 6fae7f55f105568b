"""Who answered how: skill, pace and what each person mixes up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retrue.core.annotators import confusion
from retrue.core.judge import AnnotatorReport, rate_annotators
from retrue.kinds import kind_of
from retrue.reading.ballots import Asked
from retrue.records import AnnotatorGroup
from retrue.workspace import Workspace

__all__ = ["Person", "gather_people"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One annotator."""

    report: AnnotatorReport
    group: AnnotatorGroup
    classes: tuple[str, ...]  # canonical labels; empty: answers that are no classes
    counts: tuple[tuple[int, ...], ...]  # [verdict][answer], on samples several people answered

    @property
    def named(self) -> bool:
        """Whether a person should talk with them: skill surely too low, or answers too fast."""
        return self.report.below_floor or self.report.too_fast > self.report.answers // 10


def gather_people(workspace: Workspace, asked: Mapping[str, Asked]) -> tuple[Person, ...]:
    """Everybody who ever answered, least trusted first."""
    checks = workspace.config.validate_
    reports = rate_annotators(
        [item.ballot for item in asked.values()],
        workspace.labels.label_schema,
        floor=checks.skill_floor,
        fastest=checks.too_fast_seconds,
    )
    classes, counts = _confusions(workspace, asked, [report.annotator for report in reports])
    return tuple(
        Person(
            report=report,
            group=workspace.config.queue.annotators.group_of(report.annotator),
            classes=classes,
            counts=counts.get(report.annotator, ()),
        )
        for report in reports
    )


def _confusions(
    workspace: Workspace, asked: Mapping[str, Asked], names: list[str]
) -> tuple[tuple[str, ...], dict[str, tuple[tuple[int, ...], ...]]]:
    """Answers against verdicts that rest on more than the person's own word."""
    if kind_of(workspace.labels.label_schema).aggregate != "categorical":
        return (), {}
    said = [
        (task, names.index(vote.annotator), vote.label, item.verdict.label)
        for task, item in enumerate(asked.values())
        if item.verdict is not None
        and item.verdict.label is not None
        and len(item.ballot.votes) > 1
        for vote in item.ballot.votes
        if vote.label is not None
    ]
    if not said:
        return (), {}
    present = {label for _, _, given, verdict in said for label in (given, verdict)}
    order = [f'"{name}"' for name in workspace.labels.classes]
    classes = [name for name in order if name in present] + sorted(present - set(order))
    place = {name: i for i, name in enumerate(classes)}
    truth = np.full(len(asked), -1, dtype=np.int64)
    for task, _, _, verdict in said:
        truth[task] = place[verdict]
    found = confusion(
        np.array([task for task, _, _, _ in said], dtype=np.int64),
        np.array([worker for _, worker, _, _ in said], dtype=np.int64),
        np.array([place[given] for _, _, given, _ in said], dtype=np.int64),
        truth,
        n_workers=len(names),
        n_classes=len(classes),
    )
    return tuple(classes), {
        name: tuple(tuple(map(int, row)) for row in found[i]) for i, name in enumerate(names)
    }
