"""Rounds people ask for: over which windows, and when a planned one may go ahead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from retrue.core.openings import Opening
from retrue.errors import RecordError, WorkspaceError
from retrue.records import Round, RoundKind, Window, short_hash
from retrue.steps.select import open_round
from retrue.workspace import Workspace

__all__ = ["approve_round", "requested_opening"]

STREAM_OF = {"incoming": "incoming", "inference": "inference", "gate": "inference"}


def requested_opening(
    workspace: Workspace,
    kind: RoundKind,
    *,
    why: str,
    budget: int | None = None,
    windows: Sequence[str] = (),
) -> Opening:
    """What a person's request amounts to.

    Args:
        workspace: Where.
        kind: incoming, inference, gate or adhoc.
        why: In the person's words; kept with the round and each of its tasks.
        budget: Samples; None: `select.budget`.
        windows: Window ids, or the beginnings of such; none: the newest that no round sampled.

    Raises:
        WorkspaceError: There is no such window, or no window is left.
    """
    known = workspace.state.windows()
    chosen = (
        [_window(known, name) for name in windows]
        if windows
        else _unsampled(workspace, known, kind)
    )
    names = [window.window_id for window in chosen]
    return Opening(
        kind=kind,
        # The same person asking the same of the same windows finds the round there is.
        cause=f"{workspace.person}/{short_hash(why, *names, digits=8)}",
        why=why,
        windows=tuple(chosen),
        budget=workspace.config.select.budget if budget is None else budget,
    )


def approve_round(workspace: Workspace, round_id: str, *, now: datetime) -> Round:
    """Let a planned round's tasks be pushed; a round that is open already stays as it is.

    Raises:
        RecordError: There is no such round, or it is over, or it is made of adopted labels.
    """
    item = workspace.records.round(round_id)
    if item.plan.kind == "adopted":
        raise RecordError(
            f"round {round_id}: its labels exist already, nobody is asked. "
            "Run the `retrue adopt labels` that was cut off again."
        )
    if item.state not in ("planned", "open", "collecting"):
        raise RecordError(f"round {round_id}: expected a planned round, it is {item.state}")
    if item.state == "planned":
        open_round(workspace, item.plan, now=now)
    return workspace.records.round(round_id)


def _unsampled(workspace: Workspace, known: Sequence[Window], kind: RoundKind) -> list[Window]:
    """The windows of the kind's stream after the last one that a round was drawn from."""
    rounds = [item for item in workspace.records.rounds() if item.state != "cancelled"]
    sampled = {w.window_id for item in rounds for w in item.plan.population}
    streams = {window.stream for window in known}
    wanted = STREAM_OF.get(kind, "inference" if "inference" in streams else "incoming")
    same = [window for window in known if window.stream == wanted]
    last = max((i for i, w in enumerate(same) if w.window_id in sampled), default=-1)
    newest = same[last + 1 :]
    if not newest:
        raise WorkspaceError(
            f"{kind} round: every {wanted} window was sampled before. Run `retrue ingest`, or name "
            "a window with --window."
        )
    return newest


def _window(known: Sequence[Window], name: str) -> Window:
    found = [window for window in known if window.window_id.startswith(name)]
    if len(found) != 1:
        newest = ", ".join(window.window_id for window in known[-5:]) or "none"
        got = "several" if found else "none"
        raise WorkspaceError(f"window {name}: expected one, found {got}. The newest are: {newest}")
    return found[0]
