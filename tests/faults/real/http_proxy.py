"""A tiny HTTP proxy that misbehaves as its script says: one upstream, one request a connection.

It reads a request whole, decides, and then forwards it, or not, or replies what it likes.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from faults.real.script import Fault, Script

__all__ = ["Broken", "Message", "Place", "label_studio_kinds", "running", "s3_kinds"]

Place = tuple[str, int]
UPSTREAM_SECONDS = 60.0
LATE_SECONDS = 0.3  # after the caller gave up, the server hears of a "late" request
PIECES, PIECE_SECONDS = 8, 0.1  # a slow body
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON = b'{"detail": "not now"}'
_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
_INTERNAL = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code>'
    b"<Message>We encountered an internal error. Please try again.</Message></Error>"
)


class Broken(Exception):
    """The other side closed before its message was whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request or a reply as it came."""

    start: bytes  # "GET /path HTTP/1.1"
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes  # as on the wire, chunks and all

    @property
    def method(self) -> str:
        return self.start.split(b" ")[0].decode("ascii")

    @property
    def target(self) -> str:
        return self.start.split(b" ")[1].decode("ascii")

    def header(self, name: bytes) -> bytes:
        return next((value for known, value in self.headers if known.lower() == name), b"")

    def wire(self, *, without: tuple[bytes, ...] = (b"connection", b"expect")) -> bytes:
        """The bytes, with a connection that ends after it."""
        kept = [(name, value) for name, value in self.headers if name.lower() not in without]
        lines = [self.start, *(name + b": " + value for name, value in kept), b"Connection: close"]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def label_studio_kinds(request: Message) -> list[str]:
    """What a call to Label Studio does, from special to general."""
    path, _, query = request.target.partition("?")
    if re.fullmatch(r"/api/projects/\d+/import", path):
        return ["import", "write"]
    if path == "/api/dm/actions/":
        return ["delete tasks" if "id=delete_tasks" in query else "action", "write"]
    if request.method == "POST" and path == "/api/projects/":
        return ["create project", "write"]
    if path == "/api/tasks/":
        return ["answers" if "fields=all" in query else "tasks"]
    return ["write"] if request.method != "GET" else []


def s3_kinds(request: Message) -> list[str]:
    """What a call to S3 does."""
    return ["read"] if request.method in ("GET", "HEAD") else ["write"]


@dataclass
class HttpProxy:
    """Listens on loopback; `address` is what callers are given instead of the real one."""

    upstream: Place
    script: Script
    kinds: Callable[[Message], list[str]]
    xml: bool  # errors speak as S3 does
    listener: socket.socket
    under_way: list[Message] = field(default_factory=list)  # requests the server works on

    @property
    def address(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def accept(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, Broken), client.makefile("rb") as source:
            request = read_message(source, on_expect=lambda: client.sendall(CONTINUE))
            fault = self.script.next(self.kinds(request))
            if fault is None:
                client.sendall(self._forward(request).wire())
            else:
                self._misbehave(client, request, fault)

    def _misbehave(self, client: socket.socket, request: Message, fault: Fault) -> None:
        if fault.what in _REFUSALS:
            client.sendall(self._refusal(*_REFUSALS[fault.what]))
        elif fault.what in _DAMAGES:
            client.sendall(_DAMAGES[fault.what](self._forward(request)).wire())
        elif fault.what == "slow body":
            dribble(client, self._forward(request).wire())
        else:
            self._say_nothing(client, request, fault)

    def _say_nothing(self, client: socket.socket, request: Message, fault: Fault) -> None:
        """The caller never gets a reply; the server may have got the request."""
        if fault.what == "late":
            wait_for_close(client)
            time.sleep(LATE_SECONDS)
        if fault.what in ("late", "time-out", "cut after", "kill after"):
            self._forward(request)
        elif fault.what not in ("cut before", "kill before", "away"):
            raise ValueError(f"{fault.name}: expected a fault of HTTP")
        if fault.what in ("kill before", "kill after"):
            self.script.kill()
        if fault.what == "time-out":
            wait_for_close(client)
        reset(client)

    def _forward(self, request: Message) -> Message:
        self.under_way.append(request)
        try:
            with socket.create_connection(self.upstream, UPSTREAM_SECONDS) as server:
                server.sendall(request.wire())
                with server.makefile("rb") as source:
                    return read_message(source, answers=request.method)
        finally:
            self.under_way.remove(request)

    def rest(self) -> None:
        """Wait until the server has done all that callers gave up on."""
        end = time.monotonic() + UPSTREAM_SECONDS
        while self.under_way and time.monotonic() < end:
            time.sleep(0.05)

    def _refusal(self, status: bytes, *more: tuple[bytes, bytes]) -> bytes:
        body = (_SLOW_DOWN if status.startswith(b"503") else _INTERNAL) if self.xml else _JSON
        kind = b"application/xml" if self.xml else b"application/json"
        headers = ((b"Content-Type", kind), (b"Content-Length", b"%d" % len(body)), *more)
        return Message(start=b"HTTP/1.1 " + status, headers=headers, body=body).wire()


@contextmanager
def running(
    upstream: Place,
    script: Script,
    kinds: Callable[[Message], list[str]] = lambda _: [],
    *,
    xml: bool = False,
) -> Generator[HttpProxy]:
    """A proxy in front of one server, for a block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = HttpProxy(upstream, script, kinds, xml, listener)
        threading.Thread(target=proxy.accept, daemon=True).start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # or `accept` would not notice


