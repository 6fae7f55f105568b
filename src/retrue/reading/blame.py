"""Where a label came from and where it went, read off the records: no ledger, no service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from retrue.core.answers import live_answers
from retrue.core.build import Migrate, RoundFacts, build_versions
from retrue.core.digest import content_digest, dataset_digest
from retrue.core.version_plan import version_plans
from retrue.errors import RecordError
from retrue.ports import DatasetRepo, RoundRecord
from retrue.records import Answer, DatasetRow, Manifest, Round, RoundPlan, Task, Verdict

__all__ = [
    "Blame",
    "Lineage",
    "Pick",
    "RoundShare",
    "VersionCheck",
    "VersionLabel",
    "blame",
    "lineage",
    "verify_versions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One time a sample was picked."""

    round_id: str
    kind: str
    why: str  # the round was opened
    planned_at: datetime
    arm: str
    score: float | None
    probability: float | None  # of inclusion; None: not estimable
    trigger: str  # why this sample
    predicted: str | None  # by the model, before anybody answered


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLabel:
    """What one dataset version says of the sample."""

    version: int
    label: str  # canonical JSON
    confidence: float
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """Everything on record about one sample."""

    sample_id: str
    picks: tuple[Pick, ...]  # oldest first
    answers: tuple[tuple[str, Answer], ...]  # (round, observed state), in order of observation
    verdicts: tuple[tuple[str, Verdict], ...]  # ("<round>/<file>", verdict), oldest first
    versions: tuple[VersionLabel, ...]
    models: tuple[str, ...]  # model versions that were trained on it


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundShare:
    """What one round gave to a model."""

    round_id: str
    kind: str
    why: str
    trained_on: int  # samples in its training set
    tested_on: int  # samples in its evaluation set
    answers: int
    annotators: tuple[str, ...]
    cost: float  # of the answers
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a model was made of."""

    model: str
    manifest: Manifest  # of the dataset version it was trained on
    outcome: str  # of its gate
    why: str
    promoted_at: datetime | None  # None: never
    rounds: tuple[RoundShare, ...]  # disputes about them too, in order of planning


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCheck:
    """Whether one version still is what its manifest says."""

    version: int
    rows: int
    digest: str  # as the manifest says
    stored: bool  # the stored rows have this digest
    rebuilt: bool | None  # the rows built anew from the records have it; None: not tried

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return self.stored and self.rebuilt is not False


def blame(repo: DatasetRepo, records: RoundRecord, sample_id: str) -> Blame:
    """Why a sample was picked, who said what when, what was ruled, and who learned from it.

    Raises:
        RecordError: No round on record asked about it.
    """
    picks: list[Pick] = []
    answers: list[tuple[str, Answer]] = []
    verdicts: list[tuple[str, Verdict]] = []
    for item in records.rounds():
        round_id = item.plan.round_id
        tasks = [task for task in records.tasks(round_id) if task.sample_id == sample_id]
        picks += [_pick(item.plan, task) for task in tasks]
        keys = {task.task_key for task in tasks}
        answers += [(round_id, one) for one in records.answers(round_id) if one.task_key in keys]
        verdicts += [
            (f"{round_id}/{name}", verdict)
            for name, found in records.verdict_files(round_id)
            for verdict in found
            if verdict.sample_id == sample_id
        ]
    if not picks:
        raise RecordError(
            f"sample {sample_id}: no round on record asked about it. "
            "On a fresh clone, bring the records first: `dvc pull`."
        )
    versions = _versions(repo, sample_id)
    trained = {one.version for one in versions if one.split == "train"}
    gates = records.decisions("gate")
    models = [str(g.data["challenger"]) for g in gates if g.data["dataset_version"] in trained]
    return Blame(
        sample_id=sample_id,
        picks=tuple(picks),
        answers=tuple(sorted(answers, key=lambda one: (one[1].observed_at, one[1].seq))),
        verdicts=tuple(sorted(verdicts, key=lambda one: (one[1].decided_at, one[0]))),
        versions=tuple(versions),
        models=tuple(dict.fromkeys(models)),
    )


def lineage(repo: DatasetRepo, records: RoundRecord, model: str) -> Lineage:
    """The rounds, people and money behind one model version.

    Args:
        repo: Its dataset versions.
        records: Rounds and decisions.
        model: The model's version, "3" or "v3".

    Raises:
        RecordError: No gate on record is about this model.
    """
    version = model.removeprefix("v")
    gates = records.decisions("gate")
    mine = [gate for gate in gates if gate.data["challenger"] == version]
    if not mine:
        known = ", ".join(str(gate.data["challenger"]) for gate in gates) or "none"
        raise RecordError(f"model {version}: expected one that was put to the gate: {known}")
    gate = mine[-1]
    number = gate.data["dataset_version"]
    manifest = next((one for one in repo.versions() if one.version == number), None)
    if manifest is None:
        raise RecordError(
            f"model {version}: it was trained on dataset v{number}, which has no tag here. "
            "Fetch the tags: `git fetch --tags`."
        )
    moves = [m for m in records.decisions("promotion") if m.data["version"] == version]
    rows = repo.rows(manifest.version)
    asked = {row.round_id for row in rows}
    # A dispute gave no sample of its own, but answers and their cost.
    behind = [i for i in records.rounds() if {i.plan.round_id, i.plan.parent} & asked]
    return Lineage(
        model=version,
        manifest=manifest,
        outcome=str(gate.data["outcome"]),
        why=str(gate.data["why"]),
        promoted_at=moves[0].at if moves else None,
        rounds=tuple(_share(records, item, rows) for item in behind),
    )


def verify_versions(
    repo: DatasetRepo, records: RoundRecord | None, *, migrate: Migrate
) -> Iterator[VersionCheck]:
    """Compute every version's digest again, from its rows and from the records.

    Args:
        repo: The versions.
        records: What they were built from; None: only look at the stored rows.
        migrate: As for `core.build.build_versions`.

    Yields:
        One check per version, oldest first.
    """
    rebuilt = _rebuilt(records, migrate) if records is not None else {}
    for manifest in repo.versions():
        rows = repo.rows(manifest.version)
        stored = dataset_digest(rows) == manifest.digest
        yield VersionCheck(
            version=manifest.version,
            rows=len(rows),
            digest=manifest.digest,
            stored=stored and content_digest(rows) == manifest.content_digest,
            rebuilt=None if records is None else rebuilt.get(manifest.version) == manifest.digest,
        )


def _rebuilt(records: RoundRecord, migrate: Migrate) -> dict[int, str]:
    facts = [
        RoundFacts(
            plan=item.plan,
            samples=records.samples(item.plan.round_id),
            tasks=records.tasks(item.plan.round_id),
            verdicts=dict(records.verdict_files(item.plan.round_id)),
        )
        for item in records.rounds()
    ]
    plans = version_plans(records.decisions("version"))
    built = build_versions(facts, plans, migrate=migrate)
    return {plan.version: dataset_digest(rows) for plan, rows in built}


def _pick(plan: RoundPlan, task: Task) -> Pick:
    return Pick(
        round_id=plan.round_id,
        kind=plan.kind,
        why=plan.why,
        planned_at=plan.planned_at,
        arm=task.arm,
        score=task.score,
        probability=task.inclusion_probability,
        trigger=task.trigger,
        predicted=task.predicted,
    )


def _versions(repo: DatasetRepo, sample_id: str) -> list[VersionLabel]:
    return [
        VersionLabel(
            version=manifest.version,
            label=row.label,
            confidence=row.confidence,
            split=row.split,
        )
        for manifest in repo.versions()
        for row in repo.rows(manifest.version)
        if row.sample_id == sample_id
    ]


def _share(records: RoundRecord, item: Round, rows: Sequence[DatasetRow]) -> RoundShare:
    plan = item.plan
    mine = Counter(row.split for row in rows if row.round_id == plan.round_id)
    live = [one for one in live_answers(records.answers(plan.round_id)) if one.status == "answered"]
    return RoundShare(
        round_id=plan.round_id,
        kind=plan.kind,
        why=plan.why,
        trained_on=mine["train"],
        tested_on=mine["eval"],
        answers=len(live),
        annotators=tuple(sorted({one.annotator for one in live})),
        cost=len(live) * plan.cost_per_label,
        currency=plan.currency,
    )
