"""Processes that outlive the command which started them, and are known again by the next one.

Each carries a tag in its environment, made from the stack's random id, that no other process has.
A process number alone says nothing: after a restart of the machine it is somebody else's.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from retrue.stack.service import CLEAN, Launch

__all__ = ["LOG", "Started", "clear", "find", "last_words", "members", "memory", "start", "stop"]

TAG = "RETRUE_STACK_PROCESS"
LOG = "server.log"
KILL_SECONDS = 15.0
PAUSE = 0.02  # seconds between two looks at a process that should end
CLOCK_SECONDS = 5.0  # start times are counted from a clock that may be set meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process of ours."""

    pid: int
    since: float  # when it started, seconds since the epoch, as the system tells


def start(launch: Launch, *, folder: Path, tag: str) -> Started:
    """Start a server in `folder`, in a session of its own, with its log in `server.log` there.

    Args:
        launch: How.
        folder: Its working directory, and its home unless it inherits ours.
        tag: What it is known by.
    """
    log = folder / LOG
    if log.exists():
        log.replace(folder / f"{LOG}.1")  # why it ended is often asked after the next start
    base = {**os.environ} if launch.inherits else {**CLEAN, "HOME": str(folder)}
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            launch.command,
            cwd=folder,
            env={**base, **launch.environment, TAG: tag},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=launch.user,
            group=launch.user and pwd.getpwnam(launch.user).pw_gid,
            extra_groups=None if launch.user is None else (),
        )
    process.returncode = 0  # it is meant to outlive us; Popen would warn of that
    return _seen(psutil.Process(process.pid), tag)


def _seen(process: psutil.Process, tag: str) -> Started:
    """Wait until the system shows the tag, which takes a moment after a program began."""
    started = Started(pid=process.pid, since=process.create_time())
    end = time.monotonic() + KILL_SECONDS
    while _runs(process) and find(started, tag) is None and time.monotonic() < end:
        time.sleep(PAUSE)
    return started


def find(started: Started, tag: str) -> psutil.Process | None:
    """The process that was started, if it still runs; never another one with its number."""
    try:
        process = psutil.Process(started.pid)
        same = abs(process.create_time() - started.since) < CLOCK_SECONDS
        return process if same and _carries(process, tag) else None
    except psutil.Error:
        return None


def members(tag: str) -> list[psutil.Process]:
    """Every process that carries a tag: what was started under it, and what those started."""
    return [process for process in psutil.process_iter() if _carries(process, tag)]


def _carries(process: psutil.Process, tag: str) -> bool:
    try:
        return _runs(process) and process.environ().get(TAG) == tag
    except psutil.Error:  # gone, or another user's and so not ours
        return False


def stop(started: Started, launch: Launch, *, tag: str) -> None:
    """End a server and all it started: first asked, then killed. Others are never touched.

    Args:
        started: The server; where it is gone, only what it left behind is ended.
        launch: How it is asked, and how long it may take.
        tag: What it is known by.
    """
    leader = find(started, tag)
    if leader:
        _send([leader], launch.stop)
        _wait([leader], launch.stop_seconds)
    rest = members(tag)  # a flow that runs tells Prefect that it was ended, if it is asked
    _send(rest, signal.SIGTERM)
    _wait(rest, launch.stop_seconds)
    clear(tag)


def clear(tag: str) -> None:
    """Kill everything that carries a tag: what a server that is gone left behind."""
    rest = members(tag)
    _send(rest, signal.SIGKILL)
    _wait(rest, KILL_SECONDS)


def _send(processes: Iterable[psutil.Process], sign: int) -> None:
    for process in processes:
        try:
            process.send_signal(sign)
        except psutil.NoSuchProcess:
            continue


def _wait(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until they ended; one whose parent has not yet taken note of that counts as ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(_runs(one) for one in processes):
        time.sleep(PAUSE)
    psutil.wait_procs(processes, timeout=0)  # takes note of our own children


def _runs(process: psutil.Process) -> bool:
    try:
        # While some of its threads have not ended, its ports are still taken.
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def memory(process: psutil.Process) -> int:
    """Bytes of memory a server and what it started hold (shared pages counted for each)."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:  # one of them ended meanwhile
        pass
    return total


def last_words(folder: Path, *, secrets: Iterable[str] = ()) -> str:
    """The end of a server's log, without the secrets that may be in it."""
    log = folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
