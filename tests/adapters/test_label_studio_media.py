"""Media in S3: named by the task as our records name them, signed when somebody opens the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from retrue.adapters.label_studio_config import Page
from retrue.adapters.label_studio_media import MediaStorage, media_storage, shown_uri
from retrue.adapters.queue_label_studio import LabelStudioQueue
from retrue.config import Labels, Media
from retrue.errors import ConfigError, QueueError, ServiceUnavailable
from retrue.records import ProjectKey, QueueTask
from services.label_studio import LabelStudioServer
from services.label_studio_annotator import Annotator
from services.label_studio_people import LabelStudioPeople
from services.seaweedfs import SeaweedFS

CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
PICTURE = b"\x89PNG of a cat"
KEYS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "s3cret"}
Connect = Callable[..., LabelStudioQueue]


def picture(key: str, uri: str) -> QueueTask:
    return QueueTask(task_key=key, project=CROWD, display={}, media_uri=uri)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An AWS environment of our own."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", *KEYS):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_usual_aws_names_are_honoured(keys: pytest.MonkeyPatch):
    for name, value in {**KEYS, "AWS_DEFAULT_REGION": "eu-west-3"}.items():
        keys.setenv(name, value)

    storage = media_storage(Media(), {"AWS_ENDPOINT_URL": "http://s3.test"})

    settings = storage.settings(7, "photos")
    assert {settings[f"aws_{name}"] for name in ("access_key_id", "secret_access_key")} == {
        *KEYS.values()
    }
    assert (settings["s3_endpoint"], settings["region_name"]) == ("http://s3.test", "eu-west-3")
    assert (settings["project"], settings["bucket"]) == (7, "photos")
    assert "s3cret" not in repr(storage)


def test_a_storage_that_somebody_synchronises_makes_no_tasks(keys: pytest.MonkeyPatch):
    keys.setenv("AWS_ACCESS_KEY_ID", "a")
    keys.setenv("AWS_SECRET_ACCESS_KEY", "b")

    assert media_storage(Media(), {}).settings(1, "photos")["regex_filter"] == "^$"


def test_a_server_with_a_role_of_its_own_is_given_no_keys(keys: pytest.MonkeyPatch):  # noqa: ARG001
    settings = media_storage(Media(keys="server"), {}).settings(1, "photos")

    assert "aws_access_key_id" not in settings
    assert "aws_secret_access_key" not in settings


@pytest.mark.parametrize(
    ("there", "told"), [({}, "no AWS credentials"), ({**KEYS, "AWS_SESSION_TOKEN": "t"}, "end")]
)
def test_keys_that_are_missing_or_would_end_are_refused(
    there: dict[str, str], told: str, keys: pytest.MonkeyPatch
):
    for name, value in there.items():
        keys.setenv(name, value)

    with pytest.raises(ConfigError, match=told) as caught:
        media_storage(Media(), {})

    assert "s3cret" not in str(caught.value)


def test_the_mark_changes_with_the_key_and_tells_none(keys: pytest.MonkeyPatch):  # noqa: ARG001
    old, new = (
        media_storage(Media(access_key=SecretStr(name), secret_key=SecretStr("s")), {})
        for name in ("AKIAOLD", "AKIANEW")
    )

    assert old.mark != new.mark
    assert "AKIA" not in old.mark + new.mark


def test_a_file_of_this_machine_is_refused_and_other_addresses_pass():
    for uri in ("s3://photos/a b.png", "https://example.com/a.png"):
        assert shown_uri(uri) == uri
    with pytest.raises(QueueError, match="Keep media in S3"):
        shown_uri("local/photos/a.png")


# --- on a real Label Studio and a real S3 ---------------------------------------------------------


@pytest.fixture
def storage(seaweed: SeaweedFS) -> MediaStorage:
    """Keys of one who may only read, and the shortest life a link can have."""
    access, secret = seaweed.reader
    return MediaStorage(
        access_key=SecretStr(access),
        secret_key=SecretStr(secret),
        endpoint=seaweed.url,
        region="us-east-1",
        minutes=1,
        proxied=False,
    )


@pytest.fixture
def connect(label_studio_server: LabelStudioServer, tmp_path: Path) -> Connect:
    def connected(storage: MediaStorage) -> LabelStudioQueue:
        return LabelStudioQueue(
            label_studio_server.url,
            label_studio_server.token,
            project_prefix=str(tmp_path),
            schema_of=lambda _: Labels(kind="choice", classes=("cat", "dog")),
            link=shown_uri,
            storage=lambda: storage,
            page=Page(shown="image"),
            settle=0.2,
        )

    return connected


@pytest.fixture
def ann(label_studio_server: LabelStudioServer) -> Iterator[Annotator]:
    with closing(Annotator(label_studio_server, "ann")) as annotator:
        yield annotator


def put(seaweed: SeaweedFS, *names: str) -> list[str]:
    with closing(seaweed.client()) as client:
        for name in names:
            client.put_object(Bucket="plain", Key=name, Body=PICTURE, ContentType="image/png")
    return [f"s3://plain/{name}" for name in names]


def seen_by(ann: Annotator, queue: LabelStudioQueue, key: str) -> str:
    """The address that the page of a task shows."""
    (copy,) = queue.tasks([key])
    return str(ann.see(f"/api/tasks/{copy.tool_id}/")["data"]["media"])


@pytest.mark.service
def test_an_annotators_browser_gets_the_picture(
    seaweed: SeaweedFS, storage: MediaStorage, connect: Connect, ann: Annotator
):
    uris = put(seaweed, "cam/ä b+c.png", "cam/100%25 [1]&2.png")
    queue = connect(storage)
    queue.add([picture(f"t{number}", uri) for number, uri in enumerate(uris)])

    for number in range(len(uris)):
        reply = ann.open(seen_by(ann, queue, f"t{number}"))

        assert reply.status_code == 303
        assert httpx.get(reply.headers["Location"]).content == PICTURE


@pytest.mark.service
def test_who_is_not_signed_in_gets_no_picture(
    seaweed: SeaweedFS,
    storage: MediaStorage,
    connect: Connect,
    ann: Annotator,
    label_studio_server: LabelStudioServer,
):
    queue = connect(storage)
    queue.add([picture("t1", put(seaweed, "a.png")[0])])
    address = seen_by(ann, queue, "t1")

    assert httpx.get(f"{label_studio_server.url}{address}").status_code == 401


@pytest.mark.service
@pytest.mark.slow
def test_a_picture_still_loads_when_its_first_link_has_ended(
    seaweed: SeaweedFS, storage: MediaStorage, connect: Connect, ann: Annotator
):
    queue = connect(storage)
    queue.add([picture("t1", put(seaweed, "late.png")[0])])
    address = seen_by(ann, queue, "t1")
    first = ann.open(address).headers["Location"]
    time.sleep(62.0)

    again = ann.open(address).headers["Location"]

    assert httpx.get(first).status_code == 403
    assert httpx.get(again).content == PICTURE


@pytest.mark.service
def test_a_proxied_picture_comes_through_label_studio(
    seaweed: SeaweedFS, storage: MediaStorage, connect: Connect, ann: Annotator
):
    queue = connect(replace(storage, proxied=True))
    queue.add([picture("t1", put(seaweed, "p.png")[0])])

    reply = ann.open(seen_by(ann, queue, "t1"))

    assert (reply.status_code, reply.content) == (200, PICTURE)


@pytest.mark.service
def test_a_bucket_is_attached_once_and_again_with_other_keys(
    seaweed: SeaweedFS,
    storage: MediaStorage,
    connect: Connect,
    label_studio_server: LabelStudioServer,
):
    (uri,) = put(seaweed, "a.png")
    queue = connect(storage)
    queue.add([picture("t1", uri)])
    queue.add([picture("t2", uri)])
    admin = replace(
        storage,
        access_key=SecretStr(seaweed.access_key),
        secret_key=SecretStr(seaweed.secret_key),
    )
    connect(admin).add([picture("t3", uri)])

    people = LabelStudioPeople(label_studio_server, queue)
    (copy,) = queue.tasks(["t1"])
    project = people.call("GET", f"/api/tasks/{copy.tool_id}/")["project"]
    (there,) = people.call("GET", f"/api/storages/s3/?project={project}")
    assert there["description"] == admin.mark
    assert seaweed.reader[1] not in str(there)
    people.call("POST", f"/api/storages/s3/{there['id']}/sync")
    assert queue.held(["t1", "t2", "t3"]) == 3
    assert people.call("GET", f"/api/projects/{project}/")["task_number"] == 3


@pytest.mark.service
def test_a_bucket_that_cannot_be_opened_is_named(storage: MediaStorage, connect: Connect):
    with pytest.raises((QueueError, ServiceUnavailable), match="absent-bucket"):
        connect(storage).add([picture("t1", "s3://absent-bucket/a.png")])
