"""Media of tasks: Label Studio signs each link itself, when somebody opens the page.

A task says `s3://bucket/key` as our records do, and its project has a source storage for the
bucket. That storage is never synchronised: its filter matches no object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError
from pydantic import SecretStr

from retrue.adapters.label_studio_api import LabelStudioApi
from retrue.config import Media
from retrue.errors import ConfigError, QueueError, ServiceUnavailable
from retrue.records import Json, short_hash

__all__ = ["MediaStorage", "attach_media", "bucket_of", "media_storage", "shown_uri"]

NOTHING = "^$"  # no object has an empty name: a synchronisation by mistake makes no tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStorage:
    """What Label Studio is given to sign links with; it stores it in its database."""

    access_key: SecretStr | None  # None: the server signs with what its own environment has
    secret_key: SecretStr | None
    endpoint: str | None  # as the server and browsers reach it; None: AWS
    region: str | None
    minutes: int  # how long a link lives, >= 1
    proxied: bool  # the server fetches the object itself and shows no link

    @property
    def mark(self) -> str:
        """Changes with everything but the secret; stands in the storage's description."""
        access = self.access_key.get_secret_value() if self.access_key else ""
        parts = (access, self.endpoint or "", self.region or "", str(self.minutes))
        return f"retrue:{short_hash(*parts, str(self.proxied), digits=12)}"

    def settings(self, project: int, bucket: str) -> dict[str, Json]:
        """A source storage as the server's API takes it."""
        settings: dict[str, Json] = {
            "project": project,
            "title": "media",
            "description": self.mark,
            "bucket": bucket,
            "prefix": "",
            "regex_filter": NOTHING,
            "use_blob_urls": True,
            "presign": not self.proxied,
            "presign_ttl": self.minutes,
            "region_name": self.region or "",
            "s3_endpoint": self.endpoint or "",
        }
        if self.access_key is not None and self.secret_key is not None:
            settings["aws_access_key_id"] = self.access_key.get_secret_value()
            settings["aws_secret_access_key"] = self.secret_key.get_secret_value()
        return settings


def media_storage(media: Media, environ: Mapping[str, str] = os.environ) -> MediaStorage:
    """The storage that a configuration and the usual AWS names describe.

    Args:
        media: The section `queue.media`.
        environ: Where the endpoint is looked for if the section names none.

    Raises:
        ConfigError: There are no keys, or they end with a session.
    """
    session = boto3.Session()
    access, secret = media.access_key, media.secret_key
    if media.keys == "server":
        access = secret = None
    elif access is None or secret is None:
        access, secret = _lasting_keys(session)
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    return MediaStorage(
        access_key=access,
        secret_key=secret,
        endpoint=media.endpoint or endpoint,
        region=session.region_name,
        minutes=media.link_minutes,
        proxied=media.proxied,
    )


def _lasting_keys(session: boto3.Session) -> tuple[SecretStr, SecretStr]:
    try:
        found = session.get_credentials()
        keys = None if found is None else found.get_frozen_credentials()
    except BotoCoreError as error:
        raise ConfigError(f"queue.media: AWS credentials cannot be read: {error}") from error
    expected = (
        "queue.media: Label Studio signs links to media for weeks, so it needs keys that last. Set "
        "`access_key` and `secret_key` (one that may only read), or `keys: server` if Label Studio "
        "has a role of its own. "
    )
    if keys is None or not keys.access_key or not keys.secret_key:
        raise ConfigError(f"{expected}Found no AWS credentials.")
    if keys.token:
        raise ConfigError(f"{expected}Found AWS credentials that end with their session.")
    return SecretStr(keys.access_key), SecretStr(keys.secret_key)


def bucket_of(uri: str) -> str | None:
    """The bucket of an `s3://` uri; None for another.

    >>> bucket_of("s3://photos/a b.png"), bucket_of("https://example.com/a.png")
    ('photos', None)
    """
    return urlsplit(uri).netloc if uri.startswith("s3://") else None


def shown_uri(uri: str) -> str:
    """What a task says of a media uri: what the server or a browser can open, as it is.

    Raises:
        QueueError: It is a file of this machine.
    """
    if uri.startswith(("s3://", "http://", "https://")):
        return uri
    raise QueueError(
        f"{uri}: Label Studio cannot open a file of this machine. Keep media in S3 (`retrue stack "
        "up` starts one), or name them by http(s) addresses."
    )


def attach_media(
    api: LabelStudioApi, project: int, uris: Iterable[str], keys: Callable[[], MediaStorage]
) -> None:
    """See that a project has a storage, with today's keys, for every bucket of these uris.

    Args:
        api: The server.
        project: Its number of the project.
        uris: What tasks say of their media; those in no bucket need nothing.
        keys: Asked for only where there is a bucket.

    Raises:
        ServiceUnavailable: The server cannot open a bucket, or is busy: it does not say which.
    """
    wanted = {bucket for bucket in map(bucket_of, uris) if bucket is not None}
    if not wanted:
        return
    storage = keys()
    there = {item.bucket: item for item in api.storages(project)}
    for bucket in sorted(wanted):
        settings = storage.settings(project, bucket)
        try:
            if bucket not in there:
                api.create_storage(settings)
            elif there[bucket].description != storage.mark:
                api.change_storage(there[bucket].id, settings)
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"{error}. It was to open the bucket {bucket}: does Label Studio reach "
                f"{storage.endpoint or 'AWS'}, and may the keys of queue.media read there?"
            ) from error
