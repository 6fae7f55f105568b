"""Reading the data of decisions and evidence, which are JSON: what is not there is None."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from retrue.core.accuracy import Estimate
from retrue.records import Json

__all__ = ["Data", "estimate", "number", "part", "parts", "plain_label", "text", "texts", "whole"]

Data = Mapping[str, Json]


def number(data: Data, key: str) -> float | None:
    """The number under a key; None if there is none."""
    value = data.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(data: Data, key: str) -> int | None:
    """The whole number under a key; None if there is none."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(data: Data, key: str) -> str:
    """The text under a key; "" if there is none."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def texts(data: Data, key: str) -> tuple[str, ...]:
    """The texts in the list under a key."""
    value = data.get(key)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def part(data: Data, key: str) -> Data | None:
    """The object under a key; None if there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else None


def parts(data: Data, key: str) -> list[Data]:
    """The objects in the list under a key."""
    value = data.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def estimate(data: Data | None) -> Estimate | None:
    """An `Estimate` as decisions keep it; None if it is not all there.

    >>> estimate({"value": 0.9, "low": 0.8, "high": 0.95, "n": 40, "effective_n": 40.0}).high
    0.95
    """
    if data is None:
        return None
    value, low, high = number(data, "value"), number(data, "low"), number(data, "high")
    n = whole(data, "n")
    if value is None or low is None or high is None or n is None:
        return None
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=n,
        effective_n=number(data, "effective_n") or float(n),
        provisional=data.get("provisional") is True,
        missing=whole(data, "missing") or 0,
    )


def plain_label(label: str | None) -> str:
    """A canonical JSON label as people write it.

    >>> plain_label('"cat"'), plain_label('["a","b"]'), plain_label("3.5"), plain_label(None)
    ('cat', 'a + b', '3.5', '-')
    """
    if label is None:
        return "-"
    try:
        value = cast("Json", json.loads(label))
    except ValueError:
        return label
    if isinstance(value, list):
        return " + ".join(_text(one) for one in cast("Sequence[Json]", value))
    return _text(value)


def _text(value: Json) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown.replace("_", " ") if shown in ("none_of_these", "cannot_tell") else shown
