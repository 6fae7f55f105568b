"""The proxies that make the faults, against tiny servers: what they promise to break, breaks."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from faults.real import http_proxy, tcp_proxy
from faults.real.bench import Outcome
from faults.real.plans import loop_plan_of, plan_of
from faults.real.script import Fault, Script, What
from faults.real.table import BEGIN, END, write

PATIENCE = 0.4  # seconds


class Server(ThreadingHTTPServer):
    """Counts what reached it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, body))
        self._reply(json.dumps({"got": body.decode()}).encode())

    def do_GET(self) -> None:
        self.server.seen.append((self.path, b""))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    protocol_version = "HTTP/1.1"

    def _reply(self, body: bytes) -> None:
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@contextmanager
def through(server: Server, script: Script, *, xml: bool = False) -> Iterator[httpx.Client]:
    host, port = server.server_address[:2]
    with (
        http_proxy.running((str(host), int(port)), script, xml=xml) as proxy,
        httpx.Client(base_url=proxy.address, timeout=PATIENCE) as client,
    ):
        yield client


def one(what: What, **more: int) -> Script:
    return Script([Fault(service="label studio", what=what, **more)])


def test_without_a_fault_everything_passes_unchanged(server: Server):
    with through(server, Script()) as client:
        made, read = client.post("/a?b=c", content=b"hello"), client.get("/d")

    assert (made.status_code, made.json()) == (201, {"got": "hello"})
    assert read.text == "abcde"
    assert server.seen == [("/a?b=c", b"hello"), ("/d", b"")]


@pytest.mark.parametrize(
    ("what", "reached"), [("cut before", 0), ("away", 0), ("cut after", 1), ("cut body", 1)]
)
def test_a_cut_connection_is_seen_by_the_caller(server: Server, what: What, reached: int):
    with through(server, one(what)) as client:
        with pytest.raises(httpx.TransportError):
            client.post("/", content=b"hello")
        again = client.post("/", content=b"again")

    assert len(server.seen) == reached + 1
    assert again.status_code == 201


def test_the_server_works_on_while_the_caller_gives_up(server: Server):
    with through(server, one("time-out")) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/", content=b"hello")

    assert server.seen == [("/", b"hello")]


def test_a_late_request_reaches_the_server_after_the_caller_gave_up(server: Server):
    with through(server, one("late")) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/", content=b"hello")
        before = list(server.seen)
        end = time.monotonic() + 5
        while not server.seen and time.monotonic() < end:
            time.sleep(0.01)

    assert before == []
    assert server.seen == [("/", b"hello")]


def test_a_busy_server_says_when_to_come_again(server: Server):
    with through(server, one("429")) as client:
        reply = client.get("/")

    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "1")
    assert server.seen == []


def test_s3_is_asked_to_slow_down_as_often_as_the_burst_is_long(server: Server):
    with through(server, one("503 burst", at=2, times=2), xml=True) as client:
        replies = [client.get("/") for _ in range(4)]

    assert [reply.status_code for reply in replies] == [200, 503, 503, 200]
    assert "<Code>SlowDown</Code>" in replies[1].text


def test_truncated_json_comes_with_a_length_that_agrees(server: Server):
    with through(server, one("truncated JSON")) as client:
        reply = client.post("/", content=b"hello")

    assert reply.status_code == 201
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        reply.json()


def test_a_slow_body_arrives_whole(server: Server):
    with through(server, one("slow body")) as client:
        began = time.monotonic()
        reply = client.post("/", content=b"hello")

    assert reply.json() == {"got": "hello"}
    assert time.monotonic() - began > PATIENCE  # in all; each piece came in time


@pytest.mark.parametrize(("what", "reached"), [("kill before", 0), ("kill after", 1)])
def test_the_process_is_killed_before_or_after_the_server_worked(
    server: Server, what: What, reached: int
):
    script, killed = one(what), []
    script.kill = lambda: killed.append(len(server.seen))

    with through(server, script) as client, pytest.raises(httpx.TransportError):
        client.post("/", content=b"hello")

    assert killed == [reached]


def test_a_fault_meets_the_n_th_request_of_its_kind_and_is_noted():
    fault = Fault(service="label studio", what="500", on="import", at=2)
    script = Script([fault])

    met = [script.next(kinds) for kinds in (["import"], ["tasks"], ["import"], ["import"])]

    assert met == [None, None, fault, None]
    assert script.fired == [fault]


@contextmanager
def database(script: Script) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """A server that says "done" to everything, seen through the proxy of PostgreSQL."""
    seen: list[bytes] = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            while data := peer.recv(1000):
                seen.append(data)
                peer.sendall(b"done")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with tcp_proxy.running(listener.getsockname(), script) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
            with closing(client):
                yield client, seen
        thread.join()


def say(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    try:
        return client.recv(1000)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(("what", "reached"), [("cut before", 2), ("cut after", 3)])
def test_a_transaction_is_cut_before_or_after_its_commit(what: What, reached: int):
    script = Script([Fault(service="postgresql", what=what, on="commit")])

    with database(script) as (client, seen):
        heard = [say(client, words) for words in (b"hello", b"QINSERT", b"QCOMMIT")]

    assert heard == [b"done", b"done", b""]
    assert seen == [b"hello", b"QINSERT", b"QCOMMIT"][:reached]


def test_a_database_that_dies_is_seen_by_the_client():
    def die() -> None:
        peer, _ = listener.accept()
        peer.recv(1000)
        http_proxy.reset(peer)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=die)
        thread.start()
        with (
            tcp_proxy.running(listener.getsockname(), Script()) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
        ):
            heard = say(client, b"hello")
        thread.join()

    assert heard == b""


def test_a_seed_is_a_plan():
    assert plan_of(17) == plan_of(17)
    assert loop_plan_of(3) == loop_plan_of(3)
    assert len({plan_of(seed).faults for seed in range(300)}) > 290


def test_the_table_takes_its_place_on_the_page(tmp_path: Path):
    page = tmp_path / "page.md"
    old = f"# Reliability\n\n{BEGIN}\nof yesterday\n{END}\n\nThe end.\n"
    page.write_text(old, encoding="utf-8")
    met = {"planned": [{"service": "s3", "what": "500"}], "fired": ["s3: 500"], "world": 0}

    write(
        [
            Outcome(suite="rounds", seed=4, same_digest=True, **met),
            Outcome(suite="naive", seed=4, lost_answers=2, **met),
        ],
        page,
    )

    text = page.read_text(encoding="utf-8")
    assert "of yesterday" not in text
    assert "| s3: 500 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 1 of 1 | 1 | 1 |" in text
    assert text.endswith("The end.\n")
