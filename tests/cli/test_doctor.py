"""`retrue doctor`: each service that is wrong is named with what to do, each other says ok."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from retrue.adapters import examine_machine, examine_stores
from retrue.adapters.examining import Check, examined
from retrue.config import StreamSource, load_config
from retrue.errors import ConfigError
from retrue.wiring import clock, label_studio_client, open_workspace
from retrue.workspace import Workspace
from web_that_says import Bucket, WebThatSays, answering


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(objects={"cam/a.png": "a picture"})


@pytest.fixture
def s3(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebThatSays]:
    """An S3 of our own, which everything here is pointed to."""
    with answering(bucket) as web:
        for name, value in {
            "AWS_ENDPOINT_URL": web.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "canary",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield web


@pytest.fixture
def in_s3(workspace: Path) -> Callable[..., Workspace]:
    """The workspace with its stream and its remote in S3, other buckets where they are named."""

    def make(*, incoming: str = "s3://fruit/cam/", remote: str = "s3://fruit/dvc") -> Workspace:
        project = workspace / "configs/project.yaml"
        config = yaml.safe_load(project.read_text(encoding="utf-8"))
        config["data"]["incoming"]["uri"] = incoming
        config.setdefault("store", {})["dvc_remote"] = remote
        project.write_text(yaml.safe_dump(config), encoding="utf-8")
        return open_workspace(workspace)

    return make


def stream_of(workspace: Workspace) -> StreamSource:
    stream = workspace.config.data.incoming
    assert stream is not None
    return stream


def look_at(name: str, workspace: Workspace) -> Check:
    """The one line about a store."""
    looks = {
        "data": lambda: examine_stores.examine_stream(workspace, name, stream_of(workspace)),
        "clock": lambda: examine_stores.examine_s3_clock(clock),
        "media": lambda: examine_stores.examine_media(workspace, stream_of(workspace)),
        "remote": lambda: examine_stores.examine_dvc_remote(workspace, "1"),
    }
    (found,) = examined(name, looks[name])
    return found


def test_an_s3_in_order_says_ok_in_each_line_and_keeps_no_probe(
    s3: WebThatSays, bucket: Bucket, in_s3: Callable[..., Workspace]
):
    workspace = in_s3()

    found = {name: look_at(name, workspace) for name in ("data", "clock", "media", "remote")}

    assert {name for name, one in found.items() if one.ok and not one.warn} == {*found}
    assert "came as image/png by a link without a login" in found["media"].detail
    assert ("PUT", "/fruit/dvc/retrue-probe-1") in s3.heard
    assert [*bucket.objects] == ["cam/a.png"]


@pytest.mark.usefixtures("s3")
def test_a_missing_bucket_is_named(in_s3: Callable[..., Workspace]):
    workspace = in_s3(incoming="s3://friut/cam/", remote="s3://friut/dvc")

    assert "found none of this name" in look_at("data", workspace).detail
    assert not look_at("data", workspace).ok
    assert not look_at("remote", workspace).ok
    assert (
        "there is no bucket friut. Correct store.dvc_remote" in look_at("remote", workspace).detail
    )


@pytest.mark.usefixtures("s3")
def test_keys_that_may_only_read_are_told_at_the_probe(
    bucket: Bucket, in_s3: Callable[..., Workspace]
):
    bucket.denied = frozenset({"PUT"})
    workspace = in_s3()

    found = look_at("remote", workspace)

    assert look_at("data", workspace).ok
    assert not found.ok
    assert "a probe could not be written: access denied" in found.detail
    assert "s3:PutObject" in found.detail


@pytest.mark.usefixtures("s3")
def test_a_probe_that_cannot_be_removed_is_named(bucket: Bucket, in_s3: Callable[..., Workspace]):
    bucket.denied = frozenset({"DELETE"})

    found = look_at("remote", in_s3())

    assert (found.ok, found.warn) == (True, True)
    assert "grant s3:DeleteObject" in found.detail
    assert "Left there: dvc/retrue-probe-1" in found.detail


@pytest.mark.usefixtures("s3")
def test_a_wrong_key_is_told_and_no_secret_is_shown(
    bucket: Bucket, in_s3: Callable[..., Workspace]
):
    bucket.code = "InvalidAccessKeyId"
    workspace = in_s3()

    for name in ("data", "remote"):
        found = look_at(name, workspace)

        assert not found.ok
        assert "does not know the access key" in found.detail
        assert "Correct AWS_ACCESS_KEY_ID" in found.detail
        assert "canary" not in found.detail


@pytest.mark.usefixtures("s3")
def test_a_wrong_secret_of_the_remote_s_own_is_named_where_it_is_set(
    bucket: Bucket, in_s3: Callable[..., Workspace]
):
    bucket.code = "SignatureDoesNotMatch"
    workspace = in_s3()
    (workspace.root / ".dvc/config.local").write_text(
        "['remote \"retrue\"']\n    access_key_id = k\n    secret_access_key = canary\n"
    )

    found = look_at("remote", workspace)

    assert "Correct `secret_access_key` of the remote retrue in .dvc/config.local" in found.detail
    assert "canary" not in found.detail


@pytest.mark.parametrize(
    ("ahead", "ok", "warn"), [(0, True, False), (60, True, True), (-900, False, False)]
)
def test_a_clock_that_differs_is_told_with_how_far(
    s3: WebThatSays, in_s3: Callable[..., Workspace], ahead: int, ok: bool, warn: bool
):
    workspace = in_s3()
    s3.skew = timedelta(seconds=ahead)

    found = look_at("clock", workspace)

    assert (found.ok, found.warn) == (ok, warn)
    assert ("timedatectl" in found.detail) == (ahead != 0)


@pytest.mark.usefixtures("s3")
def test_media_that_a_browser_cannot_fetch_are_told_without_the_link_s_signature(
    bucket: Bucket, in_s3: Callable[..., Workspace]
):
    bucket.denied = frozenset({"GET"})

    found = look_at("media", in_s3())

    assert not found.ok
    assert "HTTP 403" in found.detail
    assert "s3:GetObject" in found.detail
    assert "Signature" not in found.detail


SIGNS_WITH = {
    "its own": ("queue.media.access_key", "queue.media.secret_key"),
    "the environment's": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}


@pytest.mark.parametrize("keys", [*SIGNS_WITH])
@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("InvalidAccessKeyId", "does not know the key that signs links: correct {access}."),
        ("SignatureDoesNotMatch", "secret that signs links is wrong: correct {secret}."),
        ("AccessDenied", "Grant s3:GetObject to the key that signs links ({access})"),
        ("NoSuchKey", "is not there (NoSuchKey)"),
        ("Strange", "S3 said Strange. Set `queue.media.endpoint`"),
    ],
)
def test_keys_that_sign_no_link_are_named_by_what_s3_said(
    bucket: Bucket,
    s3: WebThatSays,
    in_s3: Callable[..., Workspace],
    keys: str,
    code: str,
    advice: str,
):
    project = in_s3().root / "configs/project.yaml"
    config = yaml.safe_load(project.read_text(encoding="utf-8"))
    config["queue"] = {"use": "label_studio", "url": "http://127.0.0.1:9", "media": {}}
    if keys == "its own":
        config["queue"]["media"] = {"access_key": "m", "secret_key": "canary"}
    project.write_text(yaml.safe_dump(config), encoding="utf-8")
    workspace = open_workspace(project.parent.parent)
    body = f"<Error><Code>{code}</Code></Error>"
    s3.answer = lambda method, path: (
        (403, "application/xml", body) if "X-Amz-Signature" in path else bucket(method, path)
    )

    found = look_at("media", workspace)

    access, secret = SIGNS_WITH[keys]
    assert not found.ok
    assert advice.format(access=access, secret=secret) in found.detail
    assert "canary" not in found.detail


@pytest.mark.parametrize(
    ("url", "missing"), [("", "queue.url"), ("http://127.0.0.1:9", "LABEL_STUDIO_API_KEY")]
)
def test_what_label_studio_lacks_is_named_alone(
    workspace: Path, url: str, missing: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "")
    config = load_config(workspace)

    with pytest.raises(ConfigError) as told:
        label_studio_client(config)

    assert str(told.value).startswith(f"{missing}: expected ")
    assert str(told.value).count("LABEL_STUDIO") == 1


def test_an_s3_that_is_not_there_is_told(
    in_s3: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    found = look_at("clock", in_s3())

    assert not found.ok
    assert "no S3 answers (ConnectError)" in found.detail
    assert "Check AWS_ENDPOINT_URL and the network" in found.detail
    assert "`retrue stack up`" in look_at("remote", in_s3()).detail


# --- this machine ----------------------------------------------------------------------------


def test_a_lock_that_a_killed_git_left_is_told_and_a_young_one_is_minded(workspace: Path):
    lock = workspace / ".git/index.lock"
    lock.touch()
    opened = open_workspace(workspace)

    young = git_lock(opened)
    os.utime(lock, (0, 0))
    old = git_lock(opened)
    lock.unlink()

    assert (young.ok, young.warn) == (True, True)
    assert not old.ok
    assert f"{lock} is" in old.detail
    assert "days old" in old.detail
    assert git_lock(opened).detail == "none was left behind"


def git_lock(workspace: Workspace) -> Check:
    (found,) = [
        one for one in examine_machine.examine_git(workspace, clock()) if one.name == "git lock"
    ]
    return found


def test_a_remote_of_git_that_does_not_answer_is_told(workspace: Path):
    opened = open_workspace(workspace)
    git = examine_machine.Git(workspace)
    git("remote", "add", "origin", str(workspace.parent / "gone"))

    found = [*examined("git", lambda: examine_machine.examine_git(opened, clock()))]

    assert not found[-1].ok
    assert "gone" in found[-1].detail


@pytest.mark.parametrize(
    ("free", "ok", "warn"), [(10, True, False), (2, True, True), (0, False, False)]
)
def test_little_room_is_minded_and_none_is_wrong(tmp_path: Path, free: int, ok: bool, warn: bool):
    (found,) = examine_machine.examine_disk(tmp_path, free=free * 2**30)

    assert (found.ok, found.warn) == (ok, warn)
    assert ("dvc gc" in found.detail) == (free < 5)


def test_a_variable_that_is_not_set_is_named(workspace: Path):
    project = workspace / "configs/project.yaml"
    text = project.read_text(encoding="utf-8")
    project.write_text(f"{text}notify: {{webhook: '${{A_HOOK_OF_OURS}}'}}\n", encoding="utf-8")

    (found,) = examine_machine.examine_environment(workspace, {})

    assert found.warn
    assert "${A_HOOK_OF_OURS} is not set, so notify.webhook counts as left out" in found.detail


# --- the command -----------------------------------------------------------------------------


def test_one_service_that_is_away_hides_no_other_and_the_exit_code_is_1(
    retrue: Callable[..., Result], workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PREFECT_API_URL", f"{nowhere()}/api")

    told = retrue(workspace, "doctor")

    lines = told.stdout.splitlines()
    assert told.exit_code == 1
    (wrong,) = [line for line in lines if line.startswith("WRONG")]
    assert "no Prefect server answers" in wrong
    assert "retrue stack up" in told.stdout
    assert any(line.startswith("ok     git lock") for line in lines)
    assert "checks failed" in told.stderr


def test_what_is_asked_is_not_told_twice(retrue: Callable[..., Result], workspace: Path):
    project = workspace / "configs/project.yaml"
    database = f"sqlite:///{workspace}/elsewhere.sqlite"
    project.write_text(f"{project.read_text(encoding='utf-8')}store: {{ledger: '{database}'}}\n")

    told = json.loads(retrue(workspace, "doctor", "--json").stdout)

    names = [one["name"] for one in told]
    assert len(names) == len({*names})
    assert {"data.incoming", "ledger"} <= {*names}
    assert not [one for one in told if "asks it" in one["detail"]]


def test_its_answer_can_be_read_by_programs_also_where_something_is_wrong(
    retrue: Callable[..., Result], workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PREFECT_API_URL", f"{nowhere()}/api")

    told = retrue(workspace, "doctor", "--json")

    found = {one["name"]: one["ok"] for one in json.loads(told.stdout)}
    assert told.exit_code == 1
    assert not found["Prefect"]
    assert "disk" in found


def nowhere() -> str:
    """An address on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
