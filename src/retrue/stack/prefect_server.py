"""Prefect's server and one worker, from our own environment: the loop on its schedules."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import httpx
from pydantic import BaseModel, TypeAdapter

from retrue.stack.loopback import HOST
from retrue.stack.service import ASK_SECONDS, Launch, Say, Site, answers

__all__ = ["POOL", "PrefectServer", "PrefectWorker"]

POOL = "retrue"  # as in the workspace's prefect.yaml
PREFECT = (sys.executable, "-m", "prefect")
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefectServer:
    """A server on SQLite. It asks for a password: who may call it may run programs as us."""

    name: ClassVar[str] = "prefect"
    ports: ClassVar[tuple[str, ...]] = ("http",)
    needs: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 300.0  # 15 s on a quiet machine
    site: Site

    @property
    def url(self) -> str:
        """Its first page; the API is below."""
        return f"http://{HOST}:{self.site.ports['http']}"

    @property
    def login(self) -> str:
        """User and password, as its page asks for them."""
        return f"retrue:{self.site.credential('password', 24)}"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        told = base64.b64encode(self.login.encode()).decode()
        return {"Authorization": f"Basic {told}"}

    def prepare(self, say: Say) -> None:
        """Nothing is missing: it makes its tables itself."""

    def launch(self) -> Launch:
        """Server, scheduler and event triggers in one process."""
        return Launch(
            command=(
                *(*PREFECT, "server", "start"),
                *("--host", HOST, "--port", str(self.site.ports["http"])),
            ),
            environment={
                **QUIET,
                "PREFECT_HOME": str(self.site.folder),
                "PREFECT_SERVER_API_AUTH_STRING": self.login,
                "PREFECT_API_AUTH_STRING": self.login,
                "PREFECT_API_URL": f"{self.url}/api",
                "PREFECT_UI_API_URL": f"{self.url}/api",
            },
        )

    def is_ready(self) -> bool:
        """It knows our password, and reads its tables."""
        return answers(f"{self.url}/api/flows/count", headers=self.headers, body={}) is not None

    def environment(self) -> Mapping[str, str]:
        """The usual names."""
        return {"PREFECT_API_URL": f"{self.url}/api", "PREFECT_API_AUTH_STRING": self.login}

    def link(self) -> str | None:
        """Its first page."""
        return self.url


class _Worker(BaseModel):
    """One line of the server's list."""

    name: str
    status: str


_WORKERS = TypeAdapter(list[_Worker])


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefectWorker:
    """Starts a process for every run that is due: the workspace's flows, in our environment."""

    name: ClassVar[str] = "worker"
    ports: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("prefect",)
    ready_seconds: ClassVar[float] = 180.0  # 10 s on a quiet machine
    site: Site
    server: PrefectServer
    services: Mapping[str, str]  # where the flows find the other services

    @property
    def worker_name(self) -> str:
        """As Prefect's pages show it."""
        return f"stack-{self.site.credential('worker', 8)}"

    def prepare(self, say: Say) -> None:  # noqa: ARG002 - nothing takes long
        """Take off the server's list what an earlier start left there."""
        httpx.delete(
            f"{self._workers}/{self.worker_name}",
            headers=self.server.headers,
            timeout=ASK_SECONDS,
            trust_env=False,
        )

    def launch(self) -> Launch:
        """It makes the pool if it is not there. Flows commit, so they need our git's settings."""
        return Launch(
            command=(
                *(*PREFECT, "worker", "start", "--pool", POOL, "--type", "process"),
                *("--name", self.worker_name),
            ),
            environment={
                **QUIET,
                "PREFECT_HOME": str(self.site.folder),
                **self.services,
                **self.server.environment(),
            },
            inherits=True,
            stop_seconds=5.0,  # it often needs to be asked twice
        )

    def is_ready(self) -> bool:
        """Whether the server has heard from it."""
        reply = answers(f"{self._workers}/filter", headers=self.server.headers, body={})
        told = _WORKERS.validate_json(reply.content) if reply is not None else []
        return _Worker(name=self.worker_name, status="ONLINE") in told

    def environment(self) -> Mapping[str, str]:
        """Nobody calls it."""
        return {}

    def link(self) -> str | None:
        """Its pool, with what it runs."""
        return f"{self.server.url}/work-pools/work-pool/{POOL}"

    @property
    def _workers(self) -> str:
        return f"{self.server.url}/api/work_pools/{POOL}/workers"
