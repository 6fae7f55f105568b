"""The queue that needs no service: what it means, whatever its event log is kept in.

Like a real annotation tool it refuses nothing: a retried add makes copies, an answer may be
anything, deletions are told to nobody. Exactly-once is the steps' work, and is tested on this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retrue.errors import QueueError
from retrue.ports import ObservedAnswers, TaskInQueue
from retrue.records import AnnotatorGroup, Answer, QueueTask

__all__ = ["Added", "EmbeddedQueue", "Event", "NotThere", "QueueState", "Removed", "Saved"]


class NotThere(QueueError):
    """The task or answer was withdrawn meanwhile; go to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A task was put into the queue."""

    tool_id: int  # rising from 1
    task: QueueTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A copy was taken out again."""

    tool_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One state of one answer: given, changed or deleted."""

    tool_id: int  # the copy that was answered
    answer: Answer  # `seq` 0 and `observed_at` = `answered_at`: the collect step sets both


Event = Added | Removed | Saved


class QueueState:
    """What the events so far amount to."""

    def __init__(self) -> None:
        self.tasks: dict[int, QueueTask] = {}  # copies there now, by tool id, rising
        self.current: dict[str, Saved] = {}  # last state of each answer not deleted
        self.states: list[Answer] = []  # every state, in order
        self.ends: list[int] = []  # log position after each state, rising
        self.last_tool_id = 0
        self.last_answer_id = 0
        self._copies: defaultdict[str, list[int]] = defaultdict(list)
        self._ids: defaultdict[str, set[str]] = defaultdict(set)  # task key -> live answer ids

    def apply(self, event: Event, end: int) -> None:
        """Take in one event; `end` is the log position after it."""
        if isinstance(event, Added):
            self.tasks[event.tool_id] = event.task
            self._copies[event.task.task_key].append(event.tool_id)
            self.last_tool_id = max(self.last_tool_id, event.tool_id)
        elif isinstance(event, Removed):
            task = self.tasks.pop(event.tool_id, None)
            if task is not None:
                self._copies[task.task_key].remove(event.tool_id)
        else:
            self._save(event, end)

    def _save(self, saved: Saved, end: int) -> None:
        answer = saved.answer
        self.states.append(answer)
        self.ends.append(end)
        self.last_answer_id = max(self.last_answer_id, int(answer.answer_id))
        if answer.status == "deleted":
            self.current.pop(answer.answer_id, None)
            self._ids[answer.task_key].discard(answer.answer_id)
        else:
            self.current[answer.answer_id] = saved
            self._ids[answer.task_key].add(answer.answer_id)

    def copies(self, task_key: str) -> list[int]:
        """Tool ids of the copies there now, lowest first."""
        return self._copies.get(task_key, [])

    def answers(self, task_key: str) -> list[Saved]:
        """The answers this key holds now, on whichever copy."""
        return [self.current[answer_id] for answer_id in self._ids.get(task_key, ())]


class EmbeddedQueue(ABC):
    """Satisfies `retrue.ports.AnnotationQueue`, and is where people answer."""

    @abstractmethod
    def _now(self) -> QueueState:
        """The state as of now."""

    @abstractmethod
    def _append(self, decide: Callable[[QueueState], Sequence[Event]]) -> None:
        """Keep the events that `decide` makes of the state, while nobody else writes."""

    # --- the port ---

    def held(self, task_keys: Iterable[str]) -> int:
        """How many copies of these tasks are there now."""
        state = self._now()
        return sum(len(state.copies(key)) for key in set(task_keys))

    def tasks(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """Every copy of these tasks that is there now, lowest tool id first."""
        state = self._now()
        found = [
            TaskInQueue(
                tool_id=str(tool_id),
                task_key=key,
                answered=any(saved.tool_id == tool_id for saved in state.answers(key)),
            )
            for key in set(task_keys)
            for tool_id in state.copies(key)
        ]
        return sorted(found, key=lambda copy: int(copy.tool_id))

    def settled(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """As `tasks`: nothing goes on here after a call has ended."""
        return self.tasks(task_keys)

    def add(self, tasks: Sequence[QueueTask]) -> int:
        """Add tasks, all or none; one that is there already gets a copy."""
        self._append(
            lambda state: [
                Added(tool_id=tool_id, task=task)
                for tool_id, task in enumerate(tasks, start=state.last_tool_id + 1)
            ]
        )
        return len(tasks)

    def remove(self, tool_ids: Iterable[str]) -> None:
        """Remove copies without answer; others and absent ones are left alone."""
        wanted = {int(tool_id) for tool_id in tool_ids if tool_id.isdecimal()}

        def decide(state: QueueState) -> list[Event]:
            answered = {saved.tool_id for saved in state.current.values()}
            return [
                Removed(tool_id=tool_id)
                for tool_id in sorted(wanted & state.tasks.keys() - answered)
            ]

        self._append(decide)

    def answers(self, cursor: str) -> ObservedAnswers:
        """States saved since `cursor`, in order, of answers that are still there.

        A cursor this log never gave (it was made anew since) starts from the beginning.
        """
        state = self._now()
        start = bisect_right(state.ends, int(cursor)) if cursor.isdecimal() else 0
        if start and state.ends[start - 1] != int(cursor):
            start = 0
        return ObservedAnswers(
            answers=tuple(
                answer for answer in state.states[start:] if answer.answer_id in state.current
            ),
            cursor=str(state.ends[-1]) if state.ends else "",
        )

    def count(self) -> int:
        """How many answers there are now, skipped ones too."""
        return len(self._now().current)

    def answer_ids(self, task_keys: Iterable[str]) -> set[str]:
        """Ids of all answers these tasks hold now."""
        state = self._now()
        return {saved.answer.answer_id for key in set(task_keys) for saved in state.answers(key)}

    # --- people ---

    def open_tasks(self, annotator: str, group: AnnotatorGroup) -> list[QueueTask]:
        """What this person may answer now, in queue order: each key once, however many copies."""
        state = self._now()
        keys = dict.fromkeys(
            task.task_key for task in state.tasks.values() if task.project.group == group
        )
        return [
            state.tasks[state.copies(key)[0]]
            for key in keys
            if _places(state, key) > 0
            and all(saved.answer.annotator != annotator for saved in state.answers(key))
        ]

    def places(self, task_key: str) -> int:
        """How many answers of further people a task still wants, >= 0; 0 if it is not there."""
        return _places(self._now(), task_key)

    def answer(
        self,
        task_key: str,
        annotator: str,
        value: str | None,
        *,
        note: str = "",
        lead_seconds: float | None = None,
        now: datetime,
        tool_id: str | None = None,
    ) -> str:
        """Save a new answer; returns its id.

        Args:
            task_key: What was asked.
            annotator: Who answers; a second answer of one person is kept beside the first.
            value: JSON text, not checked. None: skipped, somebody else may answer.
            note: In the annotator's words.
            lead_seconds: From showing to saving; None: not known.
            now: Written as `answered_at`.
            tool_id: Which copy was on the screen; None: the lowest.

        Raises:
            NotThere: The task is not in the queue (any more).
        """
        answer_ids: list[str] = []

        def decide(state: QueueState) -> list[Event]:
            copies = [copy for copy in state.copies(task_key) if tool_id in (None, str(copy))]
            if not copies:
                raise NotThere(
                    f"task {task_key}: it is not in the queue, it was withdrawn; go to the next"
                )
            answer_ids.append(str(state.last_answer_id + 1))
            answer = Answer(
                seq=0,
                answer_id=answer_ids[-1],
                revision="1",
                task_key=task_key,
                annotator=annotator,
                status="skipped" if value is None else "answered",
                value=value,
                note=note,
                lead_seconds=lead_seconds,
                answered_at=now,
                observed_at=now,
            )
            return [Saved(tool_id=copies[0], answer=answer)]

        self._append(decide)
        return answer_ids[-1]

    def change(
        self,
        answer_id: str,
        value: str | None,
        *,
        note: str = "",
        lead_seconds: float | None = None,
        now: datetime,
    ) -> None:
        """Save a new state of an answer, as its next revision.

        Raises:
            NotThere: There is no such answer (any more).
        """

        def changed(answer: Answer) -> Answer:
            return replace(
                answer,
                status="skipped" if value is None else "answered",
                value=value,
                note=note,
                lead_seconds=lead_seconds,
            )

        self._revise(answer_id, changed, now)

    def delete(self, answer_id: str, *, now: datetime) -> None:
        """Take an answer back.

        Raises:
            NotThere: There is no such answer (any more).
        """
        self._revise(
            answer_id, lambda answer: replace(answer, status="deleted", value=None, note=""), now
        )

    def _revise(self, answer_id: str, changed: Callable[[Answer], Answer], now: datetime) -> None:
        def decide(state: QueueState) -> list[Event]:
            if answer_id not in state.current:
                raise NotThere(f"answer {answer_id}: there is none of this id, or it was deleted")
            saved = state.current[answer_id]
            revision = str(int(saved.answer.revision) + 1)
            stamped = replace(
                changed(saved.answer), revision=revision, answered_at=now, observed_at=now
            )
            return [replace(saved, answer=stamped)]

        self._append(decide)


def _places(state: QueueState, task_key: str) -> int:
    copies = state.copies(task_key)
    if not copies:
        return 0
    # A skip leaves the place to somebody else, as annotation tools do.
    people = {
        saved.answer.annotator
        for saved in state.answers(task_key)
        if saved.answer.status == "answered"
    }
    return max(0, state.tasks[copies[0]].project.overlap - len(people))
