"""A tiny HTTP listener for webhooks: who knows the secret may hint that answers came in.

What a webhook says is not believed, not even read: Label Studio sends each one once, without a
second try, in any order, and its payload of deletions is wrong. A hint means: go and look.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread, Timer
from types import TracebackType
from typing import Any, cast

from retrue.errors import ConfigError

__all__ = ["PATH", "SECRET_HEADER", "HintsListener"]

_log = logging.getLogger(__name__)

PATH = "/hint"
SECRET_HEADER = "X-Retrue-Secret"  # noqa: S105 - the header's name
LARGEST = 64 * 1024  # bytes; the webhooks we register carry about 40
SILENCE = 5.0  # seconds a sender may be silent
DEADLINE = 10.0  # seconds one request may take in all
SLOTS = 16  # requests at once; further ones are hung up on


class HintsListener:
    """Listens while it is entered; calls `hint` for every request with the right secret."""

    def __init__(self, hint: Callable[[], None], *, secret: str, host: str, port: int) -> None:
        """Take the address; nobody is served before it is entered.

        Args:
            hint: Called from another thread; must return at once.
            secret: What the header must say.
            host: Address to listen on.
            port: 0: a free one.

        Raises:
            ConfigError: The address cannot be had.
        """
        try:
            self._server = _Server((host, port), hint, secret)
        except OSError as error:
            raise ConfigError(
                f"{host}:{port}: expected a free address to listen on, got: {error.strerror}. "
                "Choose another with --host and --port."
            ) from error

    @property
    def url(self) -> str:
        """Where hints go on this machine."""
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}{PATH}"

    def __enter__(self) -> HintsListener:
        """Serve in a thread of its own."""
        Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop serving and give the address back."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # who is slow does not hold up the end

    def __init__(self, address: tuple[str, int], hint: Callable[[], None], secret: str) -> None:
        self.hint, self.secret = hint, secret.encode()
        self._slots = BoundedSemaphore(SLOTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as given
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        end = Timer(DEADLINE, _hang_up, [request])
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        _log.info("a sender went away in the middle of a request", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENCE
    server_version, sys_version = "retrue", ""

    @property
    def _listener(self) -> _Server:
        return cast("_Server", self.server)  # who alone makes handlers of this class

    def do_POST(self) -> None:
        """204: taken as a hint."""
        status = self._judge()
        if status is HTTPStatus.NO_CONTENT:
            self._listener.hint()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _judge(self) -> HTTPStatus:
        given = self.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._listener.secret):
            return HTTPStatus.UNAUTHORIZED
        if self.path != PATH:
            return HTTPStatus.NOT_FOUND
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return HTTPStatus.LENGTH_REQUIRED
        if len(length) > 9 or int(length) > LARGEST:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        # Read so that the sender is not cut off; nobody looks at it.
        whole = len(self.rfile.read(int(length))) == int(length)
        return HTTPStatus.NO_CONTENT if whole else HTTPStatus.BAD_REQUEST

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        _log.debug(format, *args)


def _hang_up(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended meanwhile
        return
