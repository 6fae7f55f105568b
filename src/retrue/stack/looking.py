"""What runs, what does not, and who has taken its place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from retrue.stack.catalogue import Catalogue
from retrue.stack.loopback import is_free, listener, listens
from retrue.stack.process import LOG, find, members, memory
from retrue.stack.running import ask
from retrue.stack.service import Service
from retrue.stack.state import State

__all__ = ["ServiceStatus", "look"]

RESTART = "If it stays so, run `retrue stack down`, then `retrue stack up`."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How one service is."""

    name: str
    state: Literal["running", "stopped", "strange"]  # strange: it runs and does not work
    wanted: bool  # it was started and not taken down
    link: str | None = None  # its pages, else its address; no passwords
    pid: int | None = None
    since: datetime | None = None
    memory_mb: int | None = None  # of it and what it started
    detail: str = ""  # what is wrong

    @property
    def fine(self) -> bool:
        """Whether it is as it should be."""
        return self.state == "running" or (self.state == "stopped" and not self.wanted)


def look(catalogue: Catalogue, folder: Path, state: State | None) -> list[ServiceStatus]:
    """Ask every service; changes nothing.

    Args:
        catalogue: Which services there are.
        folder: The stack's.
        state: What is remembered; None: there is no stack.
    """
    there = catalogue.make(folder, state) if state else {}
    with ThreadPoolExecutor(len(catalogue.kinds)) as pool:
        asked = {
            name: pool.submit(_look_at, service, state)
            for name, service in there.items()
            if state is not None
        }
        return [
            asked[kind.name].result()
            if kind.name in asked
            else ServiceStatus(name=kind.name, state="stopped", wanted=False)
            for kind in catalogue.kinds
        ]


def _look_at(service: Service, state: State) -> ServiceStatus:
    name, tag = service.name, state.tag(service.name)
    known = state.processes.get(name)
    process = known and find(known.started, tag)
    if known is None or process is None:
        taken = [port for port in service.site.ports.values() if not is_free(port)]
        return ServiceStatus(
            name=name,
            state="strange" if taken and known else "stopped",
            wanted=known is not None,
            detail=_why_not(service, tag, taken, wanted=known is not None),
        )
    works = ask(service, known.started, tag=tag)
    return ServiceStatus(
        name=name,
        state="running" if works else "strange",
        wanted=True,
        link=service.link(),
        pid=known.pid,
        since=datetime.fromtimestamp(known.since, tz=UTC),
        memory_mb=memory(process) >> 20,
        detail="" if works else f"it does not answer; its log is {_log(service)}. {RESTART}",
    )


def _why_not(service: Service, tag: str, taken: Sequence[int], *, wanted: bool) -> str:
    """What became of a service whose process is gone, and what to do; "" = it was stopped."""
    again = "Run `retrue stack up`"
    for port in taken:
        for left in members(tag):
            if listens(left, port):
                return (
                    f"its main process ended and left process {left.pid}, which still has port "
                    f"{port}. {again}."
                )
    if taken:
        then = f"{again}: it takes another." if wanted else "The next start takes another."
        return f"port {taken[0]} is taken by {listener(taken[0])}, which is not ours. {then}"
    ended = f"it ended, and nobody stopped it; its log is {_log(service)}. {again}."
    return ended if wanted else ""


def _log(service: Service) -> Path:
    return service.site.folder / LOG
