"""Step 1: what is new in the object store becomes a window with a profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from retrue.config import Config
from retrue.core.arrow import call, text_list, time_span
from retrue.core.batch_profile import first_centers, profile_columns
from retrue.core.clean import CleanBatch
from retrue.core.profile import CategoryProfile, NumberProfile, finalise, merge_profiles
from retrue.ports import Cursor, SampleStore
from retrue.reading.identity import fix_identity, refuse_other_identity
from retrue.reading.media import fault_of
from retrue.reading.windows import holds_rows, read_objects, rules_of
from retrue.records import ObjectRef, Quarantined, Stream, Window, short_hash
from retrue.workspace import Workspace

__all__ = ["QUARANTINE_KEPT", "IngestReport", "ingest_windows"]

QUARANTINE_KEPT = 10_000  # rows kept with a reason per window; more are counted, not kept
_STREAMS: tuple[Stream, ...] = ("incoming", "inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one ingest of one stream found."""

    stream: Stream
    window: Window | None  # None: no new objects, and nothing was written
    quarantined: tuple[Quarantined, ...]  # rows that did not fit, at most `QUARANTINE_KEPT`
    unreadable: tuple[Quarantined, ...]  # objects that could not be read to their end
    skipped: int  # objects in the look-back that were read before


def ingest_windows(
    workspace: Workspace, *, now: datetime, dry_run: bool = False
) -> tuple[IngestReport, ...]:
    """Read the new objects of every configured stream.

    Objects are new if they were modified at or after the cursor less the look-back and their
    version was not read yet. Each stream is one transaction: cut anywhere, a rerun reads the same.

    Args:
        workspace: Its configuration names the streams.
        now: The time of recording.
        dry_run: Look and count, write nothing.

    Returns:
        One report per configured stream.

    Raises:
        ConfigError: A stream's key is not the one its first window was read with.
        LeaseHeld: Another ingest is running.
        LeaseLost: It took longer than the lease lasts and another one started.
        StoreError: The store refused, or an object was rewritten while it was read.
    """
    config, store, state = workspace.config, workspace.store, workspace.state
    refuse_other_identity(workspace)
    reports: list[IngestReport] = []
    for stream in _STREAMS:
        if config.data.stream(stream) is None:
            continue
        freeze = dict[str, float] if dry_run else state.freeze_centers
        tally = _Tally(state.centers(), freeze=freeze, holds_rows=partial(holds_rows, config))
        if dry_run:
            reports.append(_read_new(stream, config, store, state.cursor(stream), tally, now)[0])
            continue
        with workspace.lease(f"ingest-{stream}", now=now) as lease:
            report, cursor = _read_new(stream, config, store, state.cursor(stream), tally, now)
            if report.window is not None:
                unfit = (*report.unreadable, *report.quarantined)
                state.add_window(report.window, finalise(tally.profile), unfit, cursor, lease)
            if cursor.position is not None:  # also after an ingest that was cut off just here
                fix_identity(workspace, stream, now=now)
            reports.append(report)
    return tuple(reports)


def _read_new(
    stream: Stream,
    config: Config,
    store: SampleStore,
    cursor: Cursor,
    tally: _Tally,
    now: datetime,
) -> tuple[IngestReport, Cursor]:
    source = config.data.stream(stream)
    if source is None:
        raise ValueError(f"{stream}: expected a configured stream")
    look_back = timedelta(hours=source.look_back_hours)
    since = None if cursor.position is None else cursor.position - look_back
    after = _oldest_name(cursor) if source.names_rise else None
    listed = [
        ref
        for ref in store.list_objects(source.uri, since=since, after=after)
        if ref.uri != source.metadata
    ]
    # What could not be read is read again when the object or the configuration changes.
    mark = f"#{short_hash(repr(rules_of(config, stream)), digits=8)}"
    new = tuple(
        ref
        for ref in listed
        if cursor.seen.isdisjoint({(ref.uri, ref.version), (ref.uri, ref.version + mark)})
    )
    if new:
        for batch in read_objects(new, stream, config, store, fault=fault_of(config)):
            tally.add(batch)
    report = IngestReport(
        stream=stream,
        window=tally.window(stream, new, now) if new else None,
        quarantined=tuple(tally.quarantined),
        unreadable=tuple(tally.unreadable),
        skipped=len(listed) - len(new),
    )
    return report, _moved(cursor, listed, look_back, now, marks=_marks(cursor, report, mark))


