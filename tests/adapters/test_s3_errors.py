"""What S3 refuses is told apart, and each refusal says what to do. Bodies as S3 sends them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from retrue.adapters.s3_access import S3Access
from retrue.adapters.store_s3 import S3Store
from retrue.errors import ServiceUnavailable, StoreError
from retrue.records import ObjectRef
from retrue.wiring import clock
from s3_that_says import Reply, S3ThatSays, refusal, saying

URI = "s3://acme/cam/1.png"
REF = ObjectRef(uri=URI, version='"e1"', size=10, modified_at=datetime(2026, 1, 1, tzinfo=UTC))
SKEWED = (
    "<RequestTime>20260101T100000Z</RequestTime><ServerTime>2026-01-01T12:00:00Z</ServerTime>"
    "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"
)
REFUSALS = [
    (refusal(403, "AccessDenied"), "Grant s3:ListBucket"),
    (refusal(403, "AllAccessDisabled"), "Grant s3:ListBucket"),
    (refusal(403, "InvalidAccessKeyId"), "does not know the access key"),
    (refusal(403, "SignatureDoesNotMatch"), "Correct AWS_SECRET_ACCESS_KEY"),
    (refusal(400, "InvalidToken"), "AWS_SESSION_TOKEN"),
    (refusal(400, "AuthorizationHeaderMalformed"), "AWS_ACCESS_KEY_ID"),
    (refusal(400, "ExpiredToken"), "token has expired. Log in again"),
    (refusal(400, "ExpiredTokenException"), "token has expired. Log in again"),
    (
        refusal(403, "RequestTimeTooSkewed", more=SKEWED),
        "clock is too far from the object store's: here 20260101T100000Z, there 2026-01-01T12",
    ),
    (refusal(403, "RequestTimeTooSkewed"), "clock is too far from the object store's: there it is"),
    (
        refusal(400, "AuthorizationHeaderMalformed", more="<Region>eu-west-1</Region>"),
        "another region. Set AWS_REGION=eu-west-1",
    ),
    (
        refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
        "another region. Set AWS_REGION=eu-west-1",
    ),
    (refusal(301, "PermanentRedirect"), "redirects every request"),
    (refusal(400, "IllegalLocationConstraintException"), "Set AWS_REGION to the bucket's region"),
    (refusal(404, "NoSuchBucket"), "expected a bucket, found none"),
    (refusal(404, "NoSuchKey"), "expected an object or version, found none"),
    (refusal(404, "NoSuchVersion"), "expected this version"),
    (refusal(403, "InvalidObjectState"), "archived"),
    (refusal(412, "PreconditionFailed"), "changed since it was listed"),
    (refusal(405, "MethodNotAllowed"), "refused: MethodNotAllowed (HTTP 405)"),
]
BUSY = [
    refusal(503, "SlowDown"),
    refusal(503, "ServiceUnavailable"),
    refusal(500, "InternalError"),
    refusal(400, "RequestTimeout"),
    refusal(429, "TooManyRequests"),
    Reply(status=502, body=b"<html>Bad Gateway</html>"),
]


@pytest.fixture(scope="module")
def says() -> Iterator[S3ThatSays]:
    with saying() as server:
        yield server


@pytest.fixture
def server(
    says: S3ThatSays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[S3ThatSays]:
    for name, value in environment(says, tmp_path).items():
        monkeypatch.setenv(name, value)
    says.asked.clear()
    return says


def environment(says: S3ThatSays, folder: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": says.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDFIRST",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_MAX_ATTEMPTS": "1",
    }


@pytest.fixture(scope="module")
def access(says: S3ThatSays, tmp_path_factory: pytest.TempPathFactory) -> S3Access:
    """One for all tests that change no setting: a client takes long to make."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(says, tmp_path_factory.mktemp("aws")).items():
            patch.setenv(name, value)
        return S3Access()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def store(server: S3ThatSays, access: S3Access, waits: list[float]) -> S3Store:
    assert server.asked == []
    return S3Store(access, ["s3://acme"], sleep=waits.append)


@pytest.mark.parametrize(("reply", "advice"), REFUSALS, ids=[advice for _, advice in REFUSALS])
def test_a_refusal_says_what_a_person_must_do(
    server: S3ThatSays, store: S3Store, reply: Reply, advice: str
):
    server.say(reply)

    for ask in (
        lambda: store.read(REF),
        lambda: store.resolve(URI),  # a HEAD, whose answer has no body to tell why
        lambda: list(store.list_objects("s3://acme/cam", since=None)),
    ):
        with pytest.raises(StoreError) as told:
            ask()
        assert advice in str(told.value)
        assert str(told.value).startswith("s3://acme/cam")


@pytest.mark.parametrize("reply", BUSY, ids=[str(reply.status) for reply in BUSY])
def test_a_store_that_is_busy_is_asked_again_later(
    server: S3ThatSays, store: S3Store, reply: Reply
):
    server.say(reply)

    with pytest.raises(ServiceUnavailable, match="busy or failing"):
        store.read(REF)


