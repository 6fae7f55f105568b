"""One store for uris of several kinds: each call goes to the store of the uri's scheme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from retrue.errors import StoreError
from retrue.ports import SampleStore, TableBatch
from retrue.records import ObjectRef

__all__ = ["AnyStore", "scheme_of"]


def scheme_of(uri: str) -> str:
    """What stands before `://`; a plain path is a file.

    >>> scheme_of("s3://b/k"), scheme_of("data/raw")
    ('s3', 'file')
    """
    scheme, mark, _ = uri.partition("://")
    return scheme if mark else "file"


class AnyStore:
    """Sends each call on."""

    def __init__(self, stores: Mapping[str, SampleStore]) -> None:
        """Know one store per scheme."""
        self._stores = dict(stores)

    def list_objects(self, uri: str, *, since: datetime | None) -> Iterator[ObjectRef]:
        """As the port says."""
        return self._of(uri).list_objects(uri, since=since)

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says."""
        return self._of(ref.uri).batches(ref)

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        return self._of(ref.uri).read(ref)

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        return self._of(uri).resolve(uri)

    def link(self, uri: str) -> str:
        """As the port says."""
        return self._of(uri).link(uri)

    def _of(self, uri: str) -> SampleStore:
        store = self._stores.get(scheme_of(uri))
        if store is None:
            raise StoreError(f"{uri}: expected one of {sorted(self._stores)}, got another scheme")
        return store
