"""What an answer may be: the label schema, and the two outcomes every choice offers."""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = [
    "CANNOT_TELL",
    "KIND_NAMES",
    "NONE_OF_THESE",
    "OUTCOMES",
    "BadLabel",
    "LabelSchema",
    "canonical",
    "from_text",
]

NONE_OF_THESE = "none_of_these"
CANNOT_TELL = "cannot_tell"
# Without these two a new class could never be found: people would have to pick a wrong one.
OUTCOMES = (NONE_OF_THESE, CANNOT_TELL)

KIND_NAMES = ("choice", "choices", "taxonomy", "number")


class BadLabel(ValueError):
    """A label outside its schema; the caller makes a verdict of it, people never see it raised."""

    def __init__(self, where: str, expected: str, got: object) -> None:
        super().__init__(f"{where}: expected {expected}, got {got!r}")
        self.where = where
        self.expected = expected
        self.got = got


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSchema:
    """One version of the question put to annotators.

    Raises:
        ValueError: The schema contradicts itself; the message names the field.

    >>> LabelSchema(kind="choice", classes=("cat", "dog")).classes
    ('cat', 'dog')
    """

    kind: str  # one of KIND_NAMES
    classes: tuple[str, ...] = ()  # in the order shown; taxonomy: full paths; number: empty
    separator: str = "/"  # between the levels of a taxonomy path
    minimum: float | None = None  # number: smallest allowed, in `unit`; None: no limit
    maximum: float | None = None  # number: largest allowed, in `unit`; None: no limit
    unit: str = ""  # number: shown beside the field; "": a pure number
    tolerance: float = 0.0  # number: answers this close agree, in `unit`, >= 0
    max_choices: int | None = None  # choices: most classes in one answer, >= 1; None: no limit

    def __post_init__(self) -> None:
        if self.kind not in KIND_NAMES:
            raise ValueError(f"kind: expected one of {', '.join(KIND_NAMES)}, got {self.kind!r}")
        if self.kind == "number":
            self._check_number()
        else:
            self._check_classes()

    def _check_number(self) -> None:
        if self.classes:
            raise ValueError(f"classes: expected none for a number, got {self.classes!r}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum: expected <= maximum {self.maximum}, got {self.minimum}")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance: expected >= 0, got {self.tolerance}")

    def _check_classes(self) -> None:
        if not self.classes:
            raise ValueError("classes: expected at least one, got none")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: expected distinct names, got {self.classes!r}")
        if self.max_choices is not None and self.max_choices < 1:
            raise ValueError(f"max_choices: expected >= 1, got {self.max_choices}")
        if self.kind == "taxonomy" and not self.separator:
            raise ValueError("separator: expected at least one character, got ''")
        for name in self.classes:
            self._check_name(name)

    def _check_name(self, name: str) -> None:
        if name in OUTCOMES:
            raise ValueError(f"classes: {name!r} is always offered, leave it out")
        if not name or name != name.strip():
            raise ValueError(f"classes: expected no space around a name, got {name!r}")
        # Such a name could not be told from the JSON text of another label.
        if name[0] in '"[':
            raise ValueError(f"classes: expected a name not starting with {name[0]}, got {name!r}")
        if self.kind == "taxonomy" and not all(
            part and part == part.strip() for part in name.split(self.separator)
        ):
            raise ValueError(f"classes: expected a path of trimmed, named levels, got {name!r}")


def canonical(value: object) -> str:
    """The one JSON text of a value: no spaces, letters as they are.

    >>> canonical(["cat", "dog"])
    '["cat","dog"]'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_text(value: object) -> object:
    """The value a JSON text stands for; whatever is not JSON text is returned as it came.

    >>> from_text('["cat"]'), from_text("cat"), from_text(7)
    (['cat'], 'cat', 7)
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    # RecursionError: thousands of opening brackets, which no label has.
    except (ValueError, RecursionError):
        return value
