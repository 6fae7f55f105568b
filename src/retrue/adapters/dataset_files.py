"""A dataset version as a folder: bases and deltas of labels, a manifest and a card.

The files are `labels/base-<v>.parquet`, `labels/delta-<v>.parquet`, `manifest.json`, `card.md`.
A base holds all rows of its version. Each later version adds a delta: rows that came or changed
(`upsert`) and rows that went (`delete`), so a version costs what it changes. When the deltas since
the base would hold more than half as many rows as the base, the version gets a new base instead.
Where that happens follows from the records alone. Rows are ordered by sample id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from retrue.adapters.whole_files import (
    damaged,
    read_json,
    read_records,
    records_bytes,
    remove_file,
    replace_file,
)
from retrue.core.build import Diff, Migrate, RoundFacts, build_versions, diff_rows
from retrue.core.card import card_text
from retrue.core.digest import content_digest, dataset_digest
from retrue.core.version_plan import VersionPlan, version_plans
from retrue.errors import RecordError
from retrue.ports import RoundRecord
from retrue.records import DatasetRow, Manifest, Split

__all__ = ["read_manifest", "read_rows", "write_dataset"]

RowT = TypeVar("RowT", bound=DatasetRow)
Op = Literal["upsert", "delete"]

_MANIFEST = TypeAdapter(Manifest)
_ROW = tuple(field.name for field in fields(DatasetRow))
_LABEL_FILE = re.compile(r"labels/(base|delta)-\d+\.parquet")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # "built" time of the empty dataset: no clock enters
_NONE_YET = VersionPlan(
    version=0,
    verdict_files=(),
    schema_version=1,
    guideline_version="1",
    eval_share=1.0,
    temporal_cutoff=None,
    at=_NEVER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(DatasetRow):
    """One row of a delta; a deleted row stands there as it last was."""

    op: Op

    @classmethod
    def make(cls, op: Op, row: DatasetRow) -> Change:
        """The change that puts or takes a row."""
        return cls(op=op, **_values(row))

    def row(self) -> DatasetRow:
        """The row that is put or taken."""
        return DatasetRow(**_values(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """One version's rows, and the files they are spread over."""

    plan: VersionPlan
    rows: Sequence[DatasetRow]
    diff: Diff  # against the version before
    base: int  # version of the base
    base_rows: Sequence[DatasetRow]
    deltas: Mapping[int, Sequence[Change]]  # version -> its changes, in order


