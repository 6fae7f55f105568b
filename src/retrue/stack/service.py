"""What every service of the stack is made of: where it lives, how it starts, when it is ready."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import httpx

__all__ = ["CLEAN", "Launch", "Say", "Service", "Site", "answers"]

Say = Callable[[str], None]  # told one line of progress; called from several threads
# What a service gets of our environment: no credentials, no proxies, no settings of other programs.
CLEAN: Mapping[str, str] = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where one service lives; all of it is kept between starts."""

    folder: Path  # its data and its log
    ports: Mapping[str, int]  # use -> loopback port
    secret: str = field(repr=False)  # its credentials are made from it; 64 characters at most

    def credential(self, name: str, length: int = 32) -> str:
        """A secret of its own for one use: `length` hexadecimal digits, 128 at most."""
        made = hashlib.blake2b(name.encode(), key=self.secret.encode()).hexdigest()
        return made[:length]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is started, and how it is asked to end."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    inherits: bool = False  # it gets all of our environment, not only what is clean
    user: str | None = None  # who runs it; None: we do
    stop: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0  # after these it is killed

    @property
    def digest(self) -> str:
        """Changes when a running server should be started again with other settings."""
        told = repr((self.command, sorted(self.environment.items()), self.user))
        return hashlib.sha256(told.encode()).hexdigest()


class Service(Protocol):
    """One server of the stack."""

    name: ClassVar[str]
    ports: ClassVar[tuple[str, ...]]  # the first is the one people use
    needs: ClassVar[tuple[str, ...]]  # services that must be ready before it starts
    ready_seconds: ClassVar[float]  # longer means that something is wrong

    @property
    def site(self) -> Site:
        """Where it lives."""
        ...

    def prepare(self, say: Say) -> None:
        """Make what is missing: programs, an empty database. Called again, it does nothing."""
        ...

    def launch(self) -> Launch:
        """How to start it, once it is prepared."""
        ...

    def is_ready(self) -> bool:
        """Whether it does real work for somebody with its credentials."""
        ...

    def environment(self) -> Mapping[str, str]:
        """What its users need to know, by the usual names."""
        ...

    def link(self) -> str | None:
        """Where it is reached, without a password: its pages, else its address."""
        ...


def answers(
    url: str, *, headers: Mapping[str, str] | None = None, body: object = None
) -> httpx.Response | None:
    """What a server says to a GET, or to a POST of `body`; None: nothing, or an error."""
    method = "GET" if body is None else "POST"
    try:
        reply = httpx.request(
            method, url, headers=headers, json=body, timeout=ASK_SECONDS, trust_env=False
        )
    except httpx.HTTPError:
        return None
    return None if reply.is_error else reply
