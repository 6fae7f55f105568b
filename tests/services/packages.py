"""A service of `retrue.stack` for a block of a test, stopped by us and nothing else."""

from __future__ import annotations

import dataclasses
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrue.stack import process
from retrue.stack.loopback import free_ports
from retrue.stack.process import Started
from retrue.stack.running import launched, wait_until_ready
from retrue.stack.service import Service, Site

__all__ = ["place", "started"]


def place(kind: type[Service], folder: Path) -> Site:
    """An empty home for a service: free ports, credentials of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(kind.ports, free_ports(len(kind.ports)), strict=True))
    return Site(folder=folder, ports=ports, secret=secrets.token_hex(32))


@contextmanager
def started(service: Service, *, stop: signal.Signals | None = None) -> Iterator[Started]:
    """Run a service for a block, from when it is ready.

    Args:
        service: The one.
        stop: The signal that ends it, if not its own.
    """
    tag = secrets.token_hex(16)
    service.prepare(print)
    launch = service.launch()
    process_of = launched(service, tag=tag)
    try:
        wait_until_ready(service, process_of, tag=tag)
        yield process_of
    finally:
        how = launch if stop is None else dataclasses.replace(launch, stop=stop)
        process.stop(process_of, how, tag=tag)
