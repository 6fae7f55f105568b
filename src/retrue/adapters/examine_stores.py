"""`retrue doctor` at the object stores: the streams, the media, and DVC's remote."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import urlsplit

import boto3
import httpx
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from retrue.adapters.dvc_cli import REMOTE, dvc_places
from retrue.adapters.examining import Check, clock_check, date_of
from retrue.adapters.process import without_passwords
from retrue.adapters.s3_errors import IF_AWAY, S3Settings, code_of, explain
from retrue.config import StreamSource
from retrue.errors import RetrueError, StoreError
from retrue.records import ObjectRef
from retrue.workspace import Workspace

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["examine_dvc_remote", "examine_media", "examine_s3_clock", "examine_stream"]

TIMEOUT = 20.0  # seconds
TABLES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".gz")  # objects that no browser shows
MANY = 2000  # objects looked through for one that a browser shows
PROBE = "retrue-probe"
MOST = 4096  # bytes of a refusal that are read for its code
OF_MEDIA = S3Settings(access="queue.media.access_key", secret="queue.media.secret_key")  # noqa: S106
ENVIRONMENT = S3Settings()


def examine_stream(workspace: Workspace, name: str, stream: StreamSource) -> Iterator[Check]:
    """List a stream and open one of its objects; nothing is written to it.

    Raises:
        RetrueError: What was refused, and what to do.
    """
    first = next(workspace.store.list_objects(stream.uri, since=None), None)
    if first is None:
        detail = f"{stream.uri} can be listed and is empty"
        yield Check(name=name, ok=True, warn=True, detail=detail)
        return
    _open(workspace.root, first)
    yield Check(name=name, ok=True, detail=f"{stream.uri} can be listed and read")


def examine_s3_clock(now: Callable[[], datetime]) -> Iterator[Check]:
    """The clock of the S3 that our environment names; anybody may ask, so no credentials go."""
    url = _client().meta.endpoint_url
    try:
        theirs = date_of(httpx.get(url, timeout=TIMEOUT).headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError(
            f"{without_passwords(url)}: no S3 answers ({type(error).__name__}). "
            f"{IF_AWAY.format(settings=ENVIRONMENT)}"
        ) from None
    yield clock_check("S3", theirs, now())


def examine_media(workspace: Workspace, stream: StreamSource) -> Iterator[Check]:
    """Fetch one real object as the browser of an annotator would: a plain GET, no credentials.

    Raises:
        RetrueError: What was refused, and what to do.
    """
    name = "media in a browser"
    root = stream.media_root or stream.uri
    shown = _first_shown(workspace, root)
    if shown is None:
        detail = f"{root}: no object yet that a browser would show"
        yield Check(name=name, ok=True, warn=True, detail=detail)
        return
    link = _link(workspace, shown.uri)
    if link is None:
        detail = (
            "Label Studio signs links with keys of its own (queue.media.keys: server), so only it "
            "can tell: open a task and see that its media load."
        )
        yield Check(name=name, ok=True, warn=True, detail=detail)
    elif not link.startswith(("http://", "https://")):
        yield Check(name=name, ok=True, detail="a file of this machine; `retrue label` shows it")
    else:
        yield _fetched(name, shown.uri, link, _signed_with(workspace))


def _signed_with(workspace: Workspace) -> S3Settings:
    """Whose keys sign the links that people open."""
    queue = workspace.config.queue
    ours = queue.use != "label_studio" or queue.media.access_key is None
    return ENVIRONMENT if ours else OF_MEDIA


def _fetched(name: str, uri: str, link: str, keys: S3Settings) -> Check:
    where = without_passwords(link).split("?")[0]  # the rest is the signature
    try:
        with httpx.stream("GET", link, timeout=TIMEOUT, follow_redirects=True) as reply:
            status, kind = reply.status_code, reply.headers.get("Content-Type", "no type")
            said = b"" if status == 200 else next(reply.iter_bytes(MOST), b"")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        status, kind, said = 0, type(error).__name__, b""
    if status == 200:
        return Check(name=name, ok=True, detail=f"{uri} came as {kind} by a link without a login")
    got = f"HTTP {status}" if status else f"no answer ({kind})"
    found = re.search(rb"<Code>(\w+)</Code>", said)
    advice = _for_browsers(found[1].decode() if found else "", keys)
    detail = f"{where}: {got}; annotators would see nothing. {advice}"
    return Check(name=name, ok=False, detail=detail)


def _for_browsers(code: str, keys: S3Settings) -> str:
    """What to do where a link does not open, by S3's own word; "" = it was not S3 that spoke."""
    if code == "InvalidAccessKeyId":
        return f"This store does not know the key that signs links: correct {keys.access}."
    if code == "SignatureDoesNotMatch":
        return f"The secret that signs links is wrong: correct {keys.secret}."
    if code == "AccessDenied":
        return f"Grant s3:GetObject to the key that signs links ({keys.access})."
    if code in ("NoSuchBucket", "NoSuchKey"):
        return f"It is not there ({code}): does `queue.media.endpoint` name the same store?"
    told = f"S3 said {code}. " if code else ""
    return f"{told}Set `queue.media.endpoint` to where browsers reach S3, and check the network."


