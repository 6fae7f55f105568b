"""What the steps ask of the world. Adapters satisfy these by shape, without inheriting.

Every call is synchronous. A port raises `TransientError` where calling again may help and
`TerminalError` where a person must act; no other exception leaves an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from retrue.core.answers import Tally
from retrue.core.profile import Profile
from retrue.records import (
    Answer,
    DatasetRow,
    Decision,
    Json,
    Manifest,
    ModelVersion,
    ObjectRef,
    Quarantined,
    QueueTask,
    Round,
    RoundPlan,
    Sample,
    Stream,
    Task,
    Verdict,
    Window,
)

__all__ = [
    "LINK_LIFETIME",
    "AnnotationQueue",
    "Cursor",
    "DatasetRepo",
    "FitResult",
    "Lease",
    "Look",
    "Media",
    "ModelRegistry",
    "Notifier",
    "ObservedAnswers",
    "RepoState",
    "RoundRecord",
    "SampleStore",
    "Scores",
    "TableBatch",
    "TaskInQueue",
    "WorkingState",
]


# --- raw data --------------------------------------------------------------------------------

LINK_LIFETIME = timedelta(hours=12)  # of a signed link: a working day, not the life of a task


Look: TypeAlias = Callable[[ObjectRef, bytes], None]  # shown an object; may run in several threads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableBatch:
    """Some rows of a table object, and the records among them that could not be read."""

    rows: np.ndarray  # (n,) int64: each row's record number in the object, from 0, rising
    batch: pa.RecordBatch  # n rows
    bad: tuple[tuple[int, str], ...] = ()  # (record number, why) of unreadable records


class SampleStore(Protocol):
    """Reads objects below a configured root; never writes, never leaves the root."""

    def list_objects(
        self, uri: str, *, since: datetime | None, after: str | None = None
    ) -> Iterator[ObjectRef]:
        """Objects below `uri` modified at or after `since`, ordered by (modified_at, uri).

        Args:
            uri: A folder or an object.
            since: None: from the beginning.
            after: Only names greater than this uri, where names rise with time; None: all names.

        Raises:
            StoreError: The bucket or folder does not exist, or access is refused.
        """
        ...

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """The rows of a parquet, CSV or JSONL object, in order, in bounded memory.

        A record that cannot be read travels in `bad`; the records around it are still given.

        Raises:
            UnreadableObject: The bytes are not what the name says; rows before may have been given.
            StoreError: As for `read`.
        """
        ...

    def ahead(self, refs: Sequence[ObjectRef]) -> AbstractContextManager[SampleStore]:
        """This store, for a block that reads `refs` whole and about in this order.

        A store that is far away fetches the next ones meanwhile, in bounded memory.
        """
        ...

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        """The sha256 of each object's bytes, in hex; no object is held in memory as a whole.

        Args:
            refs: Which objects.
            look: Is shown every object's bytes, which are then held as a whole, a few at once.

        Raises:
            StoreError: As for `read`.
        """
        ...

    def read(self, ref: ObjectRef) -> bytes:
        """The bytes of this version of the object.

        Raises:
            ObjectGone: The object is gone or changed.
            StoreError: It lies outside the configured roots, or the store refuses.
        """
        ...

    def resolve(self, uri: str) -> ObjectRef:
        """The current version of one object named by data.

        Raises:
            ObjectGone: There is none.
            StoreError: The name leaves the configured roots, or the store refuses.
        """
        ...

    def link(self, uri: str, *, lifetime: timedelta = LINK_LIFETIME) -> str:
        """A URL an annotator's browser can open for this object.

        Make it when it is opened and never keep it: it may end after `lifetime`, and does before
        where the credentials that sign it do.
        """
        ...


# --- people ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInQueue:
    """One copy of a task as the tool holds it."""

    tool_id: str
    task_key: str
    answered: bool  # has an answer or a draft: never remove it


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedAnswers:
    """Answers seen since a cursor; `seq` and `observed_at` are set by the collect step."""

    answers: tuple[Answer, ...]
    cursor: str  # pass to the next call; opaque


class AnnotationQueue(Protocol):
    """Where people answer. Adding may duplicate after a cut, so the steps ask before and after."""

    def held(self, task_keys: Iterable[str]) -> int:
        """How many copies of these tasks are in the tool now, asked cheaply."""
        ...

    def tasks(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """Every copy of these tasks that is in the tool now, lowest tool id first."""
        ...

    def settled(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """As `tasks`, after waiting until an import that was cut off has come to rest."""
        ...

    def add(self, tasks: Sequence[QueueTask]) -> int:
        """Add tasks; returns by how many the tool's own count of our tasks has grown.

        After an error, any number of them may be there.
        """
        ...

    def remove(self, tool_ids: Iterable[str]) -> None:
        """Remove tasks without answer or draft; others and absent ones are left alone."""
        ...

    def answers(self, cursor: str) -> ObservedAnswers:
        """Answers that changed since `cursor` ("" = from the start); may repeat known ones."""
        ...

    def count(self) -> int:
        """How many answers our tasks hold now, asked cheaply: a fall means deletions."""
        ...

    def answer_ids(self, task_keys: Iterable[str]) -> set[str]:
        """Ids of all answers these tasks hold now: what is missing here was deleted."""
        ...


# --- the durable record ----------------------------------------------------------------------


class RoundRecord(Protocol):
    """`data/rounds` and `data/decisions`: files written once, whole or not at all."""

    def plan_round(self, plan: RoundPlan, samples: Sequence[Sample], tasks: Sequence[Task]) -> None:
        """Write a round's plan, samples and tasks; a round that is already there stays as it is."""
        ...

    def rounds(self) -> list[Round]:
        """All rounds with their states, in order of planning."""
        ...

    def round(self, round_id: str) -> Round:
        """One round.

        Raises:
            RecordError: There is none of this id; the message lists those there are.
        """
        ...

    def samples(self, round_id: str) -> list[Sample]:
        """The samples of a round, in order of drawing."""
        ...

    def tasks(
        self, round_id: str, *, about: AbstractSet[str] | None = None, overlap: int = 0
    ) -> list[Task]:
        """The tasks of a round, in order of the plan.

        Args:
            round_id: Which round.
            about: Only tasks about these samples; None: about any.
            overlap: Only tasks that want at least so many answers.
        """
        ...

    def rounds_asking(self, sample_ids: Iterable[str]) -> dict[str, set[str]]:
        """Round id -> which of these samples it may ask about; no round that asks is left out."""
        ...

    def append_answers(self, round_id: str, answers: Sequence[Answer]) -> str:
        """Write the next `answers-NNNN` file; returns its name."""
        ...

    def answers(self, round_id: str, *, to: AbstractSet[str] | None = None) -> list[Answer]:
        """Every observed answer, by seq; with `to`, only those to tasks of these keys."""
        ...

    def tallies(self, round_ids: Iterable[str]) -> dict[str, Tally]:
        """Counts of the rounds' answers, without reading those that were counted before."""
        ...

    def append_verdicts(self, round_id: str, verdicts: Sequence[Verdict]) -> str:
        """Write the next `verdicts-NNNN` file; returns its name."""
        ...

    def verdict_files(self, round_id: str) -> list[tuple[str, list[Verdict]]]:
        """(file name, its verdicts), oldest first."""
        ...

    def verdict_names(self, round_id: str) -> list[str]:
        """The file names alone, oldest first."""
        ...

    def put_media(self, round_id: str, media: Mapping[str, bytes]) -> None:
        """Keep a round's media (sha256 -> bytes), so that a rebuild needs no store."""
        ...

    def media(self, round_id: str) -> dict[str, bytes]:
        """What `put_media` kept, by sha256."""
        ...

    def decide(self, decision: Decision) -> bool:
        """Append a decision; False if this decision was already made (it stays as it was)."""
        ...

    def decision(self, kind: str, decision_id: str) -> Decision | None:
        """One decision; None if it was not made."""
        ...

    def decisions(self, kind: str | None = None) -> list[Decision]:
        """Decisions of one kind, or all, ordered by (at, id)."""
        ...


