"""One real workspace for the suites that only look, and the program called as a person would."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from retrue.cli.app import app
from retrue.initialising import make_workspace

Retrue = Callable[..., Result]


@pytest.fixture
def retrue() -> Retrue:
    """Calls the program: `retrue(root, "status", "--json")`."""

    def call(root: Path, *words: str) -> Result:
        asked = CliRunner().invoke(app, ["-C", str(root), *words])
        if asked.exception is not None and not isinstance(asked.exception, SystemExit):
            raise asked.exception
        return asked

    return call


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with example data, as `retrue init --example` makes it; not to be changed."""
    root = tmp_path_factory.mktemp("made") / "wines"
    make_workspace(root, kind="table", example=True)
    return root


@pytest.fixture
def workspace(fresh: Path, tmp_path: Path) -> Path:
    """A copy of the fresh workspace that a test may change."""
    return shutil.copytree(fresh, tmp_path / "wines")
