"""Runs one outside command: no prompts, no inherited repository, never longer than its time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retrue.errors import ServiceUnavailable, WorkspaceError
from retrue.secrecy import without_secrets

__all__ = ["Finished", "Runner", "last_words", "run_process", "without_passwords"]

# Set by git around its hooks; with them a command would work on the caller's repository.
_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command left behind."""

    code: int  # 0: fine; negative: ended by that signal
    out: str
    err: str


class Runner(Protocol):
    """How commands are run; tests put one in between that fails at a chosen call."""

    def __call__(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stdin: str = "",
    ) -> Finished:
        """Run to the end, within `timeout` seconds."""
        ...


def run_process(
    args: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    stdin: str = "",
) -> Finished:
    """Run a command; `env` is added to the environment.

    Raises:
        ServiceUnavailable: It had not ended after `timeout` seconds; it and its children were
            stopped.
        WorkspaceError: There is no such program.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in _OF_ANOTHER_REPOSITORY}
    # Output goes to files: a grandchild that keeps a pipe open cannot hold us up.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                args,
                cwd=cwd,
                env={**inherited, **env},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
                close_fds=False,  # the worktree's lock outlives us while a child still runs
            )
        except FileNotFoundError as error:
            raise WorkspaceError(
                f"{args[0]}: expected this program, found none. Install it."
            ) from (error)
        _finish(process, args, stdin.encode(), timeout)
        out.seek(0)
        err.seek(0)
        return Finished(
            code=process.returncode,
            out=out.read().decode(errors="replace"),
            err=err.read().decode(errors="replace"),
        )


def last_words(finished: Finished, lines: int = 15) -> str:
    """The end of what a command said, without passwords in addresses.

    >>> last_words(Finished(code=1, out="", err="no: https://me:pw@host/x"))
    'no: https://***@host/x'
    """
    said = (finished.err.strip() or finished.out.strip()).splitlines()
    return without_passwords("\n".join(said[-lines:]))


def without_passwords(text: str) -> str:
    """The text with user and password in addresses blotted out, and every secret that is known.

    >>> without_passwords("s3://key:secret@host/bucket")
    's3://***@host/bucket'
    """
    return without_secrets(text)


def _finish(
    process: subprocess.Popen[bytes], args: Sequence[str], stdin: bytes, timeout: float
) -> None:
    try:
        process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as error:
        raise ServiceUnavailable(
            f"{' '.join(args[:6])}: expected an end within {timeout:g} s, got none, so it was "
            "stopped. Check the network and the remote, then run the step again."
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