# --- working state (the ledger) --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to change the world, until it expires."""

    name: str
    holder: str
    token: int  # rises with every grant; writes check it
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a stream was read: a time, and what was seen in the look-back before it."""

    position: datetime | None  # None: nothing read yet
    seen: frozenset[tuple[str, str]]  # (uri, version) within the look-back


class WorkingState(Protocol):
    """Cursors, windows, tasks in flight, leases: an index that can be rebuilt."""

    def cursor(self, stream: Stream) -> Cursor:
        """How far a stream was read."""
        ...

    def add_window(
        self,
        window: Window,
        profile: Profile,
        quarantined: Sequence[Quarantined],
        cursor: Cursor,
        lease: Lease,
    ) -> None:
        """Window, profile, quarantine and cursor in one transaction.

        Raises:
            LeaseLost: The lease's token is no longer the newest; nothing was written.
        """
        ...

    def windows(self, stream: Stream | None = None) -> list[Window]:
        """By time of recording."""
        ...

    def profile(self, window_id: str) -> Profile:
        """The profile recorded with a window."""
        ...

    def quarantined(self, window_id: str | None = None) -> list[Quarantined]:
        """What did not fit, in one window or ever."""
        ...

    def centers(self) -> dict[str, float]:
        """Bin centres of numeric columns, frozen at the first window (see `core.profile`)."""
        ...

    def freeze_centers(self, centers: Mapping[str, float]) -> dict[str, float]:
        """Keep centres of columns that have none; returns all."""
        ...

    def set_value(self, key: str, value: Json, lease: Lease) -> None:
        """A small named value (queue cursor, last notice); checked against the lease."""
        ...

    def value(self, key: str) -> Json:
        """A named value; None if it was never set."""
        ...

    def add_tasks(self, tasks: Sequence[Task], lease: Lease) -> None:
        """Index tasks that are in the queue; known keys are left alone."""
        ...

    def rounds_of_tasks(self, task_keys: Iterable[str]) -> dict[str, str]:
        """Map task key to round id, for the keys that are known."""
        ...

    def finish_tasks(self, task_keys: Iterable[str], lease: Lease) -> None:
        """Mark tasks as no longer in flight."""
        ...

    def samples_in_flight(self) -> set[str]:
        """Samples with a task that is not finished."""
        ...

    def lease(
        self, name: str, *, holder: str, ttl: timedelta, now: datetime
    ) -> AbstractContextManager[Lease]:
        """Hold a lease for a block and give it back after.

        Raises:
            LeaseHeld: Somebody else holds it; the message says who and until when.
        """
        ...

    def check_lease(self, lease: Lease) -> None:
        """Raises LeaseLost if a newer token was granted."""
        ...

    def clear(self) -> None:
        """Forget everything but leases, before a rebuild."""
        ...

    def pending_migrations(self) -> list[str]:
        """Migrations this database still needs."""
        ...


# --- versions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoState:
    """What git and DVC say; for `status` and `check`."""

    branch_tip: str | None  # commit of the data branch; None: nothing recorded yet
    unrecorded: tuple[str, ...]  # files under data/ newer than the branch
    unpushed: int  # commits that are only on this machine; 0 without a remote
    remote: str | None  # git remote
    dvc_remote: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What the `fit` stage wrote."""

    model_dir: Path
    metrics: Mapping[str, float]
    plots: tuple[Path, ...]
    predictions: Path  # parquet: sample_id, split, label, predicted, p_<class>...
    predicted: Mapping[str, str]  # sample id -> canonical JSON label, from `predictions`
    curve: tuple[tuple[int, float], ...] = ()  # (training labels, score), rising; () if not made


