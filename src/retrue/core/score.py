"""How right a predicted label is, for each kind of label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["score_labels"]


def score_labels(
    truth: Sequence[str], predicted: Sequence[str], *, kind: str, tolerance: float = 0.0
) -> NDArray[np.float64]:
    """Score predictions item by item.

    choice, taxonomy: 1 if equal, else 0. choices: Jaccard index of the two sets (Jaccard 1912), 1
    for two empty ones. number: 1 if within `tolerance`, else 0.

    Args:
        truth: Labels, canonical JSON, length n.
        predicted: Predictions, canonical JSON, length n.
        kind: The label kind.
        tolerance: Numbers this close count as right, in the label's unit.

    Returns:
        Shape (n,), 0..1.

    Raises:
        ValueError: The sequences differ in length.

    >>> score_labels(['"a"', '"b"'], ['"a"', '"a"'], kind="choice").tolist()
    [1.0, 0.0]
    >>> score_labels(['["a","b"]'], ['["a"]'], kind="choices").tolist()
    [0.5]
    """
    pairs = zip(truth, predicted, strict=True)
    if kind == "choices":
        return np.array([_jaccard(one, other) for one, other in pairs], dtype=float)
    if kind == "number":
        return np.array(
            [abs(float(one) - float(other)) <= tolerance for one, other in pairs], dtype=float
        )
    return np.array([one == other for one, other in pairs], dtype=float)


def _jaccard(one: str, other: str) -> float:
    a, b = _names(one), _names(other)
    return len(a & b) / len(a | b) if a | b else 1.0


def _names(label: str) -> set[str]:
    value = cast("object", json.loads(label))
    return set(cast("list[str]", value)) if isinstance(value, list) else {str(value)}
