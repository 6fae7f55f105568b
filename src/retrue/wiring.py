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
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from retrue.config import PROJECT_FILE, Config, Labels, load_config, load_labels, refuse_unset
from retrue.errors import ConfigError, LeaseLost, WorkspaceError
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

if TYPE_CHECKING:
    from retrue.adapters.label_studio_client import LabelStudioClient
    from retrue.adapters.label_studio_hooks import LabelStudioHooks
    from retrue.adapters.label_studio_project import LabelStudioProjects
    from retrue.adapters.notify_email import EmailNotifier

__all__ = [
    "STATE_DIR",
    "clock",
    "find_root",
    "label_studio_client",
    "label_studio_hooks",
    "label_studio_projects",
    "ledger_url",
    "mail_notifier",
    "open_dataset_repo",
    "open_workspace",
    "quiet_telemetry",
    "webhook_secret",
]

STATE_DIR = Path(".retrue")
SHORTEST_SECRET = 16  # characters
QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # `--json` prints JSON and nothing else
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def clock() -> datetime:
    """The time now, in UTC: the one place that asks, so that everything else can be replayed."""
    return datetime.now(tz=UTC)  # noqa: TID251 - commands and flows start here


def quiet_telemetry() -> None:
    """Turn off what dependencies send home, or print, unless somebody set it otherwise."""
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
        ConfigError: Its configuration is wrong, or names environment variables nobody set.
    """
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.adapters.repo_git_dvc import GitDvcRepo

    quiet_telemetry()
    root = find_root(start)
    config = load_config(root)
    refuse_unset(root)
    labels = load_labels(root, config)
    state = _state(root, config)
    return Workspace(
        root=root,
        config=config,
        labels=labels,
        store=_store(root, config),
        queue=_queue(root, config, labels),
        records=FileRoundRecord(root / "data", cache=root / STATE_DIR / "cache"),
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
    named = config.store.ledger
    return named.get_secret_value() if named else f"sqlite:///{root / STATE_DIR / 'ledger.sqlite'}"


def _state(root: Path, config: Config) -> WorkingState:
    return cast("WorkingState", _Later(lambda: _connect_state(root, config)))


def _connect_state(root: Path, config: Config) -> WorkingState:
    from retrue.adapters.state_sql import open_ledger

    (root / STATE_DIR).mkdir(exist_ok=True)
    return open_ledger(ledger_url(root, config), workspace=config.project)


def _store(root: Path, config: Config) -> SampleStore:
    return cast("SampleStore", _Later(lambda: _connect_store(root, config)))


def _connect_store(root: Path, config: Config) -> SampleStore:
    from retrue.adapters.digest_cache import DigestCache
    from retrue.adapters.store_any import AnyStore
    from retrue.adapters.store_local import LocalStore

    sources = [s for s in (config.data.incoming, config.data.inference) if s is not None]
    uris = [uri for s in sources for uri in (s.uri, s.media_root, s.metadata) if uri is not None]
    remote = [uri for uri in uris if uri.startswith("s3://")]
    local = [uri for uri in uris if not uri.startswith("s3://")]
    stores: dict[str, SampleStore] = {"file": LocalStore(root, local)}
    if remote:
        from retrue.adapters.s3_access import S3Access
        from retrue.adapters.store_s3 import S3Store

        stores["s3"] = S3Store(S3Access(), remote)
    return AnyStore(stores, DigestCache(root / STATE_DIR / "media-digests.sqlite"))


def _queue(root: Path, config: Config, labels: Labels) -> AnnotationQueue:
    if config.queue.use == "label_studio":
        return cast("AnnotationQueue", _Later(lambda: _connect_label_studio(root, config, labels)))
    from retrue.adapters.queue_files import FileQueue

    return FileQueue(root / config.queue.path)


def _connect_label_studio(root: Path, config: Config, labels: Labels) -> AnnotationQueue:
    from retrue.adapters.label_studio_config import page_of
    from retrue.adapters.label_studio_media import media_storage, shown_uri
    from retrue.adapters.queue_label_studio import LabelStudioQueue

    url, key = _label_studio_access(config)

    def schema_of(project: ProjectKey) -> Labels | None:
        wanted = (project.schema_version, project.guideline_version)
        return labels if wanted == (labels.version, labels.guideline.version) else None

    return LabelStudioQueue(
        url,
        key,
        project_prefix=config.project,
        schema_of=schema_of,
        link=shown_uri,
        storage=lambda: media_storage(config.queue.media),
        page=page_of(root, config),
    )


def label_studio_projects(config: Config) -> LabelStudioProjects:
    """The projects of the configured Label Studio, for reading; `queue.use` may be another.

    Raises:
        ConfigError: Its address or its token is not set.
    """
    from retrue.adapters.label_studio_project import LabelStudioProjects

    client, url = _label_studio_client(config)
    return LabelStudioProjects(client, url)


def label_studio_hooks(config: Config, secret: str = "") -> LabelStudioHooks:
    """Webhooks of our projects in the configured Label Studio; raises as `label_studio_projects`.

    Args:
        config: Whose projects.
        secret: What new webhooks carry; none is needed to remove them.
    """
    from retrue.adapters.label_studio_hooks import LabelStudioHooks

    client, _ = _label_studio_client(config)
    return LabelStudioHooks(client, project_prefix=config.project, secret=secret)


def webhook_secret() -> SecretStr:
    """What a webhook must carry, from the environment.

    Raises:
        ConfigError: It is not set, or is short enough to be guessed.
    """
    secret = os.environ.get("RETRUE_WEBHOOK_SECRET", "")
    if len(secret) < SHORTEST_SECRET:
        raise ConfigError(
            f"RETRUE_WEBHOOK_SECRET: expected at least {SHORTEST_SECRET} characters, got "
            f"{len(secret) or 'none'}. Make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`."
        )
    return SecretStr(secret)


def label_studio_client(config: Config) -> LabelStudioClient:
    """The door to the configured Label Studio; raises as `label_studio_projects`."""
    return _label_studio_client(config)[0]


def _label_studio_client(config: Config) -> tuple[LabelStudioClient, str]:
    from retrue.adapters.label_studio_client import LabelStudioClient

    url, key = _label_studio_access(config)
    return LabelStudioClient(url, key), url


def _label_studio_access(config: Config) -> tuple[str, str]:
    url, key = config.queue.url, config.queue.api_key
    if not url:
        raise ConfigError(
            "queue.url: expected Label Studio's address, got none. Set it in the configuration, "
            "or set LABEL_STUDIO_URL."
        )
    if key is None or not key.get_secret_value():
        raise ConfigError(
            "LABEL_STUDIO_API_KEY: expected your access token, got none. Copy it from Label "
            "Studio's page Account & Settings, and set it (this machine's stack: "
            "`set -a; . .retrue/stack/env; set +a`)."
        )
    return url, key.get_secret_value()


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
    from retrue.adapters.notify_webhook import Everyone, Silent, WebhookNotifier

    ways: list[Notifier] = []
    if (hook := config.notify.webhook) is not None:
        ways.append(WebhookNotifier(hook.get_secret_value()))
    if (mail := mail_notifier(config)) is not None:
        ways.append(mail)
    return Everyone(ways) if ways else Silent()


def mail_notifier(config: Config) -> EmailNotifier | None:
    """Who sends mail; None where the configuration names nobody to send it to."""
    from retrue.adapters.notify_email import EmailNotifier, MailServer

    mail = config.notify.email
    if mail is None:
        return None
    password = mail.password.get_secret_value() if mail.password else ""
    server = MailServer(host=mail.host, port=mail.port, user=mail.user, password=password)
    return EmailNotifier(server, sender=mail.from_, to=mail.to)