class DatasetRepo(Protocol):
    """git and DVC, in a private worktree on its own branch; a person's checkout is not touched."""

    def record(self, message: str, *, lease: Lease) -> str:
        """Commit and push data/rounds and data/decisions as they are; returns the commit."""
        ...

    def build(self, version: int, *, lease: Lease) -> Manifest:
        """Run the `build` stage for a version that was decided; commit, tag, push."""
        ...

    def fit(self, version: int, *, lease: Lease) -> FitResult:
        """Run the `fit` stage on a version's dataset; commit and push its lock."""
        ...

    def versions(self) -> list[Manifest]:
        """All tagged versions, oldest first; needs neither ledger nor services."""
        ...

    def rows(self, version: int) -> list[DatasetRow]:
        """The rows of one version.

        Raises:
            RepoError: There is no such version, or its files are on no remote we can reach.
        """
        ...

    def folder(self, version: int) -> Path:
        """A read-only folder with the version's files, fetched if need be.

        Raises:
            RepoError: As for `rows`.
        """
        ...

    def checkout(self, version: int, folder: Path) -> Path:
        """Write the version's files into `folder` (must be empty or absent)."""
        ...

    def state(self) -> RepoState:
        """What is recorded, and what is only on this machine."""
        ...


# --- models ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A model's outputs, row by row."""

    classes: tuple[str, ...]  # canonical JSON labels, the columns of `probabilities`
    probabilities: np.ndarray  # (n, len(classes)); (n, 0) for numbers
    predicted: tuple[str, ...]  # canonical JSON, (n,)


class ModelRegistry(Protocol):
    """Registered models with their evidence. Only what this registry wrote is ever loaded."""

    def champion(self) -> ModelVersion | None:
        """The model with the alias `champion`."""
        ...

    def versions(self) -> list[ModelVersion]:
        """Every version of the registered model, oldest first."""
        ...

    def register(
        self,
        fit: FitResult,
        manifest: Manifest,
        *,
        fit_key: str,
        params: Mapping[str, str],
        dataset_dir: Path,
        now: datetime,
    ) -> ModelVersion:
        """Log a run and register its model as challenger; the same `fit_key` finds the first."""
        ...

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version; asks, then sets."""
        ...

    def score(self, model: ModelVersion, samples: Sequence[Sample], media: Media) -> Scores:
        """The model's outputs; `media` fetches a sample's bytes where the kind needs them."""
        ...

    def save_evidence(self, model: ModelVersion, name: str, text: str) -> None:
        """Keep a small text file with the model (its reference profile, the gate's evidence)."""
        ...

    def evidence(self, model: ModelVersion, name: str) -> str | None:
        """A file kept by `save_evidence`; None if absent."""
        ...


Media = Callable[[Sample], bytes]


class Notifier(Protocol):
    """Tells people; a failure to tell is logged and never stops a step."""

    def send(self, title: str, text: str) -> bool:
        """Send one message; false: nobody took it, so tell it again at another time."""
        ...
