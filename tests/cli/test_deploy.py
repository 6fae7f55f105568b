"""`retrue deploy`: what of prefect.yaml comes onto a server, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from retrue.adapters.prefect_deploy import deploy, prefect_address
from retrue.adapters.prefect_server import PrefectServer, is_too_old
from retrue.adapters.process import Finished
from retrue.errors import ConfigError, ServiceUnavailable, WorkspaceError

URL = "http://127.0.0.1:4200/api"


@dataclass
class FakePrefect:
    """A server that answers as Prefect 3.8 does, and the program that registers things on it."""

    answers_version: str = "3.8.8"
    workers: int = 0  # that live
    a_worker_begins: bool = False  # and makes the pool, just before we do
    forgets: tuple[str, ...] = ()  # entrypoints that the program leaves out, and says nothing
    pools: list[str] = field(default_factory=list)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)  # by entrypoint
    automations: list[dict[str, Any]] = field(default_factory=list)
    called: list[tuple[str, ...]] = field(default_factory=list)

    def server(self, env: Mapping[str, str] | None = None) -> PrefectServer:
        return PrefectServer(URL, env or {}, transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        said: dict[str, Any] = {
            "/api/admin/version": self.answers_version,
            "/api/work_pools/filter": [{"name": name, "type": "process"} for name in self.pools],
            "/api/deployments/filter": [*self.deployments.values()],
            "/api/flows/filter": [
                {"id": one["flow_id"], "name": f"retrue-{one['flow_id']}"}
                for one in self.deployments.values()
            ],
            "/api/automations/filter": self.automations,
            "/api/work_pools/retrue/workers/filter": [{"status": "ONLINE"}] * self.workers,
        }
        path = request.url.path
        return httpx.Response(200, json=said[path]) if path in said else httpx.Response(404)

    def run(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stdin: str = "",
    ) -> Finished:
        assert timeout > 0
        assert not stdin
        assert env["PREFECT_API_URL"] == URL
        words = tuple(args[args.index("--no-prompt") + 1 :])
        self.called.append(words)
        if words[0] == "work-pool" and self.a_worker_begins:
            self.pools.append(words[2])
            return Finished(code=1, out="", err="Work pool named 'retrue' already exists.")
        if words[0] == "work-pool":
            self.pools.append(words[2])
        else:
            self.register(cwd)
        return Finished(code=0, out="", err="")

    def register(self, root: Path) -> None:
        self.automations.clear()
        for plan in yaml.safe_load((root / "prefect.yaml").read_text())["deployments"]:
            if plan["entrypoint"] in self.forgets:
                continue
            name = plan["entrypoint"].split(":")[1]
            step = "prefect.deployments.steps.set_working_directory"
            self.deployments[plan["entrypoint"]] = {
                "id": f"d-{name}",
                "name": plan["name"],
                "flow_id": name,
                "entrypoint": plan["entrypoint"],
                "schedules": [{"schedule": one} for one in plan.get("schedules", ())],
                "global_concurrency_limit": {"limit": plan["concurrency_limit"]["limit"]},
                "pull_steps": [{step: {"directory": str(root)}}],
                "work_pool_name": "retrue",
            }
            self.automations += [
                {
                    "enabled": True,
                    "trigger": {"expect": trigger["expect"]},
                    "actions": [{"type": "run-deployment", "deployment_id": f"d-{name}"}],
                }
                for trigger in plan.get("triggers", ())
            ]


def test_an_empty_server_gets_the_pool_and_every_deployment_with_its_occasions(fresh: Path):
    prefect = FakePrefect()

    done = deploy(fresh, "wines", prefect.server(), run=prefect.run)

    assert prefect.called == [
        ("work-pool", "create", "retrue", "--type", "process"),
        ("deploy", "--all"),
    ]
    assert done.new_pools == done.pools == ("retrue",)
    assert len(done.new) == len(done.deployments) == 5
    found = {one.name: one for one in done.deployments}
    assert found["retrue-cycle/wines"].schedules == ("0 3 * * * UTC",)
    assert found["retrue-open_round/wines"].events == ("retrue.drift.detected",)
    assert {one.folder for one in done.deployments} == {str(fresh)}


def test_a_pool_that_a_worker_made_in_the_same_moment_is_taken(fresh: Path):
    prefect = FakePrefect(a_worker_begins=True)

    report = deploy(fresh, "wines", prefect.server(), run=prefect.run)

    assert prefect.pools == ["retrue"]
    assert len(report.deployments) == len(prefect.deployments) > 0


def test_a_second_time_makes_no_pool_and_finds_everything_there(fresh: Path):
    prefect = FakePrefect()
    deploy(fresh, "wines", prefect.server(), run=prefect.run)
    prefect.called.clear()

    again = deploy(fresh, "wines", prefect.server(), run=prefect.run)

    assert prefect.called == [("deploy", "--all")]
    assert again.new == again.new_pools == again.moved_from == again.left_over == ()


@pytest.mark.parametrize(("workers", "idle"), [(0, ("retrue",)), (1, ())])
def test_a_worker_is_asked_for_only_where_none_lives(
    fresh: Path, workers: int, idle: tuple[str, ...]
):
    prefect = FakePrefect(workers=workers)

    done = deploy(fresh, "wines", prefect.server(), run=prefect.run)

    assert done.idle_pools == idle


def test_a_dry_run_says_what_would_come_and_calls_nothing(fresh: Path):
    prefect = FakePrefect()

    done = deploy(fresh, "wines", prefect.server(), dry_run=True, run=prefect.run)

    assert prefect.called == []
    assert done.new_pools == ("retrue",)
    assert "flows/cycle.py:cycle" in done.new
    assert done.deployments == ()


def test_a_folder_that_moved_and_a_deployment_that_is_no_more_are_told(workspace: Path):
    prefect = FakePrefect()
    deploy(workspace, "wines", prefect.server(), run=prefect.run)
    moved = workspace.rename(workspace.with_name("elsewhere"))
    settings = yaml.safe_load((moved / "prefect.yaml").read_text())
    settings["deployments"].pop()
    (moved / "prefect.yaml").write_text(yaml.safe_dump(settings))

    done = deploy(moved, "wines", prefect.server(), run=prefect.run)

    assert done.moved_from == (str(workspace),)
    assert done.left_over == ("retrue-retrain/wines",)


def test_what_the_server_did_not_take_is_an_error_even_where_the_program_ended_well(fresh: Path):
    prefect = FakePrefect(forgets=("flows/cycle.py:cycle",))

    with pytest.raises(WorkspaceError, match=r"flows/cycle\.py:cycle: not registered"):
        deploy(fresh, "wines", prefect.server(), run=prefect.run)


def test_a_server_older_than_the_program_is_refused_before_anything_is_made(fresh: Path):
    prefect = FakePrefect(answers_version="3.1.0")

    with pytest.raises(WorkspaceError, match=r"pip install prefect==3\.1\.0"):
        deploy(fresh, "wines", prefect.server(), run=prefect.run)

    assert prefect.called == []


@pytest.mark.parametrize(
    ("server", "wrong"), [("3.8.0", False), ("3.9.1", False), ("3.7.9", True), ("4.0.0", True)]
)
def test_a_server_may_be_newer_within_its_major_version(server: str, wrong: bool):
    assert is_too_old(server) is wrong


def test_another_project_s_name_in_prefect_yaml_is_refused(fresh: Path):
    with pytest.raises(ConfigError, match="expected the project's name, beers"):
        deploy(fresh, "beers", FakePrefect().server())


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (httpx.Response(401), WorkspaceError, "PREFECT_API_AUTH_STRING"),
        (httpx.Response(503), ServiceUnavailable, "failing"),
        (httpx.Response(200, text="<html>"), WorkspaceError, "must end in /api"),
        (None, ServiceUnavailable, "prefect server start"),
    ],
)
def test_a_server_that_gives_no_answer_says_what_to_do(
    reply: httpx.Response | None, error: type[Exception], says: str
):
    def answer(request: httpx.Request) -> httpx.Response:
        if reply is None:
            raise httpx.ConnectError("refused", request=request)
        return reply

    server = PrefectServer(URL, {}, transport=httpx.MockTransport(answer))

    with pytest.raises(error, match=says):
        server.version()


def test_credentials_of_the_environment_go_with_every_question_and_into_no_message():
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(403)

    env = {"PREFECT_API_AUTH_STRING": "admin:canary"}
    server = PrefectServer(URL, env, transport=httpx.MockTransport(answer))

    with pytest.raises(WorkspaceError) as raised:
        server.version()

    assert seen == ["Basic YWRtaW46Y2FuYXJ5"]
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"])
def test_a_credential_that_is_set_and_refused_is_to_be_corrected(name: str):
    transport = httpx.MockTransport(lambda _: httpx.Response(401))

    with pytest.raises(WorkspaceError, match=f"does not take {name}: correct it"):
        PrefectServer(URL, {name: "admin:wrong"}, transport=transport).version()


def test_the_address_is_the_environment_s_or_the_one_of_prefect_s_profile(tmp_path: Path):
    def profile(*_: object, **__: object) -> Finished:
        return Finished(
            code=0, out="PREFECT_PROFILE='team'\nPREFECT_API_URL='http://p/api'\n", err=""
        )

    def nothing(*_: object, **__: object) -> Finished:
        return Finished(code=0, out="PREFECT_PROFILE='ephemeral'\nPREFECT_API_URL=''\n", err="")

    assert prefect_address(tmp_path, {"PREFECT_API_URL": URL}, nothing) == URL
    assert prefect_address(tmp_path, {}, profile) == "http://p/api"
    assert prefect_address(tmp_path, {}, nothing) is None


def test_without_a_server_the_command_says_how_to_start_one(
    retrue, fresh: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")

    told = retrue(fresh, "deploy", "--json")

    assert told.exit_code == 1
    assert "prefect server start" in told.stderr
    assert not told.stdout
