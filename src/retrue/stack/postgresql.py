"""PostgreSQL: the team's ledger, and Label Studio's own database."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from retrue.errors import StackError
from retrue.stack.loopback import HOST
from retrue.stack.postgresql_programs import programs, server_user, version
from retrue.stack.service import CLEAN, Launch, Say, Site

__all__ = ["LEDGER", "ROLE", "PostgreSQL"]

ROLE = "retrue"
LEDGER = "retrue"  # the database of the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSQL:
    """A server with one role, its superuser; passwords are asked for."""

    name: ClassVar[str] = "postgresql"
    ports: ClassVar[tuple[str, ...]] = ("sql",)
    needs: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 60.0  # 1 s on a quiet machine
    site: Site
    databases: tuple[str, ...] = ()  # made with the cluster, beside `postgres`
    durable: bool = True  # False: quicker, and a power cut loses the data

    def url(self, database: str) -> str:
        """How to reach one of its databases."""
        return f"postgresql://{ROLE}:{self.password}@{HOST}:{self.site.ports['sql']}/{database}"

    @property
    def password(self) -> str:
        """The superuser's."""
        return self.site.credential("password")

    @property
    def version(self) -> str:
        """As the program says it, such as "postgres (PostgreSQL) 18.4"."""
        return version(self._programs(_silent), server_user()) or ""

    def prepare(self, say: Say) -> None:
        """Find or install the programs; make the cluster with its databases, whole or not at all.

        Raises:
            StackError: There is no program that fits, or it failed.
        """
        folder, user = self.site.folder, server_user()
        if user is not None:
            shutil.chown(folder, user)
            folder.chmod(0o700)
        bin_folder = self._programs(say)
        if self._data.exists():
            return
        new = folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        secret = folder / "password"
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(self.password, encoding="ascii")
        if user is not None:
            shutil.chown(secret, user)
        self._run(
            *(bin_folder / "initdb", "-D", new, "-U", ROLE, f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        secret.unlink()
        # A server for one, on its terminal: needs no port, no password and no driver.
        orders = "".join(f"CREATE DATABASE {database};\n" for database in self.databases)
        self._run(bin_folder / "postgres", "--single", "-D", new, "postgres", orders=orders)
        new.rename(self._data)

    def launch(self) -> Launch:
        """On loopback only, without a socket in a shared folder."""
        command = (
            *(str(self._programs(_silent) / "postgres"), "-D", str(self._data)),
            *("-p", str(self.site.ports["sql"]), "-c", f"listen_addresses={HOST}"),
            *("-c", "unix_socket_directories=", "-c", f"fsync={'on' if self.durable else 'off'}"),
        )
        # SIGINT is its fast shutdown: sessions are ended, data is written.
        return Launch(command=command, user=server_user(), stop=signal.SIGINT, stop_seconds=30.0)

    def is_ready(self) -> bool:
        """Whether it lets us in and answers.

        Raises:
            StackError: The driver is not installed.
        """
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise StackError(
                "PostgreSQL: expected its driver, found none; install it with "
                "`pip install 'retrue[postgres]'`."
            ) from error
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=5) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def environment(self) -> Mapping[str, str]:
        """`store: {ledger: "${RETRUE_LEDGER}"}` in a configuration."""
        return {"RETRUE_LEDGER": self.url(LEDGER)}

    def link(self) -> str | None:
        """The ledger's database; the password is asked for."""
        return f"postgresql://{ROLE}@{HOST}:{self.site.ports['sql']}/{LEDGER}"

    @property
    def _data(self) -> Path:
        return self.site.folder / "data"

    def _programs(self, say: Say) -> Path:
        made_by = self._data / "PG_VERSION"
        major = made_by.read_text(encoding="ascii").strip() if made_by.exists() else None
        return programs(server_user(), self.site.folder, major=major, say=say)

    def _run(self, *command: str | Path, orders: str = "") -> None:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command,
            env=CLEAN,
            cwd=self.site.folder,
            user=server_user(),
            input=orders,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(
                f"PostgreSQL: {command[0]} ended with {done.returncode}. Its last words: "
                f"{(done.stdout + done.stderr)[-2000:]}"
            )


def _silent(_: str) -> None:
    """Nothing to tell: what is asked for is installed."""
