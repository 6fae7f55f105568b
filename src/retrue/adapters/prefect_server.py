"""What a Prefect server says about itself and about a project's deployments; reads only.

Prefect itself is not imported: it takes seconds, and only the workspace's flows know it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, TypeVar, cast

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from retrue.adapters.examining import date_of
from retrue.adapters.process import without_passwords
from retrue.errors import ServiceUnavailable, WorkspaceError

__all__ = ["Deployed", "PrefectServer", "is_too_old"]

TIMEOUT = 20.0  # seconds
MOST = 200  # of a kind that Prefect gives in one page
HOW_TO_START = (
    "Start one with `retrue stack up`, or with `prefect server start --background`; then "
    "`export PREFECT_API_URL=http://127.0.0.1:4200/api` (or where it listens), and call again."
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """One deployment as the server has it."""

    name: str  # flow/deployment, as `prefect deployment run` takes it
    entrypoint: str  # file:function
    deployment_id: str
    folder: str | None  # where a worker runs it; None: the code is fetched from elsewhere
    work_pool: str | None
    schedules: tuple[str, ...]  # "0 3 * * * UTC"; one that is paused says so
    limit: int | None  # runs at a time; None: any number
    events: tuple[str, ...]  # an automation runs it on these


class PrefectServer:
    """Questions to the server behind one API address."""

    def __init__(
        self, url: str, env: Mapping[str, str], *, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Keep the address; asks nothing yet.

        Args:
            url: As in PREFECT_API_URL, with `/api` at the end.
            env: Holds PREFECT_API_KEY or PREFECT_API_AUTH_STRING where the server wants one.
            transport: What carries the requests; None: the network.
        """
        self.url = url.rstrip("/")
        self.shown = without_passwords(self.url)
        self.server_time: datetime | None = None  # of the last reply, whole seconds
        self._headers = _authorization(env)
        self._refused = _if_refused(env)
        self._transport = transport

    def version(self) -> str:
        """The server's version.

        Raises:
            ServiceUnavailable: It does not answer.
            WorkspaceError: It refuses us, or is no Prefect server.
        """
        return self._ask("GET", "/admin/version", str)

    def work_pool_type(self, name: str) -> str | None:
        """What kind of worker a pool takes; None: there is no such pool."""
        asked = {"work_pools": {"name": {"any_": [name]}}}
        pools = self._ask("POST", "/work_pools/filter", list[_Pool], asked)
        return pools[0].type if pools else None

    def workers(self, pool: str) -> int:
        """How many workers of a pool have been heard of lately."""
        found = self._ask("POST", f"/work_pools/{pool}/workers/filter", list[_Worker], {})
        return sum(one.status == "ONLINE" for one in found)

    def deployments(self, project: str) -> list[Deployed]:
        """The deployments that carry a project's name, by their flow's name."""
        asked = {"deployments": {"name": {"any_": [project]}}, "limit": MOST}
        found = self._ask("POST", "/deployments/filter", list[_Deployment], asked)
        flows = {
            one.id: one.name
            for one in self._ask(
                "POST",
                "/flows/filter",
                list[_Flow],
                {"flows": {"id": {"any_": [one.flow_id for one in found]}}, "limit": MOST},
            )
        }
        events = self._events()
        return sorted(
            (_told(one, flows.get(one.flow_id, "?"), events.get(one.id, ())) for one in found),
            key=lambda one: one.name,
        )

    def _events(self) -> dict[str, tuple[str, ...]]:
        """Deployment -> the events on which an automation that is switched on runs it."""
        events: dict[str, tuple[str, ...]] = {}
        for one in self._ask("POST", "/automations/filter", list[_Automation], {"limit": MOST}):
            for action in one.actions if one.enabled else ():
                if action.type == "run-deployment" and action.deployment_id is not None:
                    before = events.get(action.deployment_id, ())
                    events[action.deployment_id] = (*before, *one.trigger.expect)
        return events

    def _ask(self, method: str, path: str, wanted: type[_T], body: object = None) -> _T:
        where = f"{self.shown}{path}"
        try:
            with httpx.Client(transport=self._transport, timeout=TIMEOUT) as client:
                reply = client.request(
                    method, f"{self.url}{path}", json=body, headers=self._headers
                )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ServiceUnavailable(
                f"PREFECT_API_URL {self.shown}: no Prefect server answers "
                f"({type(error).__name__}). {HOW_TO_START}"
            ) from None
        if reply.status_code in (401, 403):
            raise WorkspaceError(
                f"{where}: Prefect refused us (HTTP {reply.status_code}). {self._refused}"
            )
        if reply.status_code >= 500:
            raise ServiceUnavailable(f"{where}: Prefect is failing (HTTP {reply.status_code}).")
        self.server_time = date_of(reply.headers)
        try:
            return TypeAdapter(wanted).validate_json(reply.content)
        except ValidationError:
            raise WorkspaceError(
                f"{where}: expected the reply of a Prefect server, got something else (HTTP "
                f"{reply.status_code}). PREFECT_API_URL must end in /api."
            ) from None


