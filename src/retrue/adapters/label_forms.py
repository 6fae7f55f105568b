"""What keys do to the answer of one question; knows nothing of screens and queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retrue.kinds import BadLabel, LabelSchema, kind_of

__all__ = ["BACKSPACE", "ENTER", "ESCAPE", "Form", "NumberForm", "Option", "PickForm", "form_for"]

ENTER, ESCAPE, BACKSPACE = "\r", "\x1b", "\x7f"
COMMANDS = "cnqsu"  # letters that stand for commands and never for an option
SHORTCUTS = "123456789" + "".join(
    letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in COMMANDS
)
SEARCH_KEYS = 9  # matches of a search that have a key: letters are text there
MOST_KEYS = 20  # more options than this are searched by typing


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing to pick."""

    key: str  # "": no shortcut, type on
    text: str
    chosen: bool = False
    deeper: bool = False  # opens a further level


class Form(Protocol):
    """An answer in the making. `press` a key, then look."""

    @property
    def answer(self) -> str | None:
        """The finished answer as canonical JSON text; None: not yet."""
        ...

    @property
    def options(self) -> Sequence[Option]:
        """What can be picked now, in the order shown."""
        ...

    @property
    def prompt(self) -> str:
        """What was typed or picked so far, in one line."""
        ...

    @property
    def hint(self) -> str:
        """Which keys do something here."""
        ...

    @property
    def message(self) -> str:
        """What was wrong with the last key; "" if nothing."""
        ...

    @property
    def typing(self) -> bool:
        """Whether small letters are text, so that commands need capitals."""
        ...

    def press(self, key: str) -> bool:
        """Take a key; False: it means nothing here."""
        ...


def form_for(schema: LabelSchema) -> Form:
    """An empty form for a question of this schema."""
    return NumberForm(schema) if schema.kind == "number" else PickForm(schema)


class NumberForm:
    """A number, typed.

    >>> form = NumberForm(LabelSchema(kind="number", maximum=10, unit="kg"))
    >>> [form.press(key) for key in ("3", ",", "5", ENTER)], form.answer
    ([True, True, True, True], '3.5')
    """

    options: Sequence[Option] = ()
    typing = False

    def __init__(self, schema: LabelSchema) -> None:
        self._schema = schema
        self._typed = ""
        self.answer: str | None = None
        self.message = ""

    @property
    def prompt(self) -> str:
        """The number so far with its unit."""
        return f"> {self._typed}_ {self._schema.unit}".rstrip()

    @property
    def hint(self) -> str:
        """The keys, and the limits where there are any."""
        low, high = self._schema.minimum, self._schema.maximum
        limits = [f"from {low:g}"] if low is not None else []
        limits += [f"to {high:g}"] if high is not None else []
        return " ".join(["digits, Enter saves", *limits])

    def press(self, key: str) -> bool:
        """Take a digit, a sign, a point or comma, Backspace, Escape or Enter."""
        if key == ENTER:
            self._finish()
        elif key == BACKSPACE:
            self._typed = self._typed[:-1]
        elif key == ESCAPE:
            self._typed = ""
        elif key and key in "0123456789.,-":
            self._typed += key.replace(",", ".")
        else:
            return False
        if key != ENTER:
            self.message = ""
        return True

    def _finish(self) -> None:
        try:
            self.answer = kind_of(self._schema).parse(self._typed, self._schema)
        except BadLabel as bad:
            self.message = f"expected {bad.expected}, got {self._typed or 'nothing'}"


