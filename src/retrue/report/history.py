"""What changed from one dataset version to the next, and what labels came and cost over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from retrue.core.answers import live_answers
from retrue.core.build import Diff, diff_rows
from retrue.reading.ballots import Asked
from retrue.records import DatasetRow, Manifest, Round
from retrue.report.thumbnails import Look, Looks
from retrue.workspace import Workspace

__all__ = ["ClassChange", "Correction", "Day", "VersionChange", "gather_days", "gather_versions"]

CORRECTIONS = 60  # shown for one version


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """One label's rows against the version before."""

    label: str  # canonical
    rows: int  # now
    added: int
    came: int  # rows that had another label before
    went: int  # rows that have another label now
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One sample whose label is another one now."""

    sample_id: str
    before: str
    after: str
    said: tuple[tuple[str, str | None], ...]  # (who, canonical label; None: skipped)
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """One dataset version against the one before."""

    version: int
    built_at: datetime
    rows: int
    train: int
    evaluation: int
    digest: str
    added: int
    changed: int
    removed: int
    classes: tuple[ClassChange, ...]  # of the newest version only; most rows first
    corrections: tuple[Correction, ...]  # of the newest version only
    corrected: int  # how many there are


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The answers of one day that had any."""

    day: date
    answers: int  # up to this day's end
    cost: float  # up to this day's end


def gather_versions(
    workspace: Workspace, manifests: Sequence[Manifest], asked: Mapping[str, Asked], looks: Looks
) -> tuple[VersionChange, ...]:
    """All versions, oldest first; rows are read for the newest one only.

    Raises:
        RepoError: The newest version's files are on no remote we can reach.
    """
    newest = _newest_diff(workspace, manifests)
    found: list[VersionChange] = []
    for manifest in manifests:
        diff = (
            newest if manifest is manifests[-1] else Diff(added=(), changed=(), removed=(), same=0)
        )
        moved = [(old, new) for old, new in diff.changed if old.label != new.label]
        found.append(
            VersionChange(
                version=manifest.version,
                built_at=manifest.built_at,
                rows=manifest.rows,
                train=manifest.train,
                evaluation=manifest.evaluation,
                digest=manifest.digest,
                added=manifest.added,
                changed=manifest.changed,
                removed=manifest.removed,
                classes=_classes(manifest, diff, moved),
                corrections=tuple(_correction(*pair, asked, looks) for pair in moved[:CORRECTIONS]),
                corrected=len(moved),
            )
        )
    return tuple(found)


def gather_days(workspace: Workspace, rounds: Sequence[Round]) -> tuple[Day, ...]:
    """Answers and their cost, running totals by day."""
    answers: Counter[date] = Counter()
    cost: dict[date, float] = {}
    for item in rounds:
        for answer in live_answers(workspace.records.answers(item.plan.round_id)):
            if answer.status == "answered":
                day = answer.answered_at.date()
                answers[day] += 1
                cost[day] = cost.get(day, 0.0) + item.plan.cost_per_label
    days: list[Day] = [Day(day=min(answers), answers=0, cost=0.0)] if answers else []
    for day in sorted(answers):
        last = days[-1]
        days.append(Day(day=day, answers=last.answers + answers[day], cost=last.cost + cost[day]))
    return tuple(days[1:])


def _newest_diff(workspace: Workspace, manifests: Sequence[Manifest]) -> Diff:
    if not manifests:
        return diff_rows([], [])
    before = [old.version for old, _ in pairwise(manifests)][-1:]
    old = workspace.repo.rows(before[0]) if before else []
    return diff_rows(old, workspace.repo.rows(manifests[-1].version))


def _classes(
    manifest: Manifest, diff: Diff, moved: Sequence[tuple[DatasetRow, DatasetRow]]
) -> tuple[ClassChange, ...]:
    added = Counter(row.label for row in diff.added)
    removed = Counter(row.label for row in diff.removed)
    went = Counter(old.label for old, _ in moved)
    came = Counter(new.label for _, new in moved)
    labels = {*manifest.classes, *went, *removed}
    rows = [
        ClassChange(
            label=label,
            rows=manifest.classes.get(label, 0),
            added=added[label],
            came=came[label],
            went=went[label],
            removed=removed[label],
        )
        for label in labels
    ]
    return tuple(sorted(rows, key=lambda one: (-one.rows, one.label)))


def _correction(
    old: DatasetRow, new: DatasetRow, asked: Mapping[str, Asked], looks: Looks
) -> Correction:
    item = asked.get(new.sample_id)
    votes = item.ballot.votes if item is not None else ()
    return Correction(
        sample_id=new.sample_id,
        before=old.label,
        after=new.label,
        said=tuple((vote.annotator, vote.label) for vote in votes),
        look=looks.of(new.sample_id),
    )
