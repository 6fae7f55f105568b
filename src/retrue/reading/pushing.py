"""How far the tasks of a round got into the queue, as this machine's ledger knows."""

from __future__ import annotations

from retrue.workspace import Workspace

__all__ = ["COMPLETE", "STARTED", "is_pushed", "push_mark"]

STARTED = "started"  # some may be there, and the tool may still be importing
COMPLETE = "complete"  # each was seen there


def push_mark(round_id: str) -> str:
    """Under which name the ledger keeps it: `STARTED`, `COMPLETE` or nothing."""
    return f"push/{round_id}"


def is_pushed(workspace: Workspace, round_id: str) -> bool:
    """Whether every task of the round was seen in the queue."""
    return workspace.state.value(push_mark(round_id)) == COMPLETE
