"""Joins the records of rounds into the rows of dataset versions. Nothing is estimated here.

What version N joins is fixed by its decision, which names every verdict file. Rounds, tasks and
plans never change, and nothing that is not named plays a part, so version N stays what it is
however many records follow. Splits are recorded version by version (see `core.dataset_split`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from retrue.core.accuracy import union_probability
from retrue.core.dataset_split import FirstLabel, Splits, group_of
from retrue.core.draw import inclusion_probability
from retrue.core.version_plan import VersionPlan
from retrue.core.version_scope import Question, RoundFacts, Ruling, Scope
from retrue.records import Arm, DatasetRow, RoundPlan, Split

__all__ = ["Diff", "Migrate", "RoundFacts", "build_rows", "build_versions", "diff_rows"]

Migrate = Callable[[str, int, int], str | None]
"""(label, its schema version, the version's schema version) -> label; None: it has no meaning."""

_DECLARED: frozenset[Arm] = frozenset({"random", "adopted"})  # may carry a probability of their own
_DECIMALS = 12  # of a probability: a draw of 1 in 10^9 keeps three digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What one version has that another has not; every list is ordered by sample id."""

    added: tuple[DatasetRow, ...]
    changed: tuple[tuple[DatasetRow, DatasetRow], ...]  # (old, new)
    removed: tuple[DatasetRow, ...]
    same: int  # rows that are equal in every column


def build_versions(
    rounds: Sequence[RoundFacts],
    plans: Sequence[VersionPlan],
    *,
    migrate: Migrate,
    forgotten: AbstractSet[str] = frozenset(),
    recorded: Mapping[str, Split] | None = None,
) -> Iterator[tuple[VersionPlan, list[DatasetRow]]]:
    """The rows of each version in turn.

    A sample has a row when its current verdict is accepted. Current is the last one by (decided
    at, planning of its round, file); a round that in the end got no answer ("missing") does not
    speak against what another round found. Round, window, arm and multiplicity come from the first
    round that asked about this revision of the sample; schema and guideline version from the round
    whose question was answered. The arm is audit as soon as any audit draw took the sample.

    Args:
        rounds: At least every round that the plans name; others change nothing.
        plans: Versions 1..N (or the first that exists, and all after it).
        migrate: Gives a label under a version's schema, and None for a label that has no meaning
            there: the sample then has no row until it is asked again.
        forgotten: Ids of samples that have no row in any version. Where they still stand in the
            records they go on deciding the splits of others.
        recorded: Splits of samples whose group or copy is gone from the records (`Splits`).

    Yields:
        (plan, rows by sample id).

    Raises:
        RecordError: A plan names a verdict file that is not there, or a verdict is about a sample
            its round did not ask about.
    """
    by_id = {facts.plan.round_id: facts for facts in rounds}
    splits = Splits(recorded or {})
    scope = Scope(by_id)
    rows: dict[str, DatasetRow] = {}
    for plan in sorted(plans, key=lambda plan: plan.version):
        if not scope.grows_to(plan):
            scope, rows = Scope(by_id), {}
        touched = scope.join(plan)
        first = [label for name in touched for label in _first_labels(scope, scope.rulings(name))]
        splits.add(first, eval_share=plan.eval_share, cutoff=plan.temporal_cutoff)
        for name in touched - forgotten:
            row = _row(scope, splits, migrate, plan.schema_version, scope.rulings(name))
            if row is None:
                rows.pop(name, None)
            else:
                rows[name] = row
        yield plan, [rows[name] for name in sorted(rows)]


def build_rows(
    rounds: Sequence[RoundFacts],
    plans: Sequence[VersionPlan],
    *,
    version: int,
    migrate: Migrate,
    forgotten: AbstractSet[str] = frozenset(),
) -> list[DatasetRow]:
    """The rows of one version, by sample id; as `build_versions`.

    Raises:
        RecordError: As for `build_versions`.
        ValueError: No plan is of this version.
    """
    until = [plan for plan in plans if plan.version <= version]
    for plan, rows in build_versions(rounds, until, migrate=migrate, forgotten=forgotten):
        if plan.version == version:
            return rows
    raise ValueError(f"version: expected one of the plans', got {version}")


def diff_rows(old: Iterable[DatasetRow], new: Iterable[DatasetRow]) -> Diff:
    """What changed between two versions.

    >>> diff_rows([], [])
    Diff(added=(), changed=(), removed=(), same=0)
    """
    before = {row.sample_id: row for row in old}
    after = {row.sample_id: row for row in new}
    both = sorted(before.keys() & after.keys())

    def differs(name: str) -> bool:
        # Rows carried over from the version before are the same object: no need to compare them.
        return before[name] is not after[name] and before[name] != after[name]

    changed = [(before[name], after[name]) for name in both if differs(name)]
    return Diff(
        added=tuple(after[name] for name in sorted(after.keys() - before.keys())),
        changed=tuple(changed),
        removed=tuple(before[name] for name in sorted(before.keys() - after.keys())),
        same=len(both) - len(changed),
    )


def _current(rulings: Iterable[Ruling]) -> Ruling | None:
    last: dict[str, Ruling] = {}
    for ruling in rulings:
        known = last.get(ruling.plan.round_id)
        if known is None or ruling.order >= known.order:
            last[ruling.plan.round_id] = ruling
    found = [ruling for ruling in last.values() if ruling.verdict.status != "missing"]
    return max(found, key=lambda ruling: ruling.order, default=None)


def _first_labels(scope: Scope, rulings: Iterable[Ruling]) -> list[FirstLabel]:
    """The first accepted label of each revision of one sample."""
    first: dict[str, Ruling] = {}
    for ruling in rulings:
        known = first.get(ruling.sample.revision)
        accepted = ruling.verdict.status == "accepted"
        if accepted and (known is None or ruling.order < known.order):
            first[ruling.sample.revision] = ruling
    return [
        FirstLabel(
            sample=ruling.sample,
            at=ruling.verdict.decided_at,
            audit=_drawn_by_audit(scope, ruling),
            place=(ruling.plan.planned_at, ruling.plan.round_id),
        )
        for ruling in first.values()
    ]


def _drawn_by_audit(scope: Scope, ruling: Ruling) -> bool:
    # An adjudicated audit sample is labelled in a dispute round, but its draw was the audit's.
    return any(
        question.audit is not None and question.plan.planned_at <= ruling.plan.planned_at
        for question in scope.questions(ruling)
    )


def _row(
    scope: Scope, splits: Splits, migrate: Migrate, schema: int, rulings: Iterable[Ruling]
) -> DatasetRow | None:
    ruling = _current(rulings)
    if ruling is None:
        return None
    verdict = ruling.verdict
    if verdict.status != "accepted" or verdict.label is None:
        return None
    label = migrate(verdict.label, verdict.schema_version, schema)
    if label is None:
        return None
    questions = scope.questions(ruling)
    first = questions[0]
    audit = any(question.audit for question in questions)
    return DatasetRow(
        sample_id=first.sample.sample_id,
        label=label,
        confidence=round(verdict.confidence, 4),
        n_answers=verdict.n_answers,
        verdict=ruling.file,
        arm="audit" if audit else first.tasks[0].arm,
        inclusion_probability=_probability(scope.draws, questions, audit=audit),
        multiplicity=first.sample.multiplicity,
        round_id=first.plan.round_id,
        window_id=first.sample.window_id,
        group=group_of(first.sample),
        split=splits.of(ruling.sample),
        schema_version=ruling.plan.schema_version,
        guideline_version=ruling.plan.guideline_version,
        labelled_at=verdict.decided_at,
    )


def _probability(
    draws: Iterable[RoundPlan], questions: Sequence[Question], *, audit: bool
) -> float | None:
    """Chance that any of the audit draws takes the sample; None: not known."""
    if not audit:
        task = questions[0].tasks[0]
        own = task.inclusion_probability if task.arm in _DECLARED else None
        return None if own is None else round(own, _DECIMALS)
    taken = {question.plan.round_id: question.audit for question in questions if question.audit}
    windows = {question.sample.window_id for question in questions}
    chances: list[float] = []
    for plan in draws:
        framed = any(window.window_id in windows for window in plan.population)
        task = taken.get(plan.round_id)
        if task is not None and task.inclusion_probability is not None:
            chances.append(task.inclusion_probability)  # a draw with unequal chances says its own
        elif task is not None or framed:
            chances.append(inclusion_probability(plan.arms["audit"], plan.frame_rows))
    return round(union_probability(chances), _DECIMALS) if chances else None
