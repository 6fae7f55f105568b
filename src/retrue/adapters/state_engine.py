"""The way into the ledger's database: connections, its schema, and its errors as ours.

Everything that differs between SQLite and PostgreSQL is here.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Connection,
    Engine,
    Text,
    column,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.schema import Table

from retrue.adapters.foreign_words import in_short
from retrue.adapters.state_tables import REVISIONS, VERSION_TABLE
from retrue.errors import (
    ConfigError,
    RetrueError,
    ServiceUnavailable,
    TerminalError,
    WorkspaceError,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert

__all__ = [
    "check_schema",
    "connect",
    "insert",
    "migrate",
    "reading",
    "schema_revision",
    "truncate_log",
    "writing",
]

_BEGIN = "retrue_begin"  # our execution option: how a transaction starts on SQLite
_BUSY_MS = 30_000  # our transactions take milliseconds; this is for a slow disk, not for queueing
# How long a process may stop inside a transaction before PostgreSQL gives its locks to others: a
# paused or vanished machine would keep everybody waiting for hours. Ours never pause on purpose.
_IDLE_MS = 10_000
# A server whose machine vanished says nothing, and TCP would wait for hours: these notice within a
# minute. They are libpq's names; what a URL says itself goes first.
_PATIENCE = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 20,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
_MIGRATION_LOCK = 0x7E72_7565  # any number that nobody else uses in one PostgreSQL

# What databases say when a person must act. SQLite has no codes that reach us through SQLAlchemy,
# and psycopg has none when a connection fails, so their words are what we have.
_FULL = ("disk is full", "No space left on device")
_BROKEN = ("file is not a database", "malformed", "no such table", "no such column", 'relation "')
_REFUSED = (
    "unable to open database file",
    "readonly database",
    "disk I/O error",
    "authentication failed",
    "permission denied",
    "does not exist",
)


def connect(url: str) -> Engine:
    """An engine for a SQLite file (its folder is made) or a PostgreSQL database.

    Connections are not pooled: a step asks a few dozen times in hours, and what is not kept cannot
    be stale, shared after a fork or left open.

    Raises:
        ConfigError: The URL is of another kind, or PostgreSQL's driver is not installed.
    """
    expected = "ledger: expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        msg = f"{expected}, got something that is not a URL"  # it may hold a password
        raise ConfigError(msg) from error
    kind = parsed.drivername.partition("+")[0]
    if kind in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif kind != "sqlite" or parsed.database in (None, "", ":memory:"):
        msg = f"{expected}, got {parsed.render_as_string(hide_password=True)}"
        raise ConfigError(msg)
    patience = {} if kind == "sqlite" else _PATIENCE
    given = {name: value for name, value in patience.items() if name not in parsed.query}
    try:
        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=given)
    except ModuleNotFoundError as error:
        msg = f"ledger: PostgreSQL needs the Python package psycopg[binary] ({error})"
        raise ConfigError(msg) from error
    if kind == "sqlite":
        Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
        _set_up_sqlite(engine)
    else:
        event.listen(engine, "connect", _limit_waiting)
    return engine


def _limit_waiting(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    cursor.execute(f"SET lock_timeout = {_BUSY_MS}")
    cursor.close()
    connection.commit()  # a SET that is rolled back is forgotten


def _set_up_sqlite(engine: Engine) -> None:
    """Settings of each connection, and a BEGIN we choose: the driver's comes only at a write."""

    def settings(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")  # first: the others may wait
        _use_wal(connection)
        for pragma in (
            # FULL, not NORMAL: a power cut must not take back a token that was granted, and our
            # commits are too few for the one fsync each to be felt.
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is deleted is overwritten
        ):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        how: str = connection.get_execution_options().get(_BEGIN, "BEGIN")
        if how:
            connection.exec_driver_sql(how)

    event.listen(engine, "connect", settings)
    event.listen(engine, "begin", begin)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Write-ahead log: readers (`status`) do not wait for a writer.

    Only the first connection ever changes the mode, and SQLite answers that with "locked" at once,
    whatever the busy timeout, while another process has the new file open.
    """
    patience = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """A transaction that sees one state of the database.

    Raises:
        RetrueError: What the database said, as one of ours.
    """
    with _translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """A transaction that is written whole or not at all; on SQLite one at a time.

    Raises:
        RetrueError: What the database said, as one of ours.
    """
    # IMMEDIATE: a transaction that begins by reading cannot wait for the write lock later on.
    with reading(engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})) as connection:
        yield connection


def truncate_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, so that deleted rows are not left in it."""
    if engine.dialect.name == "sqlite":
        with reading(engine.execution_options(**{_BEGIN: ""})) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def insert(connection: Connection, into: Table) -> sqlite.Insert | PostgresInsert:
    """An INSERT that knows ON CONFLICT, which is the same in both databases."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # a tenth of a second that SQLite need not pay

        return postgresql.insert(into)
    return sqlite.insert(into)


def schema_revision(engine: Engine) -> str | None:
    """The schema's revision; None: there are no tables of ours yet."""
    with reading(engine) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num", Text)).select_from(table(VERSION_TABLE)))


def check_schema(revision: str, revisions: Sequence[str] = REVISIONS) -> None:
    """Refuse a schema that this version of retrue does not write.

    Raises:
        WorkspaceError: The schema is older or newer; the message says what to run.

    >>> check_schema("0001", ["0001"])
    """
    expected = f"ledger: expected schema {revisions[-1]}, got {revision}"
    if revision not in revisions:
        msg = f"{expected}, which is newer; upgrade retrue"
        raise WorkspaceError(msg)
    if revision != revisions[-1]:
        msg = f"{expected}, which is older; run `retrue ledger upgrade`"
        raise WorkspaceError(msg)


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, whole or not at all, one process at a time."""
    # Imported here: Alembic costs more time than `retrue status` has, and is hardly ever needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "retrue.adapters:migrations")
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _translated(engine: Engine) -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise _our_error(error, where) from error


def _our_error(error: DBAPIError, where: str) -> RetrueError:
    words = " ".join(str(error.orig).split())
    said = _first_useful(str(error.orig))
    if any(sign in words for sign in _FULL):
        return TerminalError(
            f"ledger {where}: expected free space on its disk, got: {said}; make room and run again"
        )
    if any(sign in words for sign in _BROKEN):
        return WorkspaceError(
            f"ledger {where}: expected a database of retrue, got: {said}; move it away and run "
            "`retrue ledger rebuild`"
        )
    if any(sign in words for sign in _REFUSED):
        return WorkspaceError(
            f"ledger {where}: expected a database we may write, got: {said}; check its name, its "
            "permissions and your credentials"
        )
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return ServiceUnavailable(
            f"ledger {where}: expected an answer, got: {said}; {_if_away(where)}run again"
        )
    return TerminalError(f"ledger {where}: the database refused a write: {said}")


def _first_useful(said: str) -> str:
    """One line: psycopg has a heading above the reasons of several attempts, and a hint below."""
    lines = said.splitlines()
    reasons = [line for line in lines if " failed: " in line]
    return in_short(reasons[-1].rpartition(" failed: ")[2] if reasons else said)


def _if_away(where: str) -> str:
    if where.startswith("sqlite"):
        return ""
    return "check store.ledger and the network (this machine's stack: `retrue stack up`), then "
