"""A real Label Studio for tests: empty data, a free loopback port, credentials of its own.

`python tests/services/label_studio.py` installs it (800 MB) and prints where.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.packages import free_ports, install, started, wait_until

__all__ = ["LabelStudioServer", "running"]

SERVICE = "label-studio"
READY_SECONDS = 240.0  # 20 s on a quiet machine
ADMIN = "admin@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudioServer:
    """One running server and the administrator's way in."""

    url: str
    token: str  # legacy token
    email: str
    password: str
    pid: int
    log: Path


@contextmanager
def running(folder: Path) -> Iterator[LabelStudioServer]:
    """Start a server on an empty `folder`; stop it, and nothing else, at the end."""
    program = install(SERVICE) / "bin" / "label-studio"
    folder.mkdir(parents=True, exist_ok=True)
    password, token = secrets.token_hex(12), secrets.token_hex(20)
    (port,) = free_ports(1)
    settings = [f"{name}={value}" for name, value in _environment(folder, password, token).items()]
    start = ("start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port))
    with started(["env", *settings, program, *start], folder=folder) as process:
        server = LabelStudioServer(
            url=f"http://127.0.0.1:{port}",
            token=token,
            email=ADMIN,
            password=password,
            pid=process.process.pid,
            log=process.log,
        )
        wait_until(lambda: _is_ready(server), process, seconds=READY_SECONDS)
        yield server


def _environment(folder: Path, password: str, token: str) -> dict[str, str]:
    return {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "DJANGO_DB": "sqlite",
        "LABEL_STUDIO_USERNAME": ADMIN,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "1",
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DO_NOT_TRACK": "1",
    }


def _is_ready(server: LabelStudioServer) -> bool:
    """It knows our token, which no other server on this port would."""
    try:
        reply = httpx.get(
            f"{server.url}/api/current-user/whoami",
            headers={"Authorization": f"Token {server.token}"},
            timeout=5,
        )
    except httpx.HTTPError:
        return False
    return reply.status_code == 200 and reply.json()["email"] == ADMIN


if __name__ == "__main__":
    print(install(SERVICE))  # noqa: T201
