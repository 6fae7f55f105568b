"""What every label kind can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from retrue.kinds.schema import LabelSchema

__all__ = ["Aggregate", "Classes", "Kind"]

Aggregate = Literal["categorical", "multi", "numeric"]
Classes = NDArray[np.int64] | NDArray[np.float64]


class Kind(Protocol):
    """One kind of label. A *label* is always its canonical JSON text."""

    @property
    def aggregate(self) -> Aggregate:
        """How several answers become one: by class, by one binary problem per option, by median."""
        ...

    def parse(self, value: object, schema: LabelSchema) -> str:
        """The canonical JSON text of an answer; parsing that text gives it back unchanged.

        Raises:
            BadLabel: The answer lies outside the schema.
        """
        ...

    def options(self, schema: LabelSchema) -> tuple[str, ...]:
        """What a person can pick, outcomes last; empty when the answer is typed in."""
        ...

    def to_classes(self, values: Sequence[str], schema: LabelSchema) -> Classes:
        """Canonical labels as the numbers consensus works on.

        Returns:
            categorical: option index, shape (n,). multi: 0 or 1, shape (n, n_options).
            numeric: the value, shape (n,).

        Raises:
            BadLabel: A label lies outside the schema.
        """
        ...

    def from_classes(self, classes: Classes, schema: LabelSchema) -> list[str | None]:
        """The inverse of `to_classes`; None where people gave nothing (-1, or NaN if numeric).

        Raises:
            BadLabel: A combination the schema does not allow.
        """
        ...
