"""The way into S3: a client of our own session, which knows how long its credentials live.

Not boto3's default session: that one is shared by everything in the process and keeps the
credentials it saw first. Those that renew themselves (roles, SSO, `credential_process`) are renewed
by boto3; those in files and in the environment are read again when the store says they expired.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol, cast

import boto3
from botocore.config import Config as BotoConfig
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError

from retrue.adapters.s3_errors import explain
from retrue.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["LONGEST_LINK", "S3Access"]

LONGEST_LINK = 7 * 24 * 3600  # seconds; S3 signs nothing for longer
_OF_A_TOKEN = 3600  # seconds; a session token that does not say when it ends lasts at least so long
_CONNECTIONS = 16  # more than threads ask at once
_ATTEMPTS = 5  # the first one included


class S3Access:
    """A client, and what is known of its credentials."""

    def __init__(self) -> None:
        """Configure by the usual AWS names in the environment, and the files they point to.

        Raises:
            StoreError: The settings contradict themselves, or name a profile that is not there.
        """
        self._lock = Lock()
        self._connect()

    @property
    def client(self) -> S3Client:
        """The client; threads may share it."""
        return self._client

    def renew(self, old: S3Client) -> bool:
        """Read credentials again; False if they are still those that `old` has."""
        with self._lock:
            if self._client is not old:
                return True  # another thread was quicker
            before = self._known()
            self._connect()
            return self._known() != before

    def lifetime(self, seconds: int) -> int:
        """How long a link made now can last: `seconds`, or less where credentials end before.

        A link dies with the credentials that signed it. Where a session token does not say when it
        ends, an hour is taken.

        Raises:
            StoreError: The credentials have ended.
        """
        credentials = self._session.get_credentials()
        left = min(seconds, LONGEST_LINK)
        if isinstance(credentials, RefreshableCredentials):
            frozen = credentials.get_frozen_credentials()  # renews, where that is due
            left = bisect_left(range(1, left + 1), True, key=credentials.refresh_needed)
        else:
            frozen = credentials
            if frozen is not None and frozen.token:
                left = min(left, _OF_A_TOKEN)
        if left < 1:
            raise StoreError("the session token has expired. Log in again, then call again.")
        return left

    def _connect(self) -> None:
        try:
            self._session = cast("_Boto", boto3).Session()
            self._client = self._session.client("s3", config=_settings())
        except BotoCoreError as error:
            raise explain("s3", error) from error
        except ValueError as error:
            raise StoreError(
                f"s3: {error}. Correct AWS_ENDPOINT_URL or AWS_MAX_ATTEMPTS."
            ) from error

    def _known(self) -> tuple[str | None, ...]:
        found = self._session.get_credentials()
        return () if found is None else (found.access_key, found.secret_key, found.token)


def _settings() -> BotoConfig:
    """Standard retries: exponential backoff with jitter, and a budget that failures use up.

    The budget is botocore's retry quota: when many requests fail, it stops repeating them.
    """
    return BotoConfig(
        signature_version="s3v4",
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=_CONNECTIONS,
        retries={
            "mode": "adaptive" if os.environ.get("AWS_RETRY_MODE") == "adaptive" else "standard",
            "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS),
        },
    )


class _Credentials(Protocol):
    access_key: str | None
    secret_key: str | None
    token: str | None


class _Session(Protocol):
    def client(self, service_name: Literal["s3"], *, config: BotoConfig) -> S3Client: ...
    def get_credentials(self) -> _Credentials | None: ...


class _Boto(Protocol):
    def Session(self) -> _Session: ...  # noqa: N802 - boto3's own name
