"""Does every configured service answer? Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from retrue.cli.checks import Check
from retrue.errors import RetrueError
from retrue.workspace import Workspace

__all__ = ["check_services"]


def check_services(root: Path) -> list[Check]:
    """Ask each service one small question.

    Raises:
        RetrueError: The workspace cannot be opened; `check_workspace` says why.
    """
    from retrue.wiring import open_workspace

    workspace = open_workspace(root)
    questions: Mapping[str, Callable[[Workspace], str]] = {
        "store": _streams,
        "queue": _queue,
        "git remote": _git_remote,
        "DVC remote": _dvc_remote,
        "model registry": _models,
    }
    checks: list[Check] = []
    for name, ask in questions.items():
        try:
            checks.append(Check(name=name, ok=True, detail=ask(workspace)))
        except RetrueError as error:
            checks.append(Check(name=name, ok=False, detail=str(error)))
    return checks


def _streams(workspace: Workspace) -> str:
    data = workspace.config.data
    told: list[str] = []
    for stream in (data.incoming, data.inference):
        if stream is not None:
            first = next(workspace.store.list_objects(stream.uri, since=None), None)
            told.append(f"{stream.uri} {'holds objects' if first else 'is empty'}")
    return ", ".join(told)


def _queue(workspace: Workspace) -> str:
    return f"{workspace.config.queue.use}: {workspace.queue.count()} answers"


def _git_remote(workspace: Workspace) -> str:
    from retrue.adapters.git import Git

    remote = workspace.repo.state().remote
    if remote is None:
        return "none: records stay on this machine (`git remote add origin URL`)"
    Git(workspace.root)("ls-remote", "--heads", remote, timeout=30.0)
    return f"{remote} answers"


def _dvc_remote(workspace: Workspace) -> str:
    url = workspace.config.store.dvc_remote
    shown = workspace.repo.state().dvc_remote or "none"
    if url is not None and url.startswith("s3://"):
        from retrue.adapters.store_s3 import S3Store, s3_client

        next(S3Store(s3_client(), [url]).list_objects(url, since=None), None)
        return f"{shown} answers"
    return f"{shown} (not asked)"


def _models(workspace: Workspace) -> str:
    champion = workspace.models.champion()
    return f"champion v{champion.version}" if champion else "no champion yet"
