"""What every working state promises: memory, SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from retrue.adapters.state_memory import MemoryWorkingState
from retrue.adapters.state_sql import open_ledger
from retrue.core.profile import profile_categories, profile_numbers
from retrue.errors import LeaseHeld, LeaseLost, TransientError, WorkspaceError
from retrue.ports import Cursor, Lease, WorkingState
from retrue.records import ObjectRef, Quarantined, Task, Window

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=5)
PROFILE = {
    "size": profile_numbers([3.0, 5.0, 5.0, float("nan")], center=3.0),
    "colour": profile_categories({"red": 2, "bl\x00ue": 1, None: 1}),
}
CURSOR = Cursor(position=NOON, seen=frozenset({("s3://b/a.csv", "v1"), ("s3://b/b.csv", "v2")}))
UNREAD = Cursor(position=None, seen=frozenset())
BAD = (
    Quarantined(uri="s3://b/a.csv", version="v1", row=7, reason="size: got 'x'"),
    Quarantined(uri="s3://b/\udcffb.csv", version="v2", row=None, reason="NUL: '\x00'"),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> WorkingState:
    if request.param == "memory":
        return MemoryWorkingState()
    if request.param == "sqlite":
        return open_ledger(f"sqlite:///{tmp_path}/.retrue/ledger.sqlite", workspace="defects")
    return open_ledger(request.getfixturevalue("postgres_schema"), workspace="defects")


@pytest.fixture
def lease(state: WorkingState) -> Iterator[Lease]:
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        yield lease


def window(window_id: str = "w1", **changes: object) -> Window:
    plain = Window(
        window_id=window_id,
        stream="incoming",
        objects=(ObjectRef(uri="s3://b/a.csv", version="v1", size=10, modified_at=NOON),),
        rows=5_000_000_000,
        eligible=3,
        duplicates=1,
        quarantined=2,
        first_time=NOON - timedelta(microseconds=1),
        last_time=None,
        model_version=None,
        recorded_at=NOON,
    )
    return replace(plain, **changes)


def task(key: str, *, sample: str = "s1", round_id: str = "r1") -> Task:
    return Task(
        task_key=key,
        round_id=round_id,
        sample_id=sample,
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


# --- windows and cursors ---------------------------------------------------------------------


def test_a_window_comes_back_with_its_profile_quarantine_and_cursor(
    state: WorkingState, lease: Lease
):
    state.add_window(window(), PROFILE, BAD, CURSOR, lease)

    assert state.windows() == [window()]
    assert state.profile("w1") == PROFILE
    assert tuple(state.quarantined("w1")) == BAD
    assert state.cursor("incoming") == CURSOR


def test_before_any_window_a_stream_is_unread_and_nothing_is_known(state: WorkingState):
    assert state.cursor("inference") == UNREAD
    assert state.windows() == []
    assert state.quarantined() == []
    assert state.quarantined("w1") == []
    assert state.pending_migrations() == []


def test_a_cursor_may_stay_without_a_position(state: WorkingState, lease: Lease):
    state.add_window(window(), PROFILE, [], UNREAD, lease)

    assert state.cursor("incoming") == UNREAD


def test_times_come_back_as_the_same_moment_in_utc(state: WorkingState, lease: Lease):
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    state.add_window(window(recorded_at=tokyo), {}, [], CURSOR, lease)

    assert state.windows()[0].recorded_at == NOON
    assert state.windows()[0].recorded_at.tzinfo is not None


def test_adding_a_window_again_moves_only_the_cursor(state: WorkingState, lease: Lease):
    later = Cursor(position=NOON + TTL, seen=frozenset())
    state.add_window(window(), PROFILE, BAD[:1], CURSOR, lease)

    state.add_window(window(rows=1), {}, BAD, later, lease)

    assert state.windows() == [window()]
    assert state.profile("w1") == PROFILE
    assert state.quarantined() == [BAD[0]]
    assert state.cursor("incoming") == later


def test_windows_come_by_time_of_recording_and_by_stream(state: WorkingState, lease: Lease):
    late = window("w1", recorded_at=NOON + TTL)
    early = window("w3")
    scored = window("w2", stream="inference", model_version="7")
    for one in (late, early, scored):
        state.add_window(one, {}, [], CURSOR, lease)

    assert state.windows() == [scored, early, late]
    assert state.windows("incoming") == [early, late]
    assert state.cursor("inference") == CURSOR


def test_quarantine_is_asked_for_one_window_or_for_all(state: WorkingState, lease: Lease):
    state.add_window(window("w2"), {}, BAD[:1], CURSOR, lease)
    state.add_window(window("w1"), {}, BAD[1:], CURSOR, lease)

    assert state.quarantined("w2") == [BAD[0]]
    assert state.quarantined() == [BAD[1], BAD[0]]


def test_the_profile_of_an_unknown_window_says_what_to_run(state: WorkingState):
    with pytest.raises(WorkspaceError, match=r"w9.*retrue ledger rebuild"):
        state.profile("w9")


def test_centers_are_frozen_when_first_seen(state: WorkingState):
    first = state.freeze_centers({"size": 1 / 3, "age": 40.0})

    again = state.freeze_centers({"size": 9.0, "mass": 2.0})

    assert first == {"size": 1 / 3, "age": 40.0}
    assert again == {"size": 1 / 3, "age": 40.0, "mass": 2.0} == state.centers()
    assert state.freeze_centers({}) == again


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "cursör\x00", [1, None], {"a": {"b": []}}])
def test_a_value_comes_back_and_may_be_replaced(state: WorkingState, lease: Lease, value: object):
    state.set_value("queue", "before", lease)

    state.set_value("queue", value, lease)

    assert state.value("queue") == value
    assert state.value("other") is None


# --- tasks -----------------------------------------------------------------------------------


def test_samples_are_in_flight_until_their_last_task_is_finished(state: WorkingState, lease: Lease):
    tasks = [task("t1"), task("t2"), task("t3", sample="s2")]
    state.add_tasks(tasks, lease)

    state.finish_tasks(["t1", "unknown"], lease)
    one_left = state.samples_in_flight()
    state.finish_tasks(iter(["t2"]), lease)

    assert one_left == {"s1", "s2"}
    assert state.samples_in_flight() == {"s2"}


def test_adding_known_tasks_again_leaves_them_alone(state: WorkingState, lease: Lease):
    state.add_tasks([task("t1")], lease)
    state.finish_tasks(["t1"], lease)

    state.add_tasks([task("t1", round_id="r2"), task("t2", sample="s2")], lease)

    assert state.rounds_of_tasks(["t1", "t2", "t3"]) == {"t1": "r1", "t2": "r1"}
    assert state.samples_in_flight() == {"s2"}


def test_no_tasks_is_no_error(state: WorkingState, lease: Lease):
    state.add_tasks([], lease)
    state.finish_tasks([], lease)

    assert state.rounds_of_tasks([]) == {}
    assert state.samples_in_flight() == set()


def test_ten_thousand_tasks_are_indexed_and_found(state: WorkingState, lease: Lease):
    keys = [f"t{i}" for i in range(10_000)]

    state.add_tasks([task(key, sample=key) for key in keys], lease)
    state.finish_tasks(keys[1:], lease)

    assert state.rounds_of_tasks(iter([*keys, "unknown"])) == dict.fromkeys(keys, "r1")
    assert state.samples_in_flight() == {"t0"}


# --- leases ----------------------------------------------------------------------------------


def test_a_held_lease_names_its_holder_its_end_and_what_to_do(state: WorkingState, lease: Lease):
    asked = state.lease("write", holder="host:2", ttl=TTL, now=NOON)

    with pytest.raises(LeaseHeld, match=r"host:1 until 2025-01-01 12:05:00 UTC; wait") as held:
        asked.__enter__()

    assert isinstance(held.value, TransientError)
    state.check_lease(lease)


def test_leases_of_other_names_do_not_wait_for_each_other(state: WorkingState, lease: Lease):
    with state.lease("collect", holder="host:2", ttl=TTL, now=NOON) as other:
        state.check_lease(other)

    state.check_lease(lease)


def test_tokens_rise_with_every_grant_also_after_a_release(state: WorkingState):
    tokens: list[int] = []
    for holder in ("host:1", "host:2", "host:1"):
        with state.lease("write", holder=holder, ttl=TTL, now=NOON) as lease:
            tokens.append(lease.token)

    assert tokens == sorted(set(tokens))


def test_a_lease_is_given_back_when_its_block_fails(state: WorkingState):
    with pytest.raises(KeyError), state.lease("write", holder="host:1", ttl=TTL, now=NOON):
        raise KeyError

    with state.lease("write", holder="host:2", ttl=TTL, now=NOON) as lease:
        assert lease.holder == "host:2"


def test_a_lease_that_was_given_back_writes_no_more(state: WorkingState):
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as lease:
        state.set_value("key", 1, lease)

    with pytest.raises(LeaseLost, match="given back"):
        state.set_value("key", 2, lease)

    assert state.value("key") == 1


def test_an_expired_lease_goes_to_who_asks_and_its_holder_writes_no_more(state: WorkingState):
    slow = state.lease("write", holder="host:1", ttl=TTL, now=NOON)
    late = slow.__enter__()
    state.add_tasks([task("t1")], late)

    with state.lease("write", holder="host:2", ttl=TTL, now=NOON + TTL) as lease:
        writes = {
            "check": lambda: state.check_lease(late),
            "window": lambda: state.add_window(window(), PROFILE, BAD, CURSOR, late),
            "value": lambda: state.set_value("key", 1, late),
            "tasks": lambda: state.add_tasks([task("t2")], late),
            "no tasks": lambda: state.add_tasks([], late),
            "finish": lambda: state.finish_tasks(["t1"], late),
        }
        for write in writes.values():
            with pytest.raises(LeaseLost, match=r"host:2.*run the step again"):
                write()
        slow.__exit__(None, None, None)
        state.check_lease(lease)  # the late release took nothing from the new holder

    assert lease.token > late.token
    assert state.windows() == []
    assert state.cursor("incoming") == UNREAD
    assert state.value("key") is None
    assert state.rounds_of_tasks(["t1", "t2"]) == {"t1": "r1"}
    assert state.samples_in_flight() == {"s1"}


def test_a_lease_is_held_until_the_moment_it_expires(state: WorkingState, lease: Lease):
    just_before = NOON + TTL - timedelta(microseconds=1)

    with pytest.raises(LeaseHeld):
        state.lease("write", holder="host:2", ttl=TTL, now=just_before).__enter__()

    with state.lease("write", holder="host:2", ttl=TTL, now=NOON + TTL) as next_lease:
        assert next_lease.token > lease.token


def test_the_same_holder_asking_again_is_granted_anew(state: WorkingState, lease: Lease):
    with state.lease("write", holder="host:1", ttl=TTL, now=NOON) as again:
        with pytest.raises(LeaseLost):
            state.check_lease(lease)
        state.check_lease(again)


def test_a_lease_that_was_never_granted_writes_nothing(state: WorkingState):
    invented = Lease(name="write", holder="host:1", token=1, expires_at=NOON)

    with pytest.raises(LeaseLost):
        state.set_value("key", 1, invented)


@pytest.mark.parametrize(
    "wrong", [{"holder": ""}, {"ttl": timedelta(0)}, {"now": NOON.replace(tzinfo=None)}]
)
def test_a_lease_without_holder_duration_or_time_zone_is_a_mistake(
    state: WorkingState, wrong: dict[str, object]
):
    asked = state.lease("write", **{"holder": "host:1", "ttl": TTL, "now": NOON, **wrong})

    with pytest.raises(ValueError, match="lease write"):
        asked.__enter__()


# --- before a rebuild ------------------------------------------------------------------------


def test_clear_forgets_everything_but_leases(state: WorkingState, lease: Lease):
    state.add_window(window(), PROFILE, BAD, CURSOR, lease)
    state.freeze_centers({"size": 1.0})
    state.set_value("key", 1, lease)
    state.add_tasks([task("t1")], lease)

    state.clear()

    assert state.windows() == []
    assert state.quarantined() == []
    assert state.cursor("incoming") == UNREAD
    assert state.centers() == {}
    assert state.value("key") is None
    assert state.samples_in_flight() == set()
    assert state.rounds_of_tasks(["t1"]) == {}
    state.check_lease(lease)
