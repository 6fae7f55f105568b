"""Voiding answers: a person's word that some answers must not count. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retrue.core.answers import live_answers
from retrue.core.version_plan import version_plans
from retrue.ports import RoundRecord
from retrue.records import Answer, Json
from retrue.workspace import Workspace

__all__ = ["Void", "VoidReport", "counts", "read_voids", "void_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    """Answers of one person in a span of time that do not count."""

    annotator: str
    since: datetime | None  # by the tool's clock, included; None: from the first
    until: datetime  # excluded
    reason: str

    def covers(self, answer: Answer) -> bool:
        """Whether this answer is one of them."""
        return (
            answer.annotator == self.annotator
            and (self.since is None or answer.answered_at >= self.since)
            and answer.answered_at < self.until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidReport:
    """What a void touches."""

    void: Void
    answers: int  # live ones that stop counting
    samples: tuple[str, ...]
    versions: tuple[int, ...]  # dataset versions with a label these answers had a part in


def read_voids(records: RoundRecord, *, after: datetime | None = None) -> tuple[Void, ...]:
    """The voids decided after a time (None: all), oldest first."""
    return tuple(
        Void(
            annotator=str(made.data["annotator"]),
            since=_time(made.data["since"]),
            until=cast("datetime", _time(made.data["until"])),
            reason=str(made.data["reason"]),
        )
        for made in records.decisions("answers-voided")
        if after is None or made.at > after
    )


def counts(answer: Answer, voids: Iterable[Void]) -> bool:
    """Whether an answer still counts."""
    return not any(void.covers(answer) for void in voids)


def void_answers(
    workspace: Workspace, void: Void, *, now: datetime, dry_run: bool = False
) -> VoidReport:
    """Let a person's answers stop counting; the next `validate` judges their samples anew.

    Args:
        workspace: Where.
        void: Whose answers, from when to when, and why.
        now: When it is decided.
        dry_run: Say what it would touch, change nothing.
    """
    before = read_voids(workspace.records)
    touched = _touched(workspace, void, before)
    if touched and not dry_run:
        data: dict[str, Json] = {
            "annotator": void.annotator,
            "since": void.since.isoformat() if void.since else None,
            "until": void.until.isoformat(),
            "reason": void.reason,
        }
        cause = f"{void.annotator}/{data['since']}/{data['until']}"
        workspace.decide("answers-voided", cause, now=now, data=data)
    samples = sorted(set(touched))
    return VoidReport(
        void=void,
        answers=len(touched),
        samples=tuple(samples),
        versions=_versions(workspace, set(samples)),
    )


def _touched(workspace: Workspace, void: Void, before: Sequence[Void]) -> list[str]:
    """The sample of every answer that would newly stop counting."""
    found: list[str] = []
    for item in workspace.records.rounds():
        samples = {t.task_key: t.sample_id for t in workspace.records.tasks(item.plan.round_id)}
        found += [
            samples[answer.task_key]
            for answer in live_answers(workspace.records.answers(item.plan.round_id))
            if answer.task_key in samples and void.covers(answer) and counts(answer, before)
        ]
    return found


def _versions(workspace: Workspace, samples: set[str]) -> tuple[int, ...]:
    """Versions that join an accepted verdict about any of the samples."""
    files = {
        f"{item.plan.round_id}/{name}"
        for item in workspace.records.rounds()
        for name, verdicts in workspace.records.verdict_files(item.plan.round_id)
        if any(one.sample_id in samples and one.status == "accepted" for one in verdicts)
    }
    plans = version_plans(workspace.records.decisions("version"))
    return tuple(plan.version for plan in plans if files & set(plan.verdict_files))


def _time(value: Json) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))
