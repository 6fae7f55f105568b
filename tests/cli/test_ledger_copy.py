"""`retrue ledger copy` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from retrue.adapters.state_sql import open_ledger
from retrue.cli.app import app


def a_workspace(folder: Path) -> str:
    """A workspace with an empty ledger in place."""
    (folder / "configs").mkdir()
    text = "project: defects\ndata: {kind: table, incoming: {uri: incoming, key: id}}\n"
    (folder / "configs/project.yaml").write_text(text, encoding="utf-8")
    url = f"sqlite:///{folder}/.retrue/ledger.sqlite"
    open_ledger(url, workspace="defects").freeze_centers({"size": 1.0})
    return url


def test_a_ledger_is_moved_by_one_command_and_no_password_is_shown(
    tmp_path: Path, postgres_schema: str
):
    a_workspace(tmp_path)
    password = postgres_schema.partition("@")[0].rpartition(":")[2]
    environment = {"RETRUE_LEDGER_TO": postgres_schema}
    command = ["-C", str(tmp_path), "ledger", "copy"]

    dry = CliRunner().invoke(app, [*command, "--dry-run"], env=environment)
    moved = CliRunner().invoke(app, [*command, "--json"], env=environment)
    again = CliRunner().invoke(app, command, env=environment)

    assert "1 rows would be copied from sqlite:///" in dry.output
    assert moved.exit_code == 0, moved.output
    assert json.loads(moved.output)["rows"]["retrue_center"] == 1
    assert again.exit_code == 1
    assert "it was moved to postgresql+psycopg://retrue:***@127.0.0.1" in again.output
    assert open_ledger(postgres_schema, workspace="defects").centers() == {"size": 1.0}
    assert not any(password in one.output for one in (dry, moved, again))