def _link(workspace: Workspace, uri: str) -> str | None:
    """As the annotation tool would make it; None: it signs with keys that we do not have."""
    if workspace.config.queue.use != "label_studio" or not uri.startswith("s3://"):
        return workspace.store.link(uri)
    from retrue.adapters.label_studio_media import media_storage

    storage = media_storage(workspace.config.queue.media)
    if storage.access_key is None or storage.secret_key is None:
        return None
    client = _client(
        endpoint=storage.endpoint,
        access_key=storage.access_key.get_secret_value(),
        secret_key=storage.secret_key.get_secret_value(),
    )
    place = urlsplit(uri)
    key = uri.removeprefix(f"s3://{place.netloc}/")
    return client.generate_presigned_url(
        "get_object", Params={"Bucket": place.netloc, "Key": key}, ExpiresIn=60
    )


def _first_shown(workspace: Workspace, uri: str) -> ObjectRef | None:
    listed = workspace.store.list_objects(uri, since=None)
    for _, ref in zip(range(MANY), listed, strict=False):
        if not ref.uri.lower().endswith(TABLES):
            return ref
    return None


def _open(root: Path, ref: ObjectRef) -> None:
    """Begin to read an object, as whoever reads the stream will."""
    if not ref.uri.startswith("s3://"):
        path = root / ref.uri.removeprefix("file://")
        try:
            path.open("rb").close()
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be read ({error.strerror}). Allow it to the user that runs retrue."
            ) from error
        return
    bucket = urlsplit(ref.uri).netloc
    try:
        key = ref.uri.removeprefix(f"s3://{bucket}/")
        _client().get_object(Bucket=bucket, Key=key)["Body"].close()
    except (ClientError, BotoCoreError) as error:
        raise explain(ref.uri, error) from error


# --- DVC's remote ----------------------------------------------------------------------------


def examine_dvc_remote(workspace: Workspace, probe: str) -> Iterator[Check]:
    """Write a small object where versions go, and remove it.

    Args:
        workspace: Whose remote.
        probe: Ends the object's name; no two looks share it.

    Raises:
        RetrueError: What was refused, and what to do.
    """
    places = dvc_places(workspace.root, workspace.config.store.dvc_remote)
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(places.settings)
    remote = settings[f"'remote \"{REMOTE}\"'"]
    url, name = remote["url"], f"{PROBE}-{probe}"
    if url.startswith("s3://"):
        yield _probe_s3(url, name, remote)
    elif "://" in url:
        detail = f"{places.shown}: only folders and S3 are asked here; `dvc push` tells"
        yield Check(name="DVC remote", ok=True, warn=True, detail=detail)
    else:
        yield _probe_folder(Path(url), name, places.shown)


