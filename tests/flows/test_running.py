"""How a flow of the loop ends: skipped where another run is at it, failed in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flows import steps
from flows.open_round import open_round
from flows.running import Report, loop_flow
from retrue.errors import ConfigError, LeaseHeld, RetrueError, TransientError
from retrue.wiring import clock, open_workspace

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    # Prefect's own: see `forget_connections`.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@loop_flow("retrue-tiny")
def tiny(root: str, fails: str = "") -> Report:
    """Fails as it is told."""
    failures: dict[str, RetrueError] = {
        "held": LeaseHeld("lease fruit/train: held by another"),
        "wrong": ConfigError("project: missing"),
    }
    if fails:
        raise failures[fails]
    return {"root": root}


@loop_flow("retrue-outer")
def outer(root: str) -> Report:
    """A flow that begins with another one."""
    return tiny.fn(root, "held") | {"after": True}


@pytest.fixture
def selecting(root: Path) -> Iterator[None]:
    """Another process holds the lease that planning a round needs."""
    workspace = open_workspace(root)
    with workspace.state.lease(
        "fruit/select", holder="another:1", ttl=timedelta(hours=1), now=clock()
    ):
        yield


def test_a_held_lease_ends_a_run_as_skipped_and_says_who_does_the_work(root: Path):
    state = tiny(str(root), "held", return_state=True)

    assert (state.name, state.type.value) == ("Skipped", "COMPLETED")
    assert "held by another" in str(state.message)
    assert tiny(str(root), "held") == {"skipped": "lease fruit/train: held by another"}


def test_a_flow_within_another_leaves_how_to_end_to_that_one(root: Path):
    state = outer(str(root), return_state=True)

    assert state.name == "Skipped"


def test_an_error_ends_a_run_as_failed_with_its_message_and_no_traceback(
    root: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)

    state = tiny(str(root), "wrong", return_state=True)

    assert state.is_failed()
    assert state.message == "project: missing"
    assert "Traceback" not in caplog.text
    with pytest.raises(ConfigError, match="project: missing"):
        tiny(str(root), "wrong")


@pytest.mark.usefixtures("selecting")
def test_a_round_that_a_person_asks_for_is_never_skipped(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    at_once = steps.request.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr("flows.open_round.request", at_once)
    steps.ingest.fn(str(root))

    with pytest.raises(TransientError, match="your adhoc round was not planned; ask again"):
        open_round(str(root), kind="adhoc", why="camera 3 moved")
