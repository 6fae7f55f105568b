"""Telling people by e-mail, through the mail server of the configuration."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from retrue.errors import ServiceUnavailable

__all__ = ["EmailNotifier", "MailServer"]

_log = logging.getLogger(__name__)
TIMEOUT = 10.0  # seconds for each word of the conversation; nobody's step waits longer
IMPLICIT_TLS = 465  # on this port TLS comes first; on others it is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    user: str | None  # None: the server takes mail without a login
    password: str = field(default="", repr=False)


class EmailNotifier:
    """Sends plain text; encrypted where the server offers it."""

    def __init__(
        self,
        server: MailServer,
        *,
        sender: str,
        to: tuple[str, ...],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Keep the addresses; connects when there is something to say.

        Args:
            server: Where to.
            sender: Address that it comes from.
            to: Addresses, at least one.
            context: Which certificates are trusted; None: those that this machine trusts.
        """
        self._server, self._sender, self._to = server, sender, to
        self._context = context

    def send(self, title: str, text: str) -> bool:
        """Hand one message in; a failure is logged and never stops a step.

        Returns:
            Whether the server took it for at least one address.
        """
        message = EmailMessage()
        message["Subject"] = " ".join(title.split())  # a line break would begin another header
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="retrue.invalid")
        message.set_content(text)
        try:
            self._hand_in(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            host, said = self._server.host, _said(error)
            _log.warning("the mail server %s did not take the message: %s", host, said)
            return False
        return True

    def knock(self) -> str:
        """Connect and log in, and send nothing.

        Returns:
            How it went, in words.

        Raises:
            ServiceUnavailable: The server does not answer, or refuses us.
        """
        try:
            with self._door() as (_, encrypted):
                way = "encrypted" if encrypted else "without encryption"
        except (smtplib.SMTPException, OSError) as error:
            raise ServiceUnavailable(
                f"{self._server.host}:{self._server.port}: mail could not be handed in "
                f"({_said(error)}). Check notify.email: host, port (465 or 587), user, "
                "RETRUE_SMTP_PASSWORD, and that the server's certificate is one we trust."
            ) from None
        login = f", as {self._server.user}" if self._server.user else ""
        return f"{self._server.host} takes mail {way}{login}"

    def _hand_in(self, message: EmailMessage) -> None:
        with self._door() as (door, _):
            door.send_message(message)

    @contextmanager
    def _door(self) -> Generator[tuple[smtplib.SMTP, bool]]:
        """A server that is ready for mail, and whether the line is encrypted."""
        server = self._server
        context = self._context or ssl.create_default_context()
        encrypted = server.port == IMPLICIT_TLS
        with (
            smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
            if encrypted
            else smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
        ) as door:
            door.ehlo_or_helo_if_needed()
            if not encrypted and door.has_extn("starttls"):
                door.starttls(context=context)
                door.ehlo()
                encrypted = True
            if server.user is not None:
                if not encrypted:
                    raise smtplib.SMTPNotSupportedError("no TLS: the password stays here")
                door.login(server.user, server.password)
            yield door, encrypted


def _said(error: Exception) -> str:
    """What kind of failure; the server's own words may repeat the login."""
    code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
