"""A window as JSON, for decisions: with it a lost ledger finds the window again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from retrue.errors import RecordError
from retrue.records import Json, ObjectRef, Stream, Window

__all__ = ["window_from_json", "window_to_json"]


def window_to_json(window: Window) -> dict[str, Json]:
    """The whole window, its objects included; `window_from_json` reads it back.

    >>> from datetime import UTC, datetime
    >>> window = Window(
    ...     window_id="w1", stream="incoming", objects=(), rows=3, eligible=2, duplicates=1,
    ...     quarantined=0, first_time=None, last_time=None, model_version=None,
    ...     recorded_at=datetime(2025, 1, 1, tzinfo=UTC))
    >>> window_from_json(window_to_json(window)) == window
    True
    """
    return {
        "window_id": window.window_id,
        "stream": window.stream,
        "objects": [_ref_to_json(ref) for ref in window.objects],
        "rows": window.rows,
        "eligible": window.eligible,
        "duplicates": window.duplicates,
        "quarantined": window.quarantined,
        "first_time": _from_time(window.first_time),
        "last_time": _from_time(window.last_time),
        "model_version": window.model_version,
        "recorded_at": window.recorded_at.isoformat(),
    }


def window_from_json(data: Json) -> Window:
    """Read what `window_to_json` wrote.

    Raises:
        RecordError: Something is missing, or of another type.
    """
    try:
        facts = cast("Mapping[str, Json]", data)
        refs = cast("list[Mapping[str, Json]]", facts["objects"])
        return Window(
            window_id=_text(facts["window_id"]),
            stream=_stream(facts["stream"]),
            objects=tuple(_ref_from_json(ref) for ref in refs),
            rows=_count(facts["rows"]),
            eligible=_count(facts["eligible"]),
            duplicates=_count(facts["duplicates"]),
            quarantined=_count(facts["quarantined"]),
            first_time=_to_time(facts["first_time"]),
            last_time=_to_time(facts["last_time"]),
            model_version=_optional(facts["model_version"]),
            recorded_at=datetime.fromisoformat(_text(facts["recorded_at"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"window record: {error!r}. Restore data/decisions with `dvc checkout`."
        ) from error


def _ref_to_json(ref: ObjectRef) -> dict[str, Json]:
    return {
        "uri": ref.uri,
        "version": ref.version,
        "size": ref.size,
        "modified_at": ref.modified_at.isoformat(),
    }


def _ref_from_json(data: Mapping[str, Json]) -> ObjectRef:
    return ObjectRef(
        uri=_text(data["uri"]),
        version=_text(data["version"]),
        size=_count(data["size"]),
        modified_at=datetime.fromisoformat(_text(data["modified_at"])),
    )


def _from_time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _to_time(value: Json) -> datetime | None:
    return None if value is None else datetime.fromisoformat(_text(value))


def _optional(value: Json) -> str | None:
    return None if value is None else _text(value)


def _stream(value: Json) -> Stream:
    if value not in ("incoming", "inference"):
        raise ValueError(f"stream: expected incoming or inference, got {value!r}")
    return value


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _count(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r}")
    return value
