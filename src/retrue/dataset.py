"""Dataset versions for notebooks and scripts: `retrue.open_dataset("v2")`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import pandas as pd

from retrue.errors import RepoError
from retrue.ports import RoundRecord
from retrue.records import DatasetRow, Json, Manifest, Sample

__all__ = ["Dataset", "frame_of", "open_dataset", "samples_of_rows", "version_number"]

FACTS = ("media_uri", "media_sha256", "group", "subject", "time", "multiplicity")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """One immutable dataset version."""

    manifest: Manifest
    rows: pd.DataFrame  # one per labelled sample, indexed by sample_id; `label` as a Python value
    records: RoundRecord  # the rounds it was built from

    def samples(self) -> pd.DataFrame:
        """What was labelled: the cleaned fields of each row's sample, in the order of `rows`.

        Returns:
            One column per field, and media_uri, media_sha256, group, subject, time and
            multiplicity; a field of that name keeps its own column as "field.<name>". Indexed by
            sample_id.

        Raises:
            RecordError: A round is not on this machine; `dvc pull` brings it.
        """
        wanted = dict(
            zip(cast("list[str]", self.rows.index.tolist()), self.rows["round_id"], strict=True)
        )
        return samples_of_rows(self.records, cast("dict[str, str]", wanted))


def open_dataset(version: str | int, *, start: Path = Path()) -> Dataset:
    """Read a dataset version; needs neither ledger nor services, only `dvc pull`.

    Args:
        version: "v2", "2" or 2; "latest" is the newest.
        start: The workspace, or a folder in it.

    Raises:
        WorkspaceError: There is no workspace.
        RepoError: There is no such version, or its files are on no remote we can reach.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_dataset("v2", start=Path(folder))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    retrue.errors.WorkspaceError: ... expected a workspace ...
    """
    from retrue.wiring import open_dataset_repo

    _, _, repo, records = open_dataset_repo(start)
    manifests = {manifest.version: manifest for manifest in repo.versions()}
    number = version_number(version, newest=max(manifests, default=None))
    if number not in manifests:
        known = ", ".join(f"v{name}" for name in manifests) or "none yet"
        raise RepoError(f"v{number}: expected a dataset version: {known}")
    return Dataset(manifest=manifests[number], rows=frame_of(repo.rows(number)), records=records)


def version_number(version: str | int, *, newest: int | None = None) -> int:
    """The number of a version as people write it.

    Args:
        version: "v2", "2", 2 or "latest".
        newest: What "latest" is; None: there is no version.

    Raises:
        RepoError: It is not written as a version.

    >>> version_number("v12"), version_number("latest", newest=3)
    (12, 3)
    """
    if version == "latest" and newest is not None:
        return newest
    text = str(version).removeprefix("v")
    if not text.isdecimal():
        raise RepoError(f'version: expected "v2", "2" or "latest", got {version!r}')
    return int(text)


def frame_of(rows: Sequence[DatasetRow]) -> pd.DataFrame:
    """Rows as a table indexed by sample_id, labels as Python values.

    >>> frame_of([]).empty
    True
    """
    names = [field.name for field in fields(DatasetRow)]
    table = pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)
    labels = [cast("object", json.loads(row.label)) for row in rows]
    table["label"] = pd.Series(labels, index=table.index, dtype="object")
    return table.set_index("sample_id")


def samples_of_rows(records: RoundRecord, wanted: dict[str, str]) -> pd.DataFrame:
    """The samples behind some rows.

    Args:
        records: Where the rounds are.
        wanted: Sample id -> the round that first asked.
    """
    found: dict[str, Sample] = {}
    for round_id in dict.fromkeys(wanted.values()):
        for sample in records.samples(round_id):
            if wanted.get(sample.sample_id) == round_id:
                found[sample.sample_id] = sample
    table = pd.DataFrame([_columns(found[name]) for name in wanted if name in found])
    return table if table.empty else table.set_index("sample_id")


def _columns(sample: Sample) -> dict[str, object]:
    own = cast("dict[str, Json]", json.loads(sample.fields))
    taken = {"sample_id", *FACTS}
    shown: dict[str, object] = {"sample_id": sample.sample_id}
    shown |= {f"field.{name}" if name in taken else name: value for name, value in own.items()}
    return shown | {name: cast("object", getattr(sample, name)) for name in FACTS}
