"""What S3 itself adds: its errors are told apart, and only what is needed is fetched."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from retrue.adapters.s3_errors import explain
from retrue.adapters.store_s3 import S3Store, s3_client
from retrue.errors import ServiceUnavailable, StoreError
from retrue.records import ObjectRef


def refusal(code: str, status: int, **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "GetObject")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (refusal("AccessDenied", 403), "s3:ListBucket"),
        (refusal("403", 403), "s3:GetObject"),
        (refusal("ExpiredToken", 400), "expired"),
        (refusal("InvalidAccessKeyId", 403), "AWS_ACCESS_KEY_ID"),
        (refusal("NoSuchBucket", 404), "Correct the uri"),
        (refusal("404", 404), "deleted"),
        (refusal("301", 301, **{"x-amz-bucket-region": "eu-west-1"}), "AWS_REGION=eu-west-1"),
        (refusal("PreconditionFailed", 412), "changed"),
        (NoCredentialsError(), "AWS_PROFILE"),
    ],
)
def test_a_refusal_says_what_a_person_must_do(error: ClientError, advice: str):
    told = explain("s3://b/k", error)

    assert isinstance(told, StoreError)
    assert str(told).startswith("s3://b/k: ")
    assert advice in str(told)


@pytest.mark.parametrize(
    "error",
    [
        refusal("SlowDown", 503),
        refusal("InternalError", 500),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    ],
)
def test_a_service_that_is_busy_or_away_is_asked_again(error: ClientError):
    assert isinstance(explain("s3://b/k", error), ServiceUnavailable)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield s3_client()


def test_a_missing_bucket_is_told(aws):
    store = S3Store(aws, ["s3://nowhere"])

    with pytest.raises(StoreError, match="expected a bucket, found none"):
        list(store.list_objects("s3://nowhere", since=None))


def test_a_store_that_does_not_answer_is_transient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    store = S3Store(s3_client(), ["s3://b"])

    with pytest.raises(ServiceUnavailable, match="did not answer"):
        store.resolve("s3://b/k")


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

    store = Counting(aws, ["s3://acme"])
    ref = store.resolve("s3://acme/t.parquet")

    first = next(iter(store.batches(ref)))

    assert first.batch.num_rows > 0
    assert sum(fetched) < 0.7 * ref.size
