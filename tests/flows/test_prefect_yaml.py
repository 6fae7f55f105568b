"""`prefect.yaml` fits the flows and the workspace it lies in."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule

from flows.monitor import DRIFT_EVENT
from retrue.config import load_config

TOP = Path(__file__).parents[2]
SETTINGS = yaml.safe_load((TOP / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = SETTINGS["deployments"]
FLOWS = ("close_round", "cycle", "monitor", "open_round", "retrain")


def flow_at(entrypoint: str) -> Flow[..., Any]:
    path, name = entrypoint.split(":")
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_file_has_a_flow_named_like_it_that_takes_a_root(name: str):
    flow = flow_at(f"flows/{name}.py:{name}")

    parameters = inspect.signature(flow.fn).parameters

    assert isinstance(flow, Flow)
    assert flow.name == f"retrue-{name.replace('_', '-')}"
    assert parameters["root"].annotation is str  # what the form on Prefect's page is made of
    assert [p.name for p in parameters.values() if p.default is p.empty] == ["root"]


def test_every_flow_is_deployed_once_under_the_project_s_name():
    deployed = sorted(one["entrypoint"] for one in DEPLOYMENTS)

    assert deployed == [f"flows/{name}.py:{name}" for name in FLOWS]
    assert {one["name"] for one in DEPLOYMENTS} == {SETTINGS["name"]}
    assert SETTINGS["name"] == load_config(TOP).project


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["entrypoint"])
def test_a_deployment_s_parameters_fit_its_flow(deployment: dict[str, Any]):
    flow = flow_at(deployment["entrypoint"])

    given = [deployment["parameters"], *(t["parameters"] for t in deployment.get("triggers", ()))]

    for parameters in given:
        assert flow.validate_parameters(parameters)["root"] == "."


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["entrypoint"])
def test_no_deployment_runs_twice_at_the_same_time(deployment: dict[str, Any]):
    limit = deployment["concurrency_limit"]

    assert limit["limit"] == 1
    assert limit["collision_strategy"] in ("CANCEL_NEW", "ENQUEUE")


def test_the_nightly_run_and_the_tick_have_schedules_prefect_reads():
    scheduled = {one["entrypoint"]: one["schedules"] for one in DEPLOYMENTS if "schedules" in one}

    read = {path: [CronSchedule(**plan) for plan in plans] for path, plans in scheduled.items()}

    assert sorted(read) == ["flows/close_round.py:close_round", "flows/cycle.py:cycle"]
    assert all(plan.timezone for plans in read.values() for plan in plans)


def test_a_drift_event_of_this_project_opens_a_round():
    triggers = {one["entrypoint"]: one["triggers"] for one in DEPLOYMENTS if "triggers" in one}

    ((entrypoint, (trigger,)),) = triggers.items()

    assert entrypoint == "flows/open_round.py:open_round"
    assert trigger["expect"] == [DRIFT_EVENT]
    assert trigger["match"] == {"retrue.project": SETTINGS["name"]}
