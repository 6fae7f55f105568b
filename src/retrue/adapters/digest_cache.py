"""What media were hashed to: one SQLite file under `.retrue`, which may be deleted at any time.

It saves reading every image of a bucket again at every pass over a window. A version names the
bytes: nobody writes other bytes under a version id or an ETag.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from retrue.errors import WorkspaceError
from retrue.records import ObjectRef

__all__ = ["DigestCache"]

_TABLE = """CREATE TABLE IF NOT EXISTS digests (
    uri TEXT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (uri, version)
) WITHOUT ROWID"""
_WAIT = 30.0  # seconds for another process that writes


class DigestCache:
    """sha256 by (uri, version)."""

    def __init__(self, path: Path) -> None:
        """Use a file, which is made when the first digest is kept."""
        self._path = path

    def known(self, refs: Sequence[ObjectRef]) -> dict[ObjectRef, str]:
        """The digests of those that were hashed before."""
        if not self._path.exists():
            return {}
        found: dict[ObjectRef, str] = {}
        with self._open() as table:
            for ref in refs:
                row = table.execute(
                    "SELECT sha256 FROM digests WHERE uri = ? AND version = ?",
                    (ref.uri, ref.version),
                ).fetchone()
                if row is not None:
                    found[ref] = str(row[0])
        return found

    def keep(self, digests: Mapping[ObjectRef, str]) -> None:
        """Remember."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(ref.uri, ref.version, digest) for ref, digest in digests.items()]
        with self._open() as table, table:
            table.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT)) as connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"{self._path}: {error}. It only saves time: delete it and run the step again."
            ) from error
