"""The keyboard prompt of `retrue label`: a short burst of labels, one or two keys each.

Every answer is saved when it is given, so a closed terminal loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console
from rich.control import Control
from rich.screen import Screen

from retrue.adapters.label_question import Asking, Outcome
from retrue.adapters.label_screen import Progress, Question, question_screen, shown_text
from retrue.adapters.queue_embedded import EmbeddedQueue, NotThere
from retrue.config import Labels
from retrue.errors import QueueError, RetrueError
from retrue.records import AnnotatorGroup, QueueTask

__all__ = ["BurstReport", "label_burst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstReport:
    """What one person did in one burst."""

    answered: int  # questions with an answer at the end, cannot_tell included
    skipped: int
    left: int  # still open to this person
    outdated: int  # open, but asked under another version of the label schema: not shown
    ended: str  # plain words


def label_burst(
    queue: EmbeddedQueue,
    labels: Labels,
    annotator: str,
    *,
    group: AnnotatorGroup = "crowd",
    console: Console,
    read_key: Callable[[], str],
    now: Callable[[], datetime],
    minutes: float = 15,
    read_media: Callable[[str], bytes] | None = None,
) -> BurstReport:
    """Ask one person question after question, until all is answered, time is up or they quit.

    Args:
        queue: Where the open tasks are.
        labels: The question, its classes and the guideline.
        annotator: Who answers.
        group: Whose tasks.
        console: Where to draw.
        read_key: The next key, as `keyboard` gives it.
        now: The clock: lead times and the end of the burst.
        minutes: A question begun within this time is still finished.
        read_media: Bytes behind a task's `media_uri`; None: only its address is shown.

    Raises:
        QueueError: The console is no terminal, or the queue's files cannot be read or written.
    """
    if not console.is_terminal:
        raise QueueError(
            "label: expected a terminal to draw on, got a pipe or a file. "
            "Run `retrue label` in a terminal, without redirecting its output."
        )
    terminal = _Terminal(console, read_key, now, read_media)
    end = now() + timedelta(minutes=minutes)
    burst = _Burst(queue, labels, (annotator, group), terminal, end)
    with console.screen():
        ended = burst.run()
    report = burst.report(ended)
    console.print(_summary(report, annotator), markup=False, highlight=False)
    return report


@dataclass(frozen=True, slots=True)
class _Terminal:
    """A screen, a keyboard, a clock, and the way to pictures."""

    console: Console
    read_key: Callable[[], str]
    now: Callable[[], datetime]
    read_media: Callable[[str], bytes] | None

    def ask(self, question: Question, asking: Asking) -> Outcome | None:
        """Draw, and hand on one key."""
        self.console.control(Control.home())
        self.console.print(Screen(question_screen(question)), end="")
        return asking.press(self.read_key())

    def media(self, task: QueueTask) -> bytes | str | None:
        """The picture's bytes, or why there are none; None: the task has no media."""
        if task.media_uri is None:
            return None
        if self.read_media is None:
            return task.media_uri
        try:
            return self.read_media(task.media_uri)
        except RetrueError as error:
            return f"{task.media_uri}: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """An answer of this burst, for `undo`."""

    task: QueueTask
    answer_id: str
    value: str | None  # None: skipped
    note: str
    seconds: float


class _Burst:
    """One person at the prompt."""

    def __init__(
        self,
        queue: EmbeddedQueue,
        labels: Labels,
        person: tuple[str, AnnotatorGroup],
        terminal: _Terminal,
        end: datetime,
    ) -> None:
        self._queue = queue
        self._labels = labels
        self._person = person
        self._terminal = terminal
        self._end = end
        self._given: list[_Given] = []
        self._back: int | None = None  # place in `_given` of the answer taken up again
        self._message = ""

    def run(self) -> str:
        """Ask until there is a reason to stop; returns it."""
        while True:
            open_tasks, _ = self._open()
            if self._back is None and not open_tasks:
                return "nothing is left to answer"
            if self._back is None and self._terminal.now() >= self._end:
                return "time is up"
            task = open_tasks[0] if self._back is None else self._given[self._back].task
            shown_at = self._terminal.now()
            outcome = self._ask(task, left=len(open_tasks))
            if outcome.action == "quit":
                return "you quit"
            if outcome.action == "undo":
                self._go_back()
            else:
                seconds = (self._terminal.now() - shown_at).total_seconds()
                self._save(task, outcome, max(0.0, round(seconds, 1)))

    def report(self, ended: str) -> BurstReport:
        """What was done."""
        open_tasks, outdated = self._open()
        skipped = sum(given.value is None for given in self._given)
        return BurstReport(
            answered=len(self._given) - skipped,
            skipped=skipped,
            left=len(open_tasks),
            outdated=outdated,
            ended=ended,
        )

    def _open(self) -> tuple[list[QueueTask], int]:
        """Tasks to ask, and how many are asked under another version of the schema."""
        tasks = self._queue.open_tasks(*self._person)
        # Today's names under an old version's question would be read as something else.
        fitting = [task for task in tasks if task.project.schema_version == self._labels.version]
        return fitting, len(tasks) - len(fitting)

    def _ask(self, task: QueueTask, *, left: int) -> Outcome:
        asking = Asking(self._labels.label_schema, guideline=self._labels.guideline.text)
        asking.message, self._message = self._message, ""
        if self._back is not None:
            asking.note = self._given[self._back].note
        media = self._terminal.media(task)
        while True:
            question = Question(
                text=self._labels.question or "What is this?",
                task=task,
                media=media,
                asking=asking,
                progress=self._progress(left),
            )
            outcome = self._terminal.ask(question, asking)
            if outcome is not None:
                return outcome

    def _progress(self, left: int) -> Progress:
        seconds = [given.seconds for given in self._given]
        remaining = (self._end - self._terminal.now()).total_seconds() / 60
        return Progress(
            annotator=self._person[0],
            done=len(self._given),
            left=left,
            seconds=sum(seconds) / len(seconds) if seconds else None,
            minutes_left=remaining,
        )

    def _go_back(self) -> None:
        place = (len(self._given) if self._back is None else self._back) - 1
        if place < 0:
            self._message = "there is nothing before this"
            return
        self._back = place
        said = self._given[place].value or "skipped"
        self._message = f"you said {said}: a new answer replaces it"

    def _save(self, task: QueueTask, outcome: Outcome, seconds: float) -> None:
        back, self._back = self._back, None
        try:
            if back is None:
                answer_id = self._queue.answer(
                    task.task_key,
                    self._person[0],
                    outcome.value,
                    note=outcome.note,
                    lead_seconds=seconds,
                    now=self._terminal.now(),
                )
            else:
                answer_id = self._given[back].answer_id
                self._queue.change(
                    answer_id,
                    outcome.value,
                    note=outcome.note,
                    lead_seconds=seconds,
                    now=self._terminal.now(),
                )
        except NotThere as gone:
            self._message = str(gone)  # withdrawn while it was on the screen
            return
        given = _Given(
            task=task,
            answer_id=answer_id,
            value=outcome.value,
            note=outcome.note,
            seconds=seconds,
        )
        place = len(self._given) if back is None else back
        self._given[place : place + 1] = [given]


def _summary(report: BurstReport, annotator: str) -> str:
    name = shown_text(annotator)
    lines = [
        f"{name}: {report.answered} answered, {report.skipped} skipped, {report.left} left; "
        f"{report.ended}."
    ]
    if report.outdated:
        lines.append(
            f"{report.outdated} open tasks ask another version of the label schema and were not "
            "shown."
        )
    if report.answered or report.skipped:
        lines.append("Everything is saved; `retrue collect` brings it home.")
    return "\n".join(lines)
