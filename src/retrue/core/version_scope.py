"""What a dataset version joins: the rounds and verdict files its decision names, ready to look up.

A scope grows from one version to the next and says which samples that concerns, so a long history
costs what its versions changed and not their number times all rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retrue.core.version_plan import VersionPlan
from retrue.errors import RecordError
from retrue.records import RoundPlan, Sample, Task, Verdict

__all__ = ["Question", "RoundFacts", "Ruling", "Scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFacts:
    """What the records say about one round."""

    plan: RoundPlan
    samples: Sequence[Sample]
    tasks: Sequence[Task]
    verdicts: Mapping[str, Sequence[Verdict]]  # file name -> its verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One verdict, where it stands, and the sample it is about."""

    verdict: Verdict
    file: str  # "<round>/<file>"
    plan: RoundPlan
    sample: Sample

    @property
    def order(self) -> tuple[datetime, datetime, str, int, str]:
        """The later one counts; the longer of two file names has the higher number."""
        planned = self.plan.planned_at, self.plan.round_id
        return self.verdict.decided_at, *planned, len(self.file), self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One round's tasks about one revision of a sample; never without a task."""

    plan: RoundPlan
    sample: Sample
    tasks: tuple[Task, ...]

    @property
    def audit(self) -> Task | None:
        """The task an audit draw made, if one did."""
        return next((task for task in self.tasks if task.arm == "audit"), None)


class Scope:
    """The records that one version joins."""

    def __init__(self, rounds: Mapping[str, RoundFacts]) -> None:
        """Start with none of them.

        Args:
            rounds: Round id -> what may be joined.
        """
        self._rounds = rounds
        self._plan: VersionPlan | None = None
        self._samples: dict[str, dict[str, Sample]] = {}  # by round, by sample
        self._in_window: defaultdict[str, set[str]] = defaultdict(set)
        self._questions: defaultdict[tuple[str, str], list[Question]] = defaultdict(list)
        self._rulings: defaultdict[str, list[Ruling]] = defaultdict(list)
        self.draws: list[RoundPlan] = []  # rounds with an audit draw from a known frame

    def grows_to(self, plan: VersionPlan) -> bool:
        """Whether `join` can go on to this plan: it drops no file and keeps the label schema."""
        return (
            self._plan is not None
            and self._plan.schema_version == plan.schema_version
            and set(self._plan.verdict_files) <= set(plan.verdict_files)
        )

    def join(self, plan: VersionPlan) -> set[str]:
        """Add what the plan names and was not joined yet.

        Returns:
            Ids of all samples whose row may be another than before.

        Raises:
            RecordError: A verdict file is not there, or a verdict is about a sample that its round
                did not draw.
        """
        known = set(self._plan.verdict_files) if self._plan else set[str]()
        new = [name for name in plan.verdict_files if name not in known]
        self._plan = plan
        touched: set[str] = set()
        for round_id, _, file in (name.partition("/") for name in new):
            facts = self._rounds.get(round_id)
            if facts is None or file not in facts.verdicts:
                raise RecordError(
                    f"dataset version {plan.version} joins {round_id}/{file}, which the records "
                    "do not hold. Get it with `dvc pull`."
                )
            if round_id not in self._samples:
                touched |= self._join_round(facts)
            touched |= self._join_file(facts, file)
        return touched

    def rulings(self, sample_id: str) -> Sequence[Ruling]:
        """All verdicts about a sample, in no order."""
        return self._rulings.get(sample_id, ())

    def questions(self, ruling: Ruling) -> Sequence[Question]:
        """What was asked about the revision a verdict is about, in order of planning; not empty.

        Raises:
            RecordError: Nobody was asked about it.
        """
        found = self._questions.get((ruling.sample.sample_id, ruling.sample.revision))
        if not found:
            raise RecordError(
                f"{ruling.file}: a verdict is about sample {ruling.sample.sample_id}, "
                "for which no round has a task. Restore the records with `dvc checkout`."
            )
        return found

    def _join_round(self, facts: RoundFacts) -> set[str]:
        plan = facts.plan
        samples = {sample.sample_id: sample for sample in facts.samples}
        self._samples[plan.round_id] = samples
        tasks: defaultdict[str, list[Task]] = defaultdict(list)
        for task in facts.tasks:
            tasks[task.sample_id].append(task)
        for sample_id, asked in tasks.items():
            if sample_id not in samples:
                raise RecordError(
                    f"round {plan.round_id}: task {asked[0].task_key} is about sample {sample_id}, "
                    "which the round did not draw. Restore the records with `dvc checkout`."
                )
            sample = samples[sample_id]
            questions = self._questions[sample_id, sample.revision]
            questions.append(Question(plan=plan, sample=sample, tasks=tuple(asked)))
            questions.sort(key=lambda question: (question.plan.planned_at, question.plan.round_id))
            self._in_window[sample.window_id].add(sample_id)
        if plan.arms.get("audit", 0) < 1 or plan.frame_rows < 1:
            return set(samples)
        self.draws.append(plan)
        self.draws.sort(key=lambda draw: (draw.planned_at, draw.round_id))
        # Another draw from a window raises the chance of every sample in it.
        return set(samples).union(*(self._in_window[w.window_id] for w in plan.population))

    def _join_file(self, facts: RoundFacts, file: str) -> set[str]:
        samples = self._samples[facts.plan.round_id]
        name = f"{facts.plan.round_id}/{file}"
        for verdict in facts.verdicts[file]:
            if verdict.sample_id not in samples:
                raise RecordError(
                    f"{name}: a verdict is about sample {verdict.sample_id}, "
                    "which the round did not draw. Restore the records with `dvc checkout`."
                )
            sample = samples[verdict.sample_id]
            ruling = Ruling(verdict=verdict, file=name, plan=facts.plan, sample=sample)
            self._rulings[verdict.sample_id].append(ruling)
        return {verdict.sample_id for verdict in facts.verdicts[file]}