# --- messages --------------------------------------------------------------------------------


def read_message(
    source: BinaryIO, *, answers: str = "", on_expect: Callable[[], None] = lambda: None
) -> Message:
    """Read one message whole.

    Args:
        source: Where it comes from.
        answers: For a reply: the method it answers; "" for a request.
        on_expect: Called before the body of a request that waits to be told to go on.

    Raises:
        Broken: The other side closed in the middle.
    """
    start = _line(source)
    headers: list[tuple[bytes, bytes]] = []
    while line := _line(source):
        name, _, value = line.partition(b":")
        headers.append((name, value.strip()))
    message = Message(start=start, headers=tuple(headers), body=b"")
    if message.header(b"expect"):
        on_expect()
    body = _body(source, message, answers)
    return Message(start=start, headers=tuple(headers), body=body)


def _body(source: BinaryIO, message: Message, answers: str) -> bytes:
    if answers == "HEAD" or (answers and message.target in ("204", "304")):
        return b""
    if message.header(b"transfer-encoding").lower() == b"chunked":
        return _chunks(source)
    length = message.header(b"content-length")
    if length:
        return _exactly(source, int(length))
    return source.read() if answers else b""


def _chunks(source: BinaryIO) -> bytes:
    found = b""
    while True:
        line = _line(source)
        size = int(line.partition(b";")[0], 16)
        found += line + b"\r\n" + _exactly(source, size + 2 if size else 0)
        if not size:
            while trailer := _line(source):
                found += trailer + b"\r\n"
            return found + b"\r\n"


def _line(source: BinaryIO) -> bytes:
    line = source.readline(65536)
    if not line.endswith(b"\n"):
        raise Broken(line)
    return line.rstrip(b"\r\n")


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise Broken(data)
    return data


def cut_short(reply: Message) -> Message:
    """Half of the body under the whole one's length."""
    return Message(
        start=reply.start, headers=reply.headers, body=reply.body[: len(reply.body) // 2]
    )


def truncated(reply: Message) -> Message:
    """Half of the body, and a length that says that this is all."""
    body = reply.body[: len(reply.body) // 2]
    kept = [
        (name, value)
        for name, value in reply.headers
        if name.lower() not in (b"content-length", b"transfer-encoding")
    ]
    length = (b"Content-Length", b"%d" % len(body))
    return Message(start=reply.start, headers=(*kept, length), body=body)


_REFUSALS: dict[str, tuple[Any, ...]] = {  # status line, further headers
    "429": (b"429 Too Many Requests", (b"Retry-After", b"1")),
    "500": (b"500 Internal Server Error",),
    "503 burst": (b"503 Service Unavailable",),
}
_DAMAGES = {"cut body": cut_short, "truncated JSON": truncated}

# --- sockets ---------------------------------------------------------------------------------


def reset(client: socket.socket) -> None:
    """Close so that the other side sees "connection reset", not an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.shutdown(socket.SHUT_RD)


def wait_for_close(client: socket.socket) -> None:
    """Wait until the caller gives up."""
    client.settimeout(UPSTREAM_SECONDS)
    with suppress(OSError):
        client.recv(1)


def dribble(client: socket.socket, data: bytes) -> None:
    """Send in pieces with pauses."""
    size = len(data) // PIECES + 1
    for start in range(0, len(data), size):
        client.sendall(data[start : start + size])
        time.sleep(PIECE_SECONDS)
