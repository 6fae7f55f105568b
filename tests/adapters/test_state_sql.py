"""What only a database can get wrong: processes, kills, schemas, damaged files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DataError, OperationalError

from retrue.adapters import state_engine
from retrue.adapters.state_engine import check_schema, connect, reading, writing
from retrue.adapters.state_sql import SqlWorkingState, open_ledger, upgrade
from retrue.adapters.state_tables import METADATA, REVISIONS, VERSION_TABLE
from retrue.core.profile import profile_categories
from retrue.errors import (
    ConfigError,
    LeaseHeld,
    LeaseLost,
    RetrueError,
    ServiceUnavailable,
    TerminalError,
    WorkspaceError,
)
from retrue.ports import Cursor, Lease
from retrue.records import Quarantined, Window

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=5)
SECRET = "a-name-to-be-forgotten"  # noqa: S105 - a word to look for in the file's bytes
WINDOW = Window(
    window_id="w1",
    stream="incoming",
    objects=(),
    rows=3,
    eligible=3,
    duplicates=0,
    quarantined=2,
    first_time=None,
    last_time=None,
    model_version=None,
    recorded_at=NOON,
)
BAD = [Quarantined(uri="s3://b/a", version="1", row=i, reason=SECRET) for i in range(2)]
# Real processes, forked from a clean one that has imported what takes long.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "alembic.autogenerate", "retrue.adapters.state_sql"])


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database."""
    names = {"sqlite": "sqlite_url", "postgresql": "postgres_schema"}
    return request.getfixturevalue(names[request.param])


def add_window(state: SqlWorkingState, lease: Lease) -> None:
    profile = {"name": profile_categories({SECRET: 3})}
    cursor = Cursor(position=NOON, seen=frozenset({("s3://b/a", "1")}))
    state.add_window(WINDOW, profile, BAD, cursor, lease)


# --- other processes -------------------------------------------------------------------------


def take_turns(url: str, folder: str, holder: str, start: object, tokens: object) -> None:
    """Take the lease ten times; inside it, a file that must not be there is made and removed."""
    inside = Path(folder) / "inside"
    start.wait()
    state = open_ledger(url, workspace="defects")
    turns = 0
    while turns < 10:
        try:
            with state.lease("write", holder=holder, ttl=TTL, now=NOON) as lease:
                inside.touch(exist_ok=False)
                state.set_value("turns", (state.value("turns") or 0) + 1, lease)
                inside.unlink()
            tokens.put(lease.token)
            turns += 1
        except LeaseHeld:
            continue


def test_two_processes_racing_from_an_empty_database_never_hold_the_lease_together(
    url: str, tmp_path: Path
):
    start, tokens = PROCESSES.Barrier(2), PROCESSES.Queue()
    racers = [
        PROCESSES.Process(target=take_turns, args=(url, str(tmp_path), f"host:{i}", start, tokens))
        for i in range(2)
    ]

    for racer in racers:
        racer.start()
    granted = [tokens.get(timeout=60) for _ in range(20)]
    for racer in racers:
        racer.join()

    assert [racer.exitcode for racer in racers] == [0, 0]
    assert len(set(granted)) == 20
    assert open_ledger(url, workspace="defects").value("turns") == 20


