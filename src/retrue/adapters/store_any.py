"""One store for uris of several kinds: each call goes to the store of the uri's scheme."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

from retrue.adapters.digest_cache import DigestCache
from retrue.errors import StoreError
from retrue.ports import LINK_LIFETIME, Look, SampleStore, TableBatch
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
    """Sends each call on, and remembers what was hashed."""

    def __init__(self, stores: Mapping[str, SampleStore], hashed: DigestCache) -> None:
        """Know one store per scheme."""
        self._stores = dict(stores)
        self._hashed = hashed

    def list_objects(
        self, uri: str, *, since: datetime | None, after: str | None = None
    ) -> Iterator[ObjectRef]:
        """As the port says."""
        return self._of(uri).list_objects(uri, since=since, after=after)

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says."""
        return self._of(ref.uri).batches(ref)

    @contextmanager
    def ahead(self, refs: Sequence[ObjectRef]) -> Generator[AnyStore]:
        """As the port says."""
        with ExitStack() as stack:
            near = dict(self._stores)
            for scheme in {scheme_of(ref.uri) for ref in refs} & {*near}:
                wanted = [ref for ref in refs if scheme_of(ref.uri) == scheme]
                near[scheme] = stack.enter_context(near[scheme].ahead(wanted))
            yield AnyStore(near, self._hashed)

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        """As the port says; what was hashed before is not read again, unless it is to be seen."""
        known = self._hashed.known(refs) if look is None else {}
        for scheme in {scheme_of(ref.uri) for ref in refs}:
            new = [ref for ref in refs if scheme_of(ref.uri) == scheme and ref not in known]
            if new:
                found = dict(zip(new, self._of(new[0].uri).digests(new, look=look), strict=True))
                self._hashed.keep(found)
                known |= found
        return [known[ref] for ref in refs]

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        return self._of(ref.uri).read(ref)

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        return self._of(uri).resolve(uri)

    def link(self, uri: str, *, lifetime: timedelta = LINK_LIFETIME) -> str:
        """As the port says."""
        return self._of(uri).link(uri, lifetime=lifetime)

    def _of(self, uri: str) -> SampleStore:
        store = self._stores.get(scheme_of(uri))
        if store is None:
            raise StoreError(f"{uri}: expected one of {sorted(self._stores)}, got another scheme")
        return store
