"""A web server on loopback that answers as a test's function says, with the clock it is given."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

__all__ = ["Bucket", "Said", "WebThatSays", "answering"]

Said = tuple[int, str, str]  # status, content type, body


@dataclass
class WebThatSays:
    """Where it listens, and what it heard."""

    url: str
    answer: Callable[[str, str], Said]  # of a method and a path with its query
    skew: timedelta = timedelta(0)  # how far its clock is ahead of ours
    heard: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


@contextmanager
def answering(answer: Callable[[str, str], Said]) -> Generator[WebThatSays]:
    """Run it for a block."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            web.heard.append((self.command, self.path))
            status, kind, body = web.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = reply  # noqa: N815 - the base class's names

        def date_time_string(self, timestamp: float | None = None) -> str:
            assert timestamp is None
            return format_datetime(datetime.now(tz=UTC) + web.skew, usegmt=True)  # noqa: TID251

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Nothing on the test's screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web = WebThatSays(f"http://127.0.0.1:{server.server_port}", answer)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Bucket:
    """An S3 with one bucket; some methods may be refused."""

    name: str = "fruit"
    objects: dict[str, str] = field(default_factory=dict[str, str])
    denied: frozenset[str] = frozenset()  # methods on objects
    code: str = ""  # not empty: every request is refused with this

    def __call__(self, method: str, path: str) -> Said:
        """Answer as S3 does."""
        split = urlsplit(path)
        bucket, _, key = split.path.lstrip("/").partition("/")
        if self.code:
            return _refused(403, self.code)
        if not bucket or (key and method in self.denied):
            return _refused(403, "AccessDenied")
        if bucket != self.name:
            return _refused(404, "NoSuchBucket")
        if key:
            return self._object(method, key)
        asked_for_versions = "versioning" in split.query
        body = "<VersioningConfiguration/>" if asked_for_versions else self._listing()
        return 200, "application/xml", body

    def _object(self, method: str, key: str) -> Said:
        if method == "PUT":
            self.objects[key] = ""
        elif method == "DELETE":
            self.objects.pop(key, None)
            return 204, "text/plain", ""
        if key not in self.objects:
            return _refused(404, "NoSuchKey")
        return 200, "image/png", self.objects[key]

    def _listing(self) -> str:
        items = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-03-01T00:00:00.000Z</LastModified>"
            f'<ETag>"abc"</ETag><Size>{len(text)}</Size></Contents>'
            for key, text in sorted(self.objects.items())
        )
        return (
            f"<ListBucketResult><Name>{self.name}</Name><IsTruncated>false</IsTruncated>"
            f"{items}</ListBucketResult>"
        )


def _refused(status: int, code: str) -> Said:
    return status, "application/xml", f"<Error><Code>{code}</Code><Message>no</Message></Error>"
