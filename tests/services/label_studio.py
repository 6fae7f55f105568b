"""A real Label Studio for tests: in its own virtual environment, on a free port, on empty data.

`python tests/services/label_studio.py` installs it (800 MB) and prints where. RETRUE_SERVICES names
the folder that holds it; the default is `.retrue-services` of this checkout.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

VERSION = "1.23.2"
HOME = Path(__file__).parents[2] / ".retrue-services"
READY_SECONDS = 180.0  # 20 s on a quiet machine
ADMIN = "admin@example.com"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudioServer:
    """One running server and the administrator's way in."""

    url: str
    token: str  # legacy token
    email: str
    password: str
    pid: int
    log: Path


def program() -> Path:
    """Where Label Studio is, or would be, installed."""
    return Path(os.environ.get("RETRUE_SERVICES", HOME)) / "label-studio" / "bin" / "label-studio"


def install() -> Path:
    """Make the virtual environment, unless it is there; returns the program."""
    home = program().parents[1]
    if not program().exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        uv = ("uv", "--no-config")
        python = str(home / "bin" / "python")
        subprocess.run([*uv, "venv", "--python", sys.executable, home], check=True)
        subprocess.run(
            [*uv, "pip", "install", "--python", python, f"label-studio=={VERSION}"], check=True
        )
    return program()


@contextmanager
def running(folder: Path) -> Iterator[LabelStudioServer]:
    """Start a server on an empty `folder`; stop it, and nothing else, at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port, password, token = _free_port(), secrets.token_hex(12), secrets.token_hex(20)
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                program(),
                "start",
                "--no-browser",
                "--internal-host",
                "127.0.0.1",
                "--port",
                f"{port}",
            ],
            env=_environment(folder, password, token),
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = LabelStudioServer(
        url=f"http://{HOST}:{port}",
        token=token,
        email=ADMIN,
        password=password,
        pid=process.pid,
        log=log,
    )
    try:
        _wait(server, process)
        yield server
    finally:
        _stop(process)


def _environment(folder: Path, password: str, token: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait(server: LabelStudioServer, process: subprocess.Popen[bytes]) -> None:
    """Until it answers our token: no other server on this port would know it."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"Label Studio ended with {process.returncode}: {_tail(server.log)}")
        try:
            reply = httpx.get(
                f"{server.url}/api/current-user/whoami",
                headers={"Authorization": f"Token {server.token}"},
                timeout=5,
            )
        except httpx.HTTPError:
            time.sleep(0.5)
            continue
        if reply.status_code == 200 and reply.json()["email"] == ADMIN:
            return
        time.sleep(0.5)
    raise RuntimeError(f"Label Studio was not ready after {READY_SECONDS} s: {_tail(server.log)}")


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its own process group was made at the start, so this reaches its children and no stranger."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        break


if __name__ == "__main__":
    print(install())  # noqa: T201
