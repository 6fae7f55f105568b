"""One path in a tree of classes: `"animal/dog"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retrue.kinds.choice import option_indices, option_labels, option_name
from retrue.kinds.protocol import Aggregate, Classes
from retrue.kinds.schema import OUTCOMES, BadLabel, LabelSchema, canonical, from_text

__all__ = ["Taxonomy"]


class Taxonomy:
    """Exactly one path of those the schema lists; an inner level counts only when listed.

    >>> schema = LabelSchema(kind="taxonomy", classes=("animal/cat", "animal/dog"))
    >>> Taxonomy().parse(["animal", "dog"], schema), Taxonomy().parse("animal / cat", schema)
    ('"animal/dog"', '"animal/cat"')
    """

    aggregate: Aggregate = "categorical"

    def parse(self, value: object, schema: LabelSchema) -> str:
        """The path as JSON text; a list of levels, or a list of one such list, is a path too."""
        options = self.options(schema)
        plain = value if value in options else from_text(value)
        if isinstance(plain, list | tuple):
            plain = _joined(cast("Sequence[object]", plain), schema.separator)
        if not isinstance(plain, str):
            raise BadLabel("label", "a path, as text or as a list of levels", value)
        levels = [level.strip() for level in plain.split(schema.separator)]
        return canonical(option_name(schema.separator.join(levels), options))

    def options(self, schema: LabelSchema) -> tuple[str, ...]:
        """The paths in their order, then the two outcomes."""
        return (*schema.classes, *OUTCOMES)

    def to_classes(self, values: Sequence[str], schema: LabelSchema) -> NDArray[np.int64]:
        """Option index of each label, shape (n,)."""
        return option_indices([self.parse(v, schema) for v in values], self.options(schema))

    def from_classes(self, classes: Classes, schema: LabelSchema) -> list[str | None]:
        """The path at each index; None at -1."""
        return option_labels(classes, self.options(schema))


def _joined(levels: Sequence[object], separator: str) -> str:
    # Annotation tools wrap the one chosen path in the list of all chosen paths.
    if len(levels) == 1 and isinstance(levels[0], list | tuple):
        levels = cast("Sequence[object]", levels[0])
    if not all(isinstance(level, str) for level in levels):
        raise BadLabel("label", "one path of text levels", levels)
    return separator.join(cast("Sequence[str]", levels))
