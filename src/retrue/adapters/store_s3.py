"""A sample store in S3 or what speaks like it (AWS_ENDPOINT_URL is honoured by boto3).

A version is the object's version id where the bucket keeps versions and we may list them, else its
ETag in the quotes it comes in; a read asks for exactly that version. An ETag is only compared and
never computed: that of an object uploaded in parts is no MD5.

What is assumed of the bucket: its `LastModified` comes from one clock, the store's own. S3 sets it
when an upload in parts *begins*, so the look-back must be longer than the longest upload.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, BinaryIO, NotRequired, Protocol, TypedDict, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

from retrue.adapters.ranged_file import RangedFile
from retrue.adapters.s3_access import S3Access
from retrue.adapters.s3_ahead import THREADS, Ahead, is_one_block
from retrue.adapters.s3_errors import CUT, code_of, explain, is_expired
from retrue.adapters.store_roots import inside, is_hidden, outside_error
from retrue.adapters.tables_reader import read_table
from retrue.errors import StoreError
from retrue.ports import LINK_LIFETIME, Look, TableBatch
from retrue.records import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Store"]

AnswerT = TypeVar("AnswerT")

_BUFFER = 1 << 20  # bytes fetched at once when little is asked for, and pieces of a body
_REPEATS = 4  # of one body that is cut again and again
_BUDGET = 64  # of all bodies, as long as the store is open; then the first cut is an error
_FIRST_WAIT = 0.2  # seconds; doubles


class S3Store:
    """Reads objects below some `s3://bucket/prefix` roots."""

    def __init__(
        self,
        access: S3Access,
        roots: Sequence[str],
        *,
        coming: Ahead | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Confine an access to `roots`.

        Args:
            access: A client with credentials.
            roots: Nothing else is read.
            coming: Objects on their way.
            sleep: Waits between two requests for one body.
        """
        self._access = access
        self._roots = tuple(roots)
        self._coming = coming
        self._sleep = sleep
        self._versioned: dict[str, bool] = {}
        self._budget = repeat(None, _BUDGET)

    def list_objects(
        self, uri: str, *, since: datetime | None, after: str | None = None
    ) -> Iterator[ObjectRef]:
        """As the port says; names that begin with `.` or `_` are left out.

        S3 lists by name, so all names below `uri` are asked for (1,000 a request), and `since` only
        leaves out what they bring. With `after` the listing itself begins there.
        """
        bucket, prefix = self._split(uri)
        top = uri.rstrip("/")
        start = "" if after is None else after.removeprefix(f"s3://{bucket}/")
        listed = self._ask(uri, lambda client: list(self._listed(client, bucket, prefix, start)))
        found = [
            ref
            for ref in listed
            if inside(ref.uri, (top,)) and not ref.uri.endswith("/")
            if not is_hidden(ref.uri.removeprefix(top))
            if since is None or ref.modified_at >= since
        ]
        yield from sorted(found, key=lambda ref: (ref.modified_at, ref.uri))

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says; only the bytes that are needed are fetched."""
        if self._coming is not None and is_one_block(ref.size):
            yield from read_table(io.BytesIO(self.read(ref)), ref.uri)  # it is in memory anyway
            return
        raw = RangedFile(lambda start, stop: self.read_range(ref, start, stop), ref.size)
        # BufferedReader is a BinaryIO in all but name.
        yield from read_table(cast("BinaryIO", io.BufferedReader(raw, _BUFFER)), ref.uri)

    @contextmanager
    def ahead(self, refs: Sequence[ObjectRef]) -> Generator[S3Store]:
        """As the port says: 8 requests at once, in at most 64 MB (see `s3_ahead`)."""
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="s3-ahead")
        try:
            coming = Ahead(self.read_range, refs, pool)
            yield S3Store(self._access, self._roots, coming=coming, sleep=self._sleep)
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        return self.read_range(ref, 0, ref.size) if ref.size else b""

    def read_range(self, ref: ObjectRef, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of this version, at least one."""
        self._split(ref.uri)
        if self._coming is not None:
            return self._coming.read(ref, start, stop)
        return b"".join(self._pieces(ref, start, stop))

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        """As the port says: 8 objects at once, each in pieces of 1 MB."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="s3-digest") as pool:
            return list(pool.map(partial(self._digest, look=look), refs))

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        bucket, key = self._split(uri)
        found = self._ask(uri, lambda client: _head(client, bucket, key))
        keeps = self._ask(uri, lambda client: self._keeps_versions(client, bucket))
        return ObjectRef(
            uri=uri,
            version=_version(found.get("VersionId") if keeps else None, found["ETag"]),
            size=found["ContentLength"],
            modified_at=found["LastModified"],
        )

    def link(self, uri: str, *, lifetime: timedelta = LINK_LIFETIME) -> str:
        """As the port says: a signed URL, for at most 7 days, and never for longer than what signs.

        Raises:
            StoreError: There are no credentials, or they have ended.
        """
        bucket, key = self._split(uri)

        def signed(client: S3Client) -> str:
            return client.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": key},
                ExpiresIn=self._access.lifetime(int(lifetime.total_seconds())),
            )

        return self._ask(uri, signed)

    def _split(self, uri: str) -> tuple[str, str]:
        if not inside(uri, self._roots):
            raise outside_error(uri, self._roots)
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bucket, key

    def _ask(self, uri: str, ask: Callable[[S3Client], AnswerT]) -> AnswerT:
        """Ask, with new credentials where the old ones have expired; errors in our words."""
        client = self._access.client
        try:
            return ask(client)
        except ClientError as error:
            if not is_expired(error) or not self._access.renew(client):
                raise explain(uri, error) from error
        except (BotoCoreError, RuntimeError) as error:
            raise explain(uri, error) from error
        try:
            return ask(self._access.client)
        except (ClientError, BotoCoreError, RuntimeError) as error:
            raise explain(uri, error) from error

    def _pieces(self, ref: ObjectRef, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop`; a body that is cut is asked for again from where it broke."""
        at = start
        for turn in range(_REPEATS + 1):
            try:
                for piece in self._body(ref, at, stop):
                    at += len(piece)
                    yield piece
            except CUT as error:
                if turn == _REPEATS or next(self._budget, 0) == 0:
                    raise explain(ref.uri, error) from error
                self._sleep(_FIRST_WAIT * 2**turn)
            else:
                break
        if at != stop:
            raise StoreError(
                f"{ref.uri}: expected {stop - start} bytes from {start} on, got {at - start}. "
                "Does this object store serve ranges?"
            )

    def _body(self, ref: ObjectRef, start: int, stop: int) -> Iterator[bytes]:
        bucket, key = self._split(ref.uri)
        span = f"bytes={start}-{stop - 1}"

        def get(client: S3Client) -> Iterator[bytes]:
            if ref.version.startswith('"'):
                answer = client.get_object(Bucket=bucket, Key=key, Range=span, IfMatch=ref.version)
            else:
                answer = client.get_object(
                    Bucket=bucket, Key=key, Range=span, VersionId=ref.version
                )
            return answer["Body"].iter_chunks(_BUFFER)

        return self._ask(ref.uri, get)

    def _digest(self, ref: ObjectRef, *, look: Look | None) -> str:
        if look is not None:
            data = self.read(ref)
            look(ref, data)
            return hashlib.sha256(data).hexdigest()
        digest = hashlib.sha256()
        for piece in self._pieces(ref, 0, ref.size) if ref.size else ():
            digest.update(piece)
        return digest.hexdigest()

    def _listed(
        self, client: S3Client, bucket: str, prefix: str, start: str
    ) -> Iterator[ObjectRef]:
        """Current versions, all pages."""
        if self._keeps_versions(client, bucket):
            pages, mark = client.get_paginator("list_object_versions"), "KeyMarker"
        else:
            pages, mark = client.get_paginator("list_objects_v2"), "StartAfter"
        where = {"Bucket": bucket, "Prefix": prefix.rstrip("/")} | ({mark: start} if start else {})
        for page in cast("_Pages", pages).paginate(**where):
            for item in page.get("Versions") or page.get("Contents") or ():
                if item.get("IsLatest", True):
                    yield _ref(bucket, item)

    def _keeps_versions(self, client: S3Client, bucket: str) -> bool:
        """Whether versions may be listed; many read-only users may not even ask."""
        if bucket not in self._versioned:
            try:
                answer = client.get_bucket_versioning(Bucket=bucket)
                on = answer.get("Status") == "Enabled"
                if on:
                    client.list_object_versions(Bucket=bucket, MaxKeys=1)
            except ClientError as error:
                metadata = error.response.get("ResponseMetadata", {})
                if metadata.get("HTTPStatusCode") not in (403, 405, 501):
                    raise
                on = False
            self._versioned[bucket] = on
        return self._versioned[bucket]


