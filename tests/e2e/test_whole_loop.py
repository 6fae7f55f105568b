"""The real thing, small: files, SQLite, git, DVC, MLflow and the trainers, from rows to a model.

Slow for a test (about a minute), and the only one in which nothing is replaced but the people.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.core.simulate import SimulatedAnnotator
from retrue.cycle import close_rounds, open_rounds
from retrue.initialising import make_workspace
from retrue.wiring import open_workspace

ENV = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)
PEOPLE = (
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=3.0),
    SimulatedAnnotator(name="bob", accuracy=1.0, seconds=3.0),
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=3.0, group="adjudicator"),
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which two days have passed: a first round, a version, a champion."""
    top = tmp_path_factory.mktemp("e2e")
    root = top / "points"
    make_workspace(root, kind="table", project="points")
    configure(root, dvc_remote=str(top / "dvc"))
    run(root, "git", "commit", "-qam", "Our question")
    arrive(root, rows=120)
    now = MONDAY
    for _ in range(4):
        workspace = open_workspace(root)
        open_rounds(workspace, now=now)
        answer(root, now + timedelta(hours=1))
        close_rounds(workspace, now=now + timedelta(hours=2))
        now += timedelta(hours=6)
    return root


def test_a_first_round_becomes_a_version_and_a_champion(lived: Path):
    workspace = open_workspace(lived)

    champion = workspace.models.champion()
    manifests = workspace.repo.versions()

    assert champion is not None
    assert champion.dataset_digest == manifests[-1].digest
    assert manifests[-1].rows == 40
    assert workspace.models.evidence(champion, "reference.json") is not None


def test_a_second_tick_finds_nothing_to_do(lived: Path):
    workspace = open_workspace(lived)
    tip = workspace.repo.state().branch_tip

    opening = open_rounds(workspace, now=MONDAY + timedelta(days=3))
    closing = close_rounds(workspace, now=MONDAY + timedelta(days=3))

    assert opening.idle
    assert closing.idle
    assert workspace.repo.state().branch_tip == tip


def test_a_fresh_clone_answers_after_dvc_pull_without_ledger_or_services(lived: Path):
    clone = lived.parent / "clone"
    run(lived.parent, "git", "clone", "-q", "-b", "retrue/data", str(lived), str(clone))
    run(clone, sys.executable, "-m", "dvc", "pull")

    listed = retrue(clone, "dataset", "list")
    shown = retrue(clone, "dataset", "show", "v1", "--json")
    blamed = retrue(clone, "dataset", "blame", some_sample(lived))

    assert "v1" in listed
    assert '"rows": 40' in shown
    assert "ann" in blamed or "bob" in blamed
    assert not (clone / ".retrue" / "ledger.sqlite").exists()


def test_the_pure_stages_reproduce_on_a_fresh_clone(lived: Path):
    clone = lived.parent / "again"
    run(lived.parent, "git", "clone", "-q", "-b", "retrue/data", str(lived), str(clone))
    run(clone, sys.executable, "-m", "dvc", "pull")

    said = run(clone, sys.executable, "-m", "dvc", "repro", "--force", "build")

    assert "stage build" in said
    manifest = yaml.safe_load((clone / "data/dataset/manifest.json").read_text())
    assert manifest["digest"] == open_workspace(lived).repo.versions()[-1].digest


def configure(root: Path, *, dvc_remote: str) -> None:
    path = root / "configs/project.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "project": "points",
                "data": {
                    "kind": "table",
                    "incoming": {"uri": "incoming", "key": "id"},
                    "fields": {"x": {"type": "number"}, "y": {"type": "number"}},
                },
                "select": {"budget": 40},
                "round": {"open": "auto"},
                "model": {"promote": "auto"},
                "store": {"dvc_remote": dvc_remote},
            }
        )
    )
    labels = {"kind": "choice", "classes": ["left", "right"], "question": "Which side?"}
    (root / "configs/labels.yaml").write_text(yaml.safe_dump(labels))


def arrive(root: Path, *, rows: int) -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"id": [f"p{i:03d}" for i in range(rows)], "x": rng.normal(size=rows)})
    table["y"] = rng.normal(size=rows)
    (root / "incoming").mkdir(exist_ok=True)
    table.to_csv(root / "incoming" / "first.csv", index=False)


def answer(root: Path, now: datetime) -> None:
    workspace = open_workspace(root)
    assert isinstance(workspace.queue, FileQueue)
    simulate_answers(
        workspace.queue,
        PEOPLE,
        lambda task: "right" if float(str(task.display["x"])) > 0 else "left",
        lambda _: workspace.labels.label_schema,
        seed="e2e",
        now=now,
    )


def some_sample(root: Path) -> str:
    workspace = open_workspace(root)
    return workspace.repo.rows(1)[0].sample_id


def retrue(folder: Path, *args: str) -> str:
    return run(folder, sys.executable, "-m", "retrue.cli", *args)


def run(folder: Path, *args: str) -> str:
    done = subprocess.run(args, cwd=folder, capture_output=True, text=True, timeout=300, env=ENV)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
