"""What a mock of S3 does not tell: signatures, rights and ranges, asked of a real server."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import botocore.auth
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boto3.s3.transfer import TransferConfig

from retrue.adapters.s3_access import S3Access
from retrue.adapters.store_s3 import S3Store
from retrue.errors import StoreError
from retrue.records import ObjectRef
from retrue.wiring import clock
from services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.service


@pytest.fixture
def admin(seaweed: SeaweedFS) -> Iterator[Any]:
    with closing(seaweed.client()) as client:
        yield client


@pytest.fixture(params=["plain", "versioned"])
def root(request: pytest.FixtureRequest) -> str:
    return f"s3://{request.param}/{uuid4().hex}"


@pytest.fixture
def put(admin: Any, root: str) -> Callable[[str, bytes], None]:
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    return lambda path, body: admin.put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=body)


@pytest.fixture
def store_as(monkeypatch: pytest.MonkeyPatch, root: str) -> Callable[[dict[str, str]], S3Store]:
    def store(environment: dict[str, str]) -> S3Store:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return S3Store(S3Access(), [root])

    return store


def test_a_wrong_secret_is_refused_with_advice(seaweed: SeaweedFS, store_as, put, root: str):
    put("a.csv", b"a")
    store = store_as(seaweed.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"})

    for ask in (
        lambda: store.resolve(f"{root}/a.csv"),
        lambda: list(store.list_objects(root, since=None)),
    ):
        with pytest.raises(StoreError, match=r"AWS_SECRET_ACCESS_KEY|s3:GetObject"):
            ask()


def test_a_missing_object_and_a_missing_bucket_are_told(seaweed: SeaweedFS, store_as, root: str):
    store = store_as(seaweed.environment())
    nowhere = S3Store(S3Access(), ["s3://nowhere"])

    with pytest.raises(StoreError, match=r"none\.csv"):
        store.resolve(f"{root}/none.csv")
    with pytest.raises(StoreError, match="expected a bucket, found none"):
        list(nowhere.list_objects("s3://nowhere", since=None))


def test_who_may_only_read_and_list_can_use_a_store(seaweed: SeaweedFS, store_as, put, root: str):
    put("a.csv", b"a")
    store = store_as(seaweed.reader_environment())

    (ref,) = store.list_objects(root, since=None)

    assert store.read(ref) == b"a"


def test_a_link_opens_without_credentials_until_it_is_changed(
    seaweed: SeaweedFS, store_as, put, root: str
):
    put("cat 1.png", b"PNG")
    put("dog.png", b"DOG")
    link = store_as(seaweed.environment()).link(f"{root}/cat 1.png")

    opened, changed = httpx.get(link), httpx.get(link.replace("cat%201", "dog"))

    assert (opened.status_code, opened.content) == (200, b"PNG")
    assert changed.status_code == 403


def test_an_unknown_key_and_a_clock_that_is_wrong_are_told_apart(
    seaweed: SeaweedFS, store_as, put, root: str, monkeypatch: pytest.MonkeyPatch
):
    put("a.csv", b"a")
    unknown = store_as(seaweed.environment() | {"AWS_ACCESS_KEY_ID": "AKIDNOBODY"})
    right = store_as(seaweed.environment())

    with pytest.raises(StoreError, match="InvalidAccessKeyId"):
        unknown.resolve(f"{root}/a.csv")
    late = clock() - timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: late)
    with pytest.raises(StoreError, match="clock is too far from the object store's"):
        right.resolve(f"{root}/a.csv")


def test_a_link_ends_when_it_was_said_to(seaweed: SeaweedFS, store_as, put, root: str):
    put("cat.png", b"PNG")
    store = store_as(seaweed.environment())
    short = store.link(f"{root}/cat.png", lifetime=timedelta(seconds=1))

    time.sleep(2.5)

    assert httpx.get(short).status_code == 403
    assert httpx.get(store.link(f"{root}/cat.png")).status_code == 200


def test_an_object_uploaded_in_parts_is_read_and_hashed_whole(
    seaweed: SeaweedFS, admin: Any, store_as, root: str
):
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    body = b"ab" * (7 << 20)
    limits = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    admin.upload_fileobj(io.BytesIO(body), bucket, f"{prefix}/big.bin", Config=limits)
    store = store_as(seaweed.environment())

    (ref,) = store.list_objects(root, since=None)

    assert store.digests([ref]) == [hashlib.sha256(body).hexdigest()]
    assert store.read(ref) == body


def test_a_row_group_is_read_without_the_rest_of_the_object(
    seaweed: SeaweedFS, store_as, put, root: str
):
    sink = io.BytesIO()
    table = pa.table({"a": pa.array(range(2_000_000))})
    pq.write_table(table, sink, row_group_size=500_000, use_dictionary=False, compression="none")
    put("t.parquet", sink.getvalue())
    fetched: list[int] = []

    class Counting(S3Store):
        def read_range(self, ref: ObjectRef, start: int, stop: int) -> bytes:
            data = super().read_range(ref, start, stop)
            fetched.append(len(data))
            return data

    store_as(seaweed.environment())
    store = Counting(S3Access(), [root])
    ref = store.resolve(f"{root}/t.parquet")

    first = next(iter(store.batches(ref)))

    assert first.batch.column("a")[0].as_py() == 0
    assert sum(fetched) < 0.7 * ref.size


def test_seaweedfs_makes_one_slash_of_two(seaweed: SeaweedFS, store_as, put, root: str):
    put("f//g.csv", b"a")  # S3 itself keeps both: two stores may name one object differently

    refs = list(store_as(seaweed.environment()).list_objects(root, since=None))

    assert [ref.uri for ref in refs] == [f"{root}/f/g.csv"]
