"""Start what does not run, and wait until all of it works."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event

from retrue.errors import RetrueError, StackError, TransientError
from retrue.stack import process
from retrue.stack.catalogue import Catalogue
from retrue.stack.loopback import free_ports, is_free, listener
from retrue.stack.process import find
from retrue.stack.running import launched, wait_until_ready
from retrue.stack.service import Say, Service
from retrue.stack.state import Process, State, StateFile

__all__ = ["bring_up", "choose_ports"]

TELL_SECONDS = 10.0  # how often it is said what is still waited for


def choose_ports(
    catalogue: Catalogue,
    file: StateFile,
    names: Iterable[str],
    wanted: Mapping[str, int],
    say: Say,
) -> State:
    """Give every service its ports: those it had, if they are still free, or new ones.

    Args:
        catalogue: Which services there are.
        file: Where they are kept.
        names: The services.
        wanted: Service -> the port a person wants for it; remembered.
        say: Told of every port that changes.

    Raises:
        StackError: A port that a person wants is somebody else's.
    """
    state = file.make()
    fixed = {**state.fixed, **wanted}
    ports: dict[str, Mapping[str, int]] = {**state.ports}
    kinds = {kind.name: kind for kind in catalogue.kinds}
    for name in names:
        before = ports.get(name, {})
        asked = dict.fromkeys(kinds[name].ports[:1], fixed[name]) if name in fixed else {}
        known = state.processes.get(name)
        running = known and find(known.started, state.tag(name))
        if not running:
            process.clear(state.tag(name))  # else what a killed server left still has its port
        kept = before if running else {use: n for use, n in before.items() if is_free(n)}
        for use, port in asked.items():
            if kept.get(use) != port and not is_free(port):
                raise StackError(
                    f"{name}: port {port} is taken by {listener(port)}, which this stack did not "
                    f"start. End it, or choose another: `retrue stack up --port {name}=PORT`."
                )
        new = dict(zip(kinds[name].ports, free_ports(len(kinds[name].ports)), strict=True))
        ports[name] = {**new, **kept, **asked}
        for use in before.keys() - kept.keys() - asked.keys():
            say(f"{name}: port {before[use]} is somebody else's now; {new[use]} instead")
    return file.change(ports=ports, fixed=fixed)


def bring_up(catalogue: Catalogue, file: StateFile, names: Iterable[str], say: Say) -> None:
    """Start services side by side, each when those it needs are ready.

    Args:
        catalogue: Which services there are.
        file: What is remembered; every process is noted in it the moment it has started.
        names: The services, with all they need.
        say: Told what happens, and every ten seconds what is waited for.

    Raises:
        StackError: One of them failed; all that went wrong, at once. The others run on.
        ServiceUnavailable: One of them is not ready in time.
    """
    state = file.make()
    all_of_them = catalogue.make(file.folder, state)
    work = _Work(file=file, state=state, say=say)
    with ThreadPoolExecutor(max(len(all_of_them), 1)) as pool:
        for name in names:  # in this order: a service stands behind those it needs
            work.futures[name] = pool.submit(work.bring, all_of_them[name])
        try:
            work.tell_until_done()
        except BaseException:  # Ctrl-C: nobody waits any more, and what started runs on
            work.given_up.set()
            raise
    errors = [error for one in work.futures.values() if (error := one.exception())]
    _raise(errors)


def _raise(errors: list[BaseException]) -> None:
    told = [error for error in errors if not isinstance(error, _NeededFailed)]
    if len(told) == 1 or any(not isinstance(error, RetrueError) for error in told):
        raise told[0]
    if told:
        kind = TransientError if all(isinstance(e, TransientError) for e in told) else StackError
        raise kind("\n".join(str(error) for error in told))


class _NeededFailed(Exception):
    """A service was not started, because one it needs failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    file: StateFile
    state: State
    say: Say
    futures: dict[str, Future[None]] = field(default_factory=dict[str, "Future[None]"])
    given_up: Event = field(default_factory=Event)

    def bring(self, service: Service) -> None:
        for need in service.needs:
            if self.futures[need].exception() is not None:
                raise _NeededFailed(need)
        began = time.monotonic()
        tag = self.state.tag(service.name)
        known = self.state.processes.get(service.name)
        found = known and self._still_right(service, known)
        if found is None:
            service.site.folder.mkdir(parents=True, exist_ok=True)
            service.prepare(self.say)
            digest = service.launch().digest
            started = launched(service, tag=tag)
            found = Process(pid=started.pid, since=started.since, settings=digest)
            self.file.remember(service.name, found)
            self.say(f"{service.name}: started, process {started.pid}")
        wait_until_ready(service, found.started, tag=tag, given_up=self.given_up)
        seconds = time.monotonic() - began
        at_once = found is known and seconds < TELL_SECONDS
        self.say(f"{service.name}: " + ("runs" if at_once else f"ready after {seconds:.0f} s"))

    def _still_right(self, service: Service, known: Process) -> Process | None:
        """The process that runs; None: there is none, or not with today's settings."""
        tag = self.state.tag(service.name)
        if find(known.started, tag) is None:
            return None
        if known.settings == service.launch().digest:
            return known
        self.say(f"{service.name}: its settings changed, it is started again")
        process.stop(known.started, service.launch(), tag=tag)
        return None

    def tell_until_done(self) -> None:
        began, waiting = time.monotonic(), set(self.futures.values())
        while waiting:
            _, waiting = wait(waiting, timeout=TELL_SECONDS)
            if waiting:
                names = [name for name, one in self.futures.items() if one in waiting]
                self.say(f"{time.monotonic() - began:.0f} s: waiting for {', '.join(names)}")
