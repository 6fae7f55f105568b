"""Makes a folder a git repository and a DVC project, for `retrue init`."""

from __future__ import annotations

from pathlib import Path

from retrue.adapters.dvc_cli import Dvc
from retrue.adapters.git import Git
from retrue.adapters.process import Runner, run_process
from retrue.errors import RepoError

__all__ = ["init_repo"]


def init_repo(workspace: Path, *, dvc_remote: str | None = None, run: Runner = run_process) -> None:
    """Run `git init` and `dvc init` where they are missing; committing is left to the caller.

    A workspace inside a git repository becomes a DVC project of its own (`dvc init --subdir`). DVC
    stages its three settings files in git.

    Args:
        workspace: An existing folder.
        dvc_remote: URL without secrets, written into `.dvc/config`, so that `dvc pull` works in a
            clone; None: no remote is named.
        run: How git and DVC are run.

    Raises:
        RepoError: git or DVC refused.
    """
    git = Git(workspace, run)
    try:
        prefix = git("rev-parse", "--show-prefix")
    except RepoError:
        git("init")
        prefix = ""
    dvc = Dvc(workspace, run)
    if not (workspace / ".dvc/config").exists():
        dvc.init(subdir=bool(prefix))
    if dvc_remote is not None:
        dvc.add_remote(dvc_remote)
    for name in ("rounds", "decisions"):  # so that `dvc repro` finds what it reads
        (workspace / "data" / name).mkdir(parents=True, exist_ok=True)