def die_at(statement: int, url: str) -> None:
    """Open the ledger and add a window; SIGKILL before the given statement after the lease."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    state = open_ledger(url, workspace="defects")
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        event.listen(Engine, "before_cursor_execute", count)
        event.listen(Engine, "commit", count)
        add_window(state, lease)
        count()


def test_a_kill_anywhere_in_adding_a_window_leaves_all_of_it_or_nothing(url: str):
    outcomes: list[tuple[int, int, bool]] = []
    for statement in range(1, 20):
        open_ledger(url, workspace="defects").clear()

        dying = PROCESSES.Process(target=die_at, args=(statement, url))
        dying.start()
        dying.join()

        state = open_ledger(url, workspace="defects")
        read = state.cursor("incoming").position is not None
        outcomes.append((len(state.windows()), len(state.quarantined()), read))
        if dying.exitcode != -signal.SIGKILL or read:
            break

    assert dying.exitcode == -signal.SIGKILL  # the last kill came after the commit
    assert len(outcomes) >= 5
    assert set(outcomes[:-1]) == {(0, 0, False)}
    assert outcomes[-1] == (1, 2, True)


def write_late(url: str, parent: object) -> None:
    """Take the lease, say so, and write only when told to; say how that ended."""
    state = open_ledger(url, workspace="defects")
    try:
        with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
            parent.send("held")
            parent.recv()
            state.set_value("winner", "late", lease)
    except LeaseLost as lost:
        parent.send(str(lost))
    else:
        parent.send("written")


def test_a_paused_holders_late_write_is_refused_after_another_took_over(url: str):
    ours, theirs = PROCESSES.Pipe()
    paused = PROCESSES.Process(target=write_late, args=(url, theirs))
    paused.start()
    assert answer(ours) == "held"
    os.kill(paused.pid, signal.SIGSTOP)
    state = open_ledger(url, workspace="defects")

    with pytest.raises(LeaseHeld, match="host:1"):
        take_over(state, now=NOON + TTL / 2)
    with state.lease("write", holder="host:2", ttl=TTL, now=NOON + TTL) as lease:
        ours.send("write")
        os.kill(paused.pid, signal.SIGCONT)
        said = answer(ours)
        paused.join()
        state.set_value("winner", "host:2", lease)  # its giving back did not take our lease

    assert "expected host:1 with token 1, the holder is now host:2" in said
    assert state.value("winner") == "host:2"


def stop_while_writing(url: str, parent: object) -> None:
    """Stop this process inside its transaction, after the lease was checked."""

    def stop(_: Connection, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT INTO retrue_value"):
            parent.send("stopping")
            os.kill(os.getpid(), signal.SIGSTOP)

    state_engine._IDLE_MS = 500  # ten seconds are for real machines
    state = open_ledger(url, workspace="defects")
    event.listen(Engine, "before_cursor_execute", stop)
    try:
        with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
            state.set_value("winner", "late", lease)
    except ServiceUnavailable as error:
        parent.send(str(error))
    else:
        parent.send("written")


def test_a_holder_paused_inside_its_write_does_not_keep_others_waiting_for_ever(
    postgres_schema: str,
):
    ours, theirs = PROCESSES.Pipe()
    paused = PROCESSES.Process(target=stop_while_writing, args=(postgres_schema, theirs))
    paused.start()
    assert answer(ours) == "stopping"
    state = open_ledger(postgres_schema, workspace="defects")

    token = take_over(state, now=NOON + TTL)
    os.kill(paused.pid, signal.SIGCONT)
    said = answer(ours)
    paused.join()

    assert token == 2
    assert "run again" in said
    assert state.value("winner") is None


def test_a_lock_that_nobody_gives_back_is_not_waited_for_for_ever(
    postgres_schema: str, monkeypatch: pytest.MonkeyPatch
):
    state = open_ledger(postgres_schema, workspace="defects")
    monkeypatch.setattr(state_engine, "_BUSY_MS", 300)

    with connect(postgres_schema).begin() as somebody:
        somebody.exec_driver_sql("LOCK TABLE retrue_lease IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ServiceUnavailable, match=r"lock timeout.*run again"):
            take_over(state, now=NOON)

    assert take_over(state, now=NOON) == 1


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("psycopg")
    monkeypatch.setitem(state_engine._PATIENCE, "connect_timeout", 1)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/ledger"
        with pytest.raises(ServiceUnavailable, match="timeout"):
            open_ledger(url, workspace="defects")


def answer(end: object) -> str:
    assert end.poll(60), "the other process said nothing"
    return end.recv()


def take_over(state: SqlWorkingState, *, now: datetime) -> int:
    with state.lease("write", holder="host:2", ttl=TTL, now=now) as lease:
        return lease.token


def test_after_a_kill_the_same_run_repeated_finishes_the_work(url: str):
    dying = PROCESSES.Process(target=die_at, args=(3, url))
    dying.start()
    dying.join()
    state = open_ledger(url, workspace="defects")

    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        add_window(state, lease)

    assert lease.token == 2
    assert state.windows() == [WINDOW]


def test_workspaces_in_one_database_do_not_see_each_other(url: str):
    ours, theirs = (open_ledger(url, workspace=name) for name in ("defects", "birds"))

    with (
        ours.lease("write", holder="host:1", ttl=TTL, now=NOON) as our_lease,
        theirs.lease("write", holder="host:2", ttl=TTL, now=NOON) as their_lease,
    ):
        add_window(ours, our_lease)
        add_window(theirs, their_lease)
        ours.freeze_centers({"size": 1.0})
        ours.set_value("key", 1, our_lease)
        ours.clear()

    assert (ours.windows(), theirs.windows()) == ([], [WINDOW])
    assert theirs.quarantined("w1") == BAD
    assert (theirs.centers(), theirs.value("key")) == ({}, None)


# --- schema ----------------------------------------------------------------------------------


def test_the_migrations_give_exactly_the_tables_we_declare(url: str):
    open_ledger(url, workspace="defects")

    with connect(url).connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_every_table_carries_the_workspace_first():
    first = {table.name: table.primary_key.columns.keys()[0] for table in METADATA.sorted_tables}

    assert set(first.values()) == {"workspace"}


def test_the_revisions_known_without_alembic_are_those_of_the_migration_files():
    config = Config()
    config.set_main_option("script_location", "retrue.adapters:migrations")

    files = ScriptDirectory.from_config(config).walk_revisions()

    assert tuple(reversed([file.revision for file in files])) == REVISIONS


def test_upgrading_an_empty_database_applies_every_revision_once(url: str):
    assert upgrade(url) == list(REVISIONS)
    assert upgrade(url) == []
    assert open_ledger(url, workspace="defects").pending_migrations() == []


def test_a_migration_cut_off_leaves_an_empty_database(url: str):
    class Cut(Exception):
        pass

    def cut(_: Connection, __: object, statement: str, *___: object) -> None:
        if "retrue_task" in statement:
            raise Cut

    event.listen(Engine, "before_cursor_execute", cut)
    try:
        with pytest.raises(Cut):
            open_ledger(url, workspace="defects")
    finally:
        event.remove(Engine, "before_cursor_execute", cut)

    assert upgrade(url) == list(REVISIONS)


def test_a_newer_schema_asks_for_a_newer_retrue(url: str):
    state = open_ledger(url, workspace="defects")
    with writing(connect(url)) as connection:
        connection.execute(text("UPDATE retrue_schema SET version_num = '9999'"))

    for attempt in (lambda: open_ledger(url, workspace="defects"), lambda: upgrade(url)):
        with pytest.raises(WorkspaceError, match=r"got 9999, which is newer; upgrade retrue"):
            attempt()

    assert state.pending_migrations() == []


def test_an_older_schema_asks_for_the_upgrade_command():
    with pytest.raises(WorkspaceError, match=r"expected schema 2, got 1.*retrue ledger upgrade"):
        check_schema("1", ["1", "2"])


def test_opening_an_existing_ledger_does_not_import_alembic(sqlite_url: str):
    open_ledger(sqlite_url, workspace="defects")
    program = (
        "import sys; from retrue.adapters.state_sql import open_ledger;"
        f"open_ledger({sqlite_url!r}, workspace='defects').pending_migrations();"
        "sys.exit('alembic' in sys.modules)"
    )

    ran = subprocess.run([sys.executable, "-c", program], check=False)

    assert ran.returncode == 0


# --- SQLite ----------------------------------------------------------------------------------


def test_a_sqlite_ledger_is_set_up_for_several_processes_and_for_forgetting(sqlite_url: str):
    open_ledger(sqlite_url, workspace="defects")

    with reading(connect(sqlite_url)) as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert found == ["wal", 2, 1, 1, 30_000]


def test_what_is_cleared_is_in_no_file_though_a_reader_keeps_the_log_open(
    sqlite_url: str, tmp_path: Path
):
    state = open_ledger(sqlite_url, workspace="defects")
    reader = sqlite3.connect(tmp_path / "ledger.sqlite")
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        add_window(state, lease)
    reader.execute("SELECT * FROM retrue_window").fetchall()
    before = files_with(tmp_path, SECRET)

    state.clear()

    after = files_with(tmp_path, SECRET)
    reader.close()
    assert before
    assert after == []


def files_with(folder: Path, words: str) -> list[str]:
    return [file.name for file in folder.iterdir() if words.encode() in file.read_bytes()]


def test_a_reader_does_not_wait_for_a_writer(sqlite_url: str):
    state = open_ledger(sqlite_url, workspace="defects")

    with writing(connect(sqlite_url)) as connection:
        connection.execute(text("DELETE FROM retrue_window"))
        assert state.windows() == []


def test_a_file_that_is_not_a_database_asks_for_a_rebuild(sqlite_url: str, tmp_path: Path):
    (tmp_path / "ledger.sqlite").write_text("not a database at all " * 100)

    with pytest.raises(WorkspaceError, match=r"move it away and run `retrue ledger rebuild`"):
        open_ledger(sqlite_url, workspace="defects")


def test_a_ledger_that_lost_a_table_asks_for_a_rebuild(url: str):
    state = open_ledger(url, workspace="defects")
    with writing(connect(url)) as connection:
        connection.execute(text("DROP TABLE retrue_value"))

    with pytest.raises(WorkspaceError, match=r"retrue_value.*`retrue ledger rebuild`"):
        state.value("key")


def test_a_folder_in_the_ledgers_place_is_refused(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="we may write"):
        open_ledger(f"sqlite:///{tmp_path}", workspace="defects")


def test_a_full_disk_says_that_space_was_expected(sqlite_url: str):
    engine = connect(sqlite_url)
    open_ledger(sqlite_url, workspace="defects")

    def fill_up() -> None:
        with writing(engine) as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            insert = text("INSERT INTO retrue_value VALUES ('w', 'k', :big)")
            connection.execute(insert, {"big": "x" * 1_000_000})

    with pytest.raises(TerminalError, match="expected free space") as full:
        fill_up()

    assert not isinstance(full.value, WorkspaceError)


def test_a_database_locked_for_too_long_is_a_reason_to_wait(sqlite_url: str):
    open_ledger(sqlite_url, workspace="defects")
    impatient = connect(sqlite_url)
    event.listen(impatient, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 10"))

    with (
        writing(connect(sqlite_url)),
        pytest.raises(ServiceUnavailable, match="locked"),
        writing(impatient),
    ):
        pass


# --- servers and URLs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "advice"),
    [
        ("could not extend file: No space left on device", TerminalError, "make room"),
        ("server closed the connection unexpectedly", ServiceUnavailable, "run again"),
        ("password authentication failed for user", WorkspaceError, "credentials"),
        ('database "retrue" does not exist', WorkspaceError, "check its name"),
        ('relation "retrue_task" does not exist', WorkspaceError, "ledger rebuild"),
    ],
)
def test_what_a_server_says_becomes_one_of_our_errors(
    sqlite_url: str, said: str, error: type[RetrueError], advice: str
):
    with pytest.raises(error, match=advice), reading(connect(sqlite_url)):
        raise OperationalError("SELECT", {}, Exception(said))


@pytest.mark.parametrize(
    "said",
    [
        'connection failed: connection to server at "h", port 1 failed: Connection refused\n\tIs '
        "the server running on that host and accepting TCP/IP connections?",
        "Multiple connection attempts failed. All failures were:\n- host: 'h', port: 1: connection "
        'failed: connection to server at "::1", port 1 failed: Connection refused',
    ],
)
def test_of_many_lines_the_one_that_says_why_is_told(sqlite_url: str, said: str):
    with pytest.raises(ServiceUnavailable) as told, reading(connect(sqlite_url)):
        raise OperationalError("SELECT", {}, Exception(said))

    assert "got: Connection refused; " in str(told.value)


def test_a_value_the_database_refuses_is_a_persons_matter(sqlite_url: str):
    with pytest.raises(TerminalError, match="refused a write"), reading(connect(sqlite_url)):
        raise DataError("INSERT", {}, Exception("text cannot contain NUL"))


def test_a_message_never_holds_the_password():
    pytest.importorskip("psycopg", reason="needs PostgreSQL's driver")

    with pytest.raises(ServiceUnavailable) as unavailable:
        open_ledger("postgresql://me:hunter2@127.0.0.1:1/none", workspace="defects")

    assert "me:***@127.0.0.1" in str(unavailable.value)
    assert "check store.ledger and the network" in str(unavailable.value)
    assert "hunter2" not in str(unavailable.value)


@pytest.mark.parametrize(
    "wrong", ["sqlite://", "sqlite:///:memory:", "mysql://me:hunter2@host/db", "hunter2"]
)
def test_another_kind_of_url_is_refused_without_showing_a_password(wrong: str):
    with pytest.raises(ConfigError, match="expected sqlite:///FILE or postgresql://") as refused:
        open_ledger(wrong, workspace="defects")

    assert "hunter2" not in str(refused.value)
