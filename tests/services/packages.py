"""Services from Python packages: each in its own virtual environment, on loopback, stopped by us.

RETRUE_SERVICES names the folder that holds them; the default is `.retrue-services` of this
checkout. What is installed is pinned by hash in `<service>.txt` beside this file.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CLEAN", "Started", "environment", "free_ports", "install", "started", "wait_until"]

CHECKOUT = Path(__file__).parents[2]
STOP_SECONDS = 15.0
# What a service gets of our environment: no credentials, no proxies, no settings of other programs.
CLEAN: Mapping[str, str] = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process of ours and what it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]


def environment(service: str) -> Path:
    """Where a service's virtual environment is, or would be."""
    return Path(os.environ.get("RETRUE_SERVICES", CHECKOUT / ".retrue-services")) / service


def install(service: str) -> Path:
    """Make the virtual environment of a service, unless it is there whole; returns it."""
    home = environment(service)
    ready = home / ".ready"
    if not ready.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        own = CHECKOUT / ".venv-bootstrap" / "bin" / "uv"  # the Makefile's, where PATH has none
        uv = (shutil.which("uv") or own, "--no-config")
        subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, home], check=True)
        wanted = ("--no-deps", "--require-hashes", "-r", Path(__file__).with_name(f"{service}.txt"))
        python = home / "bin" / "python"
        subprocess.run([*uv, "pip", "install", "--python", python, *wanted], check=True)
        ready.touch()
    return home


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    folder: Path,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Started]:
    """Run a server in `folder` for a block; end it, and nothing else, after.

    Args:
        command: The program and its arguments.
        folder: Its working directory and home; its log goes to `server.log` there.
        user: Who runs it; None is ourselves.
        stop: The signal that asks it to end in order; SIGKILL follows where it does not help.
    """
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**CLEAN, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user and _group(user),
            extra_groups=None if user is None else (),
        )
    try:
        yield Started(process=process, log=log)
    finally:
        _stop(process, stop)


def wait_until(ready: Callable[[], bool], server: Started, *, seconds: float) -> None:
    """Ask `ready` until it says yes.

    Raises:
        RuntimeError: The server ended, or was not ready in time; with the end of its log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (code := server.process.poll()) is not None:
            raise RuntimeError(f"the server ended with {code}: {server.last_words}")
        if ready():
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {seconds} s: {server.last_words}")


def _group(user: str) -> int:
    import pwd  # only where we are root, so never on a system without it

    return pwd.getpwnam(user).pw_gid


def _stop(process: subprocess.Popen[bytes], first: signal.Signals) -> None:
    """Its process group was made at the start: this reaches its children and no stranger.

    A process that has ended is left alone, because its number may by now be somebody else's.
    """
    for sign in (first, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
