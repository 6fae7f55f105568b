"""Moving one workspace's ledger into another database, whole, once, and with nobody left behind.

Rows are written to the target in one transaction, counted there, and committed before the source is
marked: a cut in between leaves the source in charge, and the copy is made again. From the mark on
the source refuses every write and every opening, and says where the ledger went.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, select, text

from retrue.adapters.state_engine import (
    check_schema,
    connect,
    insert,
    migrate,
    reading,
    schema_revision,
    truncate_log,
    writing,
)
from retrue.adapters.state_leases import FREE
from retrue.adapters.state_tables import CENTER, LEASE, METADATA, MOVED, VALUE
from retrue.errors import LeaseHeld, TerminalError, WorkspaceError

__all__ = ["CopyReport", "copy_ledger"]

_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What was copied, or would be."""

    source: str  # without its password
    target: str  # without its password
    rows: dict[str, int]  # of this workspace, by table
    replaced: int  # rows of this workspace that the target held before


def copy_ledger(
    source: str,
    target: str,
    *,
    workspace: str,
    now: datetime,
    replace: bool = False,
    dry_run: bool = False,
    told: Callable[[int], object] = int,
) -> CopyReport:
    """Copy a workspace's rows from one ledger to another, and close the first one.

    Args:
        source: URL of the ledger in use.
        target: URL of the one to use from now on; its tables are made if it has none.
        workspace: Whose rows.
        now: Written into the source, and compared with its leases.
        replace: The target's rows of this workspace, if it has any, are deleted first.
        dry_run: Count, and change nothing.
        told: Called with the number of rows copied so far; by default nobody listens.

    Raises:
        WorkspaceError: Source and target are one, the target holds this workspace already, or a
            schema is not today's.
        LeaseHeld: A step is running on the source.
        ServiceUnavailable: A database does not answer.
    """
    old, new = connect(source), connect(target)
    names = tuple(engine.url.render_as_string(hide_password=True) for engine in (old, new))
    if _place(old) == _place(new):
        raise WorkspaceError(f"ledger copy: expected another database than {names[0]}")
    if not _has_tables(old):
        raise WorkspaceError(f"ledger {names[0]}: expected one to copy, found no tables there")
    there = _has_tables(new)
    if dry_run:
        held = _look(new, workspace) if there else {}
        report = CopyReport(
            source=names[0], target=names[1], rows=_look(old, workspace), replaced=_total(held)
        )
        _refuse_held(report, replace=replace)
        return report
    if not there:
        migrate(new)
    with writing(old) as giving:
        _stop_writers(giving, workspace, now)
        with writing(new) as taking:
            report = CopyReport(
                source=names[0],
                target=names[1],
                rows=_count(giving, workspace),
                replaced=_total(_count(taking, workspace)),
            )
            _refuse_held(report, replace=replace)
            _copy(giving, taking, workspace, told)
            _compare(report, _count(taking, workspace))
        mark = {"to": names[1], "at": now.isoformat()}
        giving.execute(VALUE.insert().values(workspace=workspace, key=MOVED, value=mark))
    truncate_log(new)
    return report


def _has_tables(engine: Engine) -> bool:
    """Whether there is a ledger; one of another version of retrue is refused."""
    revision = schema_revision(engine)
    if revision is not None:
        check_schema(revision)
    return revision is not None


def _place(engine: Engine) -> tuple[object, ...]:
    url = engine.url
    return url.get_backend_name(), url.host, url.port, url.database, url.query.get("options")


def _look(engine: Engine, workspace: str) -> dict[str, int]:
    with reading(engine) as connection:
        return _count(connection, workspace)


def _count(connection: Connection, workspace: str) -> dict[str, int]:
    """Rows by table; leases are no content: a ledger that was left keeps them."""
    found: dict[str, int] = {}
    for table in METADATA.sorted_tables:
        if table is not LEASE:
            query = select(func.count()).select_from(table).where(table.c.workspace == workspace)
            if table is VALUE:
                query = query.where(VALUE.c.key != MOVED)
            found[table.name] = connection.scalar(query) or 0
    return found


def _total(rows: dict[str, int]) -> int:
    return sum(rows.values())


def _refuse_held(report: CopyReport, *, replace: bool) -> None:
    if report.replaced and not replace:
        raise WorkspaceError(
            f"ledger {report.target}: expected nothing of this workspace there, found "
            f"{report.replaced:,} rows. To put this ledger in their place, add --replace."
        )


def _stop_writers(connection: Connection, workspace: str, now: datetime) -> None:
    """Let nobody write until this transaction ends, and refuse to pull a ledger from under a step.

    SQLite's transaction keeps every other writer out. On PostgreSQL every write locks its lease's
    row, or adds centres: both wait for these locks.
    """
    if connection.dialect.name == "postgresql":
        tables = f"{LEASE.name}, {CENTER.name}"
        connection.execute(text(f"LOCK TABLE {tables} IN EXCLUSIVE MODE"))
    leases = connection.execute(select(LEASE).where(LEASE.c.workspace == workspace)).mappings()
    for lease in leases:
        if lease["holder"] != FREE and lease["expires_at"] > now:
            raise LeaseHeld(
                f"lease {lease['name']}: expected no step to run, held by {lease['holder']} until "
                f"{lease['expires_at']:%Y-%m-%d %H:%M:%S %Z}; copy the ledger when it has ended"
            )
    moved = (VALUE.c.workspace == workspace) & (VALUE.c.key == MOVED)
    if (known := connection.scalar(select(VALUE.c.value).where(moved))) is not None:
        raise WorkspaceError(f"ledger: it was moved to {known['to']} already; copy that one")


def _copy(
    giving: Connection, taking: Connection, workspace: str, told: Callable[[int], object]
) -> None:
    for table in reversed(METADATA.sorted_tables):
        if table is not LEASE:
            taking.execute(delete(table).where(table.c.workspace == workspace))
    done = 0
    for table in METADATA.sorted_tables:
        if table is LEASE:
            continue
        with closing(_rows(giving, table, workspace)) as parts:
            for rows in parts:
                taking.execute(table.insert(), rows)
                done += len(rows)
                told(done)
    for rows in _rows(giving, LEASE, workspace):
        _continue_tokens(taking, rows)


def _rows(
    connection: Connection, table: Table, workspace: str
) -> Generator[Sequence[dict[str, Any]]]:
    query = select(table).where(table.c.workspace == workspace)
    streamed = query.execution_options(yield_per=_ROWS_AT_ONCE)
    with closing(connection.execute(streamed)) as found:
        for some in found.mappings().partitions():
            yield [dict(row) for row in some]


def _continue_tokens(taking: Connection, leases: Sequence[dict[str, Any]]) -> None:
    """Every lease is free, with a token above any that either ledger ever granted."""
    for lease in leases:
        mine = (LEASE.c.workspace == lease["workspace"]) & (LEASE.c.name == lease["name"])
        known = taking.scalar(select(LEASE.c.token).where(mine)) or 0
        row = lease | {"holder": FREE, "token": max(known, lease["token"]) + 1}
        statement = insert(taking, LEASE).values(**row)
        keys = [column.name for column in LEASE.primary_key]
        taking.execute(statement.on_conflict_do_update(index_elements=keys, set_=row))


def _compare(report: CopyReport, there: dict[str, int]) -> None:
    for table, rows in report.rows.items():
        if there[table] != rows:
            raise TerminalError(
                f"ledger {report.target}: expected {rows:,} rows in {table}, found "
                f"{there[table]:,}; nothing was changed in either ledger"
            )
