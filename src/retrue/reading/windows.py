"""Streams of clean rows: what a window's objects hold, read the same way by every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby, islice
from pathlib import PurePosixPath
from typing import cast

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
from retrue.errors import ConfigError, StoreError, UnreadableObject
from retrue.ports import SampleStore
from retrue.records import (
    Json,
    ObjectRef,
    Quarantined,
    Sample,
    Stream,
    Window,
    canonical_json,
    short_hash,
)

__all__ = [
    "MEDIA_BATCH",
    "holds_rows",
    "media_reader",
    "pin_media",
    "read_objects",
    "read_window",
    "rules_of",
    "samples_of",
]

MEDIA_BATCH = 1024  # media objects in one batch
_READERS = 8  # media read at once, of a round's few samples


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


def read_objects(
    refs: Sequence[ObjectRef], stream: Stream, config: Config, store: SampleStore
) -> Iterator[CleanBatch]:
    """The rows of some objects in order, with duplicates marked across all of them.

    Memory: one raw batch, what the store fetches ahead, about 16 bytes per distinct id, and the
    metadata table if there is one.
    An object that cannot be read, in whole or from some place on, gives its good rows and then a
    batch of none with itself quarantined (`row` None).

    Raises:
        ConfigError: As for `rules_of`.
        StoreError: An object is gone, or is not the version it was.
    """
    reader = _Reader(config, stream, store)
    for has_rows, group in groupby(refs, key=lambda ref: holds_rows(config, ref.uri)):
        if has_rows:
            tables = tuple(group)
            with store.ahead(tables) as near:
                for ref in tables:
                    yield from reader.read_table(ref, near)
        else:
            while chunk := tuple(islice(group, MEDIA_BATCH)):
                yield reader.read_media(chunk)


def read_window(window: Window, config: Config, store: SampleStore) -> Iterator[CleanBatch]:
    """The rows of a recorded window again: same objects, same versions, same order.

    Raises:
        ConfigError: As for `rules_of`.
        StoreError: An object is gone or changed since; the message names it.
    """
    yield from read_objects(window.objects, window.stream, config, store)


def samples_of(
    batch: CleanBatch, indices: Integers, window_id: str, *, multiplicity: Sequence[int]
) -> list[Sample]:
    """The rows at `indices`, as samples; media are pinned by `pin_media`.

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


def pin_media(
    samples: Sequence[Sample], store: SampleStore
) -> tuple[list[Sample], dict[str, bytes]]:
    """Fix which bytes the samples' media are.

    Returns:
        The samples with `media_version`, `media_sha256` and a revision that tells the bytes, where
        they have media; and those bytes by sha256.

    Raises:
        StoreError: A medium is gone, changed, or lies outside the configured roots.
    """
    pinned: list[Sample] = []
    kept: dict[str, bytes] = {}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="media") as pool:
        read = pool.map(partial(_read_medium, store=store), samples)
        for sample, medium in zip(samples, read, strict=True):
            if medium is None:
                pinned.append(sample)
                continue
            version, data = medium
            digest = hashlib.sha256(data).hexdigest()
            kept[digest] = data
            pinned.append(
                replace(
                    sample,
                    media_version=version,
                    media_sha256=digest,
                    revision=short_hash(sample.revision, digest),  # new bytes are new content
                )
            )
    return pinned, kept


def media_reader(store: SampleStore, kept: Mapping[str, bytes]) -> Callable[[Sample], bytes]:
    """A function that gives a sample's media: kept bytes first, else the store's.

    The function raises StoreError where a sample has no media, or the store's are not those that
    were pinned.
    """

    def read(sample: Sample) -> bytes:
        if sample.media_sha256 is not None and sample.media_sha256 in kept:
            return kept[sample.media_sha256]
        if sample.media_uri is None:
            raise StoreError(f"sample {sample.sample_id}: expected a medium, got none")
        data = store.read(_media_ref(sample.media_uri, sample, store))
        if sample.media_sha256 not in (None, hashlib.sha256(data).hexdigest()):
            raise StoreError(
                f"{sample.media_uri}: expected the bytes that were labelled "
                f"(sha256 {sample.media_sha256}), got others. Restore that version."
            )
        return data

    return read


class _Reader:
    """Reads one window's objects; settles the columns' types at the first rows and keeps them."""

    def __init__(self, config: Config, stream: Stream, store: SampleStore) -> None:
        self._rules = rules_of(config, stream)
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

    def read_media(self, refs: tuple[ObjectRef, ...]) -> CleanBatch:
        uris = as_column([ref.uri for ref in refs], pa.string())
        if self._rules.key is None:
            ids = self._store.digests(refs)
            content = ids
        else:
            ids = [PurePosixPath(ref.uri).stem for ref in refs]
            content = [ref.version for ref in refs]
        columns = {OBJECT_CONTENT: as_column(content, pa.string())}
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
        return self._clean(raw, (), parse=False)

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


def _read_medium(sample: Sample, *, store: SampleStore) -> tuple[str, bytes] | None:
    """Version and bytes; None where a sample has no medium."""
    if sample.media_uri is None:
        return None
    ref = _media_ref(sample.media_uri, sample, store)
    return ref.version, store.read(ref)


def _media_ref(uri: str, sample: Sample, store: SampleStore) -> ObjectRef:
    """The version that was pinned, or the current one."""
    ref = store.resolve(uri)
    return ref if sample.media_version is None else replace(ref, version=sample.media_version)


def _optional(column: Column | None, n: int) -> list[str | None]:
    return [None] * n if column is None else text_list(column)


def _json_fields(row: Mapping[str, object]) -> dict[str, Json]:
    """Cells are numbers, texts, booleans, times or None; JSON has all but times."""
    return {
        name: cell.isoformat() if isinstance(cell, datetime) else cast("Json", cell)
        for name, cell in row.items()
    }
