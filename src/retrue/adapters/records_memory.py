"""The round record in memory: for tests, simulations and dry runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from retrue.core.answers import Tally, tally
from retrue.core.round_state import round_with_state
from retrue.errors import RecordError
from retrue.records import Answer, Decision, Round, RoundPlan, Sample, Task, Verdict

__all__ = ["MemoryRoundRecord"]

RowT = TypeVar("RowT", Answer, Verdict)


class MemoryRoundRecord:
    """Satisfies `retrue.ports.RoundRecord`; forgets everything with the process."""

    def __init__(self) -> None:
        self._plans: dict[str, RoundPlan] = {}
        self._samples: dict[str, list[Sample]] = {}
        self._tasks: dict[str, list[Task]] = {}
        self._answers: defaultdict[str, list[list[Answer]]] = defaultdict(list)
        self._verdicts: defaultdict[str, list[list[Verdict]]] = defaultdict(list)
        self._media: dict[str, dict[str, bytes]] = {}
        self._decisions: dict[tuple[str, str], Decision] = {}

    def plan_round(self, plan: RoundPlan, samples: Sequence[Sample], tasks: Sequence[Task]) -> None:
        """Keep a round's plan, samples and tasks; a round that is already there stays as it is."""
        if plan.round_id not in self._plans:
            self._samples[plan.round_id] = list(samples)
            self._tasks[plan.round_id] = list(tasks)
            self._plans[plan.round_id] = plan

    def rounds(self) -> list[Round]:
        """All rounds with their states, by (planned_at, id)."""
        plans = sorted(self._plans.values(), key=lambda plan: (plan.planned_at, plan.round_id))
        return [self.round(plan.round_id) for plan in plans]

    def round(self, round_id: str) -> Round:
        """One round; raises RecordError if there is none of this id."""
        if round_id not in self._plans:
            raise RecordError(
                f"round {round_id}: there is none of this id; there are: "
                f"{', '.join(sorted(self._plans)) or 'no rounds yet'}"
            )
        return round_with_state(
            self._plans[round_id], self._decisions.values(), answered=bool(self._answers[round_id])
        )

    def samples(self, round_id: str) -> list[Sample]:
        """The samples of a round, in order of drawing."""
        self.round(round_id)
        return list(self._samples[round_id])

    def tasks(
        self, round_id: str, *, about: AbstractSet[str] | None = None, overlap: int = 0
    ) -> list[Task]:
        """The tasks of a round, in order of the plan."""
        self.round(round_id)
        return [
            task
            for task in self._tasks[round_id]
            if (about is None or task.sample_id in about) and task.overlap >= overlap
        ]

    def rounds_asking(self, sample_ids: Iterable[str]) -> dict[str, set[str]]:
        """Round id -> which of these samples it asks about."""
        wanted = set(sample_ids)
        asked = {
            name: wanted & {task.sample_id for task in tasks} for name, tasks in self._tasks.items()
        }
        return {name: ids for name, ids in asked.items() if ids}

    def append_answers(self, round_id: str, answers: Sequence[Answer]) -> str:
        """Keep the next group of answers; returns its name."""
        return _append(self._answers[round_id], "answers", answers)

    def answers(self, round_id: str, *, to: AbstractSet[str] | None = None) -> list[Answer]:
        """Every observed answer, by seq."""
        observed = [
            answer
            for group in self._answers[round_id]
            for answer in group
            if to is None or answer.task_key in to
        ]
        return sorted(observed, key=lambda answer: answer.seq)

    def tallies(self, round_ids: Iterable[str]) -> dict[str, Tally]:
        """Counts of the rounds' answers."""
        return {name: tally(self.answers(name)) for name in round_ids}

    def append_verdicts(self, round_id: str, verdicts: Sequence[Verdict]) -> str:
        """Keep the next group of verdicts; returns its name."""
        return _append(self._verdicts[round_id], "verdicts", verdicts)

    def verdict_files(self, round_id: str) -> list[tuple[str, list[Verdict]]]:
        """(name, its verdicts), oldest first."""
        groups = enumerate(self._verdicts[round_id], start=1)
        return [(_name("verdicts", number), list(group)) for number, group in groups]

    def verdict_names(self, round_id: str) -> list[str]:
        """The names alone, oldest first."""
        return [_name("verdicts", place + 1) for place in range(len(self._verdicts[round_id]))]

    def put_media(self, round_id: str, media: Mapping[str, bytes]) -> None:
        """Keep a round's media; raises RecordError when a planned round has others already."""
        kept = self._media.get(round_id)
        if kept is None or round_id not in self._plans:
            self._media[round_id] = dict(media)
        elif not media.items() <= kept.items():
            raise RecordError(f"round {round_id}: its media are recorded already, and differ")

    def media(self, round_id: str) -> dict[str, bytes]:
        """What `put_media` kept, by sha256."""
        return dict(self._media.get(round_id, {}))

    def decide(self, decision: Decision) -> bool:
        """Keep a decision; False if this decision was already made (it stays as it was)."""
        key = (decision.kind, decision.decision_id)
        if key in self._decisions:
            return False
        self._decisions[key] = decision
        return True

    def decision(self, kind: str, decision_id: str) -> Decision | None:
        """One decision; None if it was not made."""
        return self._decisions.get((kind, decision_id))

    def decisions(self, kind: str | None = None) -> list[Decision]:
        """Decisions of one kind, or all, ordered by (at, id)."""
        made = [d for d in self._decisions.values() if kind is None or d.kind == kind]
        return sorted(made, key=lambda decision: (decision.at, decision.decision_id))


def _append(groups: list[list[RowT]], stem: str, rows: Sequence[RowT]) -> str:
    if not rows:
        raise ValueError(f"{stem}: expected at least one, got none")
    groups.append(list(rows))
    return _name(stem, len(groups))


def _name(stem: str, number: int) -> str:
    return f"{stem}-{number:04d}.parquet"
