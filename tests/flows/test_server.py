"""A real Prefect server and worker run the deployments of `prefect.yaml`; and none is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.monitor import DRIFT_EVENT
from retrue.wiring import QUIET, open_workspace

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 180  # seconds; a busy machine needs 60 for what takes 15 on an idle one


@dataclass(frozen=True)
class Server:
    """Where it listens, and how to call its programs."""

    url: str
    env: dict[str, str]

    def call(self, root: Path, *words: str) -> str:
        command = [str(BIN / "prefect"), *words]
        done = subprocess.run(
            command, cwd=root, env=self.env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def runs(self, flow: str) -> list[dict[str, Any]]:
        asked = {"flows": {"name": {"any_": [flow]}}}
        return httpx.post(f"{self.url}/flow_runs/filter", json=asked, timeout=30).json()

    def completed(self, flow: str) -> list[dict[str, Any]]:
        return [run for run in self.runs(flow) if run["state_type"] == "COMPLETED"]


def environment(home: Path, **more: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return mine | QUIET | {"PREFECT_HOME": str(home), "HOME": str(home)} | more


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)
    return found


@contextmanager
def running(log: Path, env: dict[str, str], *words: str, cwd: Path) -> Iterator[None]:
    """A program of Prefect's in the background, ended with all it started."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(BIN / "prefect"), *words],
            cwd=cwd,
            env=env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        for _ in range(2):  # a worker in a session of its own may need to be asked twice
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    continue
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=15)


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    env = environment(tmp_path / "home", PREFECT_API_URL=url)
    (tmp_path / "home").mkdir()
    words = ("server", "start", "--host", "127.0.0.1", "--port", port)
    with running(tmp_path / "server.log", env, *words, cwd=tmp_path):
        wait_for(lambda: healthy(url))
        yield Server(url, env)


@pytest.fixture
def deployable(root: Path) -> Path:
    """A workspace with `prefect.yaml`, its nightly run every minute."""
    text = (TOP / "prefect.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^name: &project \S+", "name: &project fruit", text)
    (root / "prefect.yaml").write_text(text.replace("0 3 * * *", "* * * * *"), encoding="utf-8")
    return root


def seconds_between(run: dict[str, Any], first: str, second: str) -> float:
    times = [datetime.fromisoformat(run[name]) for name in (first, second)]
    return (times[1] - times[0]).total_seconds()


def test_the_schedule_fires_and_a_drift_event_opens_a_round(
    server: Server, deployable: Path, tmp_path: Path
):
    server.call(deployable, "work-pool", "create", "retrue", "--type", "process")
    server.call(deployable, "--no-prompt", "deploy", "--all")
    words = ("worker", "start", "--pool", "retrue")

    with running(tmp_path / "worker.log", server.env, *words, cwd=tmp_path):
        scheduled = wait_for(lambda: server.completed("retrue-cycle"))[0]
        for project in ("other", "fruit"):
            resource = {"prefect.resource.id": "retrue.incident.i-1", "retrue.project": project}
            emitted = ("event", "emit", DRIFT_EVENT, "--resource", json.dumps(resource))
            server.call(deployable, *emitted)
        hinted = wait_for(lambda: server.completed("retrue-open-round"))

    assert scheduled["created_by"]["type"] == "SCHEDULE"
    assert scheduled["name"].startswith("fruit-")
    assert [run["created_by"]["type"] for run in hinted] == ["AUTOMATION"]
    assert server.runs("retrue-open-round") == hinted  # none for the other project's event
    (opened,) = open_workspace(deployable).records.rounds()
    assert opened.state == "open"
    for run in (scheduled, *hinted):
        late = seconds_between(run, "expected_start_time", "start_time")
        print(f"{run['id']} {run['name']}: expected {run['expected_start_time']}, {late:.1f} s")  # noqa: T201


def test_without_a_server_two_cycles_run_and_prefect_s_database_may_be_lost_between_them(
    root: Path, tmp_path: Path
):
    home = tmp_path / "home"
    told: list[dict[str, Any]] = []

    for _ in range(2):
        home.mkdir()
        done = subprocess.run(
            [str(BIN / "retrue"), "-C", str(root), "run", "cycle", "--json"],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
        shutil.rmtree(home)

    assert [report["idle"] for report in told] == [False, True]
    assert len(open_workspace(root).records.rounds()) == 1
