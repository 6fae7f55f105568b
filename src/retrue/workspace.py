"""One workspace with everything a step may ask: its configuration and its ports."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from retrue.config import Config, Labels
from retrue.ports import (
    AnnotationQueue,
    DatasetRepo,
    Lease,
    ModelRegistry,
    Notifier,
    RoundRecord,
    SampleStore,
    WorkingState,
)
from retrue.records import Decision, Json, short_hash

__all__ = ["LEASE_TTL", "Workspace"]

LEASE_TTL = timedelta(hours=6)  # longer than any step takes; a killed run of ours is not held up


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What `wiring` builds and every step takes: `step(workspace, now=...) -> Report`."""

    root: Path
    config: Config
    labels: Labels
    store: SampleStore
    queue: AnnotationQueue
    records: RoundRecord
    state: WorkingState
    repo: DatasetRepo
    models: ModelRegistry
    notify: Notifier
    holder: str  # names this process in leases
    person: str = "retrue"  # who decides; a person's name when they gave the command

    @contextmanager
    def lease(self, name: str, *, now: datetime) -> Generator[Lease]:
        """The right to change one part of this workspace's world, for a block.

        Raises:
            LeaseHeld: Another process is at it.
        """
        full = f"{self.config.project}/{name}"
        with self.state.lease(full, holder=self.holder, ttl=LEASE_TTL, now=now) as lease:
            yield lease

    def decide(self, kind: str, cause: str, *, now: datetime, data: dict[str, Json]) -> Decision:
        """Append a decision named by its kind and cause; a rerun finds the first one."""
        decision = Decision(
            decision_id=short_hash(kind, cause, digits=12),
            kind=kind,
            at=now,
            by=self.person,
            data=data,
        )
        if self.records.decide(decision):
            return decision
        return next(
            made
            for made in self.records.decisions(kind)
            if made.decision_id == decision.decision_id
        )
