"""The working state of one process, for tests and demos."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from retrue.adapters.state_leases import FREE, check, grant
from retrue.core.profile import Profile
from retrue.errors import WorkspaceError
from retrue.ports import Cursor, Lease
from retrue.records import Json, Quarantined, Stream, Task, Window, canonical_json

__all__ = ["MemoryWorkingState"]


class MemoryWorkingState:
    """The `WorkingState` port in dictionaries, for one thread."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self.clear()

    def cursor(self, stream: Stream) -> Cursor:
        """How far a stream was read."""
        return self._cursors.get(stream, Cursor(position=None, seen=frozenset()))

    def add_window(
        self,
        window: Window,
        profile: Profile,
        quarantined: Sequence[Quarantined],
        cursor: Cursor,
        lease: Lease,
    ) -> None:
        """Window, profile, quarantine and cursor; a known window stays as it is.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        self.check_lease(lease)
        if window.window_id not in self._windows:
            self._windows[window.window_id] = window
            self._profiles[window.window_id] = dict(profile)
            self._quarantined[window.window_id] = tuple(quarantined)
        self._cursors[window.stream] = cursor

    def windows(self, stream: Stream | None = None) -> list[Window]:
        """By time of recording."""
        found = (w for w in self._windows.values() if stream in (None, w.stream))
        return sorted(found, key=lambda w: (w.recorded_at, w.window_id))

    def profile(self, window_id: str) -> Profile:
        """The profile recorded with a window.

        Raises:
            WorkspaceError: There is no such window.
        """
        if window_id not in self._profiles:
            msg = f"window {window_id}: expected it in the ledger; run `retrue ledger rebuild`"
            raise WorkspaceError(msg)
        return self._profiles[window_id]

    def quarantined(self, window_id: str | None = None) -> list[Quarantined]:
        """What did not fit, in one window or ever; by window and in the order it was given."""
        wanted = sorted(self._quarantined) if window_id is None else [window_id]
        return [item for name in wanted for item in self._quarantined.get(name, ())]

    def centers(self) -> dict[str, float]:
        """Bin centres of numeric columns, frozen at the first window."""
        return dict(self._centers)

    def freeze_centers(self, centers: Mapping[str, float]) -> dict[str, float]:
        """Keep centres of columns that have none; returns all."""
        self._centers = {**centers, **self._centers}
        return self.centers()

    def set_value(self, key: str, value: Json, lease: Lease) -> None:
        """A small named value; checked against the lease.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        self.check_lease(lease)
        self._values[key] = canonical_json(value)  # text: a caller's later change is not ours

    def value(self, key: str) -> Json:
        """A named value; None if it was never set."""
        return json.loads(self._values.get(key, "null"))

    def add_tasks(self, tasks: Sequence[Task], lease: Lease) -> None:
        """Index tasks that are in the queue; known keys are left alone.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        self.check_lease(lease)
        for task in tasks:
            self._tasks.setdefault(task.task_key, task)

    def rounds_of_tasks(self, task_keys: Iterable[str]) -> dict[str, str]:
        """Map task key to round id, for the keys that are known."""
        return {key: self._tasks[key].round_id for key in task_keys if key in self._tasks}

    def finish_tasks(self, task_keys: Iterable[str], lease: Lease) -> None:
        """Mark tasks as no longer in flight; unknown keys are ignored.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        self.check_lease(lease)
        self._finished |= self._tasks.keys() & set(task_keys)

    def samples_in_flight(self) -> set[str]:
        """Samples with a task that is not finished."""
        return {task.sample_id for key, task in self._tasks.items() if key not in self._finished}

    @contextmanager
    def lease(self, name: str, *, holder: str, ttl: timedelta, now: datetime) -> Generator[Lease]:
        """Hold a lease for a block and give it back after; a repeated holder is granted anew.

        Raises:
            LeaseHeld: Somebody else holds it; the message says who and until when.
        """
        lease = grant(self._leases.get(name), name=name, holder=holder, ttl=ttl, now=now)
        self._leases[name] = lease
        try:
            yield lease
        finally:
            if self._leases[name].token == lease.token:
                self._leases[name] = replace(lease, holder=FREE)

    def check_lease(self, lease: Lease) -> None:
        """Raises LeaseLost if a newer token was granted."""
        check(lease, self._leases.get(lease.name))

    def clear(self) -> None:
        """Forget everything but leases, before a rebuild."""
        self._cursors: dict[Stream, Cursor] = {}
        self._windows: dict[str, Window] = {}
        self._profiles: dict[str, Profile] = {}
        self._quarantined: dict[str, tuple[Quarantined, ...]] = {}
        self._centers: dict[str, float] = {}
        self._values: dict[str, str] = {}
        self._tasks: dict[str, Task] = {}
        self._finished: set[str] = set()

    def pending_migrations(self) -> list[str]:
        """None, ever: memory starts with the newest schema."""
        return []
