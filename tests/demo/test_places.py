"""A folder and a bucket are the same to the demo's application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from moto import mock_aws

from retrue.demo.places import Folder, Place, make_bucket

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(params=["folder", "bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "folder":
        yield Folder(path=tmp_path, uri="bucket")
        return
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield make_bucket("digits")


def test_what_is_put_can_be_got(place: Place):
    place.put("incoming/1.png", b"one", at=NOON)
    place.put("incoming/1.png", b"new", at=NOON)

    assert place.get("incoming/1.png") == b"new"


def test_a_folder_keeps_the_storys_time(tmp_path: Path):
    Folder(path=tmp_path, uri="bucket").put("log/1.parquet", b"rows", at=NOON)

    assert (tmp_path / "log/1.parquet").stat().st_mtime == NOON.timestamp()
