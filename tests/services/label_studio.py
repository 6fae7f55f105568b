"""A real Label Studio for tests: empty data, a free loopback port, credentials of its own.

`python tests/services/label_studio.py` installs it (800 MB) and prints where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrue.stack.label_studio import ADMIN, LabelStudio
from retrue.stack.packages import install
from retrue.stack.postgresql import PostgreSQL
from retrue.stack.process import LOG
from services.packages import place, started

__all__ = ["LabelStudioServer", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudioServer:
    """One running server and the administrator's way in."""

    url: str
    token: str  # legacy token
    email: str
    password: str
    pid: int
    log: Path


@contextmanager
def running(folder: Path, database: PostgreSQL | None = None) -> Iterator[LabelStudioServer]:
    """Start a server on an empty `folder`; stop it, and nothing else, at the end.

    Args:
        folder: Its home.
        database: Runs, and has the database `DATABASE`; None: SQLite, one process less.
    """
    service = LabelStudio(site=place(LabelStudio, folder), postgresql=database)
    with started(service) as process:
        yield LabelStudioServer(
            url=service.url,
            token=service.token,
            email=ADMIN,
            password=service.password,
            pid=process.pid,
            log=folder / LOG,
        )


if __name__ == "__main__":
    print(install(LabelStudio.name, print))  # noqa: T201
