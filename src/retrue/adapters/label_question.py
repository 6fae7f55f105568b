"""What keys do while one question is on the screen: its form, and the commands around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrue.adapters.label_forms import BACKSPACE, ENTER, ESCAPE, form_for
from retrue.kinds import CANNOT_TELL, NONE_OF_THESE, LabelSchema, kind_of

__all__ = ["Asking", "Outcome"]

QUIT = ("", "\x03", "\x04")  # end of input, Ctrl-C, Ctrl-D
SCROLL = {" ": 10, "\x1b[6~": 10, "\x1b[5~": -10, "\x1b[B": 1, "\x1b[A": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a question ended."""

    action: Literal["save", "undo", "quit"]
    value: str | None = None  # save: canonical JSON text; None: skipped
    note: str = ""


class Asking:
    """One question, from the first key to its outcome.

    >>> asking = Asking(LabelSchema(kind="choice", classes=("cat", "dog")), guideline="")
    >>> asking.press("2").value
    '"dog"'
    """

    def __init__(self, schema: LabelSchema, *, guideline: str) -> None:
        self.form = form_for(schema)
        self.note = ""
        self.note_open = False
        self.guideline_open = False
        self.message = ""
        self.scroll = 0  # lines
        self._schema = schema
        self.guideline = guideline

    def press(self, key: str) -> Outcome | None:
        """Take a key; None: the question is still open."""
        self.message = ""
        if key in QUIT:
            return Outcome(action="quit")
        if self.note_open:
            self._write(key)
        elif self.form.press(key):
            if self.form.answer is not None:
                return Outcome(action="save", value=self.form.answer, note=self.note)
        elif key in SCROLL:
            self.scroll = max(0, self.scroll + SCROLL[key])
        else:
            return self._command(key.lower())
        return None

    def _write(self, key: str) -> None:
        """A key of the note."""
        if key == ENTER:
            self.note, self.note_open = self.note.strip(), False
        elif key == ESCAPE:
            self.note, self.note_open = "", False
        elif key == BACKSPACE:
            self.note = self.note[:-1]
        elif len(key) == 1 and key.isprintable():
            self.note += key

    def _command(self, key: str) -> Outcome | None:
        match key:
            case "q" | "u":
                return Outcome(action="quit" if key == "q" else "undo")
            case "s":
                return Outcome(action="save", note=self.note)
            case "c":
                return self._outside(CANNOT_TELL)
            case "0" | "n":
                return self._outside(NONE_OF_THESE)
            case "!":
                self.note_open = True
            case "?":
                self._turn_guideline()
            case _ if key.isprintable():
                self.message = f"{key} means nothing here"
            case _:
                pass
        return None

    def _turn_guideline(self) -> None:
        if self.guideline:
            self.guideline_open, self.scroll = not self.guideline_open, 0
        else:
            self.message = "this question has no guideline"

    def _outside(self, outcome: str) -> Outcome | None:
        if self._schema.kind != "number":
            value = kind_of(self._schema).parse(outcome, self._schema)
            return Outcome(action="save", value=value, note=self.note)
        if outcome == NONE_OF_THESE:
            self.message = "a number is asked for: type it, or c if you cannot tell"
            return None
        # A number has no such value: it is left open with the reason as its note.
        return Outcome(action="save", note=" ".join([CANNOT_TELL, self.note]).strip())
