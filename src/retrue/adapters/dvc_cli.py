"""The DVC program: one call at a time, always under a timeout, errors in our words."""

from __future__ import annotations

import configparser
import io
import json
import os
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrue.adapters.process import Finished, Runner, last_words, run_process, without_passwords
from retrue.errors import RepoError, ServiceUnavailable, TransientError

__all__ = ["REMOTE", "Dvc", "DvcPlaces", "dvc_places", "name_remote"]

REMOTE = "retrue"  # the name of our remote in DVC's configuration
_LOCAL_REMOTE = Path("local/dvc-remote")
_LOCKED = ("unable to acquire lock", "is busy", "locked by")
_UNREACHABLE = (
    "could not connect",
    "connection",
    "timed out",
    "timeout",
    "name or service not known",
    "serviceunavailable",
    "slowdown",
    "internalerror",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DvcPlaces:
    """Where DVC keeps a workspace's bytes, and the settings that say so."""

    shown: str  # the remote for people to read, without passwords
    public: str | None  # the remote as clones may know it; None: only this machine reaches it
    settings: str  # text of a DVC configuration file; may hold secrets, never committed


def dvc_places(workspace: Path, remote: str | None) -> DvcPlaces:
    """Read a workspace's DVC settings, private ones included, and add ours.

    Args:
        workspace: Folder with `.dvc`, if there is one.
        remote: URL or folder (relative to the workspace); None: `local/dvc-remote`.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([workspace / ".dvc/config", workspace / ".dvc/config.local"], encoding="utf-8")
    own = workspace / ".dvc"
    default = own / "cache" if own.is_dir() else workspace / ".retrue/dvc-cache"
    cache = own / parser.get("cache", "dir", fallback=str(default.absolute()))
    url = remote if remote and "://" in remote else str(workspace / (remote or _LOCAL_REMOTE))
    section = f"'remote \"{REMOTE}\"'"
    for name in ("core", "cache", section):
        if not parser.has_section(name):
            parser.add_section(name)
    # Without git DVC writes no .gitignore and looks at no history: we do both ourselves.
    parser["core"].update(no_scm="true", check_update="false", analytics="false", remote=REMOTE)
    # Links would make a person's records read-only, or change the cache when a file is changed.
    parser["cache"].update(dir=str(cache.absolute()), type='"reflink,copy"')
    parser[section]["url"] = url
    text = io.StringIO()
    parser.write(text)
    shown = remote or f"{_LOCAL_REMOTE} (a folder on this machine only)"
    secret = remote is None or without_passwords(remote) != remote
    return DvcPlaces(
        shown=without_passwords(shown), public=None if secret else url, settings=text.getvalue()
    )


def name_remote(config: Path, url: str | None) -> None:
    """Write the remote into a DVC configuration that is committed, so that clones can pull.

    A default remote that a person has named there stays as it is.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(config, encoding="utf-8")
    if url is None or parser.get("core", "remote", fallback=None) is not None:
        return
    parser.read_dict({"core": {"remote": REMOTE}, f"'remote \"{REMOTE}\"'": {"url": url}})
    with config.open("w", encoding="utf-8") as file:
        parser.write(file)


class Dvc:
    """DVC in one folder.

    Args:
        folder: A DVC project.
        run: How commands are run.
        transfer_seconds: A transfer that takes longer is given up.
        stage_seconds: A stage that takes longer is given up.
    """

    def __init__(
        self,
        folder: Path,
        run: Runner = run_process,
        *,
        transfer_seconds: float = 1800.0,
        stage_seconds: float = 86400.0,
    ) -> None:
        self.folder = folder
        self._run = run
        self._transfer = transfer_seconds
        self._stage = stage_seconds

    def init(self, *, subdir: bool) -> None:
        """Make the folder a DVC project."""
        self._must(["init", *(["--subdir"] if subdir else [])], 120.0)

    def add_remote(self, url: str) -> None:
        """Name our remote in the committed configuration, so that a clone can `dvc pull`."""
        self._must(["remote", "add", "--force", "--default", REMOTE, url], 120.0)

    def add(self, paths: Sequence[str]) -> None:
        """Track folders as they are."""
        self._must(["add", *paths], self._transfer)

    def add_and_push(self, paths: Sequence[str], targets: Sequence[str]) -> None:
        """Track folders and upload what the remote lacks, in one process."""
        calls = [["add", *paths], ["push", "-r", REMOTE, *targets]]
        program = ["-m", "retrue.adapters.dvc_together", "push"]
        said = json.dumps([["--wait-for-lock", *call] for call in calls])
        self._finish([*program, said], "push", self._transfer)

    def push(self, targets: Sequence[str]) -> None:
        """Upload what the remote lacks."""
        self._must(["push", "-r", REMOTE, *targets], self._transfer)

    def repro(self, stage: str, *, alone: bool = False) -> None:
        """Run a stage if what it reads has changed; `alone`: without the stages before it.

        Raises:
            RepoError: The stage failed; the message ends with its last lines.
        """
        self._must(["repro", *(["--single-item"] if alone else []), stage], self._stage)

    @contextmanager
    def folders(self, hashes: Mapping[str, str], settings: str) -> Generator[Path]:
        """Folders by their hash, in a scratch project that is gone after the block.

        Nothing of the project at `self.folder` is read or changed, so this may run beside a build.

        Args:
            hashes: Name -> DVC hash of a folder (`….dir`).
            settings: As `DvcPlaces.settings`.

        Raises:
            RepoError: The bytes are neither in the cache nor on the remote.
        """
        with tempfile.TemporaryDirectory(prefix="retrue-") as name:
            scratch = Path(name)
            (scratch / ".dvc").mkdir()
            (scratch / ".dvc/config").write_text(settings, encoding="utf-8")
            (scratch / ".dvc/config").chmod(0o600)
            for target, md5 in hashes.items():
                (scratch / f"{target}.dvc").write_text(
                    f"outs:\n- md5: {md5}\n  hash: md5\n  path: {target}\n", encoding="utf-8"
                )
            project = Dvc(scratch, self._run, transfer_seconds=self._transfer)
            project._must(["pull", "-r", REMOTE], self._transfer)
            yield scratch

    def _must(self, args: Sequence[str], timeout: float) -> None:
        self._finish(["-m", "dvc", "--wait-for-lock", *args], args[0], timeout)

    def _finish(self, program: Sequence[str], command: str, timeout: float) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        finished = self._run(
            [sys.executable, *program],
            cwd=self.folder,
            # Stages call `retrue`, which is installed beside this Python.
            env={"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PATH": path},
            timeout=timeout,
        )
        if finished.code != 0:
            raise _refusal(program, command, finished)


def _refusal(program: Sequence[str], command: str, finished: Finished) -> Exception:
    words = last_words(finished, lines=25)
    said = f"python {' '.join(program)}: exit {finished.code}: {words}"
    lowered = words.lower()
    if any(sign in lowered for sign in _LOCKED):
        return TransientError(f"{said}\nAnother DVC process works here; wait and run it again.")
    # What a stage says about its own connections is the stage's affair.
    if command in {"push", "pull"} and any(sign in lowered for sign in _UNREACHABLE):
        return ServiceUnavailable(f"{said}\nCheck the DVC remote, then run the step again.")
    return RepoError(said)
