"""The steps as Prefect tasks: what is transient is retried, what needs a person is not.

Plain values go in and come out, and adapters are built inside, so any worker can run any task.
A step is imported when it runs: a flow pays only for the steps it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from prefect import State, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.tasks import exponential_backoff

from flows.running import Report
from retrue.cli import show, words
from retrue.errors import TransientError
from retrue.wiring import clock, open_workspace

__all__ = [
    "collect",
    "drift",
    "ingest",
    "is_transient",
    "push",
    "record",
    "request",
    "retrying",
    "select",
    "told",
    "train",
    "validate",
    "version",
]


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """The whole retry policy: wait and call again, or a person must act."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


retrying = task(
    retries=4,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_jitter_factor=0.3,
    retry_condition_fn=is_transient,
    # `push` runs twice in a cycle with the same argument: where results are kept, Prefect would
    # take the second for done.
    cache_policy=NO_CACHE,
)


def told(report: Report) -> Report:
    """Say a step's words in the flow's log, less what the flow does next by itself."""
    for line in report["words"]:
        if not line.startswith("Next:"):
            get_run_logger().info(line)
    return report


@retrying
def ingest(root: str) -> Report:
    """New objects become windows."""
    from retrue.steps.ingest import ingest_windows

    reports = ingest_windows(open_workspace(Path(root)), now=clock())
    return _report({"streams": reports}, words.ingest(reports, dry_run=False))


@retrying
def drift(root: str) -> Report:
    """New windows are held against the champion's reference."""
    from retrue.steps.drift import check_windows

    report = check_windows(open_workspace(Path(root)), now=clock())
    return _report(report, words.drift(report))


@retrying
def select(root: str) -> Report:
    """Rounds that the loop asks for are planned."""
    from retrue.steps.select import select_samples

    report = select_samples(open_workspace(Path(root)), now=clock())
    return _report(report, words.select(report, dry_run=False))


@retrying
def request(root: str, kind: str, why: str, budget: int | None, person: str | None) -> Report:
    """A round that a person asks for is planned."""
    from retrue.acts.requesting import requested_opening
    from retrue.records import RoundKind
    from retrue.steps.select import request_round

    workspace = open_workspace(Path(root), person=person)
    opening = requested_opening(workspace, cast("RoundKind", kind), why=why, budget=budget)
    report = request_round(workspace, opening, now=clock())
    return _report(report, words.select(report, dry_run=False))


@retrying
def push(root: str) -> Report:
    """Tasks of open rounds go to the queue."""
    from retrue.steps.push import push_tasks

    workspace = open_workspace(Path(root))
    reports = push_tasks(workspace, now=clock())
    said = words.push(reports, workspace.config.queue.tool, dry_run=False)
    return _report({"rounds": reports}, said)


@retrying
def collect(root: str) -> Report:
    """Answers come home."""
    from retrue.steps.collect import collect_answers

    report = collect_answers(open_workspace(Path(root)), now=clock())
    return _report(report, words.collect(report))


@retrying
def validate(root: str) -> Report:
    """Answers become verdicts; rounds that are done are closed."""
    from retrue.steps.validate import judge_answers

    report = judge_answers(open_workspace(Path(root)), now=clock())
    return _report(report, words.validate(report))


@retrying
def version(root: str) -> Report:
    """Verdicts of closed rounds become the next dataset version."""
    from retrue.steps.version import build_version

    report = build_version(open_workspace(Path(root)), now=clock())
    return _report(report, words.version(report))


@retrying
def train(root: str) -> Report:
    """A challenger is trained on the newest version and put to the gate."""
    from retrue.steps.train import train_model

    report = train_model(open_workspace(Path(root)), now=clock())
    return _report(report, words.train(report))


@retrying
def record(root: str, message: str) -> str:
    """The records go to the data branch, so that they are not only on this machine."""
    from retrue.recording import record_progress

    return record_progress(open_workspace(Path(root)), message, now=clock())


def _report(report: object, lines: Sequence[str]) -> Report:
    return cast("Report", show.plain(report)) | {"words": list(lines)}