def _oldest_name(cursor: Cursor) -> str | None:
    """Just before the least name within the look-back: that one is still listed."""
    names = sorted(uri for uri, _ in cursor.seen)
    return names[0][:-1] if names else None


def _marks(cursor: Cursor, report: IngestReport, mark: str) -> dict[str, str]:
    """What to remember an unreadable object's version with, by uri: now, or from an earlier try."""
    marks = {uri: mark for uri, version in cursor.seen if version.endswith(mark)}
    return marks | {item.uri: mark for item in report.unreadable}


def _moved(
    cursor: Cursor,
    listed: Sequence[ObjectRef],
    look_back: timedelta,
    now: datetime,
    *,
    marks: Mapping[str, str],
) -> Cursor:
    """The cursor after these objects; it remembers what the next listing will show."""
    # A clock that runs ahead must not carry the cursor past objects that are still to come.
    times = [min(ref.modified_at, now) for ref in listed]
    if cursor.position is not None:
        times.append(cursor.position)
    if not times:
        return cursor
    position = max(times)
    return Cursor(
        position=position,
        seen=frozenset(
            (ref.uri, ref.version + marks.get(ref.uri, ""))
            for ref in listed
            if ref.modified_at >= position - look_back
        ),
    )


class _Tally:
    """Counts and the profile of the batches so far."""

    def __init__(
        self,
        centers: Mapping[str, float],
        *,
        freeze: Callable[[Mapping[str, float]], dict[str, float]],
        holds_rows: Callable[[str], bool],
    ) -> None:
        self._holds_rows = holds_rows
        self.profile: Mapping[str, NumberProfile | CategoryProfile] = {}
        self.quarantined: list[Quarantined] = []
        self.unreadable: list[Quarantined] = []
        self._centers = dict(centers)
        self._freeze = freeze
        self._counts: Counter[str] = Counter()
        self._read: set[str] = set()  # uris of objects that gave rows
        self._times: list[datetime] = []  # the first and the last, once there are any
        self._models: set[str | None] = set()

    def add(self, batch: CleanBatch) -> None:
        for item in batch.quarantined:
            # A medium is one sample, and `row` None as well; a table is an object full of them.
            self._set_aside(item, whole=item.row is None and self._holds_rows(item.uri))
        if not len(batch):
            return
        self._read |= {batch.refs[int(place)].uri for place in np.unique(batch.at)}
        self._counts["rows"] += int(batch.first.sum())
        self._counts["eligible"] += int((batch.first & batch.eligible).sum())
        self._counts["duplicates"] += int((~batch.first).sum())
        self._times = time_span(batch.time, self._times)
        if batch.model_version is not None:
            self._models |= set(text_list(call("unique", batch.model_version)))
        if fresh := first_centers(batch, self._centers):
            self._centers |= self._freeze(fresh)
        self.profile = merge_profiles(self.profile, profile_columns(batch, self._centers))

    def window(self, stream: Stream, refs: tuple[ObjectRef, ...], now: datetime) -> Window:
        versions = (part for ref in refs for part in (ref.uri, ref.version))
        return Window(
            window_id=short_hash(stream, *versions, digits=16),
            stream=stream,
            # A re-read of the window must find the rows that were counted, and no others.
            objects=tuple(ref for ref in refs if ref.uri in self._read),
            rows=self._counts["rows"],
            eligible=self._counts["eligible"],
            duplicates=self._counts["duplicates"],
            quarantined=self._counts["quarantined"],
            first_time=self._times[0] if self._times else None,
            last_time=self._times[-1] if self._times else None,
            model_version=next(iter(self._models)) if len(self._models) == 1 else None,
            recorded_at=now,
        )

    def _set_aside(self, item: Quarantined, *, whole: bool) -> None:
        if whole:
            self.unreadable.append(item)
            return
        self._counts["quarantined"] += 1
        if len(self.quarantined) < QUARANTINE_KEPT:
            self.quarantined.append(item)
