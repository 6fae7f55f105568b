"""A local stack of real services, from packages, on loopback: no Docker, no root.

    from retrue.stack import up, down, status, reset

    stack = up(root, say=print)            # installs, starts, waits; seconds to minutes
    stack.environment                      # AWS_*, LABEL_STUDIO_*, MLFLOW_*, PREFECT_*, RETRUE_*
    stack.links                            # service -> page or address
    status(root)                           # asks each service; changes nothing
    down(root, say=print)                  # stops what `up` started, and nothing else
    reset(root, say=print)                 # `down`, and its data is thrown away

Services: `postgresql`, `seaweedfs` (with the bucket `retrue`), `label-studio` (on PostgreSQL),
`mlflow`, `prefect`, `worker` (a Prefect process worker of the pool `retrue`, in the caller's
environment with the stack's names). `store: {ledger: "${RETRUE_LEDGER}"}` takes the ledger there.
`root` is a workspace, or any folder: data, logs, ports and credentials are kept in
`<root>/.retrue/stack`, readable by this user alone, and outlive the processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from retrue.stack.bringing_up import bring_up, choose_ports
from retrue.stack.catalogue import STACK, Catalogue, environment_of
from retrue.stack.looking import ServiceStatus, look
from retrue.stack.schedules import deploy, fingerprint
from retrue.stack.service import Say
from retrue.stack.state import StateFile, folder_of, locked, write_env
from retrue.stack.taking_down import take_down, throw_away

__all__ = [
    "STACK",
    "ServiceStatus",
    "Stack",
    "down",
    "exists",
    "folder_of",
    "reset",
    "status",
    "up",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that runs."""

    folder: Path
    env_file: Path  # `set -a; . FILE` tells a shell what `environment` holds
    links: Mapping[str, str]  # service -> its pages, else its address; no passwords
    notes: tuple[str, ...]  # what a person should know or do
    environment: Mapping[str, str] = field(repr=False)  # with credentials: do not print it


def up(
    root: Path,
    *,
    say: Say,
    only: Iterable[str] = (),
    ports: Mapping[str, int] | None = None,
    schedules: bool = True,
    catalogue: Catalogue = STACK,
) -> Stack:
    """Start what does not run, wait until all of it works, and register the flows' schedules.

    Args:
        root: The workspace, or any folder.
        say: Told lines of progress, from several threads.
        only: Some services; those they need come with them. Default: all.
        ports: Service -> the port to use, remembered for later starts. Default: free ones.
        schedules: Register the workspace's flows (`retrue deploy`), if it has any and they changed.
        catalogue: Which services there are.

    Raises:
        StackError: A service failed, or a port or the folder belongs to somebody else.
        ServiceUnavailable: A service is not ready in time; calling again waits longer.
        LeaseHeld: Another command is changing this stack.
    """
    names = catalogue.chosen([*only])
    file = StateFile(folder_of(root))
    file.read()  # refuses a folder that is not ours before anything is made in it
    with locked(file.folder):
        choose_ports(catalogue, file, names, ports or {}, say)
        bring_up(catalogue, file, names, say)
        stack = _told(catalogue, file)
        if schedules and "worker" in names:
            stack = _with_schedules(root, file, stack, say)
    return stack


def down(root: Path, *, say: Say, catalogue: Catalogue = STACK) -> list[str]:
    """Stop what this stack started, and nothing else; its data stays.

    Returns:
        The services that ran.

    Raises:
        StackError: The folder belongs to somebody else.
        LeaseHeld: Another command is changing this stack.
    """
    file = StateFile(folder_of(root))
    if file.read() is None:
        return []
    with locked(file.folder):
        return take_down(catalogue, file, file.make(), say)


def reset(root: Path, *, say: Say, catalogue: Catalogue = STACK) -> bool:
    """Stop the stack and throw all its data away, with its credentials.

    Returns:
        Whether there was one.

    Raises:
        StackError: The folder belongs to somebody else.
        LeaseHeld: Another command is changing this stack.
    """
    file = StateFile(folder_of(root))
    if file.read() is None:
        return False
    with locked(file.folder):
        state = file.make()
        take_down(catalogue, file, state, say)
        throw_away(file, state)
    return True


def exists(root: Path) -> bool:
    """Whether a stack was started here once, and not thrown away.

    Raises:
        StackError: The folder belongs to somebody else.
    """
    return StateFile(folder_of(root)).read() is not None


def status(root: Path, *, catalogue: Catalogue = STACK) -> list[ServiceStatus]:
    """Ask every service how it is; changes nothing.

    Raises:
        StackError: The folder belongs to somebody else.
    """
    file = StateFile(folder_of(root))
    return look(catalogue, file.folder, file.read())


def _told(catalogue: Catalogue, file: StateFile) -> Stack:
    """The stack as it runs; the env file is written."""
    state = file.make()
    there = catalogue.make(file.folder, state)
    run = [service for name, service in there.items() if name in state.processes]
    environment = environment_of(run)
    return Stack(
        folder=file.folder,
        env_file=write_env(file.folder, environment),
        links={one.name: link for one in run if (link := one.link()) is not None},
        notes=(),
        environment=environment,
    )


def _with_schedules(root: Path, file: StateFile, stack: Stack, say: Say) -> Stack:
    now = fingerprint(root)
    if now in ("", file.make().deployed):
        return stack
    say("registering the flows and their schedules")
    wrong = deploy(root, stack.environment)
    if not wrong:
        file.change(deployed=now)
        return stack
    note = f"The schedules are not registered; `retrue deploy` does it. It said: {wrong}"
    return replace(stack, notes=(note,))
