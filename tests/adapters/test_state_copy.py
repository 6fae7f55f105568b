"""A ledger moves to another database whole, and nobody goes on writing to the one it left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from retrue.adapters.state_copy import copy_ledger
from retrue.adapters.state_engine import connect, schema_revision
from retrue.adapters.state_sql import SqlWorkingState, open_ledger
from retrue.core.profile import profile_categories
from retrue.errors import LeaseHeld, WorkspaceError
from retrue.ports import Cursor
from retrue.records import Quarantined, Task, Window

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=5)
LATER = NOON + timedelta(hours=1)
PROFILE = {"name": profile_categories({"bl\x00ue": 3, None: 1})}
BAD = [Quarantined(uri="s3://b/\udcffa", version="1", row=i, reason="NUL \x00") for i in range(2)]
CURSOR = Cursor(position=NOON, seen=frozenset({("s3://b/a", "1")}))
WINDOW = Window(
    window_id="w1",
    stream="incoming",
    objects=(),
    rows=5_000_000_000,
    eligible=3,
    duplicates=0,
    quarantined=2,
    first_time=NOON - timedelta(microseconds=1),
    last_time=None,
    model_version=None,
    recorded_at=NOON,
)


@pytest.fixture
def other_schema(postgres: str) -> Iterator[str]:
    """A second empty schema."""
    schema = f"retrue_{uuid4().hex}"
    where = make_url(postgres).set(drivername="postgresql+psycopg")
    admin = create_engine(where)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    inside = where.update_query_dict({"options": f"-csearch_path={schema}"})
    yield inside.render_as_string(hide_password=False)
    with admin.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture(params=["sqlite-postgresql", "postgresql-sqlite", "postgresql-postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where a ledger is, and an empty database."""
    sqlite = f"sqlite:///{tmp_path}/ledger.sqlite"
    found: list[str] = []
    for kind in request.param.split("-"):
        name = "other_schema" if kind == "postgresql" and found else "postgres_schema"
        found.append(sqlite if kind == "sqlite" else request.getfixturevalue(name))
    return found[0], found[1]


