"""Which services the stack has, where each lives, and who needs whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from retrue.errors import StackError
from retrue.stack.label_studio import DATABASE, LabelStudio
from retrue.stack.mlflow_server import MLflow
from retrue.stack.postgresql import LEDGER, PostgreSQL
from retrue.stack.prefect_server import PrefectServer, PrefectWorker
from retrue.stack.seaweedfs import SeaweedFS
from retrue.stack.service import Service, Site
from retrue.stack.state import State

__all__ = ["STACK", "Catalogue", "environment_of", "outside", "services"]

# PostgreSQL refuses root, and whoever runs it instead may not enter folders that are closed.
FOR_ROOT = Path("/var/lib/retrue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Which services there are, in the order they start."""

    kinds: tuple[type[Service], ...]
    make: Callable[[Path, State], dict[str, Service]]  # of a stack's folder: those with ports

    def chosen(self, only: Iterable[str]) -> tuple[str, ...]:
        """The services that were named and those they need; all if none was.

        Raises:
            StackError: There is no such service.

        >>> STACK.chosen(["label-studio"])
        ('postgresql', 'label-studio')
        """
        known = {kind.name: kind for kind in self.kinds}
        wanted = {*only}
        if unknown := sorted(wanted - {*known}):
            raise StackError(f"{', '.join(unknown)}: expected some of {', '.join(known)}.")
        for name in tuple(wanted):
            wanted |= {*known[name].needs}
        return tuple(name for name in known if name in wanted or not wanted)


def services(folder: Path, state: State) -> dict[str, Service]:
    """The services that have got their ports, by name, in the order they start.

    Args:
        folder: The stack's.
        state: With ports, and the secret the credentials are made from.
    """

    def site(name: str) -> Site:
        above = (outside(state) if name == PostgreSQL.name else None) or folder
        ports = state.ports.get(name, {})
        return Site(folder=above / name, ports=ports, secret=state.secret_of(name))

    postgresql = PostgreSQL(site=site(PostgreSQL.name), databases=(LEDGER, DATABASE))
    prefect = PrefectServer(site=site(PrefectServer.name))
    others: tuple[Service, ...] = (
        postgresql,
        SeaweedFS(site=site(SeaweedFS.name)),
        LabelStudio(site=site(LabelStudio.name), postgresql=postgresql),
        MLflow(site=site(MLflow.name)),
        prefect,
    )
    there: dict[str, Service] = {one.name: one for one in others if one.name in state.ports}
    if PrefectWorker.name in state.ports:
        told = environment_of(there.values())
        there[PrefectWorker.name] = PrefectWorker(
            site=site(PrefectWorker.name), server=prefect, services=told
        )
    return there


def environment_of(services: Iterable[Service]) -> dict[str, str]:
    """What the users of some services need to know."""
    return {name: value for service in services for name, value in service.environment().items()}


def outside(state: State) -> Path | None:
    """What is kept outside of the stack's folder: PostgreSQL's data, if we are root."""
    return FOR_ROOT / f"stack-{state.stack}" if os.geteuid() == 0 else None


STACK = Catalogue(
    kinds=(PostgreSQL, SeaweedFS, LabelStudio, MLflow, PrefectServer, PrefectWorker),
    make=services,
)
