"""A sample store in memory: uri -> bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from retrue.adapters.store_roots import changed_error, inside, is_hidden, outside_error
from retrue.adapters.tables_reader import read_table
from retrue.errors import ObjectGone
from retrue.ports import LINK_LIFETIME, Look, TableBatch
from retrue.records import ObjectRef

__all__ = ["MemoryStore"]


class MemoryStore:
    """Objects that a test or a demo puts in; only the newest version of each is kept."""

    def __init__(self, roots: Sequence[str]) -> None:
        """Make an empty store that lets nobody read outside `roots`."""
        self._roots = tuple(roots)
        self._objects: dict[str, tuple[ObjectRef, bytes]] = {}

    def put(self, uri: str, data: bytes, *, modified_at: datetime) -> ObjectRef:
        """Write or overwrite an object."""
        version = hashlib.sha256(f"{modified_at.isoformat()}|".encode() + data).hexdigest()[:16]
        ref = ObjectRef(uri=uri, version=version, size=len(data), modified_at=modified_at)
        self._objects[uri] = (ref, data)
        return ref

    def delete(self, uri: str) -> None:
        """Remove an object."""
        del self._objects[uri]

    def list_objects(
        self, uri: str, *, since: datetime | None, after: str | None = None
    ) -> Iterator[ObjectRef]:
        """As the port says; an unknown `uri` has no objects if it is a root."""
        self._check(uri)
        found = [
            ref
            for ref, _ in self._objects.values()
            if inside(ref.uri, (uri,)) and not is_hidden(ref.uri.removeprefix(uri))
            if since is None or ref.modified_at >= since
            if after is None or ref.uri > after
        ]
        yield from sorted(found, key=lambda ref: (ref.modified_at, ref.uri))

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says."""
        yield from read_table(io.BytesIO(self.read(ref)), ref.uri)

    @contextmanager
    def ahead(self, refs: Sequence[ObjectRef]) -> Generator[MemoryStore]:  # noqa: ARG002
        """As the port says; nothing is nearer than memory."""
        yield self

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        """As the port says."""
        if look is not None:
            for ref in refs:
                look(ref, self.read(ref))
        return [hashlib.sha256(self.read(ref)).hexdigest() for ref in refs]

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        now = self.resolve(ref.uri)
        if now.version != ref.version:
            raise changed_error(ref.uri, ref.version, now.version)
        return self._objects[ref.uri][1]

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        self._check(uri)
        if uri not in self._objects:
            raise ObjectGone(f"{uri}: expected an object, got none. Was it deleted?")
        return self._objects[uri][0]

    def link(self, uri: str, *, lifetime: timedelta = LINK_LIFETIME) -> str:  # noqa: ARG002
        """The uri itself; nobody's browser opens it."""
        return self.resolve(uri).uri

    def _check(self, uri: str) -> None:
        if not inside(uri, self._roots):
            raise outside_error(uri, self._roots)
