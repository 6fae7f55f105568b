"""One of a few classes: `"7"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retrue.kinds.protocol import Aggregate, Classes
from retrue.kinds.schema import OUTCOMES, BadLabel, LabelSchema, canonical, from_text

__all__ = ["Choice", "option_indices", "option_labels", "option_name"]


class Choice:
    """Exactly one option.

    >>> schema = LabelSchema(kind="choice", classes=("cat", "7"))
    >>> Choice().parse("cat", schema), Choice().parse(7, schema)
    ('"cat"', '"7"')
    >>> Choice().to_classes(['"7"', '"cannot_tell"'], schema).tolist()
    [1, 3]
    """

    aggregate: Aggregate = "categorical"

    def parse(self, value: object, schema: LabelSchema) -> str:
        """The option as JSON text; whole numbers and one-item lists stand for their text."""
        options = self.options(schema)
        # A foreign JSON list holds anything: its one item is checked by `option_name`.
        items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)
        if len(items) != 1:
            raise BadLabel("label", "exactly one option", items)
        return canonical(option_name(items[0], options))

    def options(self, schema: LabelSchema) -> tuple[str, ...]:
        """The classes in their order, then the two outcomes."""
        return (*schema.classes, *OUTCOMES)

    def to_classes(self, values: Sequence[str], schema: LabelSchema) -> NDArray[np.int64]:
        """Option index of each label, shape (n,)."""
        return option_indices([self.parse(v, schema) for v in values], self.options(schema))

    def from_classes(self, classes: Classes, schema: LabelSchema) -> list[str | None]:
        """The option at each index; None at -1."""
        return option_labels(classes, self.options(schema))


def option_name(value: object, options: tuple[str, ...]) -> str:
    """The option an answer names, be it plain text, its JSON text or a whole number.

    Raises:
        BadLabel: It names none of them.

    >>> option_name('"cat"', ("cat", "dog"))
    'cat'
    """
    for candidate in (value, from_text(value)):
        if isinstance(candidate, str):
            name = candidate.strip()
        elif isinstance(candidate, int) and not isinstance(candidate, bool):
            name = str(candidate)
        else:
            continue
        if name in options:
            return name
    raise BadLabel("label", f"one of {', '.join(options)}", value)


def option_indices(labels: Sequence[str], options: tuple[str, ...]) -> NDArray[np.int64]:
    """Index of each canonical label among the options, shape (n,)."""
    index = {canonical(option): i for i, option in enumerate(options)}
    return np.array([index[label] for label in labels], dtype=np.int64)


def option_labels(classes: Classes, options: tuple[str, ...]) -> list[str | None]:
    """Canonical label of each option index; None at -1."""
    indices: list[int] = classes.astype(np.int64).tolist()
    return [None if i < 0 else canonical(options[i]) for i in indices]
