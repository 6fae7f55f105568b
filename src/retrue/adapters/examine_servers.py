"""`retrue doctor` at the servers: Label Studio, MLflow, Prefect, PostgreSQL, mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from retrue.adapters.examining import Check, clock_check, date_of, version_check
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.notify_email import EmailNotifier
from retrue.adapters.prefect_deploy import prefect_address
from retrue.adapters.prefect_server import PrefectServer, is_too_old
from retrue.adapters.process import without_passwords
from retrue.adapters.state_engine import check_schema, connect, reading, schema_revision
from retrue.errors import ModelError, ServiceUnavailable
from retrue.ports import ModelRegistry

__all__ = [
    "examine_label_studio",
    "examine_ledger",
    "examine_mail",
    "examine_mlflow",
    "examine_prefect",
    "examine_webhook",
]

TIMEOUT = 20.0  # seconds
VERSION = re.compile(r"\d+(\.\w+)+")
SETTING = "MLFLOW_TRACKING_URI (model.tracking_uri)"
CORRECT = f"Correct {SETTING}: it is the server's root."
Clock = Callable[[], datetime]


def examine_label_studio(client: LabelStudioClient, now: Clock) -> Iterator[Check]:
    """Version, clock, whose token of which kind it is, and how many projects it sees.

    Raises:
        QueueError: The token is refused, or this is no Label Studio.
        ServiceUnavailable: It does not answer.
    """
    name = "Label Studio"
    me = client.get("/api/current-user/whoami", dict[str, Any])
    yield Check(name=f"{name} token", ok=True, detail=f"{client.token_kind} of {me.get('email')}")
    yield clock_check(name, client.server_time, now())
    told = client.get("/api/version/", dict[str, Any])
    yield version_check(name, str(told.get("release", "unknown")))
    page = client.get("/api/projects/", dict[str, Any], {"page_size": 1})
    count = page.get("count", 0)
    yield Check(name=f"{name} projects", ok=True, detail=f"{count} can be seen")


def examine_mlflow(uri: str | None, models: ModelRegistry, now: Clock) -> Iterator[Check]:
    """The registry's server, where it is one, and the champion in it.

    Raises:
        ModelError: The registry refuses us.
        ServiceUnavailable: It does not answer.
    """
    if uri is not None and uri.startswith(("http://", "https://")):
        reply = _get(f"{uri.rstrip('/')}/version")
        version = reply.text.strip()
        if not VERSION.fullmatch(version):
            raise ModelError(
                f"{without_passwords(uri)}: expected an MLflow server, got another one. {CORRECT}"
            )
        yield clock_check("MLflow", date_of(reply.headers), now())
        yield version_check("MLflow", version)
    champion = models.champion()
    found = f"champion v{champion.version}" if champion else "no champion yet"
    yield Check(name="model registry", ok=True, detail=found)


def _get(url: str) -> httpx.Response:
    shown = without_passwords(url)
    try:
        reply = httpx.get(url, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnavailable(
            f"{shown}: no MLflow server answers ({type(error).__name__}). Start it (this machine's "
            f"stack: `retrue stack up`), or correct {SETTING}."
        ) from None
    if reply.status_code in (401, 403):
        raise ModelError(
            f"{shown}: MLflow refused us (HTTP {reply.status_code}). Set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if reply.is_error:
        raise ModelError(
            f"{shown}: expected an MLflow server, got HTTP {reply.status_code}. {CORRECT}"
        )
    return reply


def examine_prefect(
    root: Path, project: str, env: Mapping[str, str], now: Clock
) -> Iterator[Check]:
    """The server that runs the schedules, what is registered there, and who runs it.

    Raises:
        RetrueError: It does not answer, or refuses us.
    """
    url = prefect_address(root, env)
    if url is None:
        detail = "PREFECT_API_URL names none: each flow starts one for as long as it runs"
        yield Check(name="Prefect", ok=True, detail=detail)
        return
    server = PrefectServer(url, env)
    version = server.version()
    yield clock_check("Prefect", server.server_time, now())
    yield version_check("Prefect", version)
    if is_too_old(version):
        detail = f"the server is {version}, older than what is installed here. Upgrade the server."
        yield Check(name="Prefect", ok=False, detail=detail)
        return
    known = [one for one in server.deployments(project) if one.folder in (None, str(root))]
    if not known:
        detail = f"{server.shown}: nothing of {project} in this folder. Run `retrue deploy`."
        yield Check(name="Prefect deployments", ok=True, warn=True, detail=detail)
        return
    yield Check(name="Prefect deployments", ok=True, detail=f"{len(known)} at {server.shown}")
    for pool in sorted({one.work_pool for one in known if one.work_pool}):
        workers = server.workers(pool)
        detail = f"{workers} of pool {pool} heard of lately"
        if not workers:
            detail = (
                f"none of pool {pool} was heard of lately, so nothing runs. Run "
                f"`prefect worker start --pool {pool} --type process`."
            )
        yield Check(name="Prefect workers", ok=workers > 0, detail=detail)


def examine_ledger(url: str, now: Clock) -> Iterator[Check]:
    """The database, its version, our rights in it, and migrations it waits for.

    Raises:
        RetrueError: It does not answer, or refuses us.
    """
    engine = connect(url)
    revision = schema_revision(engine)
    with reading(engine) as connection:
        if engine.dialect.name == "postgresql":
            version = connection.scalar(text("SHOW server_version"))
            theirs = connection.scalar(text("SELECT clock_timestamp()"))
            may = connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')"))
            yield version_check("PostgreSQL", str(version).split()[0])
            yield clock_check("PostgreSQL", theirs.replace(microsecond=0), now())
            if not may:
                detail = (
                    "the user may not make tables, which a migration needs. Run as the owner: "
                    f"GRANT CREATE ON SCHEMA public TO {engine.url.username};"
                )
                yield Check(name="ledger rights", ok=True, warn=True, detail=detail)
        else:
            yield version_check("SQLite", str(connection.scalar(text("SELECT sqlite_version()"))))
    if revision is None:
        yield Check(name="ledger", ok=True, detail="empty; the first step makes its tables")
        return
    check_schema(revision)
    yield Check(name="ledger", ok=True, detail=f"schema {revision}, no migration waits")


def examine_webhook(url: str) -> Iterator[Check]:
    """Whether the webhook's host answers; its path is a secret, and a POST would be a message.

    Raises:
        ServiceUnavailable: It does not answer.
    """
    try:
        address = httpx.URL(url)
        httpx.get(address.copy_with(raw_path=b"/", userinfo=b"", fragment=None), timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnavailable(
            f"the webhook's host does not answer ({type(error).__name__}). Check notify.webhook, "
            "the network and a proxy."
        ) from None
    detail = f"{address.host} answers; whether it takes messages, the first one tells"
    yield Check(name="notify.webhook", ok=True, detail=detail)


def examine_mail(mail: EmailNotifier) -> Iterator[Check]:
    """Whether the mail server would take a message; none is sent."""
    yield Check(name="notify.email", ok=True, detail=mail.knock())
