"""The demo's story on real services: what came of it is in S3, Label Studio, MLflow and Prefect.

Minutes, even on a quiet machine.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from retrue.core.answers import live_answers
from retrue.wiring import open_workspace
from retrue.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.service]

LONGEST = 3_600  # seconds
PEOPLE = {"ann@example.com", "bob@example.com", "cleo@example.com"}


@dataclass(frozen=True)
class Told:
    """A demo that ended well, and its stack, which runs."""

    root: Path
    said: str
    environment: dict[str, str]

    def ask(self, path: str) -> Any:
        """What Label Studio says to its administrator."""
        token = f"Token {self.environment['LABEL_STUDIO_API_KEY']}"
        url = f"{self.environment['LABEL_STUDIO_URL']}{path}"
        return httpx.get(url, headers={"Authorization": token}, timeout=60).json()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    root = tmp_path_factory.mktemp("demo") / "digits"
    try:
        said = retrue("demo", "--stack", "--dir", str(root))
        lines = (root / ".retrue/stack/env").read_text().splitlines()
        words = [shlex.split(line) for line in lines if not line.startswith("#")]
        environment = dict(one[0].split("=", 1) for one in words)
        yield Told(root=root, said=said, environment=environment)
    finally:
        retrue("-C", str(root), "stack", "reset", "--yes")


@pytest.fixture
def workspace(told: Told, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name, value in told.environment.items():
        monkeypatch.setenv(name, value)
    return open_workspace(told.root)


def test_the_story_ends_as_it_does_without_services(told: Told):
    for word in ("quiet, no alarm", "ALARM", "new class", "PROMOTED", "1 class added (9)"):
        assert word in told.said
    assert told.environment["LABEL_STUDIO_URL"] in told.said


def test_every_sample_lies_in_s3(workspace: Workspace):
    samples = [
        sample
        for item in workspace.records.rounds()
        for sample in workspace.records.samples(item.plan.round_id)
    ]

    assert len(samples) > 800
    assert {str(sample.media_uri).split("/")[2] for sample in samples} == {"digits"}
    assert all(str(sample.media_uri).startswith("s3://") for sample in samples)


def test_every_answer_in_label_studio_is_in_the_records_once(told: Told, workspace: Workspace):
    records = workspace.records
    answers = [
        answer
        for item in records.rounds()
        for answer in live_answers(records.answers(item.plan.round_id))
    ]

    counts = "id,total_annotations_number,skipped_annotations_number"
    projects = told.ask(f"/api/projects/?page_size=100&include={counts}")["results"]
    held = sum(
        one["total_annotations_number"] + one["skipped_annotations_number"] for one in projects
    )

    assert len({answer.answer_id for answer in answers}) == len(answers) == held > 1_200
    assert {answer.annotator for answer in answers} == PEOPLE
    assert {answer.status for answer in answers} == {"answered", "skipped"}


def test_no_task_tells_its_arm(told: Told):
    shown = [
        task["data"].keys()
        for project in told.ask("/api/projects/?page_size=100&include=id,title")["results"]
        for task in told.ask(f"/api/tasks/?project={project['id']}&page_size=50")["tasks"]
    ]

    assert {frozenset(keys) for keys in shown} == {frozenset({"media", "retrue_key"})}


def test_the_last_week_was_closed_by_flow_runs(told: Told):
    user, _, password = told.environment["PREFECT_API_AUTH_STRING"].partition(":")
    url = f"{told.environment['PREFECT_API_URL']}/flow_runs/filter"

    runs = httpx.post(url, json={}, auth=(user, password), timeout=60).json()

    assert [run["state_type"] for run in runs] == ["COMPLETED"] * len(runs)
    assert len(runs) >= 2


def test_the_models_are_on_the_server(told: Told, workspace: Workspace):
    champion = workspace.models.champion()

    assert champion is not None
    assert champion.version == "2"
    url = f"{told.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/get"
    assert httpx.get(url, params={"run_id": champion.run_id}, timeout=60).status_code == 200


def test_doctor_finds_every_service_in_order(told: Told):
    checks = json.loads(retrue("-C", str(told.root), "doctor", "--json", **told.environment))

    assert [check for check in checks if not check["ok"]] == []
    asked = {"S3 clock", "media in a browser", "DVC remote", "Label Studio token", "model registry"}
    assert asked | {"queue", "Prefect version", "ledger"} <= {check["name"] for check in checks}


def retrue(*words: str, **environment: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "retrue.cli", *words],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        env=ours | environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
