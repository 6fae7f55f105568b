"""`retrue demo --stack`, as far as it goes without a stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from retrue.cli.demos import kept
from retrue.errors import StackError, WorkspaceError
from retrue.stack import folder_of

Retrue = Callable[..., Result]


def test_people_are_asked_on_a_stack_only(retrue: Retrue, tmp_path: Path):
    asked = retrue(tmp_path, "demo", "--human", "--dir", str(tmp_path / "demo"))

    assert asked.exit_code == 2
    assert "--stack" in asked.output


def test_a_folder_of_somebody_else_is_refused_before_anything_starts(
    retrue: Retrue, tmp_path: Path
):
    (tmp_path / "thesis.tex").touch()

    asked = retrue(tmp_path, "demo", "--stack", "--dir", str(tmp_path))

    assert asked.exit_code == 1
    assert "found other files" in asked.output


def test_a_demo_that_failed_says_how_to_stop_its_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"stack": "a", "secret": "b"}', encoding="ascii")

    with pytest.raises(StackError), kept(tmp_path):
        raise StackError("label-studio: it ended before it was ready")

    assert f"retrue -C {tmp_path} stack" in capsys.readouterr().err


def test_a_demo_that_failed_before_its_stack_says_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(WorkspaceError), kept(tmp_path):
        raise WorkspaceError("expected an empty folder")

    assert capsys.readouterr().err == ""
