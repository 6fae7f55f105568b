"""The one door to MLflow: quiet, without telemetry, with its exceptions translated."""

# ruff: noqa: D102 - the methods are MLflow's own, and documented there

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol, cast

from retrue.adapters.foreign_words import in_short
from retrue.adapters.models_cache import database_file
from retrue.adapters.process import without_passwords
from retrue.errors import ModelError, ServiceUnavailable

__all__ = ["Client", "Registered", "Run", "asking", "client_of"]

# Without these MLflow calls home, and asks a server that is down for minutes before it says so.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_TRANSIENT = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})


class Registered(Protocol):
    """One version of a registered model, as MLflow gives it."""

    name: str
    version: int | str
    run_id: str | None
    tags: Mapping[str, str]
    creation_timestamp: int  # milliseconds


class Page(Protocol):
    """Some of the versions; `token` asks for the next."""

    token: str | None

    def __iter__(self) -> Iterator[Registered]:
        """The versions."""
        ...


class _Named(Protocol):
    aliases: Mapping[str, int | str]  # alias -> version


class _Experiment(Protocol):
    experiment_id: str


class _File(Protocol):
    path: str


class _RunInfo(Protocol):
    run_id: str


class _RunData(Protocol):
    metrics: Mapping[str, float]
    params: Mapping[str, str]


class _RunInputs(Protocol):
    dataset_inputs: Sequence[object]


class Run(Protocol):
    """A run, as MLflow gives it."""

    info: _RunInfo
    data: _RunData
    inputs: _RunInputs | None


class Client(Protocol):
    """What we use of `mlflow.MlflowClient`, whose own types are partial."""

    def search_model_versions(
        self, filter_string: str, *, max_results: int, page_token: str | None
    ) -> Page: ...
    def get_model_version(self, name: str, version: str) -> Registered: ...
    def create_model_version(
        self, name: str, *, source: str, run_id: str, tags: Mapping[str, str]
    ) -> Registered: ...
    def get_registered_model(self, name: str) -> _Named: ...
    def search_registered_models(self, filter_string: str) -> Sequence[_Named]: ...
    def create_registered_model(self, name: str) -> object: ...
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None: ...
    def get_experiment_by_name(self, name: str) -> _Experiment | None: ...
    def create_experiment(self, name: str, *, artifact_location: str | None) -> str: ...
    def search_runs(self, experiment_ids: list[str], filter_string: str) -> Sequence[Run]: ...
    def create_run(
        self, experiment_id: str, start_time: int, tags: Mapping[str, str], run_name: str
    ) -> Run: ...
    def get_run(self, run_id: str) -> Run: ...
    def set_terminated(self, run_id: str, *, end_time: int) -> None: ...
    def log_batch(
        self, run_id: str, *, metrics: Sequence[object], params: Sequence[object]
    ) -> object: ...
    def log_inputs(self, run_id: str, datasets: Sequence[object]) -> None: ...
    def log_artifact(self, run_id: str, local_path: str, artifact_path: str) -> None: ...
    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str) -> None: ...
    def log_text(self, run_id: str, text: str, artifact_file: str) -> None: ...
    def list_artifacts(self, run_id: str, path: str) -> Sequence[_File]: ...
    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str: ...


@contextmanager
def asking(uri: str) -> Generator[None]:
    """Every use of MLflow is inside such a block.

    Raises:
        ServiceUnavailable: The registry did not answer, or broke; what it did is not known.
        ModelError: It refused.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    log = logging.getLogger("mlflow")
    before = log.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own deprecations, which concern no user
            from mlflow.exceptions import MlflowException

            log.setLevel(logging.ERROR)
            try:
                yield
            except MlflowException as error:
                raise _translated(uri, error.error_code, str(error)) from error
            except OSError as error:
                raise ModelError(f"registry {without_passwords(uri)}: {error}") from error
    finally:
        log.setLevel(before)


@lru_cache(maxsize=8)
def client_of(uri: str) -> Client:
    """The client of one registry; opening the database the first time takes seconds."""
    from mlflow import MlflowClient

    database = database_file(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    return cast("Client", MlflowClient(tracking_uri=uri, registry_uri=uri))


def _translated(uri: str, code: str, message: str) -> ModelError | ServiceUnavailable:
    text = f"registry {without_passwords(uri)}: {without_passwords(in_short(message))}"
    if code in _TRANSIENT:
        return ServiceUnavailable(f"{text}. Is it running? Then run the step again.")
    return ModelError(text)
