"""Taking over a Label Studio project that another team runs, with its answers.

Every call looks at all answers there. New ones become a closed round of their own; what was changed
or deleted since goes to the round that holds the answer, as `collect` does. An answer whose sample
is in no window stays where it is and is tried again by the next call. Nothing is changed there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.acts.adopted_round import (
    Adoption,
    finish_rounds,
    plan_round,
    write_round,
)
from retrue.acts.foreign_answers import (
    Compared,
    GivenAnswer,
    append_states,
    compare,
    read_answers,
)
from retrue.acts.foreign_question import Question, choose_identity, read_question
from retrue.adapters.label_studio_project import ForeignProject, ForeignTask, LabelStudioProjects
from retrue.reading.locating import Located, find_by_name, locate
from retrue.records import Json
from retrue.workspace import Workspace

__all__ = ["ProjectReport", "UnfitAnswer", "Wishes", "adopt_project"]

KEPT = 1_000  # answers kept with a reason in the decision; more are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a project is to be read, where it does not tell."""

    key: str | None = None  # field of a task's data with the sample's key
    fields: tuple[str, ...] = ()  # without keys: fields whose hash is the sample's id
    from_name: str | None = None  # the control that asks our question
    classes: Mapping[str, str] | None = None  # theirs -> ours
    declared_random: str | None = None  # window of which the tasks are a random sample


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfitAnswer:
    """An answer that gives no label, and why."""

    answer: str  # the tool's id
    task: int
    annotator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectReport:
    """What became of a project's answers."""

    project: str  # its address
    title: str
    control: str
    round_id: str | None  # None: no new answer
    tasks: int  # in the project
    unanswered: int  # of these; a later call brings their answers
    answers: int  # read, skipped ones too
    new: int  # adopted by this call
    skipped: int  # of these
    samples: int  # they are about
    annotators: int  # who gave them
    changed: int  # known answers that say something else now
    deleted: int  # known answers that are gone
    known: int  # adopted before, and unchanged
    disputed: int  # samples about which the new answers say several things
    missing_classes: tuple[str, ...]  # ours, that nobody could pick there
    unknown_classes: tuple[str, ...]  # offered there, not in labels.yaml
    outside: tuple[UnfitAnswer, ...]  # new, kept as given, but no label of our schema
    unmatched: tuple[UnfitAnswer, ...]  # their sample is in no window, or without consent
    unreadable: tuple[str, ...]  # windows whose objects are gone, with the reason
    probability: float | None  # inclusion probability; None: not declared random


def adopt_project(
    workspace: Workspace,
    projects: LabelStudioProjects,
    wanted: str,
    *,
    now: datetime,
    wishes: Wishes = Wishes(),
    dry_run: bool = False,
) -> ProjectReport:
    """Adopt the answers of a project; what was adopted before is left out.

    Args:
        workspace: Where the samples were recorded.
        projects: The server.
        wanted: The project's id, URL or title.
        now: When it is adopted.
        wishes: How to read it.
        dry_run: Look and count, write nothing.

    Raises:
        ConfigError: There is no such project, or it does not fit our question and samples.
        WorkspaceError: No such window was recorded.
        ServiceUnavailable: Label Studio did not answer; run it again.
        LeaseHeld: Another process is adopting or planning rounds.
    """
    if dry_run:
        return _adopt(workspace, projects, wanted, now, wishes, dry_run=True)
    # Two at once would both find the same answers new.
    with workspace.lease("adopt", now=now):
        finish_rounds(workspace, now)
        return _adopt(workspace, projects, wanted, now, wishes, dry_run=False)


def _adopt(
    workspace: Workspace,
    projects: LabelStudioProjects,
    wanted: str,
    now: datetime,
    wishes: Wishes,
    *,
    dry_run: bool,
) -> ProjectReport:
    project = projects.find(wanted)
    question = read_question(
        project, workspace.labels, name=wishes.from_name, renamed=wishes.classes or {}
    )
    tasks = projects.tasks(project)
    found = compare(workspace, projects, project, read_answers(tasks, question))
    matched, located = _match(workspace, found.new, wishes)
    adoption = _adoption(project, question, matched, located, wishes)
    plan = plan_round(workspace, adoption, now) if adoption.said else None
    report = _report(
        project, question, tasks, found, matched, adoption, None if plan is None else plan.round_id
    )
    if not dry_run and (plan is not None or found.changed or found.deleted):
        with workspace.lease("select", now=now):
            append_states(workspace, found, now)
            if plan is not None:
                write_round(workspace, plan, replace(adoption, facts=_facts(report, adoption)), now)
    return report


