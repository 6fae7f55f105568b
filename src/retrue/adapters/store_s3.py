"""A sample store in S3 or what speaks like it (AWS_ENDPOINT_URL is honoured by boto3).

A version is the object's version id where the bucket keeps versions and we may list them, else its
ETag in the quotes it comes in; a read asks for exactly that version.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Literal, NotRequired, Protocol, TypedDict, cast

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from retrue.adapters.s3_errors import explain
from retrue.adapters.store_roots import inside, is_hidden, outside_error
from retrue.adapters.tables_reader import read_table
from retrue.errors import StoreError
from retrue.ports import TableBatch
from retrue.records import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Store", "s3_client"]

_AHEAD = 1 << 20  # bytes fetched at once when little is asked for
_LINK_SECONDS = 12 * 3600


def s3_client() -> S3Client:
    """A client configured by the usual AWS names in the environment."""
    settings = BotoConfig(
        signature_version="s3v4",
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 4},
    )
    return cast("_Boto", boto3).client("s3", config=settings)


class S3Store:
    """Reads objects below some `s3://bucket/prefix` roots."""

    def __init__(self, client: S3Client, roots: Sequence[str]) -> None:
        """Confine a client to `roots`."""
        self._client = client
        self._roots = tuple(roots)
        self._versioned: dict[str, bool] = {}

    def list_objects(self, uri: str, *, since: datetime | None) -> Iterator[ObjectRef]:
        """As the port says; names that begin with `.` or `_` are left out."""
        bucket, prefix = self._split(uri)
        top = uri.rstrip("/")
        with _told(uri):
            found = [
                ref
                for ref in self._listed(bucket, prefix)
                if inside(ref.uri, (top,)) and not ref.uri.endswith("/")
                if not is_hidden(ref.uri.removeprefix(top))
                if since is None or ref.modified_at >= since
            ]
        yield from sorted(found, key=lambda ref: (ref.modified_at, ref.uri))

    def batches(self, ref: ObjectRef) -> Iterator[TableBatch]:
        """As the port says; only the bytes that are needed are fetched."""
        raw = _RangedObject(self, ref)
        # BufferedReader is a BinaryIO in all but name.
        yield from read_table(cast("BinaryIO", io.BufferedReader(raw, _AHEAD)), ref.uri)

    def read(self, ref: ObjectRef) -> bytes:
        """As the port says."""
        return self.read_range(ref, 0, ref.size) if ref.size else b""

    def read_range(self, ref: ObjectRef, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of this version, at least one."""
        bucket, key = self._split(ref.uri)
        span = f"bytes={start}-{stop - 1}"
        with _told(ref.uri):
            if ref.version.startswith('"'):
                answer = self._client.get_object(
                    Bucket=bucket, Key=key, Range=span, IfMatch=ref.version
                )
            else:
                answer = self._client.get_object(
                    Bucket=bucket, Key=key, Range=span, VersionId=ref.version
                )
            return answer["Body"].read()

    def resolve(self, uri: str) -> ObjectRef:
        """As the port says."""
        bucket, key = self._split(uri)
        with _told(uri):
            found = self._client.head_object(Bucket=bucket, Key=key)
        return ObjectRef(
            uri=uri,
            version=_version(found.get("VersionId"), found["ETag"]),
            size=found["ContentLength"],
            modified_at=found["LastModified"],
        )

    def link(self, uri: str) -> str:
        """A signed URL that opens for twelve hours: make it when it is needed, never keep it."""
        bucket, key = self._split(uri)
        with _told(uri):
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_LINK_SECONDS
            )

    def _split(self, uri: str) -> tuple[str, str]:
        if not inside(uri, self._roots):
            raise outside_error(uri, self._roots)
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bucket, key

    def _listed(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        """Current versions, all pages."""
        prefix = prefix.rstrip("/")
        if self._keeps_versions(bucket):
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                yield from (
                    _ref(bucket, cast("_Item", item))
                    for item in page.get("Versions", [])
                    if item.get("IsLatest")
                )
        else:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                yield from (_ref(bucket, cast("_Item", item)) for item in page.get("Contents", []))

    def _keeps_versions(self, bucket: str) -> bool:
        """Whether versions may be listed; many read-only users may not even ask."""
        if bucket not in self._versioned:
            try:
                answer = self._client.get_bucket_versioning(Bucket=bucket)
                on = answer.get("Status") == "Enabled"
                if on:
                    self._client.list_object_versions(Bucket=bucket, MaxKeys=1)
            except ClientError as error:
                metadata = error.response.get("ResponseMetadata", {})
                if metadata.get("HTTPStatusCode") not in (403, 405, 501):
                    raise
                on = False
            self._versioned[bucket] = on
        return self._versioned[bucket]


class _RangedObject(io.RawIOBase):
    """One object as a seekable file whose reads are ranged requests."""

    def __init__(self, store: S3Store, ref: ObjectRef) -> None:
        super().__init__()
        self._store, self._ref, self._at = store, ref, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ref.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        into = memoryview(cast("bytearray", buffer)).cast("B")  # any writable buffer
        stop = min(self._at + len(into), self._ref.size)
        if stop <= self._at:
            return 0
        data = self._store.read_range(self._ref, self._at, stop)
        if len(data) != stop - self._at:
            raise StoreError(f"{self._ref.uri}: expected {stop - self._at} bytes, got {len(data)}")
        into[: len(data)] = data
        self._at = stop
        return len(data)


class _Boto(Protocol):
    def client(self, service_name: Literal["s3"], *, config: BotoConfig) -> S3Client: ...


class _Item(TypedDict):
    """One line of a listing: these are always there, whatever the stubs say."""

    Key: str
    ETag: str
    Size: int
    LastModified: datetime
    VersionId: NotRequired[str]


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


@contextmanager
def _told(uri: str) -> Generator[None, None, None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise explain(uri, error) from error
