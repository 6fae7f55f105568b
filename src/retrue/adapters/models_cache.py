"""What the registry last said, kept beside its database, so that `retrue status` is quick.

MLflow takes seconds to import. The list of versions is kept with a stamp of the database file; any
write to the database, also by MLflow's own pages, changes the stamp and makes the list stale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from retrue.adapters.whole_files import replace_file
from retrue.records import ModelVersion

__all__ = ["database_file", "database_stamp", "read_cache", "write_cache"]

_CHANGE_COUNTER = slice(24, 28)  # of a SQLite file's header: rises with every transaction
_VERSIONS = TypeAdapter(list[ModelVersion])


class _Cache(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stamp: str
    model: str
    versions: list[ModelVersion]


def database_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite address; None for a server.

    >>> database_file("sqlite:////srv/mlflow.db"), database_file("http://host:5000")
    (PosixPath('/srv/mlflow.db'), None)
    """
    start = "sqlite:///"
    return Path(tracking_uri.removeprefix(start)) if tracking_uri.startswith(start) else None


def database_stamp(path: Path) -> str | None:
    """Changes with every transaction on the database; None: there is no database yet."""
    marks: list[str] = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            facts = file.stat()
            with file.open("rb") as opened:
                counter = opened.read(_CHANGE_COUNTER.stop)[_CHANGE_COUNTER].hex()
        except FileNotFoundError:
            marks.append("")
        else:
            marks.append(f"{facts.st_ino}.{facts.st_size}.{facts.st_mtime_ns}.{counter}")
    return "/".join(marks) if marks[0] else None


def read_cache(path: Path, *, stamp: str, model: str) -> list[ModelVersion] | None:
    """The kept versions; None if there are none or the database has changed since."""
    try:
        cache = _Cache.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # a cache: whatever is wrong with it, the registry is asked
    return cache.versions if (cache.stamp, cache.model) == (stamp, model) else None


def write_cache(path: Path, versions: Sequence[ModelVersion], *, stamp: str, model: str) -> None:
    """Keep what the registry said when the database had this stamp."""
    plain = json.loads(_VERSIONS.dump_json(list(versions)))
    text = json.dumps({"stamp": stamp, "model": model, "versions": plain}, indent=2)
    replace_file(path, lambda file: file.write(text.encode()))