def is_too_old(server: str) -> bool:
    """Whether the Prefect installed here must not talk to a server of this version.

    Prefect promises that a server serves older clients of its major version, never newer ones.
    """
    here = _numbers(version("prefect"))
    there = _numbers(server)
    return there[:1] != here[:1] or there < here


def _numbers(text: str) -> tuple[int, ...]:
    """Major and minor version.

    >>> _numbers("3.8.8+12.gabc")
    (3, 8)
    """
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _authorization(env: Mapping[str, str]) -> dict[str, str]:
    if key := env.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if login := env.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    return {}


def _if_refused(env: Mapping[str, str]) -> str:
    """What to do where the server does not take what `_authorization` gives."""
    if env.get("PREFECT_API_KEY"):
        return (
            "It does not take PREFECT_API_KEY: correct it; or unset it, and set "
            "PREFECT_API_AUTH_STRING, for a server of your own."
        )
    if env.get("PREFECT_API_AUTH_STRING"):
        return "It does not take PREFECT_API_AUTH_STRING: correct it (user:password)."
    return "Set PREFECT_API_AUTH_STRING (a server of your own) or PREFECT_API_KEY (Prefect Cloud)."


def _told(one: _Deployment, flow: str, events: tuple[str, ...]) -> Deployed:
    limit = one.global_concurrency_limit
    return Deployed(
        name=f"{flow}/{one.name}",
        entrypoint=one.entrypoint or "",
        deployment_id=one.id,
        folder=_folder(one.pull_steps or []),
        work_pool=one.work_pool_name,
        schedules=tuple(
            _when(plan, paused=one.paused or not plan.active) for plan in one.schedules
        ),
        limit=None if limit is None else limit.limit,
        events=tuple(sorted(events)),
    )


def _when(plan: _Schedule, *, paused: bool) -> str:
    schedule = plan.schedule
    text = f"{schedule.get('cron') or schedule.get('rrule') or schedule.get('interval')}"
    zone = schedule.get("timezone")
    return " ".join([text, *([str(zone)] if zone else []), *(["(paused)"] if paused else [])])


def _folder(steps: list[dict[str, Any]]) -> str | None:
    for step in steps:
        for name, inputs in step.items():
            if name.endswith(".set_working_directory") and isinstance(inputs, dict):
                return str(cast("dict[str, object]", inputs).get("directory"))
    return None


class _Pool(BaseModel):
    type: str


class _Worker(BaseModel):
    status: str | None = None


class _Flow(BaseModel):
    id: str
    name: str


class _Schedule(BaseModel):
    schedule: dict[str, Any]
    active: bool = True


class _Limit(BaseModel):
    limit: int


class _Deployment(BaseModel):
    id: str
    name: str
    flow_id: str
    entrypoint: str | None
    paused: bool = False
    schedules: list[_Schedule]
    global_concurrency_limit: _Limit | None = None
    pull_steps: list[dict[str, Any]] | None
    work_pool_name: str | None


class _Trigger(BaseModel):
    expect: list[str] = []


class _Action(BaseModel):
    type: str
    deployment_id: str | None = None


class _Automation(BaseModel):
    enabled: bool
    trigger: _Trigger
    actions: list[_Action]
