"""Does every configured service answer, and let us do our work? One look after the other."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from retrue.adapters.examining import Check, examined
from retrue.config import StreamSource
from retrue.workspace import Workspace

__all__ = ["check_services"]

Look = tuple[str, Callable[[], Iterable[Check]]]  # what is looked at, and how
Waiting = Callable[[str], AbstractContextManager[None]]


def check_services(root: Path, *, waiting: Waiting) -> list[Check]:
    """Look at each service; where a look fails, its error says what to do, and the next follows.

    Args:
        root: The workspace.
        waiting: Shows for a block what is being asked.

    Raises:
        RetrueError: The workspace cannot be opened; `check_workspace` says why.
    """
    from retrue.wiring import open_workspace

    workspace = open_workspace(root)
    checks: list[Check] = []
    for name, look in (*_stores(workspace), *_servers(workspace), *_machine(workspace)):
        with waiting(f"asking: {name}"):
            checks += examined(name, look)
    return checks


def _stores(workspace: Workspace) -> Iterator[Look]:
    from retrue.adapters import examine_stores as stores
    from retrue.wiring import clock

    data = workspace.config.data
    streams = {"data.incoming": data.incoming, "data.inference": data.inference}
    known = {name: stream for name, stream in streams.items() if stream is not None}
    for name, stream in known.items():
        yield name, lambda name=name, stream=stream: stores.examine_stream(workspace, name, stream)
    dvc = workspace.config.store.dvc_remote or ""
    if any(uri.startswith("s3://") for uri in (dvc, *_uris(known.values()))):
        yield "S3 clock", lambda: stores.examine_s3_clock(clock)
    media = next((one for one in known.values() if one.media or data.kind == "image"), None)
    if media is not None:
        yield "media in a browser", lambda: stores.examine_media(workspace, media)
    yield "DVC remote", lambda: stores.examine_dvc_remote(workspace, secrets.token_hex(8))


def _uris(streams: Iterable[StreamSource]) -> Iterator[str]:
    for stream in streams:
        yield from (uri for uri in (stream.uri, stream.media_root, stream.metadata) if uri)


def _servers(workspace: Workspace) -> Iterator[Look]:
    from retrue.adapters import examine_servers as servers
    from retrue.wiring import clock, label_studio_client, ledger_url, mail_notifier

    config, root = workspace.config, workspace.root
    if config.queue.use == "label_studio":
        yield (
            "Label Studio",
            lambda: servers.examine_label_studio(label_studio_client(config), clock),
        )
    yield "queue", lambda: _queue(workspace)
    yield (
        "model registry",
        lambda: servers.examine_mlflow(config.model.tracking_uri, workspace.models, clock),
    )
    yield "Prefect", lambda: servers.examine_prefect(root, config.project, os.environ, clock)
    if config.store.ledger is not None:
        yield "ledger", lambda: servers.examine_ledger(ledger_url(root, config), clock)
    if (hook := config.notify.webhook) is not None:
        yield "notify.webhook", lambda: servers.examine_webhook(hook.get_secret_value())
    if (mail := mail_notifier(config)) is not None:
        yield "notify.email", lambda: servers.examine_mail(mail)


def _queue(workspace: Workspace) -> Iterator[Check]:
    detail = f"{workspace.config.queue.use}: {workspace.queue.count()} answers"
    yield Check(name="queue", ok=True, detail=detail)


def _machine(workspace: Workspace) -> Iterator[Look]:
    from retrue.adapters import examine_machine as machine
    from retrue.wiring import clock

    yield "git", lambda: machine.examine_git(workspace, clock())
    yield "DVC lock", lambda: machine.examine_dvc(workspace.root)
    yield "disk", lambda: machine.examine_disk(workspace.root)
    yield "libraries", machine.examine_libraries
    yield "environment", lambda: machine.examine_environment(workspace.root, os.environ)
