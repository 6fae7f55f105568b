"""Committing and pushing what happened, so that a lost machine loses nothing."""

from __future__ import annotations

from datetime import datetime

from retrue.workspace import Workspace

__all__ = ["record_progress"]


def record_progress(workspace: Workspace, message: str, *, now: datetime) -> str:
    """Commit and push the records, when a round opened or closed.

    Args:
        workspace: Whose records.
        message: The commit's message.
        now: For the lease.

    Returns:
        The newest commit of the data branch; "" while there was never anything to record.

    Raises:
        RepoError: git or DVC refused.
        ServiceUnavailable: A remote did not answer; the next call makes up for it.
        LeaseHeld: Another process is building a version.
    """
    state = workspace.repo.state()
    if not state.unrecorded and not state.unpushed:
        return state.branch_tip or ""
    # The lease of `version`: both write the data branch.
    with workspace.lease("version", now=now) as lease:
        return workspace.repo.record(message, lease=lease)
