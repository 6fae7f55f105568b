"""Another team's answers against those we have on record: what is new, changed, gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.acts.adopted_round import Said, adopted_rounds
from retrue.acts.foreign_question import Question
from retrue.adapters.label_studio_project import (
    ForeignAnswer,
    ForeignProject,
    ForeignTask,
    LabelStudioProjects,
)
from retrue.records import Answer, short_hash
from retrue.workspace import Workspace

__all__ = ["Compared", "GivenAnswer", "append_states", "compare", "read_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """One answer as we would record it, but for its sample."""

    task: ForeignTask
    said: Said
    problem: str  # why it is no label of our schema; "" = it is one, or was skipped

    @property
    def answer_id(self) -> str:
        """The tool's id."""
        return str(self.said.answer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The answers there, against those on record."""

    new: Sequence[GivenAnswer]
    changed: Sequence[tuple[str, Answer]]  # (the round that holds it, its further state)
    deleted: Sequence[tuple[str, Answer]]
    known: int  # on record as they are


def read_answers(tasks: Sequence[ForeignTask], question: Question) -> list[GivenAnswer]:
    """Every answer, read as one to our question."""
    return [_read(task, given, question) for task in tasks for given in task.answers]


def compare(
    workspace: Workspace,
    projects: LabelStudioProjects,
    project: ForeignProject,
    given: Sequence[GivenAnswer],
) -> Compared:
    """Exactly once: an answer is known by its id, a state of it by its revision.

    Args:
        workspace: With what was adopted from this project before.
        projects: Asked about answers that seem to be gone.
        project: Gives the ids their meaning.
        given: All its answers.
    """
    held = _held(workspace, project)
    new = [one for one in given if one.answer_id not in held]
    changed = [
        (home, _state(before, one.said))
        for one in given
        if one.answer_id in held
        for home, before in [held[one.answer_id]]
        if before.revision != one.said.revision
    ]
    live = {name for name, (_, answer) in held.items() if answer.status != "deleted"}
    gone = projects.deleted(live - {one.answer_id for one in given})
    return Compared(
        new=new,
        changed=changed,
        deleted=[(held[name][0], _deleted(held[name][1])) for name in sorted(gone)],
        known=len(given) - len(new) - len(changed),
    )


def append_states(workspace: Workspace, found: Compared, now: datetime) -> None:
    """Write further states of known answers to the rounds that hold them."""
    by_round: dict[str, list[Answer]] = {}
    for home, answer in [*found.changed, *found.deleted]:
        by_round.setdefault(home, []).append(answer)
    for round_id, answers in sorted(by_round.items()):
        seq = workspace.records.answers(round_id)[-1].seq
        numbered = [
            replace(answer, seq=seq + place, observed_at=now)
            for place, answer in enumerate(answers, start=1)
        ]
        workspace.records.append_answers(round_id, numbered)


def _read(task: ForeignTask, given: ForeignAnswer, question: Question) -> GivenAnswer:
    value, problem = (None, "") if given.skipped else question.read(given.result)
    said = Said(
        sample_id="",
        annotator=given.annotator,
        value=value,
        answer_id=given.answer_id,
        # Read under other class names, the same answer says something else.
        revision=f"{given.revision}/{short_hash(value or 'skipped', digits=6)}",
        status="skipped" if given.skipped else "answered",
        note=given.note,
        lead_seconds=given.lead_seconds,
        answered_at=given.answered_at,
    )
    return GivenAnswer(task=task, said=said, problem=problem)


def _held(workspace: Workspace, project: ForeignProject) -> dict[str, tuple[str, Answer]]:
    """Answer id -> (the round that holds it, its last state), of this project."""
    ours = {
        str(made.data["round"])
        for made in workspace.records.decisions("labels-adopted")
        if made.data.get("project") == project.address
    }
    return {
        answer.answer_id: (item.plan.round_id, answer)
        for item in adopted_rounds(workspace)
        if item.plan.round_id in ours
        for answer in workspace.records.answers(item.plan.round_id)
    }


def _state(before: Answer, said: Said) -> Answer:
    return replace(
        before,
        revision=said.revision,
        status=said.status,
        value=said.value,
        note=said.note,
        lead_seconds=said.lead_seconds,
        answered_at=said.answered_at or before.answered_at,
    )


def _deleted(before: Answer) -> Answer:
    return replace(before, status="deleted", value=None, revision=f"{before.revision}/deleted")
