"""The commands on a stack that does not run: no service is started here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrue.stack import STACK, folder_of
from retrue.stack.postgresql import PostgreSQL
from retrue.stack.seaweedfs import SeaweedFS
from retrue.stack.service import Site

NAMES = [kind.name for kind in STACK.kinds]


def test_where_nothing_was_started_all_is_stopped_and_fine(retrue, tmp_path: Path):
    asked = retrue(tmp_path, "stack", "status", "--json")

    assert asked.exit_code == 0
    assert {one["name"]: one["state"] for one in json.loads(asked.stdout)} == dict.fromkeys(
        NAMES, "stopped"
    )
    assert "label-studio   stopped" in retrue(tmp_path, "stack", "status").stdout
    assert not (tmp_path / ".retrue").exists()


def test_what_would_be_done_is_told_and_not_done(retrue, tmp_path: Path):
    every = retrue(tmp_path, "stack", "up", "--dry-run", "--json")
    some = retrue(tmp_path, "stack", "up", "--only", "label-studio", "--dry-run")
    down = retrue(tmp_path, "stack", "down", "--dry-run")
    reset = retrue(tmp_path, "stack", "reset", "--dry-run")

    assert json.loads(every.stdout) == {"would_start": NAMES}
    assert some.stdout.splitlines() == ["would start postgresql", "would start label-studio"]
    assert down.stdout == "nothing of this stack runs\n"
    assert reset.stdout == "there is no stack here\n"
    assert not (tmp_path / ".retrue").exists()


def test_a_stack_belongs_to_the_workspace_wherever_in_it_one_stands(retrue, workspace: Path):
    theirs = folder_of(workspace) / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()

    asked = retrue(workspace / "configs", "stack", "up")

    assert asked.exit_code == 1
    assert f"Error: {folder_of(workspace)}: expected a stack's folder" in asked.stderr
    assert theirs.exists()


@pytest.mark.parametrize("port", ["8080", "label-studio", "label-studio=web", "labels=8080"])
def test_a_port_is_given_by_name_and_number(retrue, tmp_path: Path, port: str):
    asked = retrue(tmp_path, "stack", "up", "--port", port)

    assert asked.exit_code == 2
    assert f"expected NAME=PORT, got {port}" in asked.stderr
    assert not (tmp_path / ".retrue").exists()


def test_a_service_that_does_not_exist_is_named(retrue, tmp_path: Path):
    asked = retrue(tmp_path, "stack", "up", "--only", "minio")

    assert asked.exit_code == 1
    assert f"minio: expected some of {', '.join(NAMES)}" in asked.stderr


def test_data_is_thrown_away_only_if_somebody_says_so(retrue, tmp_path: Path):
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"stack": "b3c0de", "secret": "s"}')

    asked = retrue(tmp_path, "stack", "reset")
    kept = folder.exists()
    told = retrue(tmp_path, "stack", "reset", "--yes", "--json")

    assert asked.exit_code == 1  # nobody answered
    assert kept
    assert json.loads(told.stdout) == {"folder": str(folder), "removed": True}
    assert not folder.exists()


def test_what_has_no_pages_is_named_by_its_address_without_a_password(tmp_path: Path):
    site = Site(folder=tmp_path, ports={"s3": 20001, "sql": 20002}, secret="s")  # noqa: S106

    links = [SeaweedFS(site=site).link(), PostgreSQL(site=site).link()]

    assert links == ["http://127.0.0.1:20001", "postgresql://retrue@127.0.0.1:20002/retrue"]
