"""`retrue doctor` at the servers: what each says, and what to do where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import httpx
import pytest
from sqlalchemy import text

from retrue.adapters.examine_servers import (
    examine_label_studio,
    examine_ledger,
    examine_mlflow,
    examine_prefect,
    examine_webhook,
)
from retrue.adapters.examining import Check, clock_check, examined, version_check
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.state_engine import connect, migrate, writing
from retrue.adapters.state_tables import VERSION_TABLE
from retrue.ports import ModelRegistry
from web_that_says import Said, answering

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STUDIO = {
    "/api/current-user/whoami": {"email": "ann@example.com"},
    "/api/version/": {"release": "1.23.2"},
    "/api/projects/": {"count": 3},
}


def found(look: Callable[[], Iterable[Check]]) -> dict[str, Check]:
    return {one.name: one for one in examined("it", look)}


def now() -> datetime:
    return NOW


# --- clocks and versions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "ok", "warn"),
    [
        (0, True, False),
        (-1.9, True, False),
        (20, True, False),
        (-40, True, True),
        (301, False, False),
    ],
)
def test_a_clock_is_minded_at_half_a_minute_and_wrong_at_five(seconds: float, ok: bool, warn: bool):
    check = clock_check("S3", NOW + timedelta(seconds=seconds), NOW)

    assert (check.ok, check.warn) == (ok, warn)


def test_a_server_that_tells_no_time_is_minded():
    assert clock_check("S3", None, NOW).warn


@pytest.mark.parametrize("version", ["0.9", "2.99", "4.0.0", "unknown"])
def test_a_version_nobody_tried_is_minded_and_not_wrong(version: str):
    check = version_check("MLflow", version)

    assert (check.ok, check.warn) == (True, True)
    assert "3.0 up to below 4.0" in check.detail


# --- Label Studio ----------------------------------------------------------------------------


def studio(status: int = 200, date: str = "", **said: object) -> LabelStudioClient:
    def answer(request: httpx.Request) -> httpx.Response:
        reply = STUDIO | {"/api/version/": said or STUDIO["/api/version/"]}
        headers = {"Date": date} if date else {}
        body = {"detail": "Invalid token."} if status >= 400 else reply[request.url.path]
        return httpx.Response(status, json=body, headers=headers)

    transport = httpx.MockTransport(answer)
    return LabelStudioClient("http://studio", "canary", transport=transport, sleep=lambda _: None)


def test_a_label_studio_in_order_tells_whose_token_of_which_kind_it_was_given():
    client = studio(date="Sun, 01 Mar 2026 12:00:00 GMT")

    checks = found(lambda: examine_label_studio(client, now))

    assert all(one.ok and not one.warn for one in checks.values())
    assert checks["Label Studio token"].detail == "legacy token of ann@example.com"
    assert checks["Label Studio version"].detail == "1.23.2"
    assert checks["Label Studio projects"].detail == "3 can be seen"


def test_a_wrong_token_is_told_without_it():
    (check,) = found(lambda: examine_label_studio(studio(401), now)).values()

    assert not check.ok
    assert "refused our token (HTTP 401)" in check.detail
    assert "canary" not in check.detail


def test_an_old_label_studio_with_another_clock_is_told_both():
    client = studio(date="Sun, 01 Mar 2026 12:20:00 GMT", release="1.8.0")

    checks = found(lambda: examine_label_studio(client, now))

    assert "1200 s ahead of ours" in checks["Label Studio clock"].detail
    assert not checks["Label Studio clock"].ok
    assert checks["Label Studio version"].warn


# --- MLflow ----------------------------------------------------------------------------------


class NoChampion:
    def champion(self) -> None:
        return None


MODELS = cast("ModelRegistry", NoChampion())


def test_a_registry_that_is_a_server_tells_its_version():
    def answer(_: str, path: str) -> Said:
        return (200, "text/plain", "3.17.2") if path == "/version" else (404, "text/plain", "")

    with answering(answer) as web:
        checks = found(lambda: examine_mlflow(web.url, MODELS, lambda: datetime.now(tz=UTC)))  # noqa: TID251

    assert checks["MLflow version"].detail == "3.17.2"
    assert checks["MLflow clock"].ok
    assert checks["model registry"].detail == "no champion yet"


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "MLFLOW_TRACKING_USERNAME"), (404, "it is the server's root")]
)
def test_a_registry_that_refuses_says_what_to_set(status: int, advice: str):
    with answering(lambda _method, _path: (status, "text/plain", "")) as web:
        (check,) = found(lambda: examine_mlflow(web.url, MODELS, now)).values()

    assert not check.ok
    assert advice in check.detail


@pytest.mark.parametrize("body", ["<!doctype html>\n<html>3.1</html>", "", "ok"])
def test_another_web_server_is_no_registry_and_its_page_is_not_shown(body: str):
    asked: list[str] = []

    def answer(_: str, path: str) -> Said:
        asked.append(path)
        return 200, "text/html", body

    with answering(answer) as web:
        (check,) = found(lambda: examine_mlflow(web.url, MODELS, now)).values()

    assert not check.ok
    assert "expected an MLflow server, got another one" in check.detail
    assert "MLFLOW_TRACKING_URI (model.tracking_uri)" in check.detail
    assert "\n" not in check.detail
    assert asked == ["/version"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[canary"])
def test_a_registry_that_is_not_there_is_told(url: str):
    (check,) = found(lambda: examine_mlflow(url, MODELS, now)).values()

    assert not check.ok
    assert "no MLflow server answers" in check.detail


# --- Prefect ---------------------------------------------------------------------------------


def prefect(version: str, *, workers: int = 1, folder: str = "/w") -> Callable[[str, str], Said]:
    pull = {"prefect.deployments.steps.set_working_directory": {"directory": folder}}
    deployed = {
        "id": "d-1",
        "name": "fruit",
        "flow_id": "f-1",
        "entrypoint": "flows/cycle.py:cycle",
        "schedules": [],
        "pull_steps": [pull],
        "work_pool_name": "retrue",
    }
    replies: dict[str, object] = {
        "/api/admin/version": version,
        "/api/deployments/filter": [deployed],
        "/api/flows/filter": [{"id": "f-1", "name": "retrue-cycle"}],
        "/api/automations/filter": [],
        "/api/work_pools/retrue/workers/filter": [{"status": "ONLINE"}] * workers,
    }
    return lambda _, path: (200, "application/json", json.dumps(replies[path]))


def prefect_checks(answer: Callable[[str, str], Said]) -> dict[str, Check]:
    with answering(answer) as web:
        env = {"PREFECT_API_URL": f"{web.url}/api"}
        clock = lambda: datetime.now(tz=UTC)  # noqa: E731, TID251
        return found(lambda: examine_prefect(Path("/w"), "fruit", env, clock))


def test_a_prefect_server_with_a_worker_is_in_order():
    checks = prefect_checks(prefect("3.99.0"))

    assert all(one.ok and not one.warn for one in checks.values())
    assert checks["Prefect workers"].detail == "1 of pool retrue heard of lately"


def test_schedules_that_no_worker_runs_are_told():
    check = prefect_checks(prefect("3.99.0", workers=0))["Prefect workers"]

    assert not check.ok
    assert "prefect worker start --pool retrue --type process" in check.detail


def test_a_prefect_server_older_than_ours_is_told():
    check = prefect_checks(prefect("3.4.0"))["Prefect"]

    assert not check.ok
    assert "Upgrade the server" in check.detail


def test_a_folder_that_was_never_deployed_is_minded():
    check = prefect_checks(prefect("3.99.0", folder="/elsewhere"))["Prefect deployments"]

    assert check.warn
    assert "Run `retrue deploy`" in check.detail


# --- the ledger and the webhook --------------------------------------------------------------


def test_a_ledger_that_a_newer_retrue_has_migrated_is_told(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    engine = connect(url)
    migrate(engine)
    new = found(lambda: examine_ledger(url, now))
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608

    old = found(lambda: examine_ledger(url, now))

    assert "no migration waits" in new["ledger"].detail
    assert not old["it"].ok
    assert "which is newer; upgrade retrue" in old["it"].detail


def test_an_empty_ledger_is_in_order(tmp_path: Path):
    checks = found(lambda: examine_ledger(f"sqlite:///{tmp_path}/ledger.sqlite", now))

    assert checks["ledger"].detail == "empty; the first step makes its tables"


def test_a_webhook_s_host_is_asked_and_nothing_is_posted_there():
    with answering(lambda _method, _path: (404, "text/plain", "")) as web:
        (check,) = found(lambda: examine_webhook(f"{web.url}/services/canary?x=canary")).values()

    assert check.ok
    assert web.heard == [("GET", "/")]
    assert "canary" not in check.detail


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/canary", "canary", "http://[canary"])
def test_a_webhook_whose_host_is_not_there_is_told_without_its_address(url: str):
    (check,) = found(lambda: examine_webhook(url)).values()

    assert not check.ok
    assert "notify.webhook" in check.detail
    assert "canary" not in check.detail
