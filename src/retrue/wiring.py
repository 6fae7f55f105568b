"""The one place that knows which adapter stands behind which port.

Imports are inside the functions: `retrue --help` and `retrue status` pay only for what they use.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import cast

from retrue.config import PROJECT_FILE, Config, Labels, load_config, load_labels
from retrue.errors import ConfigError, LeaseLost, QueueError, WorkspaceError
from retrue.ports import (
    AnnotationQueue,
    DatasetRepo,
    Lease,
    ModelRegistry,
    Notifier,
    RoundRecord,
    SampleStore,
    WorkingState,
)
from retrue.records import ProjectKey
from retrue.workspace import Workspace

__all__ = [
    "STATE_DIR",
    "clock",
    "find_root",
    "ledger_url",
    "open_dataset_repo",
    "open_workspace",
    "quiet_telemetry",
]

STATE_DIR = Path(".retrue")
QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def clock() -> datetime:
    """The time now, in UTC: the one place that asks, so that everything else can be replayed."""
    return datetime.now(tz=UTC)  # noqa: TID251 - commands and flows start here


def quiet_telemetry() -> None:
    """Turn off the telemetry of every dependency, unless somebody set it otherwise."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def find_root(start: Path) -> Path:
    """The workspace that holds a folder: the nearest one above with a project file.

    Raises:
        WorkspaceError: There is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise WorkspaceError(
        f"{start}: expected a workspace (a folder with {PROJECT_FILE}), found none here or above. "
        "Go to one, or make one with `retrue init DIR`."
    )


def open_workspace(start: Path, *, person: str | None = None) -> Workspace:
    """Read a workspace's configuration and connect its ports.

    Args:
        start: The workspace, or a folder in it.
        person: Who decides, for the record; None: the program by itself.

    Raises:
        WorkspaceError: There is no workspace.
        ConfigError: Its configuration is wrong.
    """
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.adapters.repo_git_dvc import GitDvcRepo

    quiet_telemetry()
    root = find_root(start)
    config = load_config(root)
    labels = load_labels(root, config)
    state = _state(root, config)
    return Workspace(
        root=root,
        config=config,
        labels=labels,
        store=_store(root, config),
        queue=_queue(root, config, labels),
        records=FileRoundRecord(root / "data"),
        state=state,
        repo=GitDvcRepo(root, config, check=lambda lease: state.check_lease(lease)),
        models=_models(root, config, labels),
        notify=_notifier(config),
        # Names this run and no other: the same holder would take its own lease over.
        holder=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        person=person or "retrue",
    )


def open_dataset_repo(start: Path) -> tuple[Config, Labels, DatasetRepo, RoundRecord]:
    """Versions and records for reading: works on a clone after `dvc pull`, without ledger.

    Args:
        start: The workspace, or a folder in it.

    Raises:
        WorkspaceError: There is no workspace, or it is in no git repository.
        ConfigError: Its configuration is wrong.
    """
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.adapters.repo_git_dvc import GitDvcRepo

    quiet_telemetry()
    root = find_root(start)
    config = load_config(root)
    repo = GitDvcRepo(root, config, check=_no_writing)
    return config, load_labels(root, config), repo, FileRoundRecord(root / "data")


def _no_writing(lease: Lease) -> None:
    raise LeaseLost(f"lease {lease.name}: this repository was opened for reading")


def ledger_url(root: Path, config: Config) -> str:
    """Where the ledger is; SQLite in the workspace by default."""
    return config.store.ledger or f"sqlite:///{root / STATE_DIR / 'ledger.sqlite'}"


def _state(root: Path, config: Config) -> WorkingState:
    return cast("WorkingState", _Later(lambda: _connect_state(root, config)))


def _connect_state(root: Path, config: Config) -> WorkingState:
    from retrue.adapters.state_sql import open_ledger

    (root / STATE_DIR).mkdir(exist_ok=True)
    return open_ledger(ledger_url(root, config), workspace=config.project)


def _store(root: Path, config: Config) -> SampleStore:
    return cast("SampleStore", _Later(lambda: _connect_store(root, config)))


def _connect_store(root: Path, config: Config) -> SampleStore:
    from retrue.adapters.store_any import AnyStore
    from retrue.adapters.store_local import LocalStore

    sources = [s for s in (config.data.incoming, config.data.inference) if s is not None]
    uris = [uri for s in sources for uri in (s.uri, s.media_root, s.metadata) if uri is not None]
    remote = [uri for uri in uris if uri.startswith("s3://")]
    local = [uri for uri in uris if not uri.startswith("s3://")]
    stores: dict[str, SampleStore] = {"file": LocalStore(root, local)}
    if remote:
        from retrue.adapters.store_s3 import S3Store, s3_client

        stores["s3"] = S3Store(s3_client(), remote)
    return AnyStore(stores)


def _queue(root: Path, config: Config, labels: Labels) -> AnnotationQueue:
    if config.queue.use == "label_studio":
        return cast("AnnotationQueue", _Later(lambda: _connect_label_studio(root, config, labels)))
    from retrue.adapters.queue_files import FileQueue

    return FileQueue(root / config.queue.path)


def _connect_label_studio(root: Path, config: Config, labels: Labels) -> AnnotationQueue:
    from retrue.adapters.label_studio_config import Page
    from retrue.adapters.queue_label_studio import LabelStudioQueue

    url, key = config.queue.url, config.queue.api_key
    if not url or key is None:
        raise ConfigError(
            "queue: label_studio needs `url` (or LABEL_STUDIO_URL) and LABEL_STUDIO_API_KEY"
        )

    def schema_of(project: ProjectKey) -> Labels:
        wanted = (project.schema_version, project.guideline_version)
        if wanted != (labels.version, labels.guideline.version):
            raise QueueError(
                f"a task asks by schema {wanted[0]} and guideline {wanted[1]}, of which there is "
                f"no project yet; {config.labels.file} is at {labels.version} and "
                f"{labels.guideline.version}. Cancel its round, and open it anew."
            )
        return labels

    kind = config.data.kind
    return LabelStudioQueue(
        url,
        key.get_secret_value(),
        project_prefix=config.project,
        schema_of=schema_of,
        link=_store(root, config).link,
        page=Page(shown="table" if kind == "other" else kind, text=config.data.text),
    )


def _models(root: Path, config: Config, labels: Labels) -> ModelRegistry:
    return cast("ModelRegistry", _Later(lambda: _connect_models(root, config, labels)))


def _connect_models(root: Path, config: Config, labels: Labels) -> ModelRegistry:
    from retrue.adapters.models_mlflow import MlflowModels

    return MlflowModels(config.model.tracking_uri, None, root=root, config=config, labels=labels)


class _Later:
    """A port that is connected when it is first asked: pandas and MLflow take seconds to load."""

    def __init__(self, connect: Callable[[], object]) -> None:
        self._connect = cache(connect)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connect(), name)


def _notifier(config: Config) -> Notifier:
    from retrue.adapters.notify_webhook import Silent, WebhookNotifier

    hook = config.notify.webhook
    return Silent() if hook is None else WebhookNotifier(hook.get_secret_value())
