"""A number, perhaps with limits and a unit: `3.5`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrue.kinds.protocol import Aggregate, Classes
from retrue.kinds.schema import BadLabel, LabelSchema, canonical, from_text

__all__ = ["Number"]

_EXACT = 2.0**53  # beyond this a float no longer tells neighbouring whole numbers apart


class Number:
    """A finite number within the schema's limits.

    >>> schema = LabelSchema(kind="number", minimum=0, maximum=10)
    >>> Number().parse("3.50", schema), Number().parse(4.0, schema)
    ('3.5', '4')
    """

    aggregate: Aggregate = "numeric"

    def parse(self, value: object, schema: LabelSchema) -> str:
        """The number as JSON text, whole numbers without a point."""
        number = _finite(value)
        low = -math.inf if schema.minimum is None else schema.minimum
        high = math.inf if schema.maximum is None else schema.maximum
        if not low <= number <= high:
            raise BadLabel("label", f"a number in {low:g}..{high:g} {schema.unit}".rstrip(), value)
        whole = number.is_integer() and abs(number) < _EXACT
        return canonical(int(number) if whole else number)

    def options(self, schema: LabelSchema) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing to pick: the number is typed in."""
        return ()

    def to_classes(self, values: Sequence[str], schema: LabelSchema) -> NDArray[np.float64]:
        """The numbers themselves, shape (n,): consensus takes their median."""
        return np.array([float(self.parse(v, schema)) for v in values], dtype=np.float64)

    def from_classes(self, classes: Classes, schema: LabelSchema) -> list[str | None]:
        """Numbers as labels; None at NaN."""
        return [None if math.isnan(x) else self.parse(x, schema) for x in classes.tolist()]


def _finite(value: object) -> float:
    plain = from_text(value.strip() if isinstance(value, str) else value)
    if not isinstance(plain, int | float) or isinstance(plain, bool):
        raise BadLabel("label", "a number", value)
    try:
        number = float(plain)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadLabel("label", "a finite number", value)
    return number
