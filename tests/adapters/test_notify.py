"""People are told by real servers on loopback: a web server and a mail server written for this."""

from __future__ import annotations

import base64
import json
import logging
import socket
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from retrue.adapters.notify_email import EmailNotifier, MailServer
from retrue.adapters.notify_webhook import Everyone, Silent, WebhookNotifier

TO = ("ann@example.com", "bob@example.com")
LOGIN = {"user": "ann", "password": "canary"}


# --- webhook ---------------------------------------------------------------------------------


class Hook(BaseHTTPRequestHandler):
    """Takes a message, or answers with the status that the server holds ready."""

    def do_POST(self) -> None:
        server = cast("Any", self.server)
        length = int(self.headers["Content-Length"])
        server.taken.append(json.loads(self.rfile.read(length)))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's screen."""


@contextmanager
def web_server(status: int = 200) -> Iterator[Any]:
    server = cast("Any", HTTPServer(("127.0.0.1", 0), Hook))
    server.taken, server.status = [], status
    server.url = f"http://127.0.0.1:{server.server_port}/services/canary"
    with serving(server):
        yield server


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_the_message_as_chat_tools_read_it():
    with web_server() as server:
        told = WebhookNotifier(server.url).send("fruit: drift", "x higher")

    assert told
    assert server.taken == [{"text": "*fruit: drift*\nx higher"}]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_logged_without_its_address(
    status: int, caplog: pytest.LogCaptureFixture
):
    with web_server(status) as server:
        told = WebhookNotifier(server.url).send("fruit: drift", "x higher")

    assert not told
    assert "did not take the message: HTTPStatusError" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/canary", "canary", "http://[canary"])
def test_a_webhook_that_is_not_there_stops_nothing(url: str, caplog: pytest.LogCaptureFixture):
    told = WebhookNotifier(url).send("fruit: drift", "x higher")

    assert not told
    assert "canary" not in caplog.text


# --- e-mail ----------------------------------------------------------------------------------


class Mailbox(socketserver.StreamRequestHandler):
    """Speaks just enough SMTP; what its server may do is said there."""

    def handle(self) -> None:
        server = cast("Any", self.server)
        if server.implicit:
            self.encrypt()
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            server.heard.append(line)
            word = line.split()[0].upper()
            if word == "EHLO":
                self.say("250-here", *[f"250-{one}" for one in server.offers()], "250 AUTH PLAIN")
            elif word == "STARTTLS":
                self.say("220 go on")
                self.encrypt()
                server.encrypted = True
            elif word == "AUTH":
                self.say("235 welcome" if server.login in line else "535 who are you, canary?")
            elif word == "RCPT":
                self.say("250 fine" if server.takes else "550 nobody here")
            elif word == "DATA":
                self.say("354 go on")
                server.mail.append(self.body())
                self.say("250 taken")
            else:
                self.say("221 bye" if word == "QUIT" else "250 fine")

    def body(self) -> bytes:
        """Up to a line of one dot; in others that begin with a dot there is one too many."""
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def encrypt(self) -> None:
        server = cast("Any", self.server)
        self.connection = server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = cast("Any", self.connection.makefile("wb", buffering=0))

    def finish(self) -> None:
        super().finish()
        self.connection.close()


class MailSink(socketserver.TCPServer):
    """A mail server; holds what was said to it."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        takes: bool = True,
        login: str = "",
    ) -> None:
        super().__init__(("127.0.0.1", 0), Mailbox)
        self.tls, self.implicit, self.takes, self.login = tls, implicit, takes, login
        self.encrypted = implicit
        self.heard: list[str] = []
        self.mail: list[bytes] = []

    def offers(self) -> list[str]:
        return ["STARTTLS"] if self.tls and not self.encrypted else []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up in the middle is no error of the test's."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


def notifier(port: int, *, trust: Path | None = None, **login: str) -> EmailNotifier:
    server = MailServer(
        host="127.0.0.1",
        port=port,
        user=login.get("user"),
        password=login.get("password", ""),
    )
    context = ssl.create_default_context(cafile=str(trust)) if trust else None
    return EmailNotifier(server, sender="retrue@example.com", to=TO, context=context)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime(2025, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_mail_reaches_everybody_with_its_title_and_text():
    sink = MailSink()
    with serving(sink):
        told = notifier(sink.port).send("fruit: drift\r\nBcc: all@example.com", "x höher\n.\nend")

    (mail,) = sink.mail
    read = message_from_bytes(mail, policy=policy.default)
    assert told
    assert read["Subject"] == "fruit: drift Bcc: all@example.com"
    assert (read["To"], read["From"], read["Bcc"]) == (", ".join(TO), "retrue@example.com", None)
    assert read.get_content().splitlines() == ["x höher", ".", "end"]
    assert [line for line in sink.heard if line.startswith("rcpt")] == [
        f"rcpt TO:<{one}>" for one in TO
    ]


def test_tls_is_used_where_it_is_offered_and_the_login_goes_through_it(certificate: Path):
    login = base64.b64encode(b"\0ann\0canary").decode()
    sink = MailSink(tls=tls(certificate), login=login)
    with serving(sink):
        told = notifier(sink.port, trust=certificate, **LOGIN).send("t", "x")

    words = [line.split()[0].upper() for line in sink.heard]
    assert told
    assert words.index("STARTTLS") < words.index("AUTH") < words.index("DATA")


def test_a_server_whose_certificate_nobody_vouches_for_is_told_nothing(certificate: Path):
    sink = MailSink(tls=tls(certificate))
    with serving(sink):
        told = notifier(sink.port, **LOGIN).send("t", "x")

    assert not told
    assert sink.mail == []


def test_a_password_never_goes_over_an_open_line(caplog: pytest.LogCaptureFixture):
    sink = MailSink()
    with serving(sink):
        told = notifier(sink.port, **LOGIN).send("t", "x")

    assert not told
    assert not [line for line in sink.heard if line.startswith("AUTH")]
    assert "SMTPNotSupportedError" in caplog.text


def test_a_wrong_password_is_logged_without_it_and_without_the_server_s_words(
    certificate: Path, caplog: pytest.LogCaptureFixture
):
    sink = MailSink(tls=tls(certificate), login="another")
    with serving(sink):
        told = notifier(sink.port, trust=certificate, **LOGIN).send("t", "x")

    assert not told
    assert "SMTPAuthenticationError 535" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("listens", [True, False])
def test_a_mail_server_that_refuses_or_is_not_there_stops_nothing(
    listens: bool, caplog: pytest.LogCaptureFixture
):
    sink = MailSink(takes=False)
    if not listens:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            sink.server_close()
            told = notifier(free.getsockname()[1]).send("t", "x")
    else:
        with serving(sink):
            told = notifier(sink.port).send("t", "x")

    assert not told
    assert "did not take the message" in caplog.text


# --- several, or none ------------------------------------------------------------------------


class Way:
    def __init__(self, *, works: bool) -> None:
        self.works, self.asked = works, 0

    def send(self, title: str, text: str) -> bool:
        assert title
        assert text
        self.asked += 1
        return self.works


@pytest.mark.parametrize(("works", "told"), [((True, False), True), ((False, False), False)])
def test_every_way_is_tried_and_one_is_enough(works: tuple[bool, bool], told: bool):
    ways = [Way(works=one) for one in works]

    assert Everyone(ways).send("t", "x") is told
    assert [way.asked for way in ways] == [1, 1]


def test_where_nobody_asked_to_be_told_it_is_left_in_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    assert Silent().send("fruit: drift", "x higher")
    assert "fruit: drift: x higher" in caplog.text
