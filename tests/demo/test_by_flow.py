"""A closing that a flow did reads as one done here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrue.cli.show import plain
from retrue.cycle import close_rounds, open_rounds
from retrue.demo.by_flow import close_by_flow, read_closing
from retrue.errors import WorkspaceError
from world import World


def test_the_report_of_a_flow_is_read_back_as_it_was(tmp_path: Path):
    world = World(tmp_path)
    world.arrive("monday", 200)
    workspace = world.workspace()
    open_rounds(workspace, now=world.now)
    world.people_answer()
    first = close_rounds(workspace, now=world.sleep(hours=6))
    world.people_answer()  # disputes, if there are any
    second = close_rounds(workspace, now=world.sleep(hours=6))

    for closing in (first, second):
        report = plain(closing)
        assert isinstance(report, dict)
        assert plain(read_closing(json.dumps(report | {"idle": False}))) == report
    assert "first" in (first.train.outcome, second.train.outcome)


def test_the_report_of_a_run_that_was_skipped_is_not_taken_for_a_closing():
    with pytest.raises(WorkspaceError, match="expected its report"):
        read_closing('{"skipped": "held by another run"}')


def test_a_flow_that_fails_says_why(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="expected a workspace"):
        close_by_flow(tmp_path)
