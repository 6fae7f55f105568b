"""The steps as Prefect tasks: what is transient is retried, what needs a person is not.

Plain values go in and come out, and adapters are built inside, so any worker can run any task.
Losing Prefect's database loses history, never work.
"""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from prefect import State, task
from prefect.client.schemas.objects import TaskRun
from prefect.tasks import exponential_backoff

from retrue.errors import TransientError
from retrue.recording import record_progress
from retrue.steps.collect import collect_answers
from retrue.steps.drift import check_windows
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.train import train_model
from retrue.steps.validate import judge_answers
from retrue.steps.version import build_version
from retrue.wiring import clock, open_workspace

__all__ = [
    "Report",
    "collect",
    "drift",
    "ingest",
    "push",
    "record",
    "select",
    "train",
    "validate",
    "version",
]

Report: TypeAlias = dict[str, Any]  # a step's report as plain JSON values


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """The whole retry policy: wait and call again, or a person must act."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


retrying = task(
    retries=4,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_jitter_factor=0.3,
    retry_condition_fn=is_transient,
)


@retrying
def ingest(root: str) -> Report:
    """New objects become windows."""
    return _plain({"streams": ingest_windows(open_workspace(Path(root)), now=clock())})


@retrying
def drift(root: str) -> Report:
    """New windows are held against the champion's reference."""
    return _plain(check_windows(open_workspace(Path(root)), now=clock()))


@retrying
def select(root: str) -> Report:
    """Rounds that the loop asks for are planned."""
    return _plain(select_samples(open_workspace(Path(root)), now=clock()))


@retrying
def push(root: str) -> Report:
    """Tasks of open rounds go to the queue."""
    return _plain({"rounds": push_tasks(open_workspace(Path(root)), now=clock())})


@retrying
def collect(root: str) -> Report:
    """Answers come home."""
    return _plain(collect_answers(open_workspace(Path(root)), now=clock()))


@retrying
def validate(root: str) -> Report:
    """Answers become verdicts; rounds that are done are closed."""
    return _plain(judge_answers(open_workspace(Path(root)), now=clock()))


@retrying
def version(root: str) -> Report:
    """Verdicts of closed rounds become the next dataset version."""
    return _plain(build_version(open_workspace(Path(root)), now=clock()))


@retrying
def train(root: str) -> Report:
    """A challenger is trained on the newest version and put to the gate."""
    return _plain(train_model(open_workspace(Path(root)), now=clock()))


@retrying
def record(root: str, message: str) -> str:
    """The records go to the data branch, so that they are not only on this machine."""
    return record_progress(open_workspace(Path(root)), message, now=clock())


def _plain(report: object) -> Report:
    values = asdict(report) if is_dataclass(report) and not isinstance(report, type) else report
    return cast("Report", json.loads(json.dumps(values, default=_item)))


def _item(value: object) -> object:
    """What JSON does not know: nested records, times, paths, numpy numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)
