"""What S3 itself adds: only what is needed is fetched, and objects may come in parts."""

from __future__ import annotations

import hashlib
import io

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from retrue.adapters.s3_access import S3Access
from retrue.adapters.store_s3 import S3Store
from retrue.errors import StoreError
from retrue.records import ObjectRef


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("s3")


@pytest.mark.usefixtures("aws")
def test_a_missing_bucket_is_told():
    store = S3Store(S3Access(), ["s3://nowhere"])

    with pytest.raises(StoreError, match="expected a bucket, found none"):
        list(store.list_objects("s3://nowhere", since=None))


def test_a_row_group_is_fetched_without_the_rest_of_the_object(aws):
    sink = io.BytesIO()
    table = pa.table({"a": pa.array(range(2_000_000))})
    pq.write_table(table, sink, row_group_size=500_000, use_dictionary=False, compression="none")
    aws.create_bucket(Bucket="acme")
    aws.put_object(Bucket="acme", Key="t.parquet", Body=sink.getvalue())
    fetched: list[int] = []

    class Counting(S3Store):
        def read_range(self, ref: ObjectRef, start: int, stop: int) -> bytes:
            fetched.append(stop - start)
            return super().read_range(ref, start, stop)

    store = Counting(S3Access(), ["s3://acme"])
    ref = store.resolve("s3://acme/t.parquet")

    first = next(iter(store.batches(ref)))

    assert first.batch.num_rows > 0
    assert sum(fetched) < 0.7 * ref.size


def test_an_object_uploaded_in_parts_is_read_and_hashed_whole(aws):
    aws.create_bucket(Bucket="acme")
    parts, where = [b"a" * (5 << 20), b"b"], {"Bucket": "acme", "Key": "big.bin"}
    upload = aws.create_multipart_upload(**where)["UploadId"]
    tags = [
        aws.upload_part(**where, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, start=1)
    ]
    named = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
    aws.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": named})
    store = S3Store(S3Access(), ["s3://acme"])

    (ref,) = store.list_objects("s3://acme", since=None)

    assert ref.version.endswith('-2"')  # an ETag that is no MD5
    assert store.read(ref) == b"".join(parts)
    assert store.digests([ref]) == [hashlib.sha256(b"".join(parts)).hexdigest()]
    assert store.resolve(ref.uri).version == ref.version


def test_who_may_not_list_versions_sees_one_version_of_an_object_everywhere(aws):
    aws.create_bucket(Bucket="acme")
    aws.put_bucket_versioning(Bucket="acme", VersioningConfiguration={"Status": "Suspended"})
    aws.put_object(Bucket="acme", Key="a.csv", Body=b"a")
    store = S3Store(S3Access(), ["s3://acme"])

    listed = list(store.list_objects("s3://acme", since=None))

    assert listed == [store.resolve("s3://acme/a.csv")]
