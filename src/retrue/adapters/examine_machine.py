"""`retrue doctor` at home: git, DVC, the disk, the libraries, and what the environment lacks."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from retrue.adapters.examining import Check, version_check
from retrue.adapters.git import Git
from retrue.config import unset_variables
from retrue.workspace import Workspace

__all__ = [
    "examine_disk",
    "examine_dvc",
    "examine_environment",
    "examine_git",
    "examine_libraries",
]

GIB = 2**30
LITTLE, TOO_LITTLE = 5 * GIB, GIB // 2  # free bytes: a version's cache and models need some
REMOTE_SECONDS = 30.0
YOUNG_SECONDS = 120.0  # an index.lock of this age may belong to a git at work
LIBRARIES = {"DVC": "dvc", "SQLAlchemy": "sqlalchemy", "FastAPI": "fastapi"}


def examine_git(workspace: Workspace, now: datetime) -> Iterator[Check]:
    """The branch that is checked out, locks left behind, the remote, what is not there yet.

    Raises:
        RetrueError: The remote does not answer, or refuses us.
    """
    git = Git(workspace.root)
    yield version_check("git", git("--version").removeprefix("git version ").split()[0])
    branch = git.find("symbolic-ref", "--short", "--quiet", "HEAD")
    data = workspace.config.store.branch
    if branch == data:
        detail = (
            f"{data} is checked out, and only retrue writes there. Go back to your own branch: "
            "`git switch main`."
        )
        yield Check(name="git branch", ok=False, detail=detail)
    else:
        yield Check(name="git branch", ok=True, detail=branch or "none (a detached HEAD)")
    yield from _locks(git, now)
    state = workspace.repo.state()
    if state.remote is None:
        detail = "none: records stay on this machine (`git remote add origin URL`)"
        yield Check(name="git remote", ok=True, warn=True, detail=detail)
        return
    git("ls-remote", "--heads", state.remote, timeout=REMOTE_SECONDS)
    detail = f"{state.remote} answers"
    if state.unpushed:
        detail += f"; {state.unpushed} commits of {data} are only here: run `retrue collect --push`"
    yield Check(name="git remote", ok=True, warn=state.unpushed > 0, detail=detail)


def _locks(git: Git, now: datetime) -> Iterator[Check]:
    """A lock that a git which was killed left: every later one would refuse."""
    common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir"))
    found = [*common.glob("index.lock"), *common.glob("worktrees/*/index.lock")]
    for lock in found:
        try:
            made = datetime.fromtimestamp(lock.stat().st_mtime, tz=UTC)
        except FileNotFoundError:
            continue  # its git has ended meanwhile
        age = (now - made).total_seconds()
        detail = f"{lock} is {_in_words(age)} old. If no git is at work here, delete it."
        young = age < YOUNG_SECONDS
        yield Check(name="git lock", ok=young, warn=young, detail=detail)
    if not found:
        yield Check(name="git lock", ok=True, detail="none was left behind")


def _in_words(seconds: float) -> str:
    """Seconds, minutes, hours or days, whichever says it in a small number.

    >>> _in_words(45), _in_words(600), _in_words(10803), _in_words(400_000)
    ('45 s', '10 min', '3 h', '4 days')
    """
    if seconds < YOUNG_SECONDS:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds // 86400:.0f} days"


def examine_dvc(root: Path) -> Iterator[Check]:
    """Whether DVC is at work in the workspace or in retrue's own checkout of it."""
    busy = [
        lock
        for lock in (root / ".dvc/tmp/lock", *root.glob(".retrue/worktree/**/.dvc/tmp/lock"))
        if _is_held(lock)
    ]
    if busy:
        detail = f"{busy[0]} is held: a DVC process is at work here. Wait for it to end."
        yield Check(name="DVC lock", ok=True, warn=True, detail=detail)
    else:
        yield Check(name="DVC lock", ok=True, detail="free")


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def examine_disk(root: Path, free: int | None = None) -> Iterator[Check]:
    """Room for caches, records and models.

    Args:
        root: Where.
        free: Free bytes; None: ask the file system.
    """
    left = shutil.disk_usage(root).free if free is None else free
    detail = f"{left / GIB:.1f} GB free"
    if left < LITTLE:
        detail += (
            ". Make room: `dvc gc --workspace --all-tags` drops what no version needs from the "
            "cache (it is in the remote)."
        )
    yield Check(name="disk", ok=left >= TOO_LITTLE, warn=TOO_LITTLE <= left < LITTLE, detail=detail)


def examine_libraries() -> Iterator[Check]:
    """Versions of what we call and depend on; some sets install well and do not work."""
    for name, package in LIBRARIES.items():
        try:
            yield version_check(name, version(package))
        except PackageNotFoundError:
            detail = f"{package} is not installed. Install retrue anew (`pip install retrue`)."
            yield Check(name=f"{name} version", ok=False, detail=detail)


def examine_environment(root: Path, env: Mapping[str, str]) -> Iterator[Check]:
    """Names of the environment that the configuration uses, and that are not set."""
    for path, name in unset_variables(root, env):
        detail = f"${{{name}}} is not set, so {path} counts as left out. Set it, or remove it."
        yield Check(name="environment", ok=True, warn=True, detail=detail)
