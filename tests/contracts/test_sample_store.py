"""What every sample store promises: memory, local folders, S3 (mocked and real, both kinds)."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from retrue.adapters.digest_cache import DigestCache
from retrue.adapters.s3_access import S3Access
from retrue.adapters.store_any import AnyStore
from retrue.adapters.store_local import LocalStore
from retrue.adapters.store_memory import MemoryStore
from retrue.adapters.store_s3 import S3Store
from retrue.errors import ObjectGone, StoreError, UnreadableObject
from retrue.ports import SampleStore
from services.seaweedfs import SeaweedFS

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Bench:
    store: SampleStore
    root: str
    put: Callable[[str, bytes], None]  # path below the root
    outside: str  # an object that is there, and not below the root
    keeps_versions: bool = False


MOCKED = {"s3": "acme", "s3-versioned": "acme"}
REAL = {"seaweedfs": "plain", "seaweedfs-versioned": "versioned"}  # its bucket


@pytest.fixture(
    params=[
        *("memory", "local", "file-uri", *MOCKED, "any"),
        *(pytest.param(name, marks=pytest.mark.service) for name in REAL),
    ]
)
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    if request.param in REAL:
        server: SeaweedFS = request.getfixturevalue("seaweed")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers other keys
        yield _s3_below(REAL[request.param], uuid4().hex)
    elif request.param in MOCKED:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws():
            yield _s3(versioned=request.param == "s3-versioned")
    elif request.param == "memory":
        yield _memory()
    else:
        local = _local(tmp_path, "raw" if request.param == "local" else f"file://{tmp_path}/raw")
        yield (
            replace(
                local,
                store=AnyStore({"file": local.store}, DigestCache(tmp_path / "d.sqlite")),
            )
            if (request.param == "any")
            else local
        )


def _memory() -> Bench:
    store, clock = MemoryStore(["mem://raw"]), iter(range(10_000))

    def put(path: str, data: bytes) -> None:
        store.put(f"mem://raw/{path}", data, modified_at=NOON + timedelta(seconds=next(clock)))

    store.put("mem://rawer/x.csv", b"a\n1\n", modified_at=NOON)
    return Bench(store=store, root="mem://raw", put=put, outside="mem://rawer/x.csv")


def _local(workspace: Path, root: str) -> Bench:
    clock = iter(range(10_000))

    def put(path: str, data: bytes) -> None:
        file = workspace / "raw" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        at = NOON.timestamp() + next(clock)
        os.utime(file, (at, at))

    (workspace / "raw").mkdir()
    (workspace / "rawer").mkdir()
    (workspace / "rawer" / "x.csv").write_bytes(b"a\n1\n")
    outside = f"{root}er/x.csv"
    return Bench(store=LocalStore(workspace, [root]), root=root, put=put, outside=outside)


def _s3(*, versioned: bool) -> Bench:
    with closing(boto3.client("s3")) as client:
        client.create_bucket(Bucket="acme")
        if versioned:
            status = {"Status": "Enabled"}
            client.put_bucket_versioning(Bucket="acme", VersioningConfiguration=status)
    return _s3_below("acme", "test")


def _s3_below(bucket: str, prefix: str) -> Bench:
    """Each test below a prefix of its own: a real server outlives it."""
    client = boto3.client("s3")

    def put(path: str, data: bytes) -> None:
        client.put_object(Bucket=bucket, Key=f"{prefix}/raw/{path}", Body=data)

    client.put_object(Bucket=bucket, Key=f"{prefix}/rawer/x.csv", Body=b"a\n1\n")
    root = f"s3://{bucket}/{prefix}/raw"
    return Bench(
        store=S3Store(S3Access(), [root]),
        root=root,
        put=put,
        outside=f"s3://{bucket}/{prefix}/rawer/x.csv",
        keeps_versions=client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled",
    )


def test_objects_are_listed_by_time_and_name_without_those_that_writers_hide(bench: Bench):
    for path in ("b.csv", "day=1/a.csv", "_SUCCESS", ".a.csv.crc", "_tmp/c.csv"):
        bench.put(path, b"a\n1\n")

    refs = list(bench.store.list_objects(bench.root, since=None))

    assert {ref.uri for ref in refs} == {f"{bench.root}/b.csv", f"{bench.root}/day=1/a.csv"}
    assert refs == sorted(refs, key=lambda ref: (ref.modified_at, ref.uri))
    assert {ref.size for ref in refs} == {4}


def test_since_includes_its_own_moment(bench: Bench):
    bench.put("a.csv", b"a\n1\n")
    ref = next(bench.store.list_objects(bench.root, since=None))

    at = list(bench.store.list_objects(bench.root, since=ref.modified_at))
    after = list(bench.store.list_objects(bench.root, since=ref.modified_at + timedelta(seconds=1)))

    assert (at, after) == ([ref], [])


def test_after_leaves_out_names_up_to_its_own(bench: Bench):
    for path in ("2026-01-01.csv", "2026-01-02.csv", "2026-01-03.csv"):
        bench.put(path, b"a\n1\n")

    refs = bench.store.list_objects(bench.root, since=None, after=f"{bench.root}/2026-01-02.csv")

    assert [ref.uri for ref in refs] == [f"{bench.root}/2026-01-03.csv"]


def test_digests_may_be_taken_while_the_bytes_are_looked_at(bench: Bench):
    bodies = {"a.bin": b"one", "b.bin": b"", "c.bin": b"three" * 1000}
    for path, body in bodies.items():
        bench.put(path, body)
    refs = [bench.store.resolve(f"{bench.root}/{path}") for path in bodies]
    seen: dict[str, bytes] = {}

    found = bench.store.digests(refs, look=lambda ref, data: seen.update({ref.uri: data}))

    assert seen == {f"{bench.root}/{path}": body for path, body in bodies.items()}
    assert found == [hashlib.sha256(body).hexdigest() for body in bodies.values()]


def test_digests_are_those_of_the_bytes(bench: Bench):
    bodies = {f"{number}.png": bytes([number]) * (3 << 19) * number for number in range(4)}
    for path, body in bodies.items():
        bench.put(path, body)
    refs = [bench.store.resolve(f"{bench.root}/{path}") for path in bodies]

    for _ in range(2):  # a store may remember
        found = bench.store.digests(refs)
        assert found == [hashlib.sha256(body).hexdigest() for body in bodies.values()]
    assert bench.store.digests([]) == []


def test_objects_that_are_said_ahead_read_the_same(bench: Bench):
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(250_000))}), sink, row_group_size=50_000)
    bodies = {"a.parquet": sink.getvalue(), "b.csv": b"a\n1\n", "c.png": b"PNG", "d.txt": b""}
    for path, body in bodies.items():
        bench.put(path, body)
    refs = [bench.store.resolve(f"{bench.root}/{path}") for path in bodies]

    with bench.store.ahead(refs) as near:
        read = [near.read(ref) for ref in refs]
        rows = sum(len(batch.rows) for ref in refs[:2] for batch in near.batches(ref))

    assert read == [*bodies.values()]
    assert rows == 250_001


def test_an_object_that_went_away_is_an_error_where_it_is_read_and_nowhere_else(bench: Bench):
    bench.put("a.png", b"A")
    bench.put("b.png", b"B")
    refs = [bench.store.resolve(f"{bench.root}/{path}.png") for path in "ab"]
    gone = replace(refs[1], uri=f"{bench.root}/c.png")

    with bench.store.ahead([gone, *refs]) as near:
        with pytest.raises(StoreError, match=r"c\.png"):
            near.read(gone)
        assert [near.read(ref) for ref in refs] == [b"A", b"B"]


def test_more_objects_than_one_page_are_all_listed(bench: Bench):
    for number in range(1005):
        bench.put(f"{number}.txt", b"")

    refs = list(bench.store.list_objects(bench.root, since=None))

    assert len({ref.uri for ref in refs}) == 1005


def test_the_bytes_of_an_object_are_read_and_its_link_opens_it(bench: Bench):
    bench.put("cat.png", b"\x89PNG")

    ref = bench.store.resolve(f"{bench.root}/cat.png")

    assert bench.store.read(ref) == b"\x89PNG"
    assert [ref] == list(bench.store.list_objects(bench.root, since=None))
    assert "cat.png" in bench.store.link(ref.uri)


def test_an_empty_object_has_no_bytes(bench: Bench):
    bench.put("nothing.txt", b"")

    assert bench.store.read(bench.store.resolve(f"{bench.root}/nothing.txt")) == b""


def test_a_changed_object_is_another_version_and_never_read_as_the_old_one(bench: Bench):
    bench.put("a.csv", b"a\n1\n")
    old = bench.store.resolve(f"{bench.root}/a.csv")
    bench.put("a.csv", b"a\n2\n")

    new = bench.store.resolve(f"{bench.root}/a.csv")

    assert new.version != old.version
    assert bench.store.read(new) == b"a\n2\n"
    if bench.keeps_versions:
        assert bench.store.read(old) == b"a\n1\n"
        return
    with pytest.raises(ObjectGone, match=r"a\.csv: .*changed"):
        bench.store.read(old)


def test_an_object_that_is_not_there_is_an_error_that_names_it(bench: Bench):
    with pytest.raises(ObjectGone, match=r"none\.csv"):
        bench.store.resolve(f"{bench.root}/none.csv")


@pytest.mark.parametrize(
    "name", ["{root}/../rawer/x.csv", "{outside}", "{root}/a/../../rawer/x.csv"]
)
def test_no_name_leaves_the_root(bench: Bench, name: str):
    uri = name.format(root=bench.root, outside=bench.outside)

    for call in (bench.store.resolve, bench.store.link):
        with pytest.raises(StoreError, match="expected a name below"):
            call(uri)
    bench.put("a.csv", b"a\n1\n")
    ref = replace(bench.store.resolve(f"{bench.root}/a.csv"), uri=uri)
    with pytest.raises(StoreError, match="expected a name below"):
        bench.store.read(ref)
    with pytest.raises(StoreError, match="expected a name below"):
        bench.store.digests([ref])
    with bench.store.ahead([ref]) as near, pytest.raises(StoreError, match="expected a name below"):
        near.read(ref)
    with pytest.raises(StoreError, match="expected a name below"):
        list(bench.store.list_objects(uri, since=None))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz", "t.jsonl"])
def test_tables_come_in_batches_with_their_record_numbers(bench: Bench, name: str):
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(250_000))}), sink)
    text = "a\n" + "\n".join(map(str, range(250_000))) + "\n"
    lines = "".join(f'{{"a": {i}}}\n' for i in range(250_000))
    data = {
        "t.parquet": sink.getvalue(),
        "t.csv": text.encode(),
        "t.csv.gz": gzip.compress(text.encode()),
        "t.jsonl": lines.encode(),
    }[name]
    bench.put(name, data)

    batches = list(bench.store.batches(bench.store.resolve(f"{bench.root}/{name}")))

    rows = [row for batch in batches for row in batch.rows.tolist()]
    values = [int(v) for batch in batches for v in batch.batch.column("a").to_pylist()]
    assert rows == values == list(range(250_000))


def test_bytes_that_are_not_what_the_name_says_are_unreadable(bench: Bench):
    bench.put("t.parquet", b"PAR1 but not really")
    ref = bench.store.resolve(f"{bench.root}/t.parquet")

    with pytest.raises(UnreadableObject, match=r"t\.parquet: expected parquet"):
        list(bench.store.batches(ref))