# --- which samples --------------------------------------------------------------------------


def _match(
    workspace: Workspace, new: Sequence[GivenAnswer], wishes: Wishes
) -> tuple[list[tuple[GivenAnswer, str, str]], Located]:
    """(answer, its sample or "", why it has none) of every new answer."""
    tasks = {one.task.number: one.task for one in new}
    rows = [task.data for task in tasks.values()]
    identity = choose_identity(workspace.config, rows, key=wishes.key, fields=wishes.fields)
    names = dict(zip(tasks, identity.candidates(rows), strict=True))
    if identity.named_files:
        every = {name for candidates in names.values() for name in candidates}
        files = find_by_name(workspace, every, only=wishes.declared_random)
        names = {
            task: tuple(files.get(name, name) for name in candidates)
            for task, candidates in names.items()
        }
    located = locate(
        workspace,
        {name for candidates in names.values() for name in candidates},
        only=wishes.declared_random,
    )
    matched: list[tuple[GivenAnswer, str, str]] = []
    for one in new:
        candidates = names[one.task.number]
        sample = next((name for name in candidates if name in located.candidates), "")
        matched.append((one, sample, "" if sample else _why(candidates, located)))
    return matched, located


def _why(candidates: Sequence[str], located: Located) -> str:
    if not candidates:
        return "its data hold no key"
    refused = [located.refused[name] for name in candidates if name in located.refused]
    return f"sample {candidates[0]}: {refused[0] if refused else 'in no window'}"


def _adoption(
    project: ForeignProject,
    question: Question,
    matched: Sequence[tuple[GivenAnswer, str, str]],
    located: Located,
    wishes: Wishes,
) -> Adoption:
    # By the server's clock: a person's later word on a sample counts.
    said = sorted(
        (replace(one.said, sample_id=sample) for one, sample, _ in matched if sample),
        key=lambda one: (one.revision, int(one.answer_id or 0)),
    )
    samples = {one.sample_id for one in said}
    chance = None
    if wishes.declared_random is not None and samples:
        chance = min(len(samples) / max(located.windows[0].eligible, 1), 1.0)
    facts: dict[str, Json] = {
        "project": project.address,
        "control": question.control.name,
        "classes": dict(question.renamed),
    }
    return Adoption(
        source=f"Label Studio project {project.number} {project.title!r}",
        said=said,
        found=located,
        probability=chance,
        scope=project.address,
        facts=facts,
    )


def _report(
    project: ForeignProject,
    question: Question,
    tasks: Sequence[ForeignTask],
    found: Compared,
    matched: Sequence[tuple[GivenAnswer, str, str]],
    adoption: Adoption,
    round_id: str | None,
) -> ProjectReport:
    taken = adoption.said
    return ProjectReport(
        project=project.address,
        title=project.title,
        control=question.control.name,
        round_id=round_id,
        tasks=project.tasks,
        unanswered=max(project.tasks - len(tasks), 0),
        answers=sum(len(task.answers) for task in tasks),
        new=len(taken),
        skipped=sum(one.status == "skipped" for one in taken),
        samples=len({one.sample_id for one in taken}),
        annotators=len({one.annotator for one in taken}),
        changed=len(found.changed),
        deleted=len(found.deleted),
        known=found.known,
        disputed=_disputed(matched),
        missing_classes=question.missing,
        unknown_classes=question.unknown,
        outside=tuple(
            _unfit(one, one.problem) for one, sample, _ in matched if sample and one.problem
        ),
        unmatched=tuple(_unfit(one, why) for one, sample, why in matched if not sample),
        unreadable=adoption.found.unreadable,
        probability=adoption.probability,
    )


def _disputed(matched: Sequence[tuple[GivenAnswer, str, str]]) -> int:
    labels = {
        (sample, one.said.value)
        for one, sample, _ in matched
        if sample and one.said.value is not None and not one.problem
    }
    return sum(count > 1 for count in Counter(sample for sample, _ in labels).values())


def _unfit(one: GivenAnswer, reason: str) -> UnfitAnswer:
    return UnfitAnswer(
        answer=one.answer_id,
        task=one.task.number,
        annotator=one.said.annotator,
        reason=reason,
    )


def _facts(report: ProjectReport, adoption: Adoption) -> dict[str, Json]:
    unfit = [*report.unmatched, *report.outside]
    return {
        **adoption.facts,
        "lines": report.answers,
        "samples": report.samples,
        "unknown": len(report.unmatched),
        "bad": len(report.outside),
        "quarantined": [
            {"answer": one.answer, "task": one.task, "reason": one.reason} for one in unfit[:KEPT]
        ],
    }
