"""A round over a bucket: every record names objects by `s3://`, and none holds a signed link."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

from loop_facts import a_picture
from retrue.adapters.digest_cache import DigestCache
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.s3_access import S3Access
from retrue.adapters.state_sql import open_ledger
from retrue.adapters.store_any import AnyStore
from retrue.adapters.store_s3 import S3Store
from retrue.config import Config
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.workspace import Workspace
from world import World, a_config

ROOT = "s3://acme/cam"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.Session().client("s3")
        client.create_bucket(Bucket="acme")
        yield client


def over_a_bucket(world: World, folder: Path, config: Config) -> Workspace:
    store = S3Store(S3Access(), [ROOT])
    return replace(
        world.workspace(),
        config=config,
        store=AnyStore({"s3": store}, DigestCache(folder / "digests.sqlite")),
        records=FileRoundRecord(folder / "data"),
        state=open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", workspace="w"),
    )


def test_every_record_names_its_object_and_none_holds_a_link(bucket: Any, tmp_path: Path):
    rng = np.random.default_rng(0)
    bodies = {f"{ROOT}/{n:02}.png": a_picture(rng.integers(0, 255, (8, 8))) for n in range(40)}
    for uri, body in bodies.items():
        bucket.put_object(Bucket="acme", Key=uri.removeprefix("s3://acme/"), Body=body)
    data = {"kind": "image", "incoming": {"uri": ROOT}}
    world = World(tmp_path, config=a_config(data=data, select={"budget": 8, "bootstrap": 8}))
    place = over_a_bucket(world, tmp_path, world.config)

    (ingested,) = ingest_windows(place, now=world.now)
    select_samples(place, now=world.now)
    push_tasks(place, now=world.now)

    assert ingested.window is not None
    (window,) = place.state.windows()
    assert {ref.uri for ref in window.objects} == {*bodies}
    (planned,) = place.records.rounds()
    samples = place.records.samples(planned.plan.round_id)
    assert len(samples) >= 8
    for sample in samples:
        digest = hashlib.sha256(bodies[sample.uri]).hexdigest()
        assert (sample.media_uri, sample.media_sha256) == (sample.uri, digest)
        assert sample.media_version == sample.object_version
    tasks = place.records.tasks(planned.plan.round_id)
    held = json.dumps([asdict(one) for one in (*samples, *tasks)], default=str)
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert "http" not in held
    assert b"X-Amz-" not in files
    assert b"Signature=" not in files
