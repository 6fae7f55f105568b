"""The ledger in SQL: one SQLite file for one machine, PostgreSQL for a team."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Table,
    bindparam,
    delete,
    select,
    true,
    update,
)

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
from retrue.adapters.state_leases import FREE, check, grant
from retrue.adapters.state_tables import (
    CENTER,
    CURSOR,
    LEASE,
    METADATA,
    MOVED,
    QUARANTINE,
    REVISIONS,
    TASK,
    VALUE,
    WINDOW,
)
from retrue.core.profile import Profile, from_json, to_json
from retrue.errors import WorkspaceError
from retrue.ports import Cursor, Lease
from retrue.records import Json, ObjectRef, Quarantined, Stream, Task, Window

__all__ = ["SqlWorkingState", "open_ledger", "upgrade"]

_KEYS_PER_QUERY = 1000  # databases limit the parameters of one statement


def open_ledger(url: str, *, workspace: str) -> SqlWorkingState:
    """The ledger behind a URL; an empty database gets its tables.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.
        workspace: Whose rows these are; several workspaces may share a database.

    Raises:
        ConfigError: The URL is of another kind, or its driver is not installed.
        WorkspaceError: Not a database of retrue, its schema is older or newer than ours, or the
            workspace's ledger was moved elsewhere.
        ServiceUnavailable: The database does not answer.
    """
    engine = connect(url)
    revision = schema_revision(engine)
    if revision is None:
        migrate(engine)
    else:
        check_schema(revision)
        with reading(engine) as connection:
            _refuse_moved(connection, engine, workspace)
    return SqlWorkingState(engine, workspace)


def upgrade(url: str) -> list[str]:
    """Bring an older ledger's schema up to date.

    Returns:
        The revisions that were applied, oldest first; none if there was nothing to do.

    Raises:
        WorkspaceError: The schema is newer than this version of retrue.
    """
    engine = connect(url)
    revision = schema_revision(engine)
    pending = _after(revision)
    if pending:
        migrate(engine)
    elif revision is not None:
        check_schema(revision)
    return pending


class SqlWorkingState:
    """The `WorkingState` port in SQL; see `open_ledger`."""

    def __init__(self, engine: Engine, workspace: str) -> None:
        self._engine = engine
        self._workspace = workspace

    def cursor(self, stream: Stream) -> Cursor:
        """How far a stream was read."""
        row = self._row(CURSOR, CURSOR.c.stream == stream)
        if row is None:
            return Cursor(position=None, seen=frozenset())
        seen = frozenset((uri, version) for uri, version in row["seen"])
        return Cursor(position=row["position"], seen=seen)

    def add_window(
        self,
        window: Window,
        profile: Profile,
        quarantined: Sequence[Quarantined],
        cursor: Cursor,
        lease: Lease,
    ) -> None:
        """Window, profile, quarantine and cursor in one transaction.

        A window that is already there stays as it is; the cursor is moved all the same.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        with self._writing(lease) as connection:
            if not self._has_window(connection, window.window_id):
                row = _window_row(window) | {"profile": to_json(profile)}
                self._add(connection, WINDOW, [row])
                facts = [
                    {"window_id": window.window_id, "number": number, "fact": asdict(item)}
                    for number, item in enumerate(quarantined)
                ]
                self._add(connection, QUARANTINE, facts)
            where = {"stream": window.stream, "position": cursor.position}
            self._put(connection, CURSOR, where | {"seen": sorted(cursor.seen)})

    def windows(self, stream: Stream | None = None) -> list[Window]:
        """By time of recording."""
        columns = [c for c in WINDOW.c if c.name not in ("workspace", "profile")]
        query = select(*columns).where(WINDOW.c.workspace == self._workspace)
        if stream is not None:
            query = query.where(WINDOW.c.stream == stream)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(WINDOW.c.recorded_at, WINDOW.c.window_id))
            return [_window(row) for row in rows.mappings()]

    def profile(self, window_id: str) -> Profile:
        """The profile recorded with a window.

        Raises:
            WorkspaceError: There is no such window.
        """
        row = self._row(WINDOW, WINDOW.c.window_id == window_id)
        if row is None:
            msg = f"window {window_id}: expected it in the ledger; run `retrue ledger rebuild`"
            raise WorkspaceError(msg)
        return from_json(row["profile"])

    def quarantined(self, window_id: str | None = None) -> list[Quarantined]:
        """What did not fit, in one window or ever; by window and in the order it was given."""
        query = select(QUARANTINE.c.fact).where(QUARANTINE.c.workspace == self._workspace)
        if window_id is not None:
            query = query.where(QUARANTINE.c.window_id == window_id)
        with reading(self._engine) as connection:
            order = (QUARANTINE.c.window_id, QUARANTINE.c.number)
            facts = connection.scalars(query.order_by(*order))
            return [Quarantined(**fact) for fact in facts]

    def centers(self) -> dict[str, float]:
        """Bin centres of numeric columns, frozen at the first window (see `core.profile`)."""
        query = select(CENTER.c.column, CENTER.c.center)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(CENTER.c.workspace == self._workspace))
            return dict(rows.tuples().all())

    def freeze_centers(self, centers: Mapping[str, float]) -> dict[str, float]:
        """Keep centres of columns that have none; returns all."""
        with self._changing() as connection:
            rows = [{"column": name, "center": center} for name, center in centers.items()]
            self._add(connection, CENTER, rows)
        return self.centers()

    def set_value(self, key: str, value: Json, lease: Lease) -> None:
        """A small named value; checked against the lease.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        with self._writing(lease) as connection:
            self._put(connection, VALUE, {"key": key, "value": value})

    def value(self, key: str) -> Json:
        """A named value; None if it was never set."""
        row = self._row(VALUE, VALUE.c.key == key)
        return None if row is None else row["value"]

    def add_tasks(self, tasks: Sequence[Task], lease: Lease) -> None:
        """Index tasks that are in the queue; known keys are left alone.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        rows = [
            {
                "task_key": task.task_key,
                "round_id": task.round_id,
                "sample_id": task.sample_id,
                "finished": False,
            }
            for task in tasks
        ]
        with self._writing(lease) as connection:
            self._add(connection, TASK, rows)

    def rounds_of_tasks(self, task_keys: Iterable[str]) -> dict[str, str]:
        """Map task key to round id, for the keys that are known."""
        keys = list(task_keys)
        query = select(TASK.c.task_key, TASK.c.round_id).where(TASK.c.workspace == self._workspace)
        found: dict[str, str] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                rows = connection.execute(query.where(TASK.c.task_key.in_(some)))
                found |= dict(rows.tuples().all())
        return found

    def finish_tasks(self, task_keys: Iterable[str], lease: Lease) -> None:
        """Mark tasks as no longer in flight; unknown keys are ignored.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        keys = [{"key": key} for key in task_keys]
        ours = (TASK.c.workspace == self._workspace) & (TASK.c.task_key == bindparam("key"))
        with self._writing(lease) as connection:
            if keys:
                connection.execute(update(TASK).where(ours).values(finished=True), keys)

    def samples_in_flight(self) -> set[str]:
        """Samples with a task that is not finished."""
        waiting = (TASK.c.workspace == self._workspace) & TASK.c.finished.is_(False)
        with reading(self._engine) as connection:
            return set(connection.scalars(select(TASK.c.sample_id).where(waiting)))

    @contextmanager
    def lease(self, name: str, *, holder: str, ttl: timedelta, now: datetime) -> Generator[Lease]:
        """Hold a lease for a block and give it back after; a repeated holder is granted anew.

        Raises:
            LeaseHeld: Somebody else holds it; the message says who and until when.
        """
        with self._changing() as connection:
            unheld = {"name": name, "holder": FREE, "token": 0, "expires_at": now}
            self._add(connection, LEASE, [unheld])  # two first askers then wait for one row
            newest = self._newest(connection, name)
            lease = grant(newest, name=name, holder=holder, ttl=ttl, now=now)
            self._put(connection, LEASE, asdict(lease))
        try:
            yield lease
        finally:
            ours = (LEASE.c.workspace == self._workspace) & (LEASE.c.name == name)
            with writing(self._engine) as connection:
                still = ours & (LEASE.c.token == lease.token)
                connection.execute(update(LEASE).where(still).values(holder=FREE))

    def check_lease(self, lease: Lease) -> None:
        """Raises LeaseLost if a newer token was granted."""
        with reading(self._engine) as connection:
            check(lease, self._newest(connection, lease.name))

    def clear(self) -> None:
        """Forget everything but leases, before a rebuild."""
        with self._changing() as connection:
            for table in reversed(METADATA.sorted_tables):
                if table is not LEASE:
                    ours = table.c.workspace == self._workspace
                    kept = table.c.key != MOVED if table is VALUE else true()
                    connection.execute(delete(table).where(ours & kept))
        truncate_log(self._engine)

    def pending_migrations(self) -> list[str]:
        """Migrations this database still needs."""
        return _after(schema_revision(self._engine))

    @contextmanager
    def _writing(self, lease: Lease) -> Generator[Connection]:
        """A transaction in which the lease is, and until its end stays, the newest."""
        with writing(self._engine) as connection:
            check(lease, self._newest(connection, lease.name))
            _refuse_moved(connection, self._engine, self._workspace)
            yield connection

    @contextmanager
    def _changing(self) -> Generator[Connection]:
        """A transaction without a lease, in a ledger that is still in use."""
        with writing(self._engine) as connection:
            yield connection
            # Last: on PostgreSQL a copy that is under way holds the first statement up.
            _refuse_moved(connection, self._engine, self._workspace)

    def _newest(self, connection: Connection, name: str) -> Lease | None:
        query = select(LEASE.c.name, LEASE.c.holder, LEASE.c.token, LEASE.c.expires_at)
        ours = (LEASE.c.workspace == self._workspace) & (LEASE.c.name == name)
        # FOR UPDATE: nobody is granted the lease before this transaction ends (PostgreSQL; on
        # SQLite the transaction itself keeps every other writer out).
        row = connection.execute(query.where(ours).with_for_update()).mappings().first()
        return Lease(**row) if row else None

    def _has_window(self, connection: Connection, window_id: str) -> bool:
        ours = (WINDOW.c.workspace == self._workspace) & (WINDOW.c.window_id == window_id)
        return connection.scalar(select(WINDOW.c.window_id).where(ours)) is not None

    def _row(self, table: Table, where: ColumnElement[bool]) -> RowMapping | None:
        query = select(table).where(table.c.workspace == self._workspace, where)
        with reading(self._engine) as connection:
            return connection.execute(query).mappings().first()

    def _add(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; those whose key is there stay as they are."""
        if rows:
            full = [{"workspace": self._workspace, **row} for row in rows]
            connection.execute(insert(connection, table).on_conflict_do_nothing(), full)

    def _put(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Insert a row or replace the one with its key."""
        keys = [c.name for c in table.primary_key]
        statement = insert(connection, table).values(workspace=self._workspace, **row)
        news = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=news))


def _refuse_moved(connection: Connection, engine: Engine, workspace: str) -> None:
    mark = (VALUE.c.workspace == workspace) & (VALUE.c.key == MOVED)
    moved = connection.scalar(select(VALUE.c.value).where(mark))
    if moved is not None:
        where = engine.url.render_as_string(hide_password=True)
        raise WorkspaceError(
            f"ledger {where}: it was moved to {moved['to']} at {moved['at']}; nothing was written. "
            "Name the new place in `store.ledger` of configs/project.yaml, or move it back with "
            "`retrue ledger copy --replace`."
        )


def _after(revision: str | None) -> list[str]:
    """Our revisions that come after one; none if it is not one of ours."""
    if revision is None:
        return list(REVISIONS)
    return list(REVISIONS[REVISIONS.index(revision) + 1 :]) if revision in REVISIONS else []


def _window_row(window: Window) -> dict[str, Any]:
    row = {field.name: getattr(window, field.name) for field in fields(Window)}
    objects = [asdict(o) | {"modified_at": o.modified_at.isoformat()} for o in window.objects]
    return row | {"objects": objects}


def _window(row: RowMapping) -> Window:
    facts: dict[str, Any] = dict(row)
    facts["objects"] = tuple(
        ObjectRef(**o | {"modified_at": datetime.fromisoformat(o["modified_at"])})
        for o in row["objects"]
    )
    return Window(**facts)
