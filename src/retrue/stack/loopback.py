"""Ports of this machine: which are free, and who listens."""

from __future__ import annotations

import random
import socket
from contextlib import closing

import psutil

__all__ = ["HOST", "free_ports", "is_free", "listener", "listens"]

HOST = "127.0.0.1"
# Below the ports that systems hand to outgoing connections: one of those would make a server that
# is started again with its old port fail for as long as the connection lasts.
CANDIDATES = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on at this moment."""
    # By chance: others on this machine look for ports too, and the same ones would collide.
    shuffled = random.SystemRandom().sample(CANDIDATES, len(CANDIDATES))
    found = (port for port in shuffled if is_free(port))
    return [next(found) for _ in range(count)]


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def listens(process: psutil.Process, port: int) -> bool:
    """Whether a process, or one below it, is who listens on a port."""
    try:
        family = [process, *process.children(recursive=True)]
        return any(_has(one, port) for one in family)
    except psutil.Error:
        return False


def listener(port: int) -> str:
    """Who listens on a port, in words; of another user's processes the system tells nothing."""
    for process in psutil.process_iter():
        try:
            if _has(process, port):
                return f"process {process.pid} ({process.name()})"
        except psutil.Error:
            continue
    return "a process of another user"


def _has(process: psutil.Process, port: int) -> bool:
    return any(
        one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
        for one in process.net_connections(kind="tcp")
    )
