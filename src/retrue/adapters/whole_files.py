"""Files that are there whole or not at all, with parquet or JSON in them.

A file is written under a hidden temporary name in its own folder, flushed to the disk, and only
then given its name, so no reader and no power cut ever sees half of one. What a killed process
leaves behind ends in `.tmp` and is never read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from retrue.adapters.tables_arrow import Record, from_table, to_table
from retrue.errors import RecordError

__all__ = [
    "create_file",
    "damaged",
    "parquet_bytes",
    "read_json",
    "read_parquet",
    "read_records",
    "records_bytes",
    "remove_file",
    "replace_file",
]

RecordT = TypeVar("RecordT", bound=Record)
JsonT = TypeVar("JsonT")

Write = Callable[[BinaryIO], object]


class _Reader(Protocol):
    def read(self, columns: Sequence[str] | None = None) -> pa.Table: ...


_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}


def replace_file(path: Path, write: Write) -> None:
    """Write a file whole; one of that name is replaced.

    Raises:
        RecordError: It could not be written; what was there before is unchanged.
    """
    _write(path, write, lambda temporary: temporary.replace(path))


def create_file(path: Path, write: Write) -> bool:
    """Write a file whole, unless there is one of that name: True if this call wrote it.

    Two processes that create the same file at once cannot both succeed.

    Raises:
        RecordError: It could not be written; there is no file of that name.
    """
    if path.exists():
        return False
    try:
        _write(path, write, lambda temporary: _link(temporary, path))
    except FileExistsError:
        return False
    return True


def remove_file(path: Path) -> None:
    """Remove a file; an absent one is fine.

    Raises:
        RecordError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"{path}: could not be removed ({error.strerror or error}).") from error


def _write(path: Path, write: Write, name_it: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            name_it(temporary)
        finally:
            temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise RecordError(
            f"{path}: could not be written ({error.strerror or error}). Nothing was changed; "
            "check free space and permissions, then run the same command again."
        ) from error


def _link(temporary: Path, path: Path) -> None:
    """Name the file, or raise FileExistsError: a link, unlike a rename, never overwrites."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        temporary.replace(path)  # the lease is then the only guard against two writers


def _flush_folder(folder: Path) -> None:
    # Without this a power cut can forget the new name although the content is on the disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def parquet_bytes(table: pa.Table, *, row_group_size: int | None = None) -> Write:
    """What writes a table as parquet (zstd, a checksum on every page)."""

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(
            file, table.schema, compression="zstd", write_page_checksum=True
        ) as writer:
            writer.write_table(table, row_group_size)

    return write


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a parquet file, or some of its columns, and check every page.

    Raises:
        RecordError: The file is missing or damaged; the message says how to get it back.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = cast("_Reader", file).read(columns)  # the stubs leave argument types open
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    return table


def records_bytes(record: type[RecordT], rows: Sequence[RecordT]) -> Write:
    """What writes dataclasses as parquet; raises ValueError as `tables_arrow.to_table`."""
    return parquet_bytes(to_table(record, rows))


def read_records(
    record: type[RecordT], path: Path, where: Mapping[str, AbstractSet[object]] | None = None
) -> list[RecordT]:
    """Read what `records_bytes` wrote.

    Args:
        record: Of what.
        path: Where.
        where: Column -> the values wanted; rows with others are not made. None: all rows.

    Raises:
        RecordError: The file is missing, damaged or of another kind.
    """
    table = read_parquet(path)
    try:
        for name, wanted in (where or {}).items():
            values = table.column(name).to_pylist()
            kept = [at for at, value in enumerate(values) if value in wanted]
            table = table.take(pa.array(kept, type=pa.int64()))  # an empty list has no type
        return from_table(record, table)
    except ValueError as error:
        raise damaged(path, error) from error


def read_json(shape: TypeAdapter[JsonT], path: Path) -> JsonT:
    """Read a JSON file of a known shape.

    Raises:
        RecordError: The file is missing, damaged or of another shape.
    """
    try:
        return shape.validate_json(path.read_bytes())
    except OSError as error:
        raise damaged(path, error) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise damaged(path, f"{where or 'the file'}: {first['msg']}{more}") from error


def damaged(path: Path, reason: object) -> RecordError:
    """The error for a file that cannot be used."""
    return RecordError(
        f"{path}: expected a whole record file, got: {reason}. Get it back with `dvc checkout` "
        "(after `dvc pull` on a fresh clone), or restore it from a backup."
    )
