"""The listener for webhooks, over real sockets on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from retrue.adapters.hints_webhook import LARGEST, PATH, SECRET_HEADER, SLOTS, HintsListener
from retrue.errors import ConfigError

SECRET = "correct horse battery staple"  # noqa: S105 - of nothing


class Bell:
    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def listener(bell: Bell) -> Iterator[HintsListener]:
    with HintsListener(bell, secret=SECRET, host="127.0.0.1", port=0) as listening:
        yield listening


def post(listener: HintsListener, secret: str | None = SECRET, content: bytes = b"{}") -> int:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    return httpx.post(listener.url, content=content, headers=headers, timeout=10).status_code


def raw(listener: HintsListener, text: str) -> bytes:
    """What the listener says to these bytes before it hangs up."""
    with connected(listener) as sender:
        sender.sendall(text.encode())
        return sender.makefile("rb").read()


def connected(listener: HintsListener) -> socket.socket:
    url = httpx.URL(listener.url)
    return socket.create_connection((url.host, url.port), timeout=10)


def request(length: str, *, path: str = PATH) -> str:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: {SECRET}\r\n{length}\r\n"


def test_who_knows_the_secret_may_hint_whatever_the_body_says(listener: HintsListener, bell: Bell):
    statuses = [
        post(listener),
        post(listener, content=b"\xff not json"),
        post(listener, content=b""),
    ]

    assert statuses == [204, 204, 204]
    assert bell.rung == 3


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET[:-1], SECRET + "x", SECRET.upper()])
def test_anybody_else_may_not(listener: HintsListener, bell: Bell, secret: str | None):
    assert post(listener, secret) == 401
    assert bell.rung == 0


def test_a_secret_that_is_no_text_is_only_wrong(listener: HintsListener, bell: Bell):
    said = raw(listener, f"POST {PATH} HTTP/1.1\r\n{SECRET_HEADER}: \u00e9\r\n\r\n")

    assert said.startswith(b"HTTP/1.0 401")
    assert bell.rung == 0


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (f"Content-Length: {LARGEST + 1}\r\n", 413),
        ("Content-Length: 99999999999999999999\r\n", 413),
        ("Content-Length: -1\r\n", 411),
        ("Content-Length: many\r\n", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("", 411),
    ],
)
def test_a_body_that_is_huge_or_of_unknown_size_is_refused_unread(
    listener: HintsListener, bell: Bell, length: str, status: int
):
    assert raw(listener, request(length)).startswith(f"HTTP/1.0 {status}".encode())
    assert bell.rung == 0


def test_the_largest_body_is_taken(listener: HintsListener, bell: Bell):
    assert post(listener, content=b"x" * LARGEST) == 204
    assert bell.rung == 1


def test_only_one_path_and_one_method_are_served(listener: HintsListener, bell: Bell):
    elsewhere = raw(listener, request("Content-Length: 0\r\n", path="/../hint"))

    assert elsewhere.startswith(b"HTTP/1.0 404")
    assert httpx.get(listener.url).status_code == 501
    assert bell.rung == 0


def test_a_body_that_breaks_off_is_no_hint(listener: HintsListener, bell: Bell):
    with connected(listener) as sender:
        sender.sendall(request("Content-Length: 10\r\n").encode() + b"abc")
        sender.shutdown(socket.SHUT_WR)
        assert sender.makefile("rb").read().startswith(b"HTTP/1.0 400")

    assert bell.rung == 0


def test_senders_who_say_nothing_take_no_more_than_their_slots(listener: HintsListener, bell: Bell):
    silent = [connected(listener) for _ in range(SLOTS)]
    try:
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):
            post(listener)
    finally:
        for one in silent:
            one.close()
    end = time.monotonic() + 5
    while bell.rung == 0 and time.monotonic() < end:
        try:
            post(listener)
        except httpx.TransportError:
            time.sleep(0.05)

    assert bell.rung == 1


def test_a_hint_says_nothing_about_the_program_that_took_it(listener: HintsListener):
    reply = httpx.post(listener.url, headers={SECRET_HEADER: SECRET}, content=b"")

    assert reply.headers["Server"].strip() == "retrue"
    assert reply.content == b""


def test_an_address_that_is_taken_is_named(listener: HintsListener, bell: Bell):
    port = httpx.URL(listener.url).port
    assert port is not None

    with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}: expected a free address.*--port"):
        HintsListener(bell, secret=SECRET, host="127.0.0.1", port=port)


def test_after_the_end_nobody_listens_and_no_thread_is_left(bell: Bell):
    before = threading.active_count()
    with HintsListener(bell, secret=SECRET, host="127.0.0.1", port=0) as listening:
        post(listening)
    time.sleep(0.2)

    with pytest.raises(httpx.ConnectError):
        post(listening)
    assert threading.active_count() == before
