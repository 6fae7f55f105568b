"""Stop what this stack started, and nothing else; throw its data away."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

from retrue.stack import process
from retrue.stack.catalogue import Catalogue, outside
from retrue.stack.process import find, members
from retrue.stack.service import Say, Service
from retrue.stack.state import State, StateFile

__all__ = ["take_down", "throw_away"]


def take_down(catalogue: Catalogue, file: StateFile, state: State, say: Say) -> list[str]:
    """Stop every service, those that need others first.

    Args:
        catalogue: Which services there are.
        file: What is remembered.
        state: The same, as it is now.
        say: Told what is stopped.

    Returns:
        The services that ran.
    """
    there = catalogue.make(file.folder, state)
    stopped: list[str] = []
    left = dict(reversed(there.items()))
    while left:
        # Whom nobody left needs, all at once.
        needed = {need for service in left.values() for need in service.needs}
        now = [service for name, service in left.items() if name not in needed]
        with ThreadPoolExecutor(len(now)) as pool:
            ran = {one.name: pool.submit(_stop, file, state, one, say) for one in now}
        stopped += [name for name, one in ran.items() if one.result()]
        for service in now:
            del left[service.name]
    return stopped


def _stop(file: StateFile, state: State, service: Service, say: Say) -> bool:
    tag, known = state.tag(service.name), state.processes.get(service.name)
    ran = bool(members(tag)) or (known is not None and find(known.started, tag) is not None)
    if ran:
        began = time.monotonic()
        say(f"{service.name}: stopping")
        if known:
            process.stop(known.started, service.launch(), tag=tag)
        else:
            process.clear(tag)
        say(f"{service.name}: stopped after {time.monotonic() - began:.0f} s")
    file.remember(service.name, None)
    return ran


def throw_away(file: StateFile, state: State) -> None:
    """Remove the stack's folder, and what is kept outside of it."""
    beside = outside(state)
    if beside is not None and beside.exists():
        shutil.rmtree(beside)
    shutil.rmtree(file.folder)
