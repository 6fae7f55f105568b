"""The real stack lives, is killed in part, lives again and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from mlflow import MlflowClient

from retrue.adapters.state_sql import open_ledger
from retrue.stack import folder_of

pytestmark = [pytest.mark.service, pytest.mark.slow]

STATES = ("postgresql", "seaweedfs", "label-studio", "mlflow", "prefect", "worker")


def retrue(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program as a person calls it: what it starts must outlive it."""
    began = time.monotonic()
    command = [sys.executable, "-m", "retrue.cli", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{' '.join(words)}: {time.monotonic() - began:.1f} s\n{done.stderr}")  # noqa: T201 - timings
    return done


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A workspace with flows; its stack is gone at the end, whatever happened."""
    root = tmp_path / "wines"
    assert retrue(tmp_path, "init", str(root), "--kind", "table", "--example").returncode == 0
    yield root
    retrue(root, "stack", "reset", "--yes")


def states(root: Path) -> dict[str, str]:
    told = json.loads(retrue(root, "stack", "status", "--json").stdout)
    return {one["name"]: one["state"] for one in told}


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A server that is not ours."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_the_stack_starts_is_killed_in_part_starts_again_and_leaves_nothing(
    root: Path, stranger: subprocess.Popen[bytes]
):
    up = retrue(root, "stack", "up", "--json")
    assert up.returncode == 0, up.stderr
    assert json.loads(up.stdout)["notes"] == []  # no trouble with the schedules
    env = environment(root)
    use(env)
    assert states(root) == dict.fromkeys(STATES, "running")

    for name in ("mlflow", "postgresql"):
        psutil.Process(pid(root, name)).kill()
    killed = retrue(root, "stack", "status")
    again = retrue(root, "stack", "up")

    assert killed.returncode == 1
    assert again.returncode == 0, again.stderr
    assert environment(root) == env  # ports and credentials too
    assert states(root) == dict.fromkeys(STATES, "running")
    assert_kept(env)
    assert len(ours(root)) >= len(STATES)

    down = retrue(root, "stack", "down")

    assert down.returncode == 0, down.stderr
    assert states(root) == dict.fromkeys(STATES, "stopped")
    assert ours(root) == []
    assert stranger.poll() is None

    warm = retrue(root, "stack", "up")

    assert warm.returncode == 0, warm.stderr
    assert_kept(environment(root))


def use(env: dict[str, str]) -> None:
    """Leave something in each service, with the credentials of the env file alone."""
    open_ledger(env["RETRUE_LEDGER"], workspace="wines").freeze_centers({"acidity": 1.5})
    s3(env).put_object(Bucket="retrue", Key="a", Body=b"bytes")
    label_studio(env, "POST", {"title": "wines"})
    MlflowClient(env["MLFLOW_TRACKING_URI"]).create_experiment("wines")


def assert_kept(env: dict[str, str]) -> None:
    """All of it is there, and the schedules too."""
    ledger = open_ledger(env["RETRUE_LEDGER"], workspace="wines")
    assert ledger.centers() == {"acidity": 1.5}
    assert s3(env).get_object(Bucket="retrue", Key="a")["Body"].read() == b"bytes"
    assert [one["title"] for one in label_studio(env, "GET")["results"]] == ["wines"]
    assert MlflowClient(env["MLFLOW_TRACKING_URI"]).get_experiment_by_name("wines") is not None
    user, _, password = env["PREFECT_API_AUTH_STRING"].partition(":")
    asked = f"{env['PREFECT_API_URL']}/deployments/count"
    assert httpx.post(asked, json={}, auth=(user, password)).json() == 5
    assert httpx.post(asked, json={}).status_code == 401


def s3(env: dict[str, str]) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def label_studio(env: dict[str, str], method: str, body: object = None) -> Any:
    headers = {"Authorization": f"Token {env['LABEL_STUDIO_API_KEY']}"}
    url = f"{env['LABEL_STUDIO_URL']}/api/projects/"
    reply = httpx.request(method, url, json=body, headers=headers, timeout=60)
    assert not reply.is_error, reply.text
    return reply.json()


def environment(root: Path) -> dict[str, str]:
    """What a shell makes of the env file."""
    script = f"set -a; . {folder_of(root) / 'env'}; printenv"
    told = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True)
    lines = (line.partition("=") for line in told.stdout.splitlines())
    return {name: value for name, _, value in lines if name not in ("PWD", "_", "SHLVL")}


def pid(root: Path, service: str) -> int:
    state = json.loads((folder_of(root) / "state.json").read_text())
    return state["processes"][service]["pid"]


def ours(root: Path) -> list[int]:
    """Every process with this stack's mark in its environment."""
    mark = json.loads((folder_of(root) / "state.json").read_text())["stack"]
    found: list[int] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("RETRUE_STACK_PROCESS", "").startswith(mark):
                found.append(process.pid)
    return found