def _probe_folder(folder: Path, name: str, shown: str) -> Check:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        (there / name).write_bytes(b"")
        (there / name).unlink()
    except OSError as error:
        raise StoreError(
            f"{shown}: a probe could not be written in {there} ({error.strerror}). Allow it to the "
            "user that runs retrue, or name another `store.dvc_remote`."
        ) from error
    return Check(name="DVC remote", ok=True, detail=f"{shown}: a probe was written and removed")


def _probe_s3(url: str, name: str, remote: configparser.SectionProxy) -> Check:
    client = _client(
        endpoint=remote.get("endpointurl"),
        profile=remote.get("profile"),
        access_key=remote.get("access_key_id"),
        secret_key=remote.get("secret_access_key"),
    )
    place = urlsplit(url)
    key = f"{place.path.strip('/')}/{name}".lstrip("/")
    try:
        # In SeaweedFS a PUT makes an absent bucket: a wrong name must not. Not a HEAD, whose
        # refusal does not say why.
        client.list_objects_v2(Bucket=place.netloc, Prefix=key, MaxKeys=1)
        client.put_object(Bucket=place.netloc, Key=key, Body=b"")
    except (ClientError, BotoCoreError) as error:
        raise _no_probe(url, error, _settings_of(remote)) from error
    try:
        client.delete_object(Bucket=place.netloc, Key=key)
    except (ClientError, BotoCoreError) as error:
        detail = (
            f"{without_passwords(url)}: a probe was written, and could not be removed "
            f"({explain(url, error)}). What is forgotten must be removable: grant s3:DeleteObject. "
            f"Left there: {key}"
        )
        return Check(name="DVC remote", ok=True, warn=True, detail=detail)
    shown = f"{without_passwords(url)}: a probe was written and removed"
    return Check(name="DVC remote", ok=True, detail=shown)


def _settings_of(remote: configparser.SectionProxy) -> S3Settings:
    """Where DVC's remote has its keys and address from: its own settings come first."""
    own = f"of the remote {REMOTE} in .dvc/config.local"
    named = {"access": "access_key_id", "secret": "secret_access_key", "endpoint": "endpointurl"}
    return S3Settings(**{name: f"`{key}` {own}" for name, key in named.items() if key in remote})


def _no_probe(url: str, error: ClientError | BotoCoreError, settings: S3Settings) -> RetrueError:
    shown, bucket = without_passwords(url), urlsplit(url).netloc
    code = code_of(error) if isinstance(error, ClientError) else ""
    if code in ("NoSuchBucket", "404"):
        return StoreError(
            f"{shown}: there is no bucket {bucket}. Correct store.dvc_remote, or make the bucket."
        )
    if code in ("AccessDenied", "AllAccessDisabled", "403"):
        return StoreError(
            f"{shown}: a probe could not be written: access denied. Grant s3:ListBucket on the "
            "bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject below it, to the key of "
            f"{settings.access}."
        )
    return explain(shown, error, settings)


def _client(
    *,
    endpoint: str | None = None,
    profile: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> S3Client:
    """A client that asks once or twice: somebody waits for the doctor."""
    settings = BotoConfig(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    try:
        session = cast("_Boto", boto3).Session(
            profile_name=profile, aws_access_key_id=access_key, aws_secret_access_key=secret_key
        )
        return session.client("s3", config=settings, endpoint_url=endpoint)
    except BotoCoreError as error:
        raise explain("s3", error) from error


class _Session(Protocol):
    def client(
        self, service_name: Literal["s3"], *, config: BotoConfig, endpoint_url: str | None
    ) -> S3Client: ...


class _Boto(Protocol):
    def Session(  # noqa: N802 - boto3's own name
        self,
        *,
        profile_name: str | None,
        aws_access_key_id: str | None,
        aws_secret_access_key: str | None,
    ) -> _Session: ...