def test_a_slow_down_is_waited_out(server: S3ThatSays, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    slow = refusal(503, "SlowDown")
    server.say(slow, slow, Reply(status=206, body=b"0123456789"))

    data = S3Store(S3Access(), ["s3://acme"]).read(REF)

    assert (data, len(server.asked)) == (b"0123456789", 3)


def test_a_body_that_was_cut_is_continued_where_it_broke(
    server: S3ThatSays, store: S3Store, waits: list[float]
):
    server.say(Reply(status=206, body=b"0123", missing=6), Reply(status=206, body=b"456789"))

    data = store.read(REF)

    assert data == b"0123456789"
    assert [asked.headers["range"] for asked in server.asked] == ["bytes=0-9", "bytes=4-9"]
    assert {asked.headers["if-match"] for asked in server.asked} == {'"e1"'}
    assert waits == [0.2]


def test_a_body_that_is_cut_again_and_again_is_given_up(
    server: S3ThatSays, store: S3Store, waits: list[float]
):
    server.say(Reply(status=206, missing=10))

    with pytest.raises(ServiceUnavailable, match=r"1\.png: the object store did not answer"):
        store.read(REF)

    assert waits == [0.2, 0.4, 0.8, 1.6]


def test_when_much_is_cut_the_budget_ends_and_nothing_is_repeated(
    server: S3ThatSays, store: S3Store, waits: list[float]
):
    server.say(Reply(status=206, missing=10))
    for _ in range(16):
        with pytest.raises(ServiceUnavailable):
            store.read(REF)
    waits.clear()

    with pytest.raises(ServiceUnavailable):
        store.read(REF)

    assert waits == []


def test_a_server_that_ignores_ranges_is_found_out(server: S3ThatSays, store: S3Store):
    server.say(Reply(body=b"0123456789"))

    with pytest.raises(StoreError, match="expected 4 bytes from 2 on, got 10"):
        store.read_range(REF, 2, 6)


def test_a_store_that_is_away_is_asked_again_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")

    with pytest.raises(ServiceUnavailable, match=r"Check AWS_ENDPOINT_URL .*`retrue stack up`"):
        S3Store(S3Access(), ["s3://acme"]).resolve(URI)


def test_names_that_rise_are_listed_from_where_the_cursor_is(server: S3ThatSays, store: S3Store):
    server.say(Reply(body=b"<VersioningConfiguration/>"), Reply(body=b"<ListBucketResult/>"))

    found = list(store.list_objects("s3://acme/cam", since=None, after="s3://acme/cam/2026-01"))

    assert found == []
    assert parse_qs(urlsplit(server.asked[-1].path).query)["start-after"] == ["cam/2026-01"]


# --- credentials -------------------------------------------------------------------------------


def who_asked(server: S3ThatSays) -> list[str]:
    return [asked.headers["authorization"].split("Credential=")[1][:9] for asked in server.asked]


@pytest.mark.usefixtures("server")
def test_no_credentials_say_how_to_get_some(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3Store(S3Access(), ["s3://acme"])

    with pytest.raises(StoreError, match="expected credentials, found none"):
        store.read(REF)


@pytest.mark.usefixtures("server")
def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(StoreError, match="nobody"):
        S3Access()


@pytest.mark.usefixtures("server")
def test_an_endpoint_that_is_no_url_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "weed:9000")

    with pytest.raises(StoreError, match="Correct AWS_ENDPOINT_URL"):
        S3Access()


def test_credentials_that_others_use_in_this_process_are_not_ours(
    server: S3ThatSays, monkeypatch: pytest.MonkeyPatch
):
    other = boto3.Session(aws_access_key_id="AKIDOTHER", aws_secret_access_key="x")  # noqa: S106
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", other)
    server.say(Reply(status=206, body=b"0123456789"))

    S3Store(S3Access(), ["s3://acme"]).read(REF)

    assert who_asked(server) == ["AKIDFIRST"]


def test_credentials_that_were_renewed_meanwhile_are_picked_up(
    server: S3ThatSays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = tmp_path / "credentials"
    keys = "[default]\naws_access_key_id={}\naws_secret_access_key=s\naws_session_token=t\n"
    file.write_text(keys.format("AKIDFIRST"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    store = S3Store(S3Access(), ["s3://acme"])
    server.say(refusal(400, "ExpiredToken"), Reply(status=206, body=b"0123456789"))
    file.write_text(keys.format("AKIDRENEW"))

    data = store.read(REF)

    assert data == b"0123456789"
    assert who_asked(server) == ["AKIDFIRST", "AKIDRENEW"]


def test_expired_credentials_that_nobody_renewed_are_not_tried_twice(
    server: S3ThatSays, store: S3Store
):
    server.say(refusal(400, "ExpiredToken"))

    with pytest.raises(StoreError, match="Log in again"):
        store.read(REF)

    assert len(server.asked) == 1


# --- links -------------------------------------------------------------------------------------


def seconds_of(link: str) -> int:
    return int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0])


@pytest.mark.parametrize(
    ("wanted", "got"), [(timedelta(minutes=5), 300), (timedelta(days=30), 7 * 24 * 3600)]
)
def test_a_link_lives_as_long_as_asked_and_no_longer_than_s3_allows(
    store: S3Store, wanted: timedelta, got: int
):
    assert seconds_of(store.link(URI, lifetime=wanted)) == got


@pytest.mark.usefixtures("server")
def test_a_link_of_a_session_token_lives_an_hour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")

    assert seconds_of(S3Store(S3Access(), ["s3://acme"]).link(URI)) == 3600


@pytest.mark.usefixtures("server")
def test_a_link_never_outlives_the_credentials_that_sign_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    end = clock() + timedelta(minutes=40)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())

    assert 2300 < seconds_of(S3Store(S3Access(), ["s3://acme"]).link(URI)) <= 2400


@pytest.mark.usefixtures("server")
def test_credentials_that_have_ended_sign_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    end = clock() + timedelta(minutes=40)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())
    running_out = S3Access()
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (clock() - timedelta(minutes=1)).isoformat())

    with pytest.raises(StoreError, match="Log in again"):
        S3Store(S3Access(), ["s3://acme"]).link(URI)
    assert running_out.lifetime(60) == 60
