"""What a run works on: rows that all runs of one world share, and a workspace of its own."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import boto3
import httpx
import numpy as np
import pandas as pd
from botocore.config import Config as BotoConfig

from faults.real.stack import Stack
from retrue.adapters.dataset_files import write_dataset
from retrue.adapters.label_studio_config import Page
from retrue.adapters.models_memory import MemoryModels
from retrue.adapters.notify_webhook import Silent
from retrue.adapters.queue_label_studio import LabelStudioQueue
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.repo_git_dvc import GitDvcRepo
from retrue.adapters.repo_memory import MemoryRepo
from retrue.adapters.s3_access import S3Access
from retrue.adapters.state_sql import SqlWorkingState, open_ledger
from retrue.adapters.store_s3 import S3Store
from retrue.cli.stage import migrate_under
from retrue.config import Config, Labels, load_config
from retrue.ports import DatasetRepo, FitResult, ModelRegistry, SampleStore
from retrue.workspace import Workspace

__all__ = ["BUCKET", "LABELS", "Patience", "Place", "config_of", "fill_bucket", "open_place"]

LABELS = Labels(kind="choice", classes=("left", "right"))
BUCKET = "faults"  # one: SeaweedFS takes seven of its volumes for every bucket
ROWS, BOOTSTRAP = 40, 8  # rows there are, tasks of the first round


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a run waits for what; short, so that a thousand time-outs fit in an hour."""

    reply: float = 8.0  # seconds for an answer of Label Studio or S3
    pause: float = 0.15  # longest pause before a request is sent again
    settle: float = 3.0  # seconds without a new task after which an import has come to rest
    transfer: float = 45.0  # seconds for what DVC or git send


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One run's way to the services, through its proxies; travels to the working process."""

    name: str  # the run's: prefix of its projects, id of its rows in the ledger
    world: int  # which rows there are, and what people say about them
    root: Path
    label_studio: str
    token: str
    s3: str
    s3_env: dict[str, str]
    ledger: str
    patience: Patience
    whole: bool = False  # a workspace in git, for a whole loop


def rows_of(world: int) -> str:
    """Raw data are never changed, so all runs of a world read the same objects."""
    return f"world-{world:03d}/in"


def config_of(world: int) -> Config:
    """A table of two numbers; half of the first round is audited by two people."""
    return Config.model_validate(
        {
            "project": "points",
            "data": {
                "kind": "table",
                "incoming": {"uri": f"s3://{BUCKET}/{rows_of(world)}", "key": "id"},
                "fields": {"x": {"type": "number"}, "y": {"type": "number"}},
            },
            "select": {"bootstrap": BOOTSTRAP, "budget": BOOTSTRAP},
            "round": {"open": "auto"},
        }
    )


def fill_bucket(stack: Stack, world: int, *, rows: int = ROWS) -> None:
    """Rows of one world; the label is the side `x` lies on."""
    put_rows(stack, f"{rows_of(world)}/first.parquet", rows, seed=world)


def put_rows(stack: Stack, key: str, rows: int, *, seed: int, shift: float = 0.0) -> None:
    """An object with rows, unless it is there; `shift` moves them to the right."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows) + shift
    right = 1 / (1 + np.exp(-3 * x))
    table = {"id": [f"p{seed}-{i:03d}" for i in range(rows)], "x": x, "y": rng.normal(size=rows)}
    data = io.BytesIO()
    pd.DataFrame(table | {"p_left": 1 - right, "p_right": right}).to_parquet(data, index=False)
    client = s3_client(stack.s3, stack.s3_env, seconds=30)
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    if not client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("KeyCount"):
        client.put_object(Bucket=BUCKET, Key=key, Body=data.getvalue())


def s3_client(url: str, env: dict[str, str], *, seconds: float) -> Any:
    """As the store's own, with less patience."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=BotoConfig(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=seconds,
            retries={"mode": "standard", "total_max_attempts": 2},
        ),
    )


class Hasty(httpx.HTTPTransport):
    """The network, with our patience instead of the client's five minutes."""

    def __init__(self, seconds: float) -> None:
        super().__init__(verify=False)
        self._limits = dict.fromkeys(("connect", "read", "write", "pool"), seconds)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = self._limits
        return super().handle_request(request)


def open_queue(place: Place) -> LabelStudioQueue:
    """Label Studio as `wiring` opens it, but in a hurry."""
    patience = place.patience
    return LabelStudioQueue(
        place.label_studio,
        place.token,
        project_prefix=place.name,
        schema_of=lambda _: LABELS,
        link=lambda uri: uri,
        page=Page(shown="table"),
        settle=patience.settle,
        transport=Hasty(patience.reply),
        # Only what waits for an import to rest waits as long as it wants.
        sleep=lambda s: time.sleep(s if s == patience.settle else min(s, patience.pause)),
    )


def open_store(place: Place, config: Config) -> S3Store:
    """S3 as `wiring` opens it, but in a hurry."""
    access = S3Access()
    access._client = s3_client(place.s3, place.s3_env, seconds=place.patience.reply)
    streams = (config.data.incoming, config.data.inference)
    return S3Store(access, [stream.uri for stream in streams if stream is not None])


class Later:
    """Opened when it is first asked: boto3 takes a while, and push and collect need no store."""

    def __init__(self, connect: Callable[[], object]) -> None:
        self._connect = cache(connect)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connect(), name)


def open_place(place: Place, *, holder: str) -> Workspace:
    """What the steps take; changes this process's environment.

    Raises:
        ServiceUnavailable: The ledger does not answer.
    """
    os.environ.update(place.s3_env | {"AWS_ENDPOINT_URL": place.s3})
    config = load_config(place.root) if place.whole else config_of(place.world)
    records = FileRoundRecord(place.root / "data")
    state = open_ledger(place.ledger, workspace=place.name)
    if place.whole:
        seconds = place.patience.transfer
        repo: DatasetRepo = GitDvcRepo(
            place.root, config, check=state.check_lease, transfer_seconds=seconds
        )
    else:
        repo = _repo_in_memory(place, config, records, state)
    return Workspace(
        root=place.root,
        config=config,
        labels=LABELS,
        store=cast("SampleStore", Later(lambda: open_store(place, config))),
        queue=open_queue(place),
        records=records,
        state=state,
        repo=repo,
        models=cast("ModelRegistry", Later(lambda: _models(place, config))),
        notify=Silent(),
        holder=holder,
    )


def _models(place: Place, config: Config) -> object:
    if not place.whole:
        return MemoryModels(place.root, config, LABELS)
    from retrue.adapters.models_mlflow import MlflowModels  # takes seconds, for loops only

    return MlflowModels(None, None, root=place.root, config=config, labels=LABELS)


def _repo_in_memory(
    place: Place, config: Config, records: FileRoundRecord, state: SqlWorkingState
) -> MemoryRepo:
    """A version is built and looked at in one process."""
    return MemoryRepo(
        config.project,
        place=place.root / "versions",
        records=list,
        build=lambda out: write_dataset(
            records, out, version=None, project=config.project, migrate=migrate_under(LABELS)
        ),
        fit=_never,
        check=state.check_lease,
    )


def _never(dataset: Path) -> FitResult:
    raise ValueError(f"{dataset}: these runs train nothing")