def a_task(number: int) -> Task:
    return Task(
        task_key=f"t{number}",
        round_id="r1",
        sample_id=f"s{number}",
        arm="audit",
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=0.5,
        trigger="drawn",
        schema_version=1,
        guideline_version="g1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def fill(url: str, workspace: str = "defects", *, tasks: int = 3) -> SqlWorkingState:
    """A ledger with something in every table."""
    state = open_ledger(url, workspace=workspace)
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        state.add_window(WINDOW, PROFILE, BAD, CURSOR, lease)
        state.freeze_centers({"size": 0.1})
        state.set_value("nothing", None, lease)
        state.set_value("much", {"a": [1, 2.5, "ä\x00"]}, lease)
        state.add_tasks([a_task(number) for number in range(tasks)], lease)
        state.finish_tasks(["t0"], lease)
    return state


def test_everything_of_the_workspace_and_nothing_else_arrives(places: tuple[str, str]):
    source, target = places
    fill(source, tasks=6_000)
    fill(source, "birds")
    seen: list[int] = []

    report = copy_ledger(source, target, workspace="defects", now=LATER, told=seen.append)

    there = open_ledger(target, workspace="defects")
    assert there.windows() == [WINDOW]
    assert there.profile("w1") == PROFILE
    assert there.quarantined() == BAD
    assert there.cursor("incoming") == CURSOR
    assert there.centers() == {"size": 0.1}
    assert (there.value("nothing"), there.value("much")) == (None, {"a": [1, 2.5, "ä\x00"]})
    assert len(there.samples_in_flight()) == 5_999
    assert open_ledger(target, workspace="birds").windows() == []
    assert open_ledger(source, workspace="birds").windows() == [WINDOW]
    assert (report.rows["retrue_task"], report.replaced) == (6_000, 0)
    assert seen == sorted(seen)
    assert seen[-1] == sum(report.rows.values())


def test_who_still_has_the_old_ledger_open_can_write_nothing_and_learns_where_it_went(
    places: tuple[str, str],
):
    source, target = places
    old = fill(source)
    with old.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        # This process is paused in its step until its lease is long over.
        copy_ledger(source, target, workspace="defects", now=LATER)

        with pytest.raises(WorkspaceError, match="it was moved to"):
            old.set_value("key", "late", lease)

    for late in (
        lambda: old.lease("write", holder="host:1", ttl=TTL, now=LATER).__enter__(),
        lambda: old.freeze_centers({"late": 1.0}),
        old.clear,
        lambda: open_ledger(source, workspace="defects"),
    ):
        with pytest.raises(WorkspaceError, match="it was moved to"):
            late()
    assert old.value("key") is None
    assert "late" not in open_ledger(target, workspace="defects").centers()


def test_tokens_go_on_rising_there_and_back_again(places: tuple[str, str]):
    source, target = places
    first = fill(source)
    with first.lease("write", holder="host:1", ttl=TTL, now=NOON) as before:
        pass

    copy_ledger(source, target, workspace="defects", now=LATER)
    there = open_ledger(target, workspace="defects")
    with there.lease("write", holder="host:2", ttl=TTL, now=LATER) as moved:
        there.set_value("since", 1, moved)
    copy_ledger(target, source, workspace="defects", now=LATER, replace=True)
    back = open_ledger(source, workspace="defects")
    with back.lease("write", holder="host:3", ttl=TTL, now=LATER) as again:
        pass

    assert before.token < moved.token < again.token
    assert back.value("since") == 1
    with pytest.raises(WorkspaceError, match="it was moved to"):
        open_ledger(target, workspace="defects")


def test_a_target_that_holds_this_workspace_is_refused_unless_told(places: tuple[str, str]):
    source, target = places
    fill(source)
    with open_ledger(target, workspace="defects").lease(
        "write", holder="host:1", ttl=TTL, now=NOON
    ) as lease:
        open_ledger(target, workspace="defects").set_value("theirs", 1, lease)

    for dry_run in (True, False):
        with pytest.raises(WorkspaceError, match=r"found 1 rows.*--replace"):
            copy_ledger(source, target, workspace="defects", now=LATER, dry_run=dry_run)
    report = copy_ledger(source, target, workspace="defects", now=LATER, replace=True)

    assert report.replaced == 1
    assert open_ledger(target, workspace="defects").value("theirs") is None


def test_a_dry_run_counts_and_changes_nothing(places: tuple[str, str]):
    source, target = places
    state = fill(source)

    report = copy_ledger(source, target, workspace="defects", now=LATER, dry_run=True)

    assert report.rows["retrue_task"] == 3
    assert schema_revision(connect(target)) is None
    with state.lease("write", holder="host:1", ttl=TTL, now=LATER):
        pass


def test_a_ledger_is_not_pulled_from_under_a_step(places: tuple[str, str]):
    source, target = places
    state = fill(source)

    with (
        state.lease("push", holder="host:1", ttl=TTL, now=NOON),
        pytest.raises(LeaseHeld, match=r"held by host:1 until .*; copy the ledger when"),
    ):
        copy_ledger(source, target, workspace="defects", now=NOON)

    assert open_ledger(source, workspace="defects").windows() == [WINDOW]


def test_a_cut_in_the_middle_leaves_the_old_ledger_in_charge(places: tuple[str, str]):
    class Cut(Exception):
        pass

    def cut(rows: int) -> None:
        if rows > 3:
            raise Cut

    source, target = places
    state = fill(source)

    with pytest.raises(Cut):
        copy_ledger(source, target, workspace="defects", now=LATER, told=cut)
    with state.lease("write", holder="host:1", ttl=TTL, now=LATER):
        pass
    report = copy_ledger(source, target, workspace="defects", now=LATER)

    assert report.replaced == 0


def test_a_ledger_is_not_copied_onto_itself(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    fill(url)

    with pytest.raises(WorkspaceError, match="expected another database"):
        copy_ledger(url, url, workspace="defects", now=LATER)


def test_there_must_be_a_ledger_to_copy(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="found no tables"):
        copy_ledger(
            f"sqlite:///{tmp_path}/a.sqlite",
            f"sqlite:///{tmp_path}/b.sqlite",
            workspace="defects",
            now=LATER,
        )
