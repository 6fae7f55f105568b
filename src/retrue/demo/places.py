"""Where the demo's application keeps its pictures and logs: a folder, or a bucket."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Bucket", "Folder", "Place", "make_bucket"]


class Place(Protocol):
    """Objects by name."""

    @property
    def uri(self) -> str:
        """How the configuration names it, without a slash at the end."""
        ...

    def put(self, name: str, body: bytes, *, at: datetime) -> None:
        """Write an object; `at` is when it came, where the place lets us say so."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Files; the story's time is written on them."""

    path: Path
    uri: str  # from the workspace's root

    def put(self, name: str, body: bytes, *, at: datetime) -> None:
        """As the protocol says."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (at.timestamp(), at.timestamp()))

    def get(self, name: str) -> bytes:
        """As the protocol says."""
        return (self.path / name).read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Objects in S3, which puts its own time on them."""

    client: S3Client
    name: str

    @property
    def uri(self) -> str:
        """As the protocol says."""
        return f"s3://{self.name}"

    def put(self, name: str, body: bytes, *, at: datetime) -> None:  # noqa: ARG002 - S3's own time
        """As the protocol says."""
        self.client.put_object(Bucket=self.name, Key=name, Body=body)

    def get(self, name: str) -> bytes:
        """As the protocol says."""
        return self.client.get_object(Bucket=self.name, Key=name)["Body"].read()


def make_bucket(name: str) -> Bucket:
    """A new bucket of the application, by the usual AWS names in the environment."""
    from retrue.adapters.s3_access import S3Access

    client = S3Access().client
    client.create_bucket(Bucket=name)
    return Bucket(client=client, name=name)
