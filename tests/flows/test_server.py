"""A real Prefect server and worker run what `retrue deploy` registers; and none is needed."""

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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from flows.monitor import DRIFT_EVENT
from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.core.simulate import SimulatedAnnotator
from retrue.cycle import close_rounds, open_rounds
from retrue.initialising import make_workspace
from retrue.wiring import QUIET, clock, open_workspace

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
PATIENCE = 240  # seconds; a busy machine needs 60 for what takes 15 on an idle one
FLOWS = ("cycle", "close-round", "monitor", "open-round", "retrain")


@dataclass(frozen=True)
class Server:
    """Where it listens, and how to call programs that know it."""

    url: str
    env: dict[str, str]

    def call(self, root: Path, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            cwd=root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, body: object) -> Any:
        def reply() -> httpx.Response | None:
            got = httpx.post(f"{self.url}{path}", json=body, timeout=30)
            # Its SQLite was locked: Prefect's own client asks again too.
            return None if got.status_code == 503 else got

        got = wait_for(reply)
        assert not got.is_error, got.text
        return got.json()

    def deploy(self, root: Path) -> dict[str, Any]:
        return json.loads(self.call(root, "retrue", "deploy", "--json"))

    def deployment(self, name: str) -> dict[str, Any]:
        """By flow and project, `open-round/fruit`."""
        return httpx.get(f"{self.url}/deployments/name/retrue-{name}", timeout=30).json()

    def run(self, name: str, **body: object) -> str:
        """Ask for a run of a deployment as Prefect's page does; returns the flow run's id."""
        once = {"idempotency_key": uuid4().hex}  # asked again after a 503, it is still one run
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.ask(path, body | once)["id"]

    def state(self, run_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/flow_runs/{run_id}", timeout=30).json()

    def ended(self, run_id: str) -> dict[str, Any]:
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return wait_for(lambda: (run := self.state(run_id))["state_type"] in final and run)

    def runs_by(self, who: str, name: str, since: datetime) -> list[dict[str, Any]]:
        """The completed runs that a schedule or an automation made, oldest first."""
        asked = {
            "deployments": {"id": {"any_": [self.deployment(name)["id"]]}},
            "flow_runs": {"start_time": {"after_": since.isoformat()}},
            "sort": "START_TIME_ASC",
        }
        return [
            run
            for run in self.ask("/flow_runs/filter", asked)
            if run["state_type"] == "COMPLETED" and (run["created_by"] or {}).get("type") == who
        ]

    def log(self, run_id: str) -> str:
        asked = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.ask("/logs/filter", asked))


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    env = environment(home, PREFECT_API_URL=url)
    words = ("server", "start", "--host", "127.0.0.1", "--port", port)
    with running(home / "server.log", env, *words, cwd=home):
        wait_for(lambda: healthy(url))
        yield Server(url, env)


