"""`retrue listen`: a process of its own that collects when somebody hints."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from retrue.adapters.hints_webhook import SECRET_HEADER
from retrue.adapters.queue_files import FileQueue
from retrue.wiring import clock, open_workspace
from services.label_studio import LabelStudioServer

SECRET = "correct horse battery staple"  # noqa: S105 - of nothing
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Listening:
    """A running `retrue listen`, and what it says, as (stream, line)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: queue.Queue[str] = queue.Queue()
        for stream in (process.stdout, process.stderr):
            threading.Thread(target=self._read, args=[stream], daemon=True).start()
        self.url = self.wait_for("listening on ").split()[2]

    def wait_for(self, text: str, *, seconds: float = 30.0) -> str:
        """The next line with this text."""
        end = time.monotonic() + seconds
        heard: list[str] = []
        while (left := end - time.monotonic()) > 0:
            try:
                heard.append(self._said.get(timeout=left))
            except queue.Empty:
                break
            if text in heard[-1]:
                return heard[-1]
        raise AssertionError(f"expected {text!r}, heard {heard}")

    def hint(self, secret: str = SECRET) -> int:
        return httpx.post(self.url, headers={SECRET_HEADER: secret}, content=b"{}").status_code

    def end(self, sign: signal.Signals) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(sign)
        return self.process.wait(timeout=30)

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self._said.put(line.rstrip())


@contextmanager
def listening(root: Path, *words: str, **environment: str) -> Iterator[Listening]:
    command = [sys.executable, "-m", "retrue.cli", "-C", str(root), "listen", "--port", "0", *words]
    process = subprocess.Popen(
        command,
        env=os.environ | {"RETRUE_WEBHOOK_SECRET": SECRET} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Listening(process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def asked(retrue, workspace: Path) -> Path:
    """A workspace whose first round is in the queue."""
    for step in ("ingest", "select", "push"):
        assert retrue(workspace, step).exit_code == 0
    return workspace


def answer(root: Path, person: str) -> None:
    files = open_workspace(root).queue
    assert isinstance(files, FileQueue)
    task = files.open_tasks(person, "crowd")[0]
    files.answer(task.task_key, person, '"A"', lead_seconds=3.0, now=NOW)


@pytest.mark.parametrize(("secret", "got"), [("", "got none"), ("short", "got 5")])
def test_it_does_not_start_without_a_secret_that_cannot_be_guessed(
    retrue, workspace: Path, monkeypatch: pytest.MonkeyPatch, secret: str, got: str
):
    monkeypatch.setenv("RETRUE_WEBHOOK_SECRET", secret)

    told = retrue(workspace, "listen")

    assert told.exit_code == 1
    assert f"RETRUE_WEBHOOK_SECRET: expected at least 16 characters, {got}" in told.stderr


@pytest.mark.parametrize("words", [("--unregister",), ("--register", "http://x.test/hint")])
def test_webhooks_cannot_be_set_up_without_label_studio(
    retrue, workspace: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
):
    monkeypatch.setenv("RETRUE_WEBHOOK_SECRET", SECRET)
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)

    told = retrue(workspace, "listen", *words)

    assert told.exit_code == 1
    assert "LABEL_STUDIO_URL" in told.stderr


def test_a_hint_leads_to_a_collect_and_a_failing_one_is_made_good(asked: Path):
    workspace = open_workspace(asked)
    hold = {"holder": "somebody else", "ttl": timedelta(hours=1), "now": clock()}
    answer(asked, "ann")

    with listening(asked) as listener:
        listener.wait_for("1 new answer")  # what came while nobody listened
        answer(asked, "bob")
        assert listener.hint("a guess") == 401
        with workspace.state.lease(f"{workspace.config.project}/collect", **hold):
            assert [listener.hint() for _ in range(20)] == [204] * 20
            listener.wait_for("The next hint or tick tries again.")
        listener.hint()
        listener.wait_for("1 new answer")
        assert listener.end(signal.SIGINT) == 0

    kept = [a for item in workspace.records.rounds() for a in answers_of(workspace, item)]
    assert sorted(a.annotator for a in kept) == ["ann", "bob"]


def answers_of(workspace, item):
    return workspace.records.answers(item.plan.round_id)


# --- on a real Label Studio ------------------------------------------------------------------


class Server:
    """Label Studio's administrator, by its API."""

    def __init__(self, server: LabelStudioServer) -> None:
        self._server = server

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {self._server.token}"}
        url = f"{self._server.url}{path}"
        reply = httpx.request(method, url, json=body, headers=headers, timeout=60)
        assert not reply.is_error, reply.text
        return reply.json() if reply.content else None


@pytest.mark.service
def test_an_annotation_in_label_studio_is_collected_within_seconds(
    retrue,
    workspace: Path,
    label_studio_server: LabelStudioServer,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio_server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio_server.token)
    call = Server(label_studio_server)
    path = workspace / "configs/project.yaml"
    settings = yaml.safe_load(path.read_text())
    project = f"hints-{uuid4().hex[:8]}"
    path.write_text(
        yaml.safe_dump(settings | {"project": project, "queue": {"use": "label_studio"}})
    )
    for step in ("ingest", "select", "push"):
        assert retrue(workspace, step).exit_code == 0
    ours = [
        p for p in call("GET", "/api/projects/?page_size=1000")["results"] if project in p["title"]
    ]
    theirs = ours[0]["id"]
    foreign = {"project": theirs, "url": "http://127.0.0.1:9/other", "headers": {"X-Other": "1"}}
    call("POST", "/api/webhooks/", foreign)
    task = call("GET", f"/api/tasks/?project={theirs}&page_size=1")["tasks"][0]

    with listening(workspace, "--every", "600") as listener:
        with listening(workspace, "--register", listener.url, "--every", "600") as second:
            second.wait_for("added")
        hooks = [h for p in ours for h in call("GET", f"/api/webhooks/?project={p['id']}")]
        given = {"from_name": "label", "type": "choices", "value": {"choices": ["A"]}}
        began = time.monotonic()
        body = {"result": [{**given, "to_name": "sample"}], "lead_time": 2}
        call("POST", f"/api/tasks/{task['id']}/annotations/", body)
        listener.wait_for("1 new answer", seconds=15)
        took = time.monotonic() - began
        print(f"collected {took:.1f} s after the annotation")  # noqa: T201 - shown by pytest -s
        assert listener.end(signal.SIGTERM) == 0

    assert took < 10, took
    mine = [hook for hook in hooks if SECRET_HEADER in hook["headers"]]
    assert len(mine) == len(ours)
    assert {hook["send_payload"] for hook in mine} == {False}
    monkeypatch.delenv("RETRUE_WEBHOOK_SECRET", raising=False)
    looked = json.loads(retrue(workspace, "listen", "--unregister", "--dry-run", "--json").stdout)
    removed = json.loads(retrue(workspace, "listen", "--unregister", "--json").stdout)
    assert looked["removed"] == removed["removed"] == len(mine)
    left = [h["url"] for p in ours for h in call("GET", f"/api/webhooks/?project={p['id']}")]
    assert left == ["http://127.0.0.1:9/other"]