class PickForm:
    """One class, several, or a path level by level; searched by typing where there are many.

    >>> form = PickForm(LabelSchema(kind="taxonomy", classes=("animal/cat", "animal/dog", "car")))
    >>> form.press("1"), form.prompt, [option.text for option in form.options]
    (True, 'animal / ', ['cat', 'dog'])
    >>> form.press("2"), form.answer
    (True, '"animal/dog"')
    """

    def __init__(self, schema: LabelSchema) -> None:
        self._schema = schema
        self._levels = {
            name: tuple(name.split(schema.separator)) if schema.kind == "taxonomy" else (name,)
            for name in schema.classes
        }
        self._path: tuple[str, ...] = ()
        self._typed = ""
        self._chosen: list[str] = []
        self.answer: str | None = None
        self.message = ""

    @property
    def typing(self) -> bool:
        """Whether there are too many options for one key each."""
        return len(self._here()) > MOST_KEYS

    @property
    def prompt(self) -> str:
        """The levels picked so far, the classes chosen so far, and what was typed."""
        parts = "".join(f"{level} / " for level in self._path)
        if self._chosen and self.typing:
            parts += f"[{', '.join(self._chosen)}] "
        return parts + (f"> {self._typed}_" if self.typing else "")

    @property
    def hint(self) -> str:
        """The keys that do something here."""
        hints = ["type to search, 1-9 or Enter picks"] if self.typing else []
        if self._schema.kind == "choices":
            hints.append("keys switch on and off, Enter saves")
        if self._path:
            hints.append("Backspace goes up")
        return ", ".join(hints)

    @property
    def options(self) -> Sequence[Option]:
        """The classes of this level; when searching, those that match, best first."""
        return [
            Option(
                key=key,
                text=f"{path[-1]} itself" if path == self._path else path[-1],
                chosen=path[-1] in self._chosen,
                deeper=path != self._path and self._is_inner(path),
            )
            for key, path in self._shown()
        ]

    def press(self, key: str) -> bool:
        """Take a shortcut, a letter of a search, Backspace, Escape or Enter."""
        self.message = ""
        by_key = {shortcut: path for shortcut, path in self._shown() if shortcut}
        if key in by_key:
            self._pick(by_key[key])
        elif key == ENTER:
            self._enter()
        elif key in (BACKSPACE, ESCAPE):
            self._back(key)
        elif self.typing and len(key) == 1 and _is_text(key):
            self._typed += key
        else:
            return False
        return True

    def _shown(self) -> list[tuple[str, tuple[str, ...]]]:
        """(shortcut or "", path), in the order shown."""
        if self.typing:
            return [
                (SHORTCUTS[place] if place < SEARCH_KEYS else "", path)
                for place, path in enumerate(self._found())
            ]
        here = self._here()
        # A class named by one sign has that sign as its key: 7 must never mean 6.
        own = {path[-1] for path in here if path[-1] in (*SHORTCUTS, "0")}
        free = iter(sign for sign in SHORTCUTS if sign not in own)
        return [(path[-1] if path[-1] in own else next(free), path) for path in here]

    def _here(self) -> list[tuple[str, ...]]:
        """The paths one can go from here, in the schema's order."""
        depth = len(self._path)
        paths = [
            levels[: depth + 1] for levels in self._levels.values() if levels[:depth] == self._path
        ]
        return list(dict.fromkeys(paths))

    def _found(self) -> list[tuple[str, ...]]:
        words = self._typed.casefold().split()
        found = [
            path for path in self._here() if all(word in path[-1].casefold() for word in words)
        ]
        first = self._typed.casefold()
        # A stable sort: what starts as typed comes first, the rest keeps the schema's order.
        return sorted(found, key=lambda path: not path[-1].casefold().startswith(first))

    def _is_inner(self, path: tuple[str, ...]) -> bool:
        return any(
            len(levels) > len(path) and levels[: len(path)] == path
            for levels in self._levels.values()
        )

    def _pick(self, path: tuple[str, ...]) -> None:
        self._typed = ""
        if self._schema.kind == "choices":
            self._switch(path[-1])
        elif path != self._path and self._is_inner(path):
            self._path = path
        else:
            name = self._schema.separator.join(path)
            self.answer = kind_of(self._schema).parse(name, self._schema)

    def _switch(self, name: str) -> None:
        most = self._schema.max_choices
        if name in self._chosen:
            self._chosen.remove(name)
        elif most is not None and len(self._chosen) >= most:
            self.message = f"at most {most}: switch one off first"
        else:
            self._chosen.append(name)

    def _enter(self) -> None:
        found = self._found() if self._typed else []
        if found:
            self._pick(found[0])
        elif self._typed:
            self.message = f"nothing is named like {self._typed!r}"
        elif self._schema.kind == "choices" and self._chosen:
            self.answer = kind_of(self._schema).parse(self._chosen, self._schema)
        elif self._schema.kind == "choices":
            self.message = "choose at least one first, or none of these"
        else:
            self.message = "pick one"

    def _back(self, key: str) -> None:
        if self._typed:
            self._typed = "" if key == ESCAPE else self._typed[:-1]
        else:
            self._path = self._path[:-1]


def _is_text(key: str) -> bool:
    # Capitals, digits and these signs stay commands while one types.
    return key.isprintable() and not key.isupper() and not key.isdecimal() and key not in "?!"
