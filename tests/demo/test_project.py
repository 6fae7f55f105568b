"""The demo's folder: only an earlier demo is ever thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrue.demo.project import fresh_folder
from retrue.errors import WorkspaceError


def test_an_earlier_demo_is_thrown_away(tmp_path: Path):
    root = tmp_path / "demo"
    fresh_folder(root, say=print)
    (root / "old").touch()

    fresh_folder(root, say=print)

    assert not (root / "old").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(WorkspaceError, match="--dir"):
        fresh_folder(tmp_path, say=print)

    assert (tmp_path / "thesis.tex").exists()
