"""What makes reading a long record quick, and can always be made anew from it.

In memory: files that were read once and did not change. On disk, in the workspace's private
folder: how many answers each round holds, and which rounds ask about a sample. All of it is keyed
by size and time of the record files it was read from, so a file that was replaced is read again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import IOBase
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter

from retrue.adapters.whole_files import read_parquet, replace_file
from retrue.core.answers import Tally
from retrue.core.arrow import as_column, column_of
from retrue.core.identity import word_hashes
from retrue.errors import RecordError

__all__ = ["AskedIndex", "ReadOnce", "Shelf", "Tallies"]

ContentT = TypeVar("ContentT")
Stamp = tuple[int, int, int]  # bytes, nanoseconds, inode
# Stamps of a round's answer files, then the fields of its tally.
_Row = tuple[list[Stamp], int, dict[str, int], list[str]]
_ROWS = TypeAdapter(dict[str, _Row])
# Rounds that are not in the index are looked through one by one, at some 5 ms each; when they are
# this many, the index is written again with them.
_UNSORTED = 32
_TICK = 2_000_000_000  # nanoseconds; file systems count in hundredths of a second up to two seconds


def _stamp(path: str | Path) -> Stamp:
    """What changes when a file is written anew; raises OSError where there is none."""
    found = os.stat(path)  # noqa: PTH116 - thousands of them, and a Path costs more than the call
    return found.st_size, found.st_mtime_ns, found.st_ino


class ReadOnce(Generic[ContentT]):
    """Contents of small files, read again only when the file is another one."""

    def __init__(self, read: Callable[[Path], ContentT]) -> None:
        self._read = read
        self._known: dict[str, tuple[Stamp, ContentT]] = {}

    def __call__(self, path: str) -> ContentT:
        """The content of a file; raises what `read` raises."""
        try:
            now = _stamp(path)
        except OSError:
            return self._read(Path(path))  # which says what is wrong with it
        known = self._known.get(path)
        if known is None or known[0] != now:
            known = self._known[path] = (now, self._read(Path(path)))
        return known[1]


class Shelf(Generic[ContentT]):
    """What was read from folders of small files, read again only when a folder changed.

    Record files get their names by a link or a rename, and both change the time of their folder.
    """

    def __init__(
        self,
        file: Path | None,
        read: Callable[[str], ContentT],
        shape: TypeAdapter[dict[str, tuple[int, ContentT]]],
    ) -> None:
        """Contents kept in `file`; None: kept with the process.

        Args:
            file: Where.
            read: Reads one folder, by its path.
            shape: Of everything that is kept, by path, each with its folder's nanoseconds.
        """
        self._file, self._read, self._shape = file, read, shape
        self._known: dict[str, tuple[int, ContentT]] | None = None
        self._news = False

    def __call__(self, folder: str) -> ContentT:
        """What is in a folder; raises what `read` raises."""
        if self._known is None:
            self._known = _load(self._file, self._shape)
        try:
            changed = os.stat(folder).st_mtime_ns  # noqa: PTH116 - thousands of them
        except OSError:
            return self._read(folder)
        known = self._known.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        content = self._read(folder)
        # A folder that changed just now may change again before its clock ticks.
        if time.time_ns() - changed > _TICK:
            self._known[folder] = (changed, content)
            self._news = True
        return content

    def save(self) -> None:
        """Write the file if something is new."""
        if self._news and self._file is not None and self._known is not None:
            text = self._shape.dump_json(self._known)
            _write(self._file, lambda file: file.write(text))
        self._news = False


class Tallies:
    """Counts of each round's answers, kept in one JSON file."""

    def __init__(self, folder: Path | None) -> None:
        """Counts kept in `folder`; None: kept with the process."""
        self._file = folder / "tallies.json" if folder else None
        self._known: dict[str, tuple[list[Stamp], Tally]] | None = None
        self._news = False

    def __enter__(self) -> Tallies:
        """Counts that are kept when the block ends."""
        self._news = False
        return self

    def __exit__(self, *_: object) -> None:
        if self._news:
            self._save()

    def get(self, round_id: str, files: Sequence[Path], count: Callable[[], Tally]) -> Tally:
        """A round's counts, counted only if its answer files are others than last time."""
        known = self._load()
        stamps = [_stamp(path) for path in files]
        found = known.get(round_id)
        if found is None or found[0] != stamps:
            found = known[round_id] = (stamps, count())
            self._news = True
        return found[1]

    def _save(self) -> None:
        if self._file is None or self._known is None:
            return
        rows = {
            name: [stamps, tally.live, dict(tally.answered), sorted(tally.annotators)]
            for name, (stamps, tally) in self._known.items()
        }
        _write(self._file, lambda file: file.write(json.dumps(rows).encode()))

    def _load(self) -> dict[str, tuple[list[Stamp], Tally]]:
        if self._known is None:
            self._known = {}
            for name, row in _load(self._file, _ROWS).items():
                stamps, live, answered, annotators = row
                tally = Tally(live=live, answered=answered, annotators=frozenset(annotators))
                self._known[name] = (stamps, tally)
        return self._known


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """Hashes of sample ids in order, each with the place of its round in `rounds`."""

    rounds: Mapping[str, list[int]]  # round id -> stamp of its task file; in order of place
    hashes: npt.NDArray[np.uint64]  # (n,), rising
    places: npt.NDArray[np.uint32]  # (n,)