class _Head(TypedDict):
    """What is known of an object: these are always there, whatever the stubs say."""

    ETag: str
    ContentLength: int
    LastModified: datetime
    VersionId: NotRequired[str]


class _Item(TypedDict):
    """One line of a listing, in the same way."""

    Key: str
    ETag: str
    Size: int
    LastModified: datetime
    VersionId: NotRequired[str]
    IsLatest: NotRequired[bool]


class _Page(TypedDict, total=False):
    """Of a listing: versions, or objects."""

    Versions: Sequence[_Item]
    Contents: Sequence[_Item]


class _Pages(Protocol):
    def paginate(self, **options: str) -> Iterable[_Page]: ...


def _head(client: S3Client, bucket: str, key: str) -> _Head:
    try:
        return cast("_Head", client.head_object(Bucket=bucket, Key=key))
    except ClientError as error:
        if not code_of(error).isdigit():
            raise
        # A HEAD has no body, so nothing says why: the same question by GET tells.
        client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        raise


def _ref(bucket: str, item: _Item) -> ObjectRef:
    return ObjectRef(
        uri=f"s3://{bucket}/{item['Key']}",
        version=_version(item.get("VersionId"), item["ETag"]),
        size=item["Size"],
        modified_at=item["LastModified"],
    )


def _version(version_id: str | None, etag: str) -> str:
    """`null` is what a bucket that keeps no versions calls its only one."""
    return etag if version_id is None or version_id == "null" else version_id
