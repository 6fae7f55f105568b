"""The git program: one call, one answer, errors in our words."""

from __future__ import annotations

import os
from pathlib import Path

from retrue.adapters.process import Finished, Runner, last_words, run_process
from retrue.errors import RepoError, ServiceUnavailable, TransientError

__all__ = ["Git"]

_ENV = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",  # never refresh a person's index on the side
    "LC_ALL": "C",
}
# A person's hooks are for a person's commits; ours must not start their test suite.
_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")
_UNREACHABLE = (
    "could not resolve host",
    "failed to connect",
    "couldn't connect",
    "connection refused",
    "connection timed out",
    "connection reset",
    "operation timed out",
    "network is unreachable",
    "the remote end hung up",
    "early eof",
    "the requested url returned error: 5",
)
_MOVED = ("[rejected]", "[remote rejected]", "cannot lock ref", "index.lock': file exists")


class Git:
    """git in one folder.

    Args:
        folder: Where it works.
        run: How commands are run.
    """

    def __init__(self, folder: Path, run: Runner = run_process) -> None:
        self.folder = folder
        self._run = run

    def __call__(self, *args: str, stdin: str = "", timeout: float = 60.0) -> str:
        """The output of a command that must succeed, without the last newline.

        Raises:
            ServiceUnavailable: The remote did not answer, or not within `timeout` seconds.
            TransientError: A ref had moved; look again and retry.
            RepoError: git refused, with its last words.
        """
        finished = self._git(args, stdin, timeout)
        if finished.code != 0:
            raise _refusal(args, finished)
        return finished.out.rstrip("\n")

    def find(self, *args: str) -> str | None:
        """As a call, but None where git says "there is none" (exit code 1)."""
        finished = self._git(args, "", 60.0)
        if finished.code == 1:
            return None
        if finished.code != 0:
            raise _refusal(args, finished)
        return finished.out.rstrip("\n")

    def text(self, revision: str, path: str) -> str | None:
        """The content of a file at a revision; None: no such file there."""
        blob = self.find("rev-parse", "--verify", "--quiet", f"{revision}:{path}")
        return None if blob is None else self._git(("cat-file", "blob", blob), "", 60.0).out

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`."""
        return self.find("merge-base", "--is-ancestor", old, new) is not None

    def _git(self, args: tuple[str, ...], stdin: str, timeout: float) -> Finished:
        env = dict(_ENV)
        if "GIT_SSH_COMMAND" not in os.environ:
            env["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes"
        return self._run(
            ["git", *_OPTIONS, *args], cwd=self.folder, env=env, timeout=timeout, stdin=stdin
        )


def _verb(args: tuple[str, ...]) -> str:
    return args[2 * args.count("-c")] if args[0] == "-c" else args[0]


def _refusal(args: tuple[str, ...], finished: Finished) -> Exception:
    words = last_words(finished)
    lowered = words.lower()
    said = f"git {_verb(args)}: exit {finished.code}: {words}"
    # First, since after a rejected push the other end hangs up, too.
    if any(sign in lowered for sign in _MOVED):
        return TransientError(f"{said}\nRun the step again.")
    if any(sign in lowered for sign in _UNREACHABLE):
        return ServiceUnavailable(f"{said}\nCheck the network, then run the step again.")
    return RepoError(said)
