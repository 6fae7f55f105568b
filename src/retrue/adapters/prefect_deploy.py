"""Registers a workspace's `prefect.yaml` on a Prefect server, by Prefect's own program.

Ask what is there, add the rest, look again: called twice, it leaves what it left the first time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from retrue.adapters.prefect_server import HOW_TO_START, Deployed, PrefectServer, is_too_old
from retrue.adapters.process import Finished, Runner, last_words, run_process
from retrue.errors import ConfigError, ServiceUnavailable, WorkspaceError

__all__ = ["FILE", "DeployReport", "deploy", "prefect_address"]

FILE = "prefect.yaml"
POOL_TYPE = "process"
SECONDS = 300.0  # five deployments take 8 s, and 60 on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What is registered now; of a dry run, what is there and what would come."""

    server: str  # its API address
    version: str  # of the server
    new_pools: tuple[str, ...]  # work pools that were not there
    pools: tuple[str, ...]  # all that the deployments use
    idle_pools: tuple[str, ...]  # those of which no worker was heard of lately: nothing runs there
    new: tuple[str, ...]  # deployments that were not there, as flow/deployment
    deployments: tuple[Deployed, ...]  # those of prefect.yaml, as the server has them
    moved_from: tuple[str, ...]  # other folders that ran this project's deployments before
    left_over: tuple[str, ...]  # under the project's name on the server, but not in prefect.yaml


class _Pool(BaseModel):
    name: str


class _Plan(BaseModel):
    name: str
    entrypoint: str
    work_pool: _Pool
    schedules: list[dict[str, Any]] = []
    concurrency_limit: dict[str, Any] | int | None = None
    triggers: list[dict[str, Any]] = []


class _Plans(BaseModel):
    name: str
    deployments: list[_Plan]


def prefect_address(root: Path, env: Mapping[str, str], run: Runner = run_process) -> str | None:
    """The API address that Prefect would use in a workspace: environment, else its profile.

    Returns:
        None where there is none: a flow then starts a server of its own for as long as it runs.
    """
    if url := env.get("PREFECT_API_URL"):
        return url
    said = _prefect(root, run, "config", "view", "--hide-sources", seconds=60.0).out
    found = re.search(r"(?m)^PREFECT_API_URL='(.+)'", said)
    return found[1] if found else None


def deploy(
    root: Path,
    project: str,
    server: PrefectServer,
    *,
    dry_run: bool = False,
    run: Runner = run_process,
) -> DeployReport:
    """Make the work pool, the deployments with their schedules and limits, and the automations.

    Args:
        root: The workspace; a worker will run the flows in this folder.
        project: Its name, which all its deployments carry.
        server: Where to.
        dry_run: Look only.
        run: How Prefect's program is called.

    Raises:
        ConfigError: `prefect.yaml` is missing, cannot be read, or names another project.
        ServiceUnavailable: The server does not answer.
        WorkspaceError: Its version does not fit, or it did not take what was registered.
    """
    plans = _read(root / FILE, project)
    version = server.version()
    if is_too_old(version):
        raise WorkspaceError(
            f"{server.shown}: the server is Prefect {version}, and the one installed here does not "
            f"fit it: install the same on both (`pip install prefect=={version}` here, or upgrade "
            "the server)."
        )
    pools = tuple(sorted({plan.work_pool.name for plan in plans}))
    absent = tuple(name for name in pools if server.work_pool_type(name) is None)
    before = server.deployments(project)
    if not dry_run:
        for name in absent:
            _make_pool(root, run, server, name)
        _call(root, run, server, "deploy", "--all")
    after = before if dry_run else server.deployments(project)
    wanted = {plan.entrypoint for plan in plans}
    there = tuple(one for one in after if one.entrypoint in wanted)
    if not dry_run:
        _must_be_there(plans, there, server)
    known = {one.entrypoint: one for one in before}
    folders = {one.folder for one in before if one.entrypoint in wanted and one.folder}
    return DeployReport(
        server=server.shown,
        version=version,
        new_pools=absent,
        pools=pools,
        idle_pools=tuple(
            name for name in pools if (dry_run and name in absent) or not server.workers(name)
        ),
        new=tuple(sorted(wanted - {*known})) if dry_run else _new(there, known),
        deployments=there,
        moved_from=tuple(sorted(folders - {str(root)})),
        left_over=tuple(one.name for one in after if one.entrypoint not in wanted),
    )


def _new(there: Iterable[Deployed], known: Mapping[str, Deployed]) -> tuple[str, ...]:
    return tuple(one.name for one in there if one.entrypoint not in known)


def _read(path: Path, project: str) -> list[_Plan]:
    try:
        plans = _Plans.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: expected this file, found none. Copy it from a new workspace "
            "(`retrue init DIR`)."
        ) from None
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: expected deployments as Prefect reads them: {error}") from error
    wrong = sorted({plans.name, *(plan.name for plan in plans.deployments)} - {project})
    if wrong:
        raise ConfigError(
            f"{path}: expected the project's name, {project}, at `name` and at every deployment, "
            f"got {', '.join(wrong)}. It keeps workspaces on one server apart."
        )
    return plans.deployments


def _must_be_there(
    plans: Sequence[_Plan], there: Sequence[Deployed], server: PrefectServer
) -> None:
    """Prefect's program ends well even where it left something out; so we look."""
    found = {one.entrypoint: one for one in there}
    lost: list[str] = []
    for plan in plans:
        one = found.get(plan.entrypoint)
        if one is None:
            lost.append(f"{plan.entrypoint}: not registered")
            continue
        events = {str(event) for each in plan.triggers for event in each.get("expect", [])}
        if len(one.schedules) != len(plan.schedules):
            lost.append(
                f"{one.name}: {len(one.schedules)} schedules instead of {len(plan.schedules)}"
            )
        if silent := sorted(events - {*one.events}):  # a person's own automation may add others
            lost.append(f"{one.name}: no automation runs it on {', '.join(silent)}")
        if (one.limit is None) != (plan.concurrency_limit is None):
            lost.append(f"{one.name}: concurrency limit {one.limit}")
    if lost:
        raise WorkspaceError(
            f"{server.shown}: the server did not take all of {FILE}:\n  "
            + "\n  ".join(lost)
            + "\nCall again; if it stays so, `prefect --no-prompt deploy --all` says more."
        )


def _make_pool(root: Path, run: Runner, server: PrefectServer, name: str) -> None:
    try:
        _call(root, run, server, "work-pool", "create", name, "--type", POOL_TYPE)
    except WorkspaceError:
        if server.work_pool_type(name) is None:  # a worker that began meanwhile makes it too
            raise


def _call(root: Path, run: Runner, server: PrefectServer, *words: str) -> None:
    done = _prefect(root, run, *words, url=server.url)
    if done.code == 0:
        return
    said = f"prefect {' '.join(words)}: exit {done.code}: {last_words(done, lines=8)}"
    if "ConnectError" in said or "connection attempts failed" in said:
        raise ServiceUnavailable(f"{said}\n{HOW_TO_START}")
    raise WorkspaceError(f"{said}\nSee {FILE} and the flows it names.")


def _prefect(
    root: Path, run: Runner, *words: str, url: str | None = None, seconds: float = SECONDS
) -> Finished:
    """Prefect's program of the Python that has retrue: the flows need both."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    env = {"NO_COLOR": "1", "COLUMNS": "200"} | ({"PREFECT_API_URL": url} if url else {})
    return run(command, cwd=root, env=env, timeout=seconds)
