"""`retrue run`: the flows of the workspace one stands in, and of no other."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrue.cli.run import load_flow
from retrue.errors import WorkspaceError


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Loading a flow changes what `flows` means; other suites get theirs back."""
    path = list(sys.path)
    before = {name: module for name, module in sys.modules.items() if is_flow(name)}
    yield
    for name in [name for name in sys.modules if is_flow(name)]:
        del sys.modules[name]
    sys.modules.update(before)
    sys.path[:] = path


def is_flow(name: str) -> bool:
    return name == "flows" or name.startswith("flows.")


def a_loop(root: Path, answer: str) -> Path:
    for name in ("configs", "flows"):
        (root / name).mkdir(parents=True)
    (root / "configs/project.yaml").touch()
    (root / "flows/__init__.py").touch()
    (root / "flows/words.py").write_text(f"ANSWER = {answer!r}\n", encoding="utf-8")
    (root / "flows/open_round.py").write_text(
        "from flows.words import ANSWER\n"
        "def open_round(root: str) -> dict[str, str]:\n"
        "    return {'root': root, 'answer': ANSWER}\n",
        encoding="utf-8",
    )
    return root


def test_a_flow_is_called_with_its_workspace(retrue, tmp_path: Path):
    root = a_loop(tmp_path / "a", "mine")

    told = retrue(root, "run", "open-round", "--json")

    assert told.exit_code == 0
    assert json.loads(told.stdout) == {"root": str(root.resolve()), "answer": "mine"}


def test_two_workspaces_never_mix_their_flows(tmp_path: Path):
    first, second = a_loop(tmp_path / "a", "first"), a_loop(tmp_path / "b", "second")

    answers = [load_flow(root, "open_round")(str(root))["answer"] for root in (first, second)]

    assert answers == ["first", "second"]


def test_a_workspace_without_flows_is_told_what_to_do(retrue, tmp_path: Path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/project.yaml").touch()

    told = retrue(tmp_path, "run", "cycle")

    assert told.exit_code == 1
    assert "retrue init" in told.stderr


def test_a_file_without_its_flow_is_named(tmp_path: Path):
    root = a_loop(tmp_path, "mine")
    (root / "flows/cycle.py").write_text("", encoding="utf-8")

    with pytest.raises(WorkspaceError, match="expected a flow named `cycle`"):
        load_flow(root, "cycle")
