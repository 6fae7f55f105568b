"""An S3 endpoint on loopback that says what it is told to say, in the bodies that S3 sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

__all__ = ["Asked", "Reply", "S3ThatSays", "refusal", "saying"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0  # bytes of the body that are promised and never come


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that came."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in lower case


class S3ThatSays:
    """Gives its replies one after the other; the last one again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self._replies: list[Reply] = [Reply()]
        self._lock = Lock()

    def say(self, *replies: Reply) -> None:
        self._replies = list(replies)

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def refusal(status: int, code: str, *, more: str = "", **headers: str) -> Reply:
    """S3's XML for an error."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{code} it is</Message>{more}"
        "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=body.encode(), headers=named)


@contextmanager
def saying() -> Iterator[S3ThatSays]:
    """Run it for a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            names = {name.lower(): value for name, value in self.headers.items()}
            reply = says.answer(Asked(method=self.command, path=self.path, headers=names))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            self.close_connection = reply.missing > 0

        do_HEAD = do_GET  # noqa: N815 - the base class asks for it

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        says = S3ThatSays(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield says
        finally:
            server.shutdown()
            thread.join()
