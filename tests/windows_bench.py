"""A small world of raw data in memory, for the tests that read windows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from retrue.adapters.store_memory import MemoryStore
from retrue.config import Config
from retrue.records import ObjectRef

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def jsonl(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def config(stream: str = "incoming", *, kind: str = "table", **more: Any) -> Config:
    """A configuration with one stream at mem://raw; `data__x` sets data.x, the rest the source."""
    data = {key.removeprefix("data__"): more.pop(key) for key in list(more) if "data__" in key}
    source = {"uri": "mem://raw", **more}
    return Config.model_validate(
        {"project": "demo", "data": {"kind": kind, stream: source, **data}}
    )


class World:
    """A store whose clock moves by a minute with every object."""

    def __init__(self) -> None:
        self.store = MemoryStore(["mem://raw"])
        self.now = NOON

    def put(self, name: str, data: bytes, *, hours_ago: float = 0) -> ObjectRef:
        self.now += timedelta(minutes=1)
        at = self.now - timedelta(hours=hours_ago)
        return self.store.put(f"mem://raw/{name}", data, modified_at=at)
