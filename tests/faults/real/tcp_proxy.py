"""A tiny TCP proxy for PostgreSQL: it reads along, and cuts where its script says.

A request is what the client sends in one go. Its kinds are "connect" (the first of a connection),
"statement", and "commit" where the words are in it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from faults.real.http_proxy import Place, reset
from faults.real.script import Fault, Script

__all__ = ["TcpProxy", "running"]

_PIECE = 1 << 16


@dataclass
class TcpProxy:
    """Listens on loopback; `port` is what callers are given instead of the real one."""

    upstream: Place
    script: Script
    listener: socket.socket

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def accept(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self.upstream, 10) as server:
            server.settimeout(None)
            replies = Replies(server, client)
            first = True
            while data := client.recv(_PIECE):
                fault = self.script.next(kinds_of(data, first=first))
                first = False
                if fault is not None:
                    self._misbehave(server, replies, data, fault)
                    if fault.what != "restart":
                        reset(client)
                        server.shutdown(socket.SHUT_RDWR)  # or it would wait for us
                        return
                server.sendall(data)  # after a restart it fails: who it led to is gone
            server.shutdown(socket.SHUT_WR)
            replies.thread.join()

    def _misbehave(
        self, server: socket.socket, replies: Replies, data: bytes, fault: Fault
    ) -> None:
        match fault.what:
            case "cut before":
                replies.mute()
            case "cut after":
                replies.swallow(lambda: server.sendall(data))
            case "kill before":
                self.script.kill()
            case "kill after":
                replies.swallow(lambda: server.sendall(data))
                self.script.kill()
            case "restart":
                self.script.restart()
            case _:
                raise ValueError(f"{fault.name}: expected a fault of TCP")


class Replies:
    """What the server says, on its way to the client; it can be lost."""

    def __init__(self, server: socket.socket, client: socket.socket) -> None:
        self._server, self._client = server, client
        self._muted, self._lost = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()

    def mute(self) -> None:
        """From now on nothing arrives."""
        self._muted.set()

    def swallow(self, ask: Callable[[], None]) -> None:
        """Ask, and wait until the reply was there and got lost."""
        self.mute()
        ask()
        self._lost.wait(timeout=5)

    def _pump(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(_PIECE):
                if self._muted.is_set():
                    self._lost.set()
                else:
                    self._client.sendall(data)
        self._lost.set()
        if not self._muted.is_set():
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)  # a server that died says no goodbye


def kinds_of(data: bytes, *, first: bool) -> list[str]:
    """What one piece of PostgreSQL's protocol asks for, from special to general."""
    if first:
        return ["connect"]
    if b"COMMIT" in data:
        return ["commit", "statement"]
    return ["statement"] if data[:1] in (b"Q", b"P") else []


@contextmanager
def running(upstream: Place, script: Script) -> Generator[TcpProxy]:
    """A proxy in front of one database, for a block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TcpProxy(upstream, script, listener)
        threading.Thread(target=proxy.accept, daemon=True).start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
