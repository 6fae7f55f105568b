"""One Prefect server for the whole suite (it takes 15 to 30 s to start), small real workspaces."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from retrue.initialising import make_workspace
from retrue.wiring import clock, open_workspace, quiet_telemetry
from retrue.workspace import Workspace

ROWS = 24


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of our own; its home and its database are thrown away."""
    quiet_telemetry()  # read when Prefect is imported
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = {PREFECT_HOME: tmp_path_factory.mktemp("prefect")}
    with temporary_settings(home), prefect_test_harness(server_startup_timeout=120):
        yield
    forget_connections()


@pytest.fixture(autouse=True)
def _no_connection_outlives_its_test() -> Iterator[None]:
    yield
    forget_connections()


def forget_connections() -> None:
    """Prefect leaves connections to its server unclosed; they must not become others' warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `retrue init` makes it, which asks for 6 labels of 24 rows."""
    root = tmp_path_factory.mktemp("made") / "fruit"
    make_workspace(root, kind="table", project="fruit")
    path = root / "configs/project.yaml"
    config = yaml.safe_load(path.read_text())
    config["select"] = {"budget": 6}
    config["labels"] = {"answers_per_item": {"train": 1, "audit": 1}}
    config["data"].pop("display")
    path.write_text(yaml.safe_dump(config))
    rows = "".join(f"f-{i},{i},{'red' if i % 2 else 'green'}\n" for i in range(ROWS))
    (root / "incoming/a.csv").write_text(f"id,weight,color\n{rows}")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(made, tmp_path / "fruit", symlinks=True)


def people_answer(workspace: Workspace) -> int:
    """Ann says the first class to everything in the queue; returns how many answers."""
    label = f'"{workspace.labels.classes[0]}"'
    tasks = workspace.queue.open_tasks("ann", "crowd")
    for task in tasks:
        workspace.queue.answer(task.task_key, "ann", label, lead_seconds=3.0, now=clock())
    return len(tasks)


@pytest.fixture
def answer(root: Path):
    """Lets people answer what is open in the workspace now."""
    return lambda: people_answer(open_workspace(root))
