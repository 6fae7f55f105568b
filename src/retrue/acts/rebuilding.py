"""A new ledger from the records: windows, cursors and tasks, after `.retrue` was lost.

What was sampled or checked is on record with its objects, so none of it is taken for new traffic.
Windows that only the lost ledger knew are ingested again by the next `ingest`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from retrue.core.batch_profile import first_centers, profile_columns
from retrue.core.profile import CategoryProfile, NumberProfile, finalise, merge_profiles
from retrue.core.window_json import window_from_json
from retrue.errors import StoreError
from retrue.ports import Cursor, Lease
from retrue.reading.ballots import last_verdicts
from retrue.reading.pushing import STARTED, push_mark
from retrue.reading.reference import load_reference
from retrue.reading.windows import read_window
from retrue.records import Quarantined, Round, Window
from retrue.workspace import Workspace

__all__ = ["LostWindow", "RebuildReport", "rebuild_ledger", "recorded_windows"]

WRITERS = (
    "ingest-incoming",
    "ingest-inference",
    "drift",
    "select",
    "push",
    "collect",
    "validate",
)
SETTLED = ("accepted", "unanswerable", "missing")
QUARANTINE_KEPT = 10_000  # as ingest keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWindow:
    """A recorded window that cannot be read again."""

    window_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What the new ledger holds."""

    windows: int  # read again and profiled
    lost: tuple[LostWindow, ...]  # their objects are gone; rounds drawn from them stay as they are
    tasks: int  # of all rounds that were opened
    in_flight: int  # samples that still wait for answers
    centers: int  # numeric columns whose bins are those of the champion's reference


def rebuild_ledger(workspace: Workspace, *, now: datetime) -> RebuildReport:
    """Forget the ledger and fill it from the records.

    Raises:
        LeaseHeld: A step is running.
    """
    with _alone(workspace, now) as leases:
        workspace.state.clear()
        centers = _freeze(workspace)
        windows = recorded_windows(workspace)
        lost = [
            one
            for window in windows
            if (one := _add(workspace, window, windows, leases[f"ingest-{window.stream}"]))
        ]
        tasks = _add_tasks(workspace, leases["push"])
    return RebuildReport(
        windows=len(windows) - len(lost),
        lost=tuple(lost),
        tasks=tasks,
        in_flight=len(workspace.state.samples_in_flight()),
        centers=centers,
    )


def recorded_windows(workspace: Workspace) -> list[Window]:
    """Every window that rounds were drawn from or drift was checked on, by time of recording."""
    found = {w.window_id: w for item in workspace.records.rounds() for w in item.plan.population}
    for made in workspace.records.decisions("drift-check"):
        record = made.data.get("window_record")
        if record is not None:
            window = window_from_json(record)
            found.setdefault(window.window_id, window)
    return sorted(found.values(), key=lambda window: (window.recorded_at, window.window_id))


@contextmanager
def _alone(workspace: Workspace, now: datetime) -> Generator[Mapping[str, Lease]]:
    """Every writer's lease: nobody may see, or write to, a half-filled ledger."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(workspace.lease(name, now=now)) for name in WRITERS}


def _freeze(workspace: Workspace) -> int:
    """Bins as they were: profiles of other bins could not be compared with the reference."""
    champion = workspace.models.champion()
    reference = load_reference(workspace, champion) if champion is not None else None
    if reference is None:
        return 0
    columns = {**reference.features, **reference.outputs}
    centers = {
        name: column.center for name, column in columns.items() if isinstance(column, NumberProfile)
    }
    workspace.state.freeze_centers(centers)
    return len(centers)


def _add(
    workspace: Workspace, window: Window, windows: Sequence[Window], lease: Lease
) -> LostWindow | None:
    """Read a window again and keep its profile; says why if that cannot be."""
    try:
        profile, unfit = _profile(workspace, window)
    except StoreError as error:
        return LostWindow(window_id=window.window_id, reason=str(error))
    cursor = _cursor([one for one in windows if one.stream == window.stream])
    workspace.state.add_window(window, profile, unfit, cursor, lease)
    return None


def _profile(
    workspace: Workspace, window: Window
) -> tuple[Mapping[str, NumberProfile | CategoryProfile], list[Quarantined]]:
    profile: Mapping[str, NumberProfile | CategoryProfile] = {}
    unfit: list[Quarantined] = []
    for batch in read_window(window, workspace.config, workspace.store):
        unfit += islice(batch.quarantined, QUARANTINE_KEPT - len(unfit))
        if len(batch):
            known = workspace.state.centers()
            if fresh := first_centers(batch, known):
                known |= workspace.state.freeze_centers(fresh)
            profile = merge_profiles(profile, profile_columns(batch, known))
    return finalise(profile), unfit


def _cursor(windows: Sequence[Window]) -> Cursor:
    """Knows the objects that are on record and no time.

    A time would hide the objects of windows that were never recorded: older ones stay unseen.
    """
    seen = {(ref.uri, ref.version) for window in windows for ref in window.objects}
    return Cursor(position=None, seen=frozenset(seen))


def _add_tasks(workspace: Workspace, lease: Lease) -> int:
    verdicts = last_verdicts(workspace)
    settled = {name for name, verdict in verdicts.items() if verdict.status in SETTLED}
    total = 0
    for item in workspace.records.rounds():
        if item.opened_at is None or item.plan.kind == "adopted":
            continue
        tasks = workspace.records.tasks(item.plan.round_id)
        total += len(tasks)
        workspace.state.add_tasks(tasks, lease)
        done = [task.task_key for task in tasks if task.sample_id in settled or _is_over(item)]
        workspace.state.finish_tasks(done, lease)
        # A push may have been cut with the ledger: the next one waits until the tool rests.
        workspace.state.set_value(push_mark(item.plan.round_id), STARTED, lease)
    return total


def _is_over(item: Round) -> bool:
    return item.state in ("closed", "published", "cancelled")