class AskedIndex:
    """Which rounds ask about a sample, without reading the tasks of all of them."""

    def __init__(self, folder: Path | None) -> None:
        """An index kept in `folder`; None: kept with the process."""
        self._file = folder / "asked.arrow" if folder else None
        self._sorted: _Sorted | None = None

    def find(self, sample_ids: Sequence[str], tasks: Mapping[str, Path]) -> dict[str, set[str]]:
        """Rounds that may ask about any of the samples, with the samples they may ask about.

        Two ids may share a hash, so a round can be named that does not ask; none is left out.

        Args:
            sample_ids: Any ids.
            tasks: Round id -> its task file, for every round there is.
        """
        wanted = np.unique(np.array(sample_ids, dtype=object))
        hashes = word_hashes(as_column(wanted.tolist(), pa.string()))
        found: dict[str, set[str]] = {}
        index, rest = self._covering(tasks)
        first = np.searchsorted(index.hashes, hashes, "left")
        last = np.searchsorted(index.hashes, hashes, "right")
        names = list(index.rounds)
        for at in np.flatnonzero(last > first):
            places = cast("list[int]", index.places[first[at] : last[at]].tolist())
            for place in places:
                found.setdefault(names[place], set()).add(str(wanted[at]))
        for round_id in rest:
            here = np.isin(hashes, _hashes(tasks[round_id]))
            if here.any():
                found[round_id] = {str(name) for name in wanted[here]}
        return found

    def _covering(self, tasks: Mapping[str, Path]) -> tuple[_Sorted, list[str]]:
        """The index, and the rounds that are not in it."""
        stamps = {name: list(_stamp(path)) for name, path in tasks.items()}
        index = self._sorted or _read_index(self._file)
        if any(stamps.get(name) != known for name, known in index.rounds.items()):
            index = _NOTHING  # a round was forgotten or restored: its samples are others
        rest = [name for name in tasks if name not in index.rounds]
        if len(rest) > _UNSORTED:
            index = _joined(index, {name: stamps[name] for name in rest}, tasks)
            if self._file is not None:
                _write(self._file, partial(_write_index, index))
            rest = []
        self._sorted = index
        return index, rest


_NOTHING = _Sorted({}, np.array([], dtype=np.uint64), np.array([], dtype=np.uint32))


def _hashes(tasks: Path) -> npt.NDArray[np.uint64]:
    return word_hashes(column_of(read_parquet(tasks, ["sample_id"]), "sample_id"))


def _joined(index: _Sorted, new: Mapping[str, list[int]], tasks: Mapping[str, Path]) -> _Sorted:
    parts = [_hashes(tasks[name]) for name in new]
    start = len(index.rounds)
    hashes = np.concatenate([index.hashes, *parts])
    places = np.concatenate(
        [index.places]
        + [np.full(len(part), start + i, dtype=np.uint32) for i, part in enumerate(parts)]
    )
    order = np.argsort(hashes, kind="stable")
    return _Sorted({**index.rounds, **new}, hashes[order], places[order])


def _write_index(index: _Sorted, file: BinaryIO) -> None:
    about = {b"rounds": json.dumps(dict(index.rounds)).encode()}
    table = pa.table(
        {"hash": pa.array(index.hashes), "place": pa.array(index.places)}
    ).replace_schema_metadata(about)
    sink = pa.PythonFile(cast("IOBase", file))  # the stubs know no BinaryIO
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _read_index(path: Path | None) -> _Sorted:
    """The index as it was written, mapped and not read; nothing where there is none."""
    if path is None or not path.exists():
        return _NOTHING
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException):
        return _NOTHING
    about = json.loads((table.schema.metadata or {}).get(b"rounds", b"{}"))
    columns = [table.column(name).combine_chunks().to_numpy() for name in ("hash", "place")]
    return _Sorted(cast("dict[str, list[int]]", about), *columns)


def _load(path: Path | None, shape: TypeAdapter[dict[str, ContentT]]) -> dict[str, ContentT]:
    if path is None:
        return {}
    try:
        return shape.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return {}  # not there yet, or of another version of retrue


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Keep what was found out; a disk that is full or read-only only costs time."""
    try:
        replace_file(path, write)
    except RecordError:
        return