def write_dataset(
    records: RoundRecord,
    out: Path,
    *,
    version: int | None,
    project: str,
    migrate: Migrate,
    forgotten: AbstractSet[str] = frozenset(),
    recorded: Mapping[str, Split] | None = None,
) -> Manifest:
    """Build a version from the records and write its folder.

    Files that already hold the rows they should are left byte for byte as they are. The manifest
    is written last; then label files of other versions are removed.

    Args:
        records: Where everything comes from.
        out: The dataset folder; made if absent.
        version: Which one; None: the newest that was decided. With none decided the folder gets an
            empty dataset whose manifest says version 0.
        project: Name for manifest and card.
        migrate: (label, its schema version, wanted schema version) -> label or None.
        forgotten: Ids of samples that must not appear.
        recorded: Splits that outlive forgotten samples (see `core.dataset_split.Splits`).

    Returns:
        The manifest that was written.

    Raises:
        RecordError: The version was not decided, or the records are damaged or incomplete.
    """
    plans = _plans(records, version)
    facts = _facts(records, plans)
    built = _empty()
    for plan, rows in build_versions(
        facts, plans, migrate=migrate, forgotten=forgotten, recorded=recorded
    ):
        built = _next(built, plan, rows)
    manifest = _manifest(built, project, facts)
    _write(out, built, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        RecordError: It is missing or damaged.
    """
    path = folder / "manifest.json"
    manifest = read_json(_MANIFEST, path)
    strange = [n for n in (manifest.base, *manifest.deltas) if not _LABEL_FILE.fullmatch(n)]
    if strange:  # a path in a file must not lead out of the folder
        raise damaged(path, f"the label files {strange}")
    return manifest


def read_rows(folder: Path) -> list[DatasetRow]:
    """The rows of a dataset folder, by sample id.

    Raises:
        RecordError: A file is missing or damaged, or the rows do not have the manifest's digest.
    """
    manifest = read_manifest(folder)
    rows = {row.sample_id: row for row in read_records(DatasetRow, folder / manifest.base)}
    for name in manifest.deltas:
        for change in read_records(Change, folder / name):
            if change.op == "delete":
                rows.pop(change.sample_id, None)
            else:
                rows[change.sample_id] = change.row()
    found = dataset_digest(rows.values())
    if found != manifest.digest:
        raise damaged(
            folder, f"rows with digest {found}, where the manifest says {manifest.digest}"
        )
    return [rows[sample_id] for sample_id in sorted(rows)]


def _plans(records: RoundRecord, version: int | None) -> list[VersionPlan]:
    plans = version_plans(records.decisions("version"))
    if version is None:
        return plans
    wanted = [plan for plan in plans if plan.version <= version]
    if not wanted or wanted[-1].version != version:
        decided = ", ".join(str(plan.version) for plan in plans) or "none yet"
        raise RecordError(
            f"dataset version {version}: it was not decided; versions that were: {decided}. "
            "Decide one with `retrue version`, or get the newest records with `dvc pull`."
        )
    return wanted


def _facts(records: RoundRecord, plans: Sequence[VersionPlan]) -> list[RoundFacts]:
    """The rounds any of the plans names, in order of planning."""
    named = {name.partition("/")[0] for plan in plans for name in plan.verdict_files}
    return [
        RoundFacts(
            plan=found.plan,
            samples=records.samples(found.plan.round_id),
            tasks=records.tasks(found.plan.round_id),
            verdicts=dict(records.verdict_files(found.plan.round_id)),
        )
        for found in records.rounds()
        if found.plan.round_id in named
    ]


def _empty() -> _Version:
    return _Version(
        plan=_NONE_YET, rows=(), diff=diff_rows((), ()), base=0, base_rows=(), deltas={}
    )


def _next(before: _Version, plan: VersionPlan, rows: Sequence[DatasetRow]) -> _Version:
    """Add a delta, or a new base when the deltas would exceed half of the base."""
    diff = diff_rows(before.rows, rows)
    deltas = {**before.deltas, plan.version: _changes(diff)}
    changes = sum(len(delta) for delta in deltas.values())
    if before.plan.version == 0 or 2 * changes > len(before.base_rows):
        return _Version(
            plan=plan, rows=rows, diff=diff, base=plan.version, base_rows=rows, deltas={}
        )
    return _Version(
        plan=plan,
        rows=rows,
        diff=diff,
        base=before.base,
        base_rows=before.base_rows,
        deltas=deltas,
    )


def _changes(diff: Diff) -> list[Change]:
    changes = [Change.make("upsert", row) for row in diff.added]
    changes += [Change.make("upsert", new) for _, new in diff.changed]
    changes += [Change.make("delete", row) for row in diff.removed]
    return sorted(changes, key=lambda change: change.sample_id)


def _values(row: DatasetRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _ROW}


def _manifest(built: _Version, project: str, facts: Sequence[RoundFacts]) -> Manifest:
    named = {name.partition("/")[0] for name in built.plan.verdict_files}
    splits = Counter(row.split for row in built.rows)
    classes = Counter(row.label for row in built.rows)
    return Manifest(
        project=project,
        version=built.plan.version,
        rows=len(built.rows),
        train=splits["train"],
        evaluation=splits["eval"],
        digest=dataset_digest(built.rows),
        content_digest=content_digest(built.rows),
        schema_version=built.plan.schema_version,
        guideline_version=built.plan.guideline_version,
        classes={label: classes[label] for label in sorted(classes)},
        rounds=tuple(found.plan.round_id for found in facts if found.plan.round_id in named),
        verdict_files=built.plan.verdict_files,
        base=f"labels/base-{built.base}.parquet",
        deltas=tuple(f"labels/delta-{version}.parquet" for version in sorted(built.deltas)),
        added=len(built.diff.added),
        changed=len(built.diff.changed),
        removed=len(built.diff.removed),
        built_at=built.plan.at,
    )


def _write(out: Path, built: _Version, manifest: Manifest) -> None:
    _keep(out / manifest.base, DatasetRow, built.base_rows)
    for name, version in zip(manifest.deltas, sorted(built.deltas), strict=True):
        _keep(out / name, Change, built.deltas[version])
    card = card_text(
        manifest, built.diff, built.rows, temporal_cutoff=built.plan.temporal_cutoff
    ).encode()
    replace_file(out / "card.md", lambda file: file.write(card))
    text = _MANIFEST.dump_json(manifest, indent=2) + b"\n"
    replace_file(out / "manifest.json", lambda file: file.write(text))
    wanted = {out / name for name in (manifest.base, *manifest.deltas)}
    for path in (out / "labels").glob("*.parquet"):
        if path not in wanted:
            remove_file(path)


def _keep(path: Path, record: type[RowT], rows: Sequence[RowT]) -> None:
    """Write a label file, unless it holds these rows already."""
    if not _holds(path, record, rows):
        replace_file(path, records_bytes(record, rows))


def _holds(path: Path, record: type[RowT], rows: Sequence[RowT]) -> bool:
    try:
        return path.exists() and read_records(record, path) == list(rows)
    except RecordError:
        return False  # damaged: it is written again
