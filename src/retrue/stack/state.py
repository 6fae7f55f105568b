"""What the stack remembers between commands: `state.json` in its folder, readable by us alone."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrue.errors import LeaseHeld, StackError
from retrue.stack.process import Started

__all__ = ["Process", "State", "StateFile", "folder_of", "locked", "write_env"]

STATE = "state.json"  # also the mark that a folder is ours
ENV = "env"
LOCK = "lock"


class Process(BaseModel):
    """A server that was started and not taken down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    since: float  # seconds since the epoch, as the system tells
    settings: str  # digest of the way it was started

    @property
    def started(self) -> Started:
        """What it is found by."""
        return Started(pid=self.pid, since=self.since)


class State(BaseModel):
    """All that is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: str  # this stack's random name
    secret: str = Field(repr=False)  # all credentials are made from it
    ports: Mapping[str, Mapping[str, int]] = {}  # service -> use -> port
    fixed: Mapping[str, int] = {}  # service -> the port a person asked for
    processes: Mapping[str, Process] = {}  # service -> what should be running
    deployed: str = ""  # digest of what was registered with Prefect

    def secret_of(self, service: str) -> str:
        """What the credentials of one service are made from: 64 hexadecimal digits."""
        key = self.secret.encode()
        return hashlib.blake2b(service.encode(), key=key, digest_size=32).hexdigest()

    def tag(self, service: str) -> str:
        """What the processes of one service carry."""
        return f"{self.stack}/{service}"


class StateFile:
    """Reads and writes the state; several threads may."""

    def __init__(self, folder: Path) -> None:
        """Take a folder, which may not exist yet."""
        self.folder = folder
        self._path, self._writing = folder / STATE, Lock()

    def read(self) -> State | None:
        """The state; None: there is no stack here.

        Raises:
            StackError: The folder holds something else, or belongs to somebody else.
        """
        if not os.path.lexists(self.folder):
            return None
        if self.folder.is_symlink() or not self.folder.is_dir() or not _is_mine(self.folder):
            raise StackError(f"{self.folder}: expected a folder of this user, got something else.")
        if not self._path.exists():
            if {path.name for path in self.folder.iterdir()} <= {LOCK, ".gitignore"}:
                return None
            raise StackError(
                f"{self.folder}: expected a stack's folder (with {STATE}), found other files. "
                "They are not ours: move them away, or choose another workspace."
            )
        try:
            return State.model_validate_json(self._path.read_bytes())
        except ValidationError as error:
            raise StackError(
                f"{self._path}: expected a stack's state, got {error.error_count()} mistakes in "
                "it. Stop its processes by hand and move the folder away."
            ) from error

    def make(self) -> State:
        """The state; a new one, with a new secret, where there is none."""
        found = self.read()
        if found is not None:
            return found
        new = State(stack=secrets.token_hex(8), secret=secrets.token_hex(32))
        (self.folder / ".gitignore").write_text("*\n", encoding="ascii")
        self._write(new)
        return new

    def change(self, **values: object) -> State:
        """Replace some values; returns the new state."""
        with self._writing:
            return self._change(**values)

    def remember(self, service: str, process: Process | None) -> None:
        """Note what runs for a service; None: nothing should."""
        with self._writing:
            state = self._known()
            others = {name: one for name, one in state.processes.items() if name != service}
            self._change(processes=others | ({service: process} if process else {}))

    def _change(self, **values: object) -> State:
        state = State.model_validate({**self._known().model_dump(), **values})
        self._write(state)
        return state

    def _known(self) -> State:
        return State.model_validate_json(self._path.read_bytes())

    def _write(self, state: State) -> None:
        write_private(self._path, json.dumps(state.model_dump(), indent=1))


def folder_of(root: Path) -> Path:
    """Where the stack of a workspace, or of any folder, is kept."""
    return root.resolve() / ".retrue" / "stack"


def write_env(folder: Path, environment: Mapping[str, str]) -> Path:
    """Write what programs need to know, for `set -a; . FILE`; returns the file."""
    lines = (f"{name}={shlex.quote(value)}" for name, value in environment.items())
    note = "# Credentials of the local stack: `set -a; . .retrue/stack/env; set +a`\n"
    file = folder / ENV
    write_private(file, note + "\n".join(lines) + "\n")
    return file


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Be the only command that changes this stack; the folder is made if it is not there.

    Raises:
        LeaseHeld: Another command is at it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            who = file.read().strip() or "unknown"
            raise LeaseHeld(
                f"{folder}: another `retrue stack` is at work (process {who})."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_private(file: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)


def _is_mine(folder: Path) -> bool:
    return folder.stat().st_uid == os.geteuid()
