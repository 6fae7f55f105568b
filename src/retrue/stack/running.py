"""One service, started and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from retrue.errors import ServiceUnavailable, StackError
from retrue.stack import process
from retrue.stack.loopback import listens
from retrue.stack.process import Started, find, last_words
from retrue.stack.service import Service

__all__ = ["ask", "launched", "wait_until_ready"]

PAUSE = 0.2  # seconds between two questions
NEVER = Event()


def launched(service: Service, *, tag: str) -> Started:
    """Start a service that is prepared."""
    return process.start(service.launch(), folder=service.site.folder, tag=tag)


def ask(service: Service, started: Started, *, tag: str) -> bool | None:
    """Whether a service works; None: its process is gone.

    The one who listens on its port must be the process we started: on a machine of many, somebody
    else's server answers too.
    """
    found = find(started, tag)
    if found is None:
        return None
    main = service.ports[:1]
    if main and not listens(found, service.site.ports[main[0]]):
        return False
    return service.is_ready()


def wait_until_ready(
    service: Service,
    started: Started,
    *,
    tag: str,
    given_up: Event = NEVER,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask a service until it says yes.

    Args:
        service: The one.
        started: Its process.
        tag: What the process carries.
        given_up: Set when nobody waits any more.
        clock: Seconds that only grow.

    Raises:
        StackError: It ended; with the end of its log.
        ServiceUnavailable: It is not ready in time, or nobody waits any more.
    """
    end = clock() + service.ready_seconds
    folder = service.site.folder
    while clock() < end and not given_up.is_set():
        ready = ask(service, started, tag=tag)
        if ready:
            return
        if ready is None:
            raise StackError(
                f"{service.name}: it ended before it was ready. Its log, {folder / process.LOG}, "
                f"ends with:\n{last_words(folder, secrets=service.environment().values())}"
            )
        given_up.wait(PAUSE)
    raise ServiceUnavailable(
        f"{service.name}: process {started.pid} does not answer after {service.ready_seconds:.0f} "
        f"s. Its log is {folder / process.LOG}. It goes on starting: run it again to wait longer."
    )
