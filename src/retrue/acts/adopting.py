"""Adopting labels that exist already, from a file: they become a round of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.acts.adopted_round import (
    Adoption,
    Said,
    adopted_rounds,
    finish_rounds,
    plan_round,
    write_round,
)
from retrue.acts.label_files import LabelLine, Unfit
from retrue.core.answers import live_answers
from retrue.kinds import BadLabel, kind_of
from retrue.reading.locating import Located, locate
from retrue.records import Json
from retrue.workspace import Workspace

__all__ = ["NOBODY", "AdoptReport", "adopt_labels"]

NOBODY = "adopted"  # stands for whoever answered, where the file does not say
KEPT = 1_000  # lines kept with a reason in the decision; more are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptReport:
    """What became of a file's lines."""

    round_id: str | None  # None: nothing new in it
    lines: int  # all, good and bad
    samples: int  # adopted by this call
    known: int  # answers adopted before, word for word
    unknown: tuple[Unfit, ...]  # keys in no recorded window, or without consent
    bad: tuple[Unfit, ...]  # lines without a label, or with one outside the schema
    disputed: int  # samples the file's people disagree about
    unreadable: tuple[str, ...]  # windows whose objects are gone, with the reason
    probability: float | None  # inclusion probability; None: not declared random


@dataclass(frozen=True, slots=True)
class _Told:
    """A line whose label is in the schema."""

    line: int
    sample_id: str
    annotator: str
    value: str  # canonical JSON


def adopt_labels(
    workspace: Workspace,
    lines: Sequence[LabelLine],
    *,
    source: str,
    now: datetime,
    unfit: Sequence[Unfit] = (),
    declared_random: str | None = None,
    dry_run: bool = False,
) -> AdoptReport:
    """Adopt a file's labels as a closed round; what was adopted before is left out.

    Args:
        workspace: Where the samples were recorded.
        lines: The file's answers, in order; a person's later word on a sample counts.
        source: Names the file, for the record.
        now: Written as the answers' time.
        unfit: Lines the reader could not take; kept with the others that do not fit.
        declared_random: The window of which the file is a random sample; None: it is not known how
            these samples came to be labelled, so they measure nothing.
        dry_run: Look and count, write nothing.

    Raises:
        WorkspaceError: No such window was recorded.
        LeaseHeld: Another process is planning rounds.
    """
    if not dry_run:
        finish_rounds(workspace, now)
    told, bad = _parse(workspace, lines)
    fresh = _fresh(workspace, told)
    found = locate(workspace, {one.sample_id for one in fresh}, only=declared_random)
    taken = [one for one in fresh if one.sample_id in found.candidates]
    unknown = [
        Unfit(
            line=one.line,
            reason=f"key {one.sample_id}: {found.refused.get(one.sample_id, 'in no window')}",
        )
        for one in fresh
        if one.sample_id not in found.candidates
    ]
    chance = _chance(found, declared_random)
    adoption = Adoption(
        source=source,
        said=[
            Said(sample_id=one.sample_id, annotator=one.annotator, value=one.value) for one in taken
        ],
        found=found,
        probability=chance,
    )
    plan = plan_round(workspace, adoption, now) if taken else None
    report = AdoptReport(
        round_id=plan.round_id if plan else None,
        lines=len(lines) + len(unfit),
        samples=len(found.candidates),
        known=len(told) - len(fresh),
        unknown=tuple(unknown),
        bad=tuple(sorted([*unfit, *bad], key=lambda one: one.line)),
        disputed=_split(taken),
        unreadable=found.unreadable,
        probability=chance,
    )
    if plan is not None and not dry_run:
        with workspace.lease("select", now=now):
            adoption = replace(adoption, facts=_facts(report))
            write_round(workspace, plan, adoption, now)
    return report


def _facts(report: AdoptReport) -> dict[str, Json]:
    return {
        "lines": report.lines,
        "samples": report.samples,
        "unknown": len(report.unknown),
        "bad": len(report.bad),
        "quarantined": [
            {"line": one.line, "reason": one.reason}
            for one in [*report.unknown, *report.bad][:KEPT]
        ],
    }


# --- reading ---------------------------------------------------------------------------------


def _parse(workspace: Workspace, lines: Sequence[LabelLine]) -> tuple[list[_Told], list[Unfit]]:
    """A person's last word on each sample, in canonical form; and what is outside the schema."""
    schema = workspace.labels.label_schema
    told: dict[tuple[str, str], _Told] = {}
    bad: list[Unfit] = []
    for line in lines:
        who = line.annotator or NOBODY
        try:
            value = kind_of(schema).parse(line.value, schema)
        except BadLabel as error:
            bad.append(Unfit(line=line.line, reason=str(error)))
            continue
        told.pop((line.key, who), None)
        told[line.key, who] = _Told(line.line, line.key, who, value)
    return list(told.values()), bad


def _fresh(workspace: Workspace, told: Sequence[_Told]) -> list[_Told]:
    """Answers that no adopted round holds yet."""
    held: dict[tuple[str, str], str | None] = {}
    for item in adopted_rounds(workspace):
        tasks = workspace.records.tasks(item.plan.round_id)
        samples = {task.task_key: task.sample_id for task in tasks}
        for answer in live_answers(workspace.records.answers(item.plan.round_id)):
            held[samples[answer.task_key], answer.annotator] = answer.value
    return [one for one in told if held.get((one.sample_id, one.annotator)) != one.value]


def _chance(found: Located, declared: str | None) -> float | None:
    if declared is None or not found.candidates:
        return None
    return min(len(found.candidates) / max(found.windows[0].eligible, 1), 1.0)


def _split(told: Sequence[_Told]) -> int:
    """Samples about which the file says several things."""
    values: dict[str, set[str]] = {}
    for one in told:
        values.setdefault(one.sample_id, set()).add(one.value)
    return sum(len(said) > 1 for said in values.values())
