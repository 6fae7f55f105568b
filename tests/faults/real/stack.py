"""The real services, started once for a whole series: S3, Label Studio; PostgreSQL's restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from faults.real.http_proxy import Place
from services import label_studio, seaweedfs
from services.postgresql import PostgresServer

__all__ = ["PEOPLE", "Stack", "place_of", "restart", "running"]

PEOPLE = ("ann", "bob", "cleo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where everything is; it is a file too, so that a series may use a stack that runs already."""

    label_studio: str
    token: str
    people: dict[str, int]  # name -> Label Studio's user id
    s3: str
    s3_env: dict[str, str]

    @property
    def label_studio_place(self) -> Place:
        return place_of(self.label_studio)

    @property
    def s3_place(self) -> Place:
        return place_of(self.s3)


def restart(database: PostgresServer) -> None:
    """As after a crash: every session ends at once, the log is replayed, it answers again.

    PostgreSQL does all that by itself when one of its own processes is killed.
    """
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state parent ...; a name may hold spaces and brackets.
            words = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(words[1]) == database.pid:
                os.kill(int(entry.parent.name), signal.SIGKILL)
                return
    raise RuntimeError(f"PostgreSQL {database.pid}: expected a process of its own, found none")


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Start what a series shares; stop it after."""
    with (
        seaweedfs.running(folder / "s3") as store,
        label_studio.running(folder / "label-studio") as tool,
    ):
        headers = {"Authorization": f"Token {tool.token}"}
        with httpx.Client(base_url=tool.url, headers=headers, timeout=60) as client:
            people = {name: _user(client, name) for name in PEOPLE}
        yield Stack(
            label_studio=tool.url,
            token=tool.token,
            people=people,
            s3=store.url,
            s3_env=store.environment(),
        )


def _user(client: httpx.Client, name: str) -> int:
    made = client.post("/api/users/", json={"email": f"{name}@example.com", "username": name})
    made.raise_for_status()
    return int(made.json()["id"])


def place_of(url: str) -> Place:
    parts = urlsplit(url)
    return (parts.hostname or "", parts.port or 0)
