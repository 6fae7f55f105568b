"""Which key names samples: fixed by the first ingest, for a sample must never stand under two ids.

Kept as a decision of kind `identity` for each stream, so that a clone, and a ledger that was
rebuilt, know it too.
"""

from __future__ import annotations

from datetime import datetime

from retrue.config import Config
from retrue.errors import ConfigError
from retrue.ports import RoundRecord
from retrue.records import Stream
from retrue.workspace import Workspace

__all__ = ["fix_identity", "other_identities", "refuse_other_identity"]

_KIND = "identity"
_STREAMS: tuple[Stream, ...] = ("incoming", "inference")


def fix_identity(workspace: Workspace, stream: Stream, *, now: datetime) -> None:
    """Put on record what names a stream's samples; what is on record stays."""
    source = workspace.config.data.stream(stream)
    key = None if source is None else source.key
    workspace.decide(_KIND, stream, now=now, data={"stream": stream, "key": key})


def other_identities(config: Config, records: RoundRecord) -> list[str]:
    """What is wrong with the configured keys, and what to do; nothing where none has changed."""
    fixed = {made.data["stream"]: made.data["key"] for made in records.decisions(_KIND)}
    wrong: list[str] = []
    for stream in _STREAMS:
        source = config.data.stream(stream)
        if source is None or stream not in fixed or source.key == fixed[stream]:
            continue
        wrong.append(
            f"data.{stream}.key: expected {_named(fixed[stream])}, by which the samples on record "
            f"are known, got {_named(source.key)}: every sample would come again under another id. "
            "Put the earlier key back; for a new identity make a new workspace "
            "(`retrue init DIR`)."
        )
    return wrong


def refuse_other_identity(workspace: Workspace) -> None:
    """Go no further where samples would get other ids than before.

    Raises:
        ConfigError: A stream's key is not the one on record.
    """
    wrong = other_identities(workspace.config, workspace.records)
    if wrong:
        raise ConfigError("\n".join(wrong))


def _named(key: object) -> str:
    return "no key (a hash of the content)" if key is None else repr(key)
