"""What `retrue label` draws: one question on one screen, from nothing an annotator may not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from retrue.adapters.label_forms import Form, Option, PickForm
from retrue.adapters.label_image import picture
from retrue.adapters.label_question import Asking
from retrue.records import Json, QueueTask, canonical_json

__all__ = ["Progress", "Question", "question_screen", "shown_text"]

LEAST_PICTURE = 6  # lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the burst is."""

    annotator: str
    done: int
    left: int
    seconds: float | None  # mean per label; None: no label yet
    minutes_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything on the screen."""

    text: str
    task: QueueTask
    media: bytes | str | None  # bytes of the picture, or why there is none; None: no media
    asking: Asking
    progress: Progress


def shown_text(value: str) -> str:
    """A text without what would steer the terminal: data must not draw outside its place.

    >>> shown_text("red " + chr(27) + "[31malert")
    'red \ufffd[31malert'
    """
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else "\ufffd"
        for sign in value.replace("\r\n", "\n")
    )


def question_screen(question: Question) -> RenderableType:
    """The whole screen; the part in the middle gives way when the terminal is small."""
    above: list[RenderableType] = [
        _progress_line(question.progress),
        Rule(style="dim"),
        Text(shown_text(question.text), style="bold"),
        Text(),
    ]
    below: list[RenderableType] = [Text(), *_answer_lines(question), *_footer(question)]
    return _Screen(question, above, below)


class _Screen:
    """Lines above, a window into the body, lines below."""

    def __init__(
        self,
        question: Question,
        above: Sequence[RenderableType],
        below: Sequence[RenderableType],
    ) -> None:
        self._question = question
        self._above = above
        self._below = below

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        above = _lines(console, options, self._above)
        below = _lines(console, options, self._below)
        height = options.height or console.height
        room = max(1, height - len(above) - len(below))
        body = self._body(console, options, room)
        most = max(0, len(body) - room)
        start = min(self._question.asking.scroll, most)
        shown = body[start : start + room]
        if most and start < most:
            rest = len(body) - start - room + 1
            shown[-1] = [Segment(f"  ... {rest} more lines (Space)")]
        shown += [[]] * (room - len(shown))
        for line in [*above, *shown, *below]:
            yield from line
            yield Segment.line()

    def _body(self, console: Console, options: ConsoleOptions, room: int) -> list[list[Segment]]:
        question = self._question
        if question.asking.guideline_open:
            guideline = Text(shown_text(question.asking.guideline), style="cyan")
            return _lines(console, options, [guideline])
        fields = _lines(console, options, _fields(question.task))
        space = max(min(LEAST_PICTURE, room), room - len(fields) - 1)
        media = _media(question, console, options.max_width, space)
        return [*_lines(console, options, media), *fields]


def _lines(
    console: Console, options: ConsoleOptions, parts: Iterable[RenderableType]
) -> list[list[Segment]]:
    free = options.reset_height()
    return [line for part in parts for line in console.render_lines(part, free, pad=False)]


def _media(question: Question, console: Console, width: int, height: int) -> list[RenderableType]:
    if question.media is None:
        return []
    if isinstance(question.media, str):
        return [Text(shown_text(question.media), style="yellow"), Text()]
    colour = console.color_system is not None
    drawn = picture(question.media, width=width, height=height, colour=colour)
    if drawn is not None:
        return [drawn, Text()]
    where = f"no picture a terminal can show: {question.task.media_uri}"
    return [Text(shown_text(where), style="yellow"), Text()]


def _fields(task: QueueTask) -> list[RenderableType]:
    if len(task.display) == 1 and task.media_uri is None:  # the question is about this text
        return [Text(_value(value)) for value in task.display.values()]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, max_width=28)
    grid.add_column(overflow="fold")
    for name, value in task.display.items():
        grid.add_row(Text(shown_text(name)), Text(_value(value)))
    return [grid] if task.display else []


def _value(value: Json) -> str:
    if value is None:
        return "-"
    return shown_text(value if isinstance(value, str) else canonical_json(value))


def _progress_line(progress: Progress) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    for _ in range(2):
        line.add_column(no_wrap=True)
    pace = "" if progress.seconds is None else f" · {progress.seconds:.1f} s per label"
    clock = f" · {max(0.0, progress.minutes_left):.0f} min left"
    total = max(1, progress.done + progress.left)
    line.add_row(
        ProgressBar(total=total, completed=progress.done, width=20),
        Text.assemble(
            (f"{progress.done} done", "green"),
            f" · {progress.left} to go{pace}{clock}",
            (f"   {shown_text(progress.annotator)}", "dim"),
        ),
    )
    return line


def _answer_lines(question: Question) -> list[RenderableType]:
    form = question.asking.form
    parts: list[RenderableType] = []
    if form.prompt:
        parts.append(Text(shown_text(form.prompt), style="bold cyan"))
    options = [option for option in form.options if option.key]
    if options:
        parts.append(Columns([_option(option) for option in options], padding=(0, 3)))
    hidden = len(form.options) - len(options)
    if hidden:
        parts.append(Text(f"... {hidden} more", style="dim"))
    if not form.options and form.prompt and form.typing:
        parts.append(Text("nothing is named like this", style="yellow"))
    return parts


def _option(option: Option) -> Text:
    mark = "[x] " if option.chosen else ""
    return Text.assemble(
        (f" {option.key} ", "reverse"),
        " ",
        (mark + shown_text(option.text), "bold green" if option.chosen else ""),
        (" >" if option.deeper else "", "dim"),
    )


def _footer(question: Question) -> list[RenderableType]:
    asking = question.asking
    if asking.note_open:
        note = f"note: {asking.note}_   (Enter keeps it, Escape drops it)"
        return [Text(), Text(shown_text(note), style="magenta")]
    message = asking.message or asking.form.message
    parts: list[RenderableType] = [Text(shown_text(message), style="yellow")]
    if asking.note:
        parts.append(Text(shown_text(f"note: {asking.note}"), style="magenta"))
    return [*parts, Rule(style="dim"), *_keys(asking.form)]


def _keys(form: Form) -> list[RenderableType]:
    commands = [
        *([("n", "none of these")] if isinstance(form, PickForm) else []),
        ("c", "cannot tell"),
        ("s", "skip"),
        ("u", "undo"),
        ("!", "note"),
        ("?", "guideline"),
        ("q", "quit"),
    ]
    keys = [
        Text.assemble((f" {key.upper() if form.typing else key} ", "reverse"), f" {meaning}")
        for key, meaning in commands
    ]
    hint: list[RenderableType] = [Text(shown_text(form.hint), style="dim")] if form.hint else []
    return [*hint, Columns(keys, padding=(0, 2))]
