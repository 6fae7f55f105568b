"""A private git worktree: commits are made here, and a person's checkout is never touched.

The worktree's HEAD is detached, since git allows a branch in one worktree only; the data branch is
moved by compare-and-set. Everything in it can be made again from the branch and the records.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrue.adapters.git import Git
from retrue.adapters.process import Runner, run_process
from retrue.errors import LeaseHeld, RepoError, WorkspaceError

__all__ = ["OWNED", "Base", "Worktree"]

# What we write on the data branch beside the person's own files, relative to the workspace.
OWNED = (
    "data/rounds.dvc",
    "data/decisions.dvc",
    "data/records.txt",
    "data/manifest.json",
    "data/card.md",
    "dvc.lock",
    "metrics.json",
)
_DVC_PROJECT = (".dvc/config", ".dvc/.gitignore", ".dvcignore")
_STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a commit starts from."""

    head: str  # the person's commit
    tip: str | None  # the data branch; None: nothing recorded yet
    local: str | None  # where the branch is here, which may be behind `tip`
    remote: str | None  # where the branch is on the git remote; None: no remote, or not there
    remote_tags: frozenset[str]  # of this project


class Worktree:
    """The private checkout of one workspace.

    Args:
        root: The workspace: a git repository, or a folder in one.
        branch: The data branch.
        run: How commands are run.

    Raises:
        WorkspaceError: `root` is in no git repository.
    """

    def __init__(self, root: Path, branch: str, run: Runner = run_process) -> None:
        self.root = root.absolute()
        self.ref = f"refs/heads/{branch}"
        self.person = Git(self.root, run)
        self._path = self.root / ".retrue/worktree"
        self.git = Git(self._path, run)
        try:
            found = self.person("rev-parse", "--path-format=absolute", "--git-common-dir")
            self.prefix = self.person("rev-parse", "--show-prefix")  # "" or "folder/"
        except RepoError as error:
            raise WorkspaceError(
                f"{root}: expected a git repository, found none. Make one with `retrue init`, "
                f"or go to a workspace folder. ({error})"
            ) from error
        self._common = Path(found)

    @property
    def folder(self) -> Path:
        """The workspace's folder in the private checkout."""
        return self._path / self.prefix

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep other processes of this machine out of the worktree for a block.

        Raises:
            LeaseHeld: One is in, or a command it started still runs.
        """
        private = self.private()
        with (private / "worktree.lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LeaseHeld(
                    f"{private / 'worktree.lock'}: another retrue, or a git or dvc it started, "
                    "works in this workspace. Wait for it and run the step again."
                ) from error
            # Children inherit the lock: after a kill it is free only when they have ended too.
            os.set_inheritable(lock.fileno(), True)
            yield

    def private(self) -> Path:
        """The folder `.retrue`, which git and DVC do not look into."""
        private = self.root / ".retrue"
        private.mkdir(exist_ok=True)
        if not (private / ".gitignore").exists():
            (private / ".gitignore").write_text("*\n", encoding="utf-8")
        return private

    def prepare(self, base: Base) -> None:
        """Make the files those of `base.head`, our own those of the branch, configs as on disk.

        Raises:
            RepoError: Somebody has the data branch checked out.
        """
        self._refuse_standing_on_branch()
        self._open(base.head)
        self._remove_stale_lock()
        self.git("read-tree", "--reset", "-u", base.head)
        source = base.tip or base.head
        owned = [self.prefix + name for name in self._owned(base.head)]
        for name in owned:
            (self._path / name).unlink(missing_ok=True)
        there = self.git("ls-tree", "-r", "--name-only", "-z", source, "--", *owned)
        if names := [name for name in there.split("\0") if name]:
            self.git("checkout", source, "--", *names)
        self._copy_from_disk()

    def commit(self, message: str, base: Base) -> str:
        """Commit the files as they are; the branch's tip if that changes nothing.

        Returns:
            The commit, on no branch yet. Its first parent is the tip; the person's commit is the
            other one, unless the tip contains it.
        """
        paths = [self.prefix + name for name in self._owned(base.head)] + self._settings()
        self.git("update-index", "--add", "--remove", "-z", "--stdin", stdin="\0".join(paths))
        tree = self.git("write-tree")
        if base.tip and tree == self.git("rev-parse", f"{base.tip}^{{tree}}"):
            return base.tip
        parents = [base.tip] if base.tip else []
        if base.tip is None or not self.git.is_ancestor(base.head, base.tip):
            parents.append(base.head)
        options = [part for parent in parents for part in ("-p", parent)]
        return self.git(*self.identity(), "commit-tree", tree, *options, "-m", message)

    def identity(self) -> list[str]:
        """Options that name a committer where the person has named none."""
        if os.environ.get("GIT_COMMITTER_EMAIL") or self.person.find("config", "user.email"):
            return []
        return ["-c", "user.name=retrue", "-c", "user.email=retrue@localhost"]

    def _owned(self, head: str) -> tuple[str, ...]:
        config = f"{head}:{self.prefix}.dvc/config"
        theirs = self.git.find("rev-parse", "--verify", "--quiet", config)
        return OWNED if theirs else (*OWNED, *_DVC_PROJECT)

    def _settings(self) -> list[str]:
        """Config files that are in the worktree, or were in the person's commit."""
        tracked = self.git("ls-files", "-z", "--", f"{self.prefix}configs")
        copied = [str(p.relative_to(self._path)) for p in _files(self.folder / "configs")]
        ours = [f"{self.prefix}dvc.yaml", f"{self.prefix}.dvc/config"]
        return [n for n in tracked.split("\0") if n] + copied + ours

    def _copy_from_disk(self) -> None:
        """Configs and `dvc.yaml` as they are now, less what the person's .gitignore names."""
        listed = self.person(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard", "configs", "dvc.yaml"
        )
        shutil.rmtree(self.folder / "configs", ignore_errors=True)
        (self.folder / "dvc.yaml").unlink(missing_ok=True)
        for name in filter(None, listed.split("\0")):
            if (self.root / name).is_file():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.root / name, target)

    def _open(self, head: str) -> None:
        """Make the worktree; one of a repository that was moved or copied is made anew."""
        if (self._path / ".git").exists():
            try:
                found = self.git("rev-parse", "--path-format=absolute", "--git-common-dir")
            except RepoError:
                found = ""
            if Path(found) == self._common:
                return
        if self._path.exists():
            shutil.rmtree(self._path)
        self.person("worktree", "prune")
        self.person("worktree", "add", "--detach", "--no-checkout", str(self._path), head)

    def _refuse_standing_on_branch(self) -> None:
        listed = self.person("worktree", "list", "--porcelain")
        if f"branch {self.ref}" in listed.splitlines():
            branch = self.ref.removeprefix("refs/heads/")
            raise RepoError(
                f"{branch}: expected nobody on this branch, but it is checked out, and moving it "
                "would change that checkout. Go back to your own branch (`git switch -`)."
            )

    def _remove_stale_lock(self) -> None:
        """Remove the index lock a killed git left; `alone` says that none of ours runs."""
        lock = Path(self.git("rev-parse", "--path-format=absolute", "--git-dir")) / "index.lock"
        if lock.exists() and time.time() - lock.stat().st_mtime > _STALE_SECONDS:
            lock.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