@pytest.fixture(scope="module")
def worker(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, and a worker that runs what it schedules."""
    home = tmp_path_factory.mktemp("worker")
    words = ("worker", "start", "--pool", "retrue", "--type", "process")
    with running(home / "worker.log", server.env, *words, cwd=home):
        yield server


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a champion: its first round was answered, versioned and trained on."""
    root = tmp_path_factory.mktemp("lived") / "points"
    make_workspace(root, kind="table", project="points")
    config = {
        "project": "points",
        "data": {"kind": "table", "incoming": {"uri": "incoming", "key": "id"}},
        "select": {"budget": 40},
        "round": {"open": "auto"},
        "model": {"promote": "auto"},
    }
    (root / "configs/project.yaml").write_text(yaml.safe_dump(config))
    labels = {"kind": "choice", "classes": ["left", "right"], "question": "Which side?"}
    (root / "configs/labels.yaml").write_text(yaml.safe_dump(labels))
    arrive(root, "first", shift=0.0)
    workspace = open_workspace(root)
    open_rounds(workspace, now=clock())
    assert isinstance(workspace.queue, FileQueue)
    simulate_answers(
        workspace.queue,
        [SimulatedAnnotator(name=name, accuracy=1.0, seconds=3.0) for name in ("ann", "bob")],
        lambda task: "right" if float(str(task.display["x"])) > 0 else "left",
        lambda _: workspace.labels.label_schema,
        seed="server",
        now=clock(),
    )
    close_rounds(workspace, now=clock())
    assert workspace.models.champion() is not None
    return root


@pytest.fixture
def points(lived: Path, tmp_path: Path) -> Path:
    """A copy of it, in which the traffic has shifted since."""
    root = shutil.copytree(lived, tmp_path / "points", symlinks=True)
    arrive(root, "second", shift=3.0)
    return root


def arrive(root: Path, name: str, *, shift: float) -> None:
    """Rows whose x is spread evenly over 4 units, moved by `shift`."""
    rows = [f"{name}-{i},{i % 100 / 25 - 2 + shift},{i * 37 % 100 / 100}" for i in range(300)]
    (root / f"incoming/{name}.csv").write_text("\n".join(["id,x,y", *rows, ""]))


@contextmanager
def every_minute(server: Server, root: Path) -> Iterator[None]:
    """The nightly run and the tick, as often as cron knows, for a block."""
    path = root / "prefect.yaml"
    text = path.read_text()
    path.write_text(re.sub(r'cron: "[^"]+"', 'cron: "* * * * *"', text))
    server.deploy(root)
    try:
        yield
    finally:
        path.write_text(text)
        server.deploy(root)


def told(run: dict[str, Any]) -> None:
    """The ids and times that a report of this test shows."""
    times = [datetime.fromisoformat(run[name]) for name in ("expected_start_time", "start_time")]
    late = (times[1] - times[0]).total_seconds()
    print(f"{run['id']} {run['name']}: due {run['expected_start_time']}, {late:.1f} s late")  # noqa: T201


def test_deploying_twice_registers_the_same_set_once(server: Server, root: Path):
    first = server.deploy(root)
    second = server.deploy(root)

    names = {f"retrue-{flow}/fruit" for flow in FLOWS}
    assert first["new_pools"] == ["retrue"]
    assert {*first["new"]} == {one["name"] for one in second["deployments"]} == names
    assert second["new"] == second["new_pools"] == []
    schedules = {one["name"]: one["schedules"] for one in second["deployments"]}
    assert schedules["retrue-cycle/fruit"] == ["0 3 * * * UTC"]
    assert schedules["retrue-close-round/fruit"] == ["30 */2 * * * UTC"]
    (automation,) = server.ask("/automations/filter", {})
    assert automation["trigger"]["match"] == {"retrue.project": "fruit"}
    (action,) = automation["actions"]
    assert action["parameters"] == {"root": "."}
    assert action["deployment_id"] == server.deployment("open-round/fruit")["id"]


def test_prefect_s_form_shows_what_can_be_asked_for(server: Server, root: Path):
    server.deploy(root)

    form = server.deployment("open-round/fruit")["parameter_openapi_schema"]

    fields = form["properties"]
    assert form["required"] == ["root"]
    assert [*fields] == ["root", "kind", "why", "budget", "person"]
    assert fields["kind"]["enum"] == ["due", "incoming", "inference", "adhoc", "gate"]
    assert [one.get("default") for one in fields.values()] == [
        None,
        "due",
        "asked for in Prefect",
        0,
        "",
    ]
    assert all(one["description"] for one in fields.values())


def test_a_person_opens_a_round_with_parameters(worker: Server, root: Path):
    worker.call(root, "retrue", "ingest")
    worker.deploy(root)
    wish = {"kind": "adhoc", "why": "camera 3 moved", "budget": 5, "person": "ada"}

    run = worker.ended(worker.run("open-round/fruit", parameters=wish))

    assert run["state_type"] == "COMPLETED", worker.log(run["id"])
    (opened,) = open_workspace(root).records.rounds()
    assert (opened.plan.kind, opened.plan.why) == ("adhoc", "camera 3 moved")
    (decision,) = open_workspace(root).records.decisions("round-opened")
    assert decision.by == "ada"


def test_what_the_form_does_not_offer_is_refused_before_anything_runs(server: Server, root: Path):
    server.deploy(root)
    path = f"{server.url}/deployments/{server.deployment('open-round/fruit')['id']}/create_flow_run"

    reply = httpx.post(path, json={"parameters": {"kind": "party"}}, timeout=30)

    assert reply.status_code == 409
    assert "'party' is not one of" in reply.text


def test_the_cycle_and_the_close_round_tick_fire_each_by_its_own_schedule(
    worker: Server, root: Path
):
    start = clock()
    with every_minute(worker, root):
        fired = {
            name: wait_for(lambda name=name: worker.runs_by("SCHEDULE", name, start))[0]
            for name in ("cycle/fruit", "close-round/fruit")
        }

    for name, run in fired.items():
        told(run)
        assert run["name"].startswith("fruit-")
        assert run["deployment_id"] == worker.deployment(name)["id"]
    (opened,) = open_workspace(root).records.rounds()
    assert opened.state == "open"


def test_real_drift_emits_the_event_that_opens_a_round(worker: Server, points: Path):
    start = clock()
    worker.deploy(points)
    resource = {"prefect.resource.id": "retrue.incident.i-1", "retrue.project": "other"}
    emitted = ("event", "emit", DRIFT_EVENT, "--resource", json.dumps(resource))
    worker.call(points, "prefect", *emitted)  # another project's: it must open nothing

    monitored = worker.ended(worker.run("monitor/points"))
    opened = wait_for(lambda: worker.runs_by("AUTOMATION", "open-round/points", start))

    assert monitored["state_type"] == "COMPLETED"
    told(monitored)
    told(opened[0])
    assert len(opened) == 1
    workspace = open_workspace(points)
    (incident,) = workspace.records.decisions("incident-opened")
    (probe,) = [one for one in workspace.records.rounds() if one.plan.kind == "probe"]
    asked = {"filter": {"event": {"name": [DRIFT_EVENT]}}}
    events = [one["resource"] for one in worker.ask("/events/filter", asked)["events"]]
    name = str(incident.data["incident"])
    assert f"retrue.incident.{name}" in [one["prefect.resource.id"] for one in events]
    assert probe.state == "open"
    print(f"incident {name} -> {probe.plan.round_id}")  # noqa: T201


def test_a_lost_event_loses_nothing_the_next_tick_opens_the_round(worker: Server, points: Path):
    start = clock()
    worker.deploy(points)
    worker.call(points, "retrue", "ingest")
    worker.call(points, "retrue", "drift", codes=(3,))  # the step alone: it emits no event
    assert not probes(points)

    tick = worker.ended(worker.run("cycle/points"))

    assert tick["state_type"] == "COMPLETED"
    told(tick)
    assert [one.state for one in probes(points)] == ["open"]
    assert worker.runs_by("AUTOMATION", "open-round/points", start) == []


def test_late_and_overlapping_runs_do_the_work_once(worker: Server, points: Path):
    worker.deploy(points)

    ours = [
        worker.run("cycle/points"),
        worker.run("cycle/points"),
        worker.run("close-round/points"),
    ]
    by_hand = json.loads(worker.call(points, "retrue", "run", "cycle", "--json"))
    ends = [worker.ended(run_id) for run_id in ours]
    past = {"scheduled_time": (clock() - timedelta(hours=5)).isoformat()}
    late = worker.ended(
        worker.run("cycle/points", state={"type": "SCHEDULED", "state_details": past})
    )

    told(ends[0])
    assert sorted(run["state_type"] for run in ends) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert "skipped" in by_hand or "idle" in by_hand
    assert late["state_type"] == "COMPLETED"
    told(late)
    wait_for(lambda: "nothing to do" in worker.log(late["id"]))  # its last lines come after its end
    workspace = open_workspace(points)
    assert len(workspace.state.windows("incoming")) == 2
    assert len(workspace.records.decisions("incident-opened")) == 1
    (probe,) = probes(points)
    tasks = [task.task_key for task in workspace.queue.open_tasks("ann", "crowd")]
    assert len(tasks) == len({*tasks}) == len(workspace.records.tasks(probe.plan.round_id))


def probes(root: Path) -> list[Any]:
    return [one for one in open_workspace(root).records.rounds() if one.plan.kind == "probe"]


def test_a_failing_run_says_one_clear_sentence_and_no_traceback(worker: Server, root: Path):
    worker.deploy(root)
    (root / "configs/labels.yaml").unlink()

    run = worker.ended(worker.run("monitor/fruit"))

    assert run["state_type"] == "FAILED"
    assert "labels.yaml" in run["state"]["message"]
    assert "Traceback" not in worker.log(run["id"])


def test_without_a_server_two_cycles_run_and_prefect_s_database_may_be_lost_between_them(
    root: Path, tmp_path: Path
):
    home = tmp_path / "home"
    reports: list[dict[str, Any]] = []

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
        reports.append(json.loads(done.stdout))
        shutil.rmtree(home)

    assert [report["idle"] for report in reports] == [False, True]
    assert len(open_workspace(root).records.rounds()) == 1
