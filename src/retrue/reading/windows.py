"""Streams of clean rows: what a window's objects hold, read the same way by every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby, islice
from pathlib import PurePosixPath
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa

from retrue.config import Config, FieldRule
from retrue.core.arrow import (
    Column,
    Integers,
    as_column,
    call,
    column_of,
    table_of,
    text_list,
)
from retrue.core.clean import (
    OBJECT_CONTENT,
    CleanBatch,
    CleanRules,
    RawRows,
    clean_rows,
    empty_batch,
    infer_fields,
    table_format,
)
from retrue.core.columns import FieldSpec
from retrue.core.identity import content_hashes, key_texts
from retrue.core.seen import SeenIds
from retrue.errors import ConfigError, ObjectGone, UnreadableObject
from retrue.ports import SampleStore
from retrue.records import (
    Json,
    ObjectRef,
    Quarantined,
    Sample,
    Stream,
    Window,
    canonical_json,
)

__all__ = [
    "MEDIA_BATCH",
    "Fault",
    "gone",
    "holds_rows",
    "read_objects",
    "read_window",
    "rules_of",
    "samples_of",
]

MEDIA_BATCH = 1024  # media objects in one batch

Fault: TypeAlias = Callable[[bytes], str | None]  # why bytes are no sample; None: they are one


def rules_of(config: Config, stream: Stream) -> CleanRules:
    """What the configuration says about one stream's columns.

    Raises:
        ConfigError: The stream is not configured, or its metadata table has no key to join by.
    """
    data, source = config.data, config.data.stream(stream)
    if source is None:
        raise ConfigError(f"data.{stream}: expected a source for this stream, got none")
    if source.metadata is not None and source.key is None:
        raise ConfigError(f"data.{stream}.metadata: needs data.{stream}.key to join by, got none")
    fields = None if data.fields is None else {n: _spec(r) for n, r in data.fields.items()}
    if fields is not None and data.text is not None and data.text not in fields:
        fields[data.text] = FieldSpec(type="text")
    return CleanRules(
        fields=fields,
        key=source.key,
        time=source.time,
        group=data.group,
        subject=data.subject,
        consent=None if data.consent is None else data.consent.column,
        media=source.media,
        media_root=source.media_root or source.uri,
        probabilities=source.probabilities,
        model_version=source.model_version,
        truth=source.truth,
    )


def holds_rows(config: Config, uri: str) -> bool:
    """Whether an object is a table of samples; else it is one sample itself (an image, a sound)."""
    return config.data.kind in ("table", "text") or table_format(uri) is not None


def gone(uri: str, version: str, error: ObjectGone) -> Quarantined:
    """What is said of an object that was there when its window was recorded."""
    reason = str(error).removeprefix(f"{uri}: ")
    return Quarantined(uri=uri, version=version, row=None, reason=reason)


def read_objects(
    refs: Sequence[ObjectRef],
    stream: Stream,
    config: Config,
    store: SampleStore,
    *,
    fault: Fault | None = None,
    lost: list[Quarantined] | None = None,
) -> Iterator[CleanBatch]:
    """The rows of some objects in order, with duplicates marked across all of them.

    Memory: one raw batch, what the store fetches ahead, about 16 bytes per distinct id, and the
    metadata table if there is one.
    An object that cannot be read, in whole or from some place on, gives its good rows and then a
    batch of none with itself quarantined (`row` None).

    Args:
        refs: The objects.
        stream: Whose columns they have.
        config: What the columns mean.
        store: Where the objects are.
        fault: What is wrong with a medium's bytes: looked for where they are read here.
        lost: Objects that are gone are added and passed over; None: they are an error.

    Raises:
        ConfigError: As for `rules_of`.
        ObjectGone: An object is gone, or is not the version it was.
    """
    reader = _Reader(config, stream, store, fault=fault, lost=lost)
    for has_rows, group in groupby(refs, key=lambda ref: holds_rows(config, ref.uri)):
        if has_rows:
            tables = tuple(group)
            with store.ahead(tables) as near:
                for ref in tables:
                    yield from reader.read_table(ref, near)
        else:
            while chunk := tuple(islice(group, MEDIA_BATCH)):
                yield reader.read_media(chunk)


def read_window(
    window: Window, config: Config, store: SampleStore, *, lost: list[Quarantined] | None = None
) -> Iterator[CleanBatch]:
    """The rows of a recorded window again: same objects, same versions, same order.

    With `lost`, objects that are gone or changed since are added to it and passed over.

    Raises:
        ConfigError: As for `rules_of`.
        ObjectGone: An object is gone or changed since; the message names it.
    """
    yield from read_objects(window.objects, window.stream, config, store, lost=lost)


def samples_of(
    batch: CleanBatch, indices: Integers, window_id: str, *, multiplicity: Sequence[int]
) -> list[Sample]:
    """The rows at `indices`, as samples; their media are pinned by `reading.media`.

    Args:
        batch: Clean rows.
        indices: Shape (k,).
        window_id: The window they were read for.
        multiplicity: Rows of the window each sample stands for, k numbers >= 1.
    """
    few = batch.take(indices)
    revisions = content_hashes(few.raw)
    fields = [_json_fields(row) for row in cast("list[dict[str, object]]", few.fields.to_pylist())]
    fields = fields or [{} for _ in revisions]
    ids, media = text_list(few.sample_id), _optional(few.media, len(few))
    groups, subjects = _optional(few.group, len(few)), _optional(few.subject, len(few))
    times = cast("list[datetime | None]", few.time.to_pylist())
    found: list[Sample] = []
    for i, copies in enumerate(multiplicity):
        ref, row = few.refs[int(few.at[i])], int(few.row[i])
        found.append(
            Sample(
                sample_id=ids[i] or "",
                revision=revisions[i],
                window_id=window_id,
                uri=ref.uri,
                object_version=ref.version,
                row=row if row >= 0 else None,
                fields=canonical_json(fields[i]),
                media_uri=media[i],
                media_version=ref.version if media[i] == ref.uri else None,
                media_sha256=None,
                group=groups[i],
                subject=subjects[i],
                time=times[i],
                multiplicity=copies,
            )
        )
    return found


class _Reader:
    """Reads one window's objects; settles the columns' types at the first rows and keeps them."""

    def __init__(
        self,
        config: Config,
        stream: Stream,
        store: SampleStore,
        *,
        fault: Fault | None,
        lost: list[Quarantined] | None,
    ) -> None:
        self._rules = rules_of(config, stream)
        self._fault = fault
        self._lost = lost
        self._text = config.data.text
        self._store = store
        self._seen = SeenIds()
        source = config.data.stream(stream)
        self._metadata = (
            _Metadata(source.metadata, source.key, store)
            if source and source.metadata and source.key
            else None
        )

    def read_table(self, ref: ObjectRef, near: SampleStore) -> Iterator[CleanBatch]:
        try:
            for rows in near.batches(ref):
                bad = tuple(
                    Quarantined(uri=ref.uri, version=ref.version, row=row, reason=why)
                    for row, why in rows.bad
                )
                if not rows.batch.num_rows:
                    yield empty_batch((ref,), bad)
                    continue
                raw = RawRows(
                    refs=(ref,),
                    at=np.zeros(len(rows.rows), dtype=np.int64),
                    row=rows.rows,
                    table=pa.Table.from_batches([rows.batch]),
                )
                yield self._clean(raw, bad, parse=table_format(ref.uri) == "csv")
        except UnreadableObject as error:
            whole = Quarantined(uri=ref.uri, version=ref.version, row=None, reason=str(error))
            yield empty_batch((ref,), (whole,))
        except ObjectGone as error:
            if self._lost is None:
                raise
            self._lost.append(gone(ref.uri, ref.version, error))

    def read_media(self, refs: tuple[ObjectRef, ...]) -> CleanBatch:
        bad: tuple[Quarantined, ...] = ()
        if self._rules.key is None:
            content, bad = self._digests(refs)
            refs = tuple(ref for ref in refs if ref in content)
            ids = [content[ref] for ref in refs]
        else:
            content = {ref: ref.version for ref in refs}
            ids = [PurePosixPath(ref.uri).stem for ref in refs]
        if not refs:
            return empty_batch((), bad)
        uris = as_column([ref.uri for ref in refs], pa.string())
        columns = {OBJECT_CONTENT: as_column([content[ref] for ref in refs], pa.string())}
        if self._metadata is not None:
            columns |= self._metadata.rows_of(ids)
        raw = RawRows(
            refs=refs,
            at=np.arange(len(refs)),
            row=np.full(len(refs), -1),
            table=table_of(columns),
            ids=as_column(ids, pa.string()),
            media=uris,
        )
        return self._clean(raw, bad, parse=False)

    def _digests(
        self, refs: tuple[ObjectRef, ...]
    ) -> tuple[dict[ObjectRef, str], tuple[Quarantined, ...]]:
        """By object, without those that are no sample; and why they are none."""
        if self._fault is None:
            return self._those_there(refs), ()
        check, faults = self._fault, dict[ObjectRef, str]()

        def look(ref: ObjectRef, data: bytes) -> None:
            if reason := check(data):
                faults[ref] = reason

        digests = self._store.digests(refs, look=look)
        bad = tuple(
            Quarantined(uri=ref.uri, version=ref.version, row=None, reason=faults[ref])
            for ref in refs
            if ref in faults
        )
        found = zip(refs, digests, strict=True)
        return {ref: digest for ref, digest in found if ref not in faults}, bad

    def _those_there(self, refs: tuple[ObjectRef, ...]) -> dict[ObjectRef, str]:
        """Digests by object. Which one is gone is found by halves: each is still read in a row."""
        try:
            return dict(zip(refs, self._store.digests(refs), strict=True))
        except ObjectGone as error:
            if self._lost is None:
                raise
            if len(refs) == 1:
                self._lost.append(gone(refs[0].uri, refs[0].version, error))
                return {}
            half = len(refs) // 2
            return self._those_there(refs[:half]) | self._those_there(refs[half:])

    def _clean(self, raw: RawRows, bad: tuple[Quarantined, ...], *, parse: bool) -> CleanBatch:
        if self._rules.fields is None:
            fields = infer_fields(raw.table, self._rules, text=self._text, parse=parse)
            self._rules = replace(self._rules, fields=fields)
        batch = clean_rows(raw, self._rules)
        return replace(
            batch, first=self._seen.add(batch.sample_id), quarantined=bad + batch.quarantined
        )


class _Metadata:
    """A table with one row per media object, whole in memory."""

    def __init__(self, uri: str, key: str, store: SampleStore) -> None:
        ref = store.resolve(uri)
        with store.ahead((ref,)) as near:
            batches = [rows.batch for rows in near.batches(ref)]
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        # Blocks of a JSONL file may differ in their columns' types: promote.
        self._table = pa.concat_tables(tables, promote_options="permissive")
        if key not in self._table.column_names:
            got = ", ".join(self._table.column_names)
            raise UnreadableObject(f"{uri}: expected a column {key!r} (key), got columns {got}")
        keys = text_list(key_texts(column_of(self._table, key)))
        self._places = {name: place for place, name in enumerate(keys) if name is not None}

    def rows_of(self, ids: Sequence[str]) -> dict[str, Column]:
        """Columns aligned with the ids, null where the table has no such row."""
        places = as_column([self._places.get(i) for i in ids], pa.int64())
        return {
            name: call("take", column_of(self._table, name), places)
            for name in self._table.column_names
        }


def _spec(rule: FieldRule) -> FieldSpec:
    return FieldSpec(
        type=rule.type,
        missing=rule.missing,
        names=rule.names,
        factor=rule.factor,
        minimum=rule.minimum,
        maximum=rule.maximum,
        required=rule.required,
    )


def _optional(column: Column | None, n: int) -> list[str | None]:
    return [None] * n if column is None else text_list(column)


def _json_fields(row: Mapping[str, object]) -> dict[str, Json]:
    """Cells are numbers, texts, booleans, times or None; JSON has all but times."""
    return {
        name: cell.isoformat() if isinstance(cell, datetime) else cast("Json", cell)
        for name, cell in row.items()
    }
