"""A sample store in local folders: `file:///...`, or paths relative to the workspace.

An object's uri keeps the form its root has, so that windows over relative roots mean the same in
every clone of the workspace.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from retrue.adapters.store_roots import changed_error, inside, is_hidden, outside_error
from retrue.adapters.tables_reader import read_table
from retrue.errors import ObjectGone, StoreError
from retrue.ports import LINK_LIFETIME, Look, TableBatch
from retrue.records import ObjectRef

__all__ = ["LocalStore"]


class LocalStore:
    """Reads files below some roots; a link or a `..` that leads out of them is refused."""

    def __init__(self, workspace: Path, roots: Sequence[str]) -> None:
        """Confine to `roots`, which are `file://` uris or paths (relative to `workspace`)."""
        self._workspace = workspace
        self._roots = tuple(roots)

    def list_objects(
        self, uri: str, *, since: datetime | None, after: str | None = None
    ) -> Iterator[ObjectRef]:
        """As the port says; names that begin with `.` or `_` are left out."""
        top = self._inside(uri)
        if not top.exists():
            raise StoreError(f"{uri}: expected a folder, found none. Make it, or correct the uri.")
        found: list[ObjectRef] = []
        for path in [top] if top.is_file() else _files(top):
            below = path.relative_to(top).as_posix()
            if path != top and is_hidden(below):
                continue
            name = uri if path == top else f"{uri.rstrip('/')}/{_quoted(below, uri)}"
            if self._inside(name).is_dir():  # a link that stays inside: its files are listed anyway
                continue
            ref = self.resolve(name)
            if (since is None or ref.modified_at >= since) and (after is None or ref.uri > after):
                found.append(ref)
        yield from sorted(found, key=lambda ref: (ref.modified_at, ref.uri))

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says."""
        with self._open(ref) as file:
            yield from read_table(file, ref.uri)

    @contextmanager
    def ahead(self, refs: Sequence[ObjectRef]) -> Generator[LocalStore]:  # noqa: ARG002
        """As the port says; a disk is near enough."""
        yield self

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        """As the port says."""
        found: list[str] = []
        for ref in refs:
            if look is not None:
                data = self.read(ref)
                look(ref, data)
                found.append(hashlib.sha256(data).hexdigest())
                continue
            with self._open(ref) as file:  # a BytesIO in all that is asked of it
                found.append(hashlib.file_digest(cast("BytesIO", file), "sha256").hexdigest())
        return found

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        with self._open(ref) as file:
            return file.read()

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        path = self._inside(uri)
        with self._told(uri):
            return _ref(uri, path.stat())

    def link(self, uri: str, *, lifetime: timedelta = LINK_LIFETIME) -> str:  # noqa: ARG002
        """A `file://` URL, for a browser on this machine; it never ends."""
        return self._inside(uri).as_uri()

    def _inside(self, uri: str) -> Path:
        """The real path of a name, links followed."""
        path = self._path(uri).resolve()
        tops = [self._path(root).resolve() for root in self._roots]
        if ".." in uri.split("/") or not any(path.is_relative_to(top) for top in tops):
            raise outside_error(uri, self._roots)
        return path

    def _path(self, uri: str) -> Path:
        if uri.startswith("file://"):
            return Path(unquote(urlsplit(uri).path))
        return self._workspace / uri

    @contextmanager
    def _open(self, ref: ObjectRef) -> Generator[BinaryIO, None, None]:
        with self._told(ref.uri), self._inside(ref.uri).open("rb") as file:
            # The open file is asked, not the name: nobody can swap it in between.
            now = _ref(ref.uri, os.fstat(file.fileno()))
            if now.version != ref.version:
                raise changed_error(ref.uri, ref.version, now.version)
            yield file

    @contextmanager
    def _told(self, uri: str) -> Generator[None, None, None]:
        """Translate what the file system says."""
        try:
            yield
        except FileNotFoundError as error:
            raise self._absent(uri) from error
        except PermissionError as error:
            raise StoreError(f"{uri}: no permission to read it. Grant it to this user.") from error
        except IsADirectoryError as error:
            raise StoreError(f"{uri}: expected a file, got a folder") from error

    def _absent(self, uri: str) -> StoreError:
        """A file is gone; where its root is gone as well, so is everything: a disk, not a file."""
        lost = [
            root for root in self._roots if inside(uri, (root,)) and not self._path(root).exists()
        ]
        if lost:
            return StoreError(f"{uri}: expected the folder {lost[0]}, found none. Is it mounted?")
        return ObjectGone(f"{uri}: expected a file, found none. Was it moved or deleted?")


def _files(top: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(top):
        names.sort()
        # A link to a folder is shown as a file, so that `resolve` may refuse it by name.
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in [*files, *links])


def _quoted(below: str, uri: str) -> str:
    """Percent signs are an escape in `file://` uris and nothing special in paths."""
    return (
        below.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        if (uri.startswith("file://"))
        else below
    )


def _ref(uri: str, stat: os.stat_result) -> ObjectRef:
    return ObjectRef(
        uri=uri,
        version=f"{stat.st_size}-{stat.st_mtime_ns}",
        size=stat.st_size,
        modified_at=datetime.fromtimestamp(stat.st_mtime_ns // 1_000 / 1e6, tz=UTC),
    )
