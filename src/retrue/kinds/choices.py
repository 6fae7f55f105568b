"""Any number of classes: `["cat","dog"]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retrue.kinds.choice import option_name
from retrue.kinds.protocol import Aggregate, Classes
from retrue.kinds.schema import (
    CANNOT_TELL,
    NONE_OF_THESE,
    OUTCOMES,
    BadLabel,
    LabelSchema,
    canonical,
    from_text,
)

__all__ = ["Choices"]


class Choices:
    """One or more classes, or one of the two outcomes alone.

    >>> schema = LabelSchema(kind="choices", classes=("cat", "dog"))
    >>> Choices().parse(["dog", "cat"], schema)
    '["cat","dog"]'
    >>> Choices().to_classes(['["dog"]'], schema).tolist()
    [[0, 1, 0, 0]]
    """

    aggregate: Aggregate = "multi"

    def parse(self, value: object, schema: LabelSchema) -> str:
        """The options as sorted JSON list; a lone option may come without its list."""
        options = self.options(schema)
        plain = value if value in options else from_text(value)
        # A foreign JSON list holds anything: each item is checked by `option_name`.
        items = cast("Sequence[object]", plain) if isinstance(plain, list | tuple) else (plain,)
        names = sorted({option_name(item, options) for item in items})
        if not names:
            raise BadLabel("label", f"at least one option ({NONE_OF_THESE} if none applies)", value)
        if len(names) > 1 and set(names) & set(OUTCOMES):
            raise BadLabel("label", f"{' or '.join(OUTCOMES)} only on its own", value)
        if schema.max_choices is not None and len(names) > schema.max_choices:
            raise BadLabel("label", f"at most {schema.max_choices} classes", value)
        return canonical(names)

    def options(self, schema: LabelSchema) -> tuple[str, ...]:
        """The classes in their order, then the two outcomes."""
        return (*schema.classes, *OUTCOMES)

    def to_classes(self, values: Sequence[str], schema: LabelSchema) -> NDArray[np.int64]:
        """One binary problem per option, shape (n, n_options)."""
        options = self.options(schema)
        picked = np.zeros((len(values), len(options)), dtype=np.int64)
        for row, value in enumerate(values):
            names = set(cast("list[str]", from_text(self.parse(value, schema))))
            picked[row] = [option in names for option in options]
        return picked

    def from_classes(self, classes: Classes, schema: LabelSchema) -> list[str | None]:
        """Rows of 0 and 1 as labels; None where a row holds a -1.

        Options are decided one by one, so a row can contradict itself: a class wins over an
        outcome, `cannot_tell` over `none_of_these`, and nothing at all is `none_of_these`.
        """
        return [self._label(row, schema) for row in classes.astype(np.int64).tolist()]

    def _label(self, row: list[int], schema: LabelSchema) -> str | None:
        if min(row) < 0:
            return None
        picked = [option for option, on in zip(self.options(schema), row, strict=True) if on]
        names = [name for name in picked if name not in OUTCOMES]
        outcome = CANNOT_TELL if CANNOT_TELL in picked else NONE_OF_THESE
        return self.parse(names or [outcome], schema)
