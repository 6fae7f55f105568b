"""The flows on a small real workspace, with a real Prefect server behind them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

from flows.close_round import close_round
from flows.cycle import cycle
from flows.monitor import DRIFT_EVENT, say_drift
from flows.open_round import open_round
from flows.steps import ingest
from retrue.errors import WorkspaceError
from retrue.wiring import clock, open_workspace

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    # Prefect's own: see `forget_connections`.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def lose_the_database() -> None:
    """Empty every table of the server's database, as if it had been deleted and made anew."""
    path = PREFECT_SERVER_DATABASE_CONNECTION_URL.value().split("///")[1]
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in rows:
            if name not in ("alembic_version", "configuration"):
                database.execute(f"DELETE FROM {name}")  # noqa: S608 - names from the database


def flow_runs() -> int:
    with get_client(sync_client=True) as client:
        return len(client.read_flow_runs())


def events(name: str) -> list[dict]:
    with get_client(sync_client=True) as client:
        asked = {"filter": {"event": {"name": [name]}}}
        return client.request("POST", "/events/filter", json=asked).json()["events"]


def wait_for_events(name: str, seconds: int = 30) -> list[dict]:
    end = time.monotonic() + seconds
    while not (found := events(name)) and time.monotonic() < end:
        time.sleep(0.2)  # Prefect sends events on a thread of its own
    return found


def test_a_second_cycle_finds_nothing_to_do_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
):
    first = cycle(str(root))
    caplog.clear()
    caplog.set_level(logging.INFO)

    second = cycle(str(root))

    assert not first["idle"]
    assert second["idle"]
    assert any(line.startswith("nothing to do") for line in caplog.messages)
    (opened,) = open_workspace(root).records.rounds()
    assert opened.state == "open"


def test_a_cycle_leaves_a_table_of_its_rounds_and_a_link_to_the_report(root: Path):
    cycle(str(root))

    table, link = Artifact.get("retrue-rounds"), Artifact.get("retrue-report")

    assert table is not None
    assert link is not None
    assert "bootstrap" in str(table.data)
    assert (root / ".retrue/report.html").resolve().as_uri() in str(link.data)


def test_a_lost_prefect_database_costs_no_work(root: Path, answer: Callable[[], int]):
    cycle(str(root))
    given = answer()
    assert flow_runs() > 0
    lose_the_database()
    assert flow_runs() == 0

    closed = close_round(str(root))

    assert closed["collect"]["new"] == given == 6
    assert closed["validate"]["written"] == 6


def test_a_person_opens_a_round_with_their_own_words(root: Path):
    ingest.fn(str(root))

    done = open_round(str(root), kind="adhoc", why="camera 3 moved", budget=5, person="ada")

    (planned,) = done["select"]["planned"]
    assert planned["plan"]["why"] == "camera 3 moved"
    assert sum(planned["plan"]["arms"].values()) == 5
    (opened,) = open_workspace(root).records.decisions("round-opened")
    assert opened.by == "ada"


def test_a_flow_run_is_named_after_the_project_and_the_day(root: Path):
    start = clock()

    state = open_round(str(root), return_state=True)

    assert state.state_details.flow_run_id is not None
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    assert run.name.startswith(f"fruit-{start:%Y-%m}")


def test_a_flow_without_a_workspace_says_where_it_looked(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="retrue init"):
        open_round(str(tmp_path))


def test_an_alarm_is_an_event_that_names_its_incident_and_project():
    check = {"incident": "i-1", "window_id": "w-1", "reasons": ["weight moved"]}

    say_drift("fruit", check)

    (event,) = wait_for_events(DRIFT_EVENT)
    assert event["resource"]["prefect.resource.id"] == "retrue.incident.i-1"
    assert event["resource"]["retrue.project"] == "fruit"
    assert event["payload"] == {"window": "w-1", "reasons": ["weight moved"]}
