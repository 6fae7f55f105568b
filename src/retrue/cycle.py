"""One tick of the loop without any scheduler: do whatever can be done now, and say what was done.

Opening (ingest, drift, select, push) and closing (collect, validate, version, train) are separate
because people answer in days: neither ever waits for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrue.recording import record_progress
from retrue.steps.collect import CollectReport, collect_answers
from retrue.steps.drift import DriftReport, check_windows
from retrue.steps.ingest import IngestReport, ingest_windows
from retrue.steps.push import PushReport, push_tasks
from retrue.steps.select import SelectReport, select_samples
from retrue.steps.train import TrainReport, train_model
from retrue.steps.validate import ValidateReport, judge_answers
from retrue.steps.version import VersionReport, build_version
from retrue.workspace import Workspace

__all__ = ["Closing", "Opening", "close_rounds", "open_rounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the opening half did."""

    ingest: tuple[IngestReport, ...]
    drift: DriftReport
    select: SelectReport
    push: tuple[PushReport, ...]

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        new = any(report.window for report in self.ingest)
        added = any(report.added for report in self.push)
        return not (new or self.drift.checks or self.drift.probes or self.select.planned or added)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What the closing half did."""

    collect: CollectReport
    validate: ValidateReport
    version: VersionReport
    train: TrainReport

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        answers = self.collect.new or self.collect.changed or self.collect.deleted
        judged = self.validate.written or self.validate.disputes
        closed = any(item.closed for item in self.validate.rounds)
        trained = self.train.outcome != "nothing"
        return not (answers or judged or closed or self.version.manifest or trained)


def open_rounds(workspace: Workspace, *, now: datetime) -> Opening:
    """Pull, check, plan, push; the records are on the data branch when it returns."""
    ingest = ingest_windows(workspace, now=now)
    drift = check_windows(workspace, now=now)
    select = select_samples(workspace, now=now)
    push = push_tasks(workspace, now=now)
    record_progress(workspace, "Windows checked, rounds opened", now=now)
    return Opening(ingest=ingest, drift=drift, select=select, push=push)


def close_rounds(workspace: Workspace, *, now: datetime) -> Closing:
    """Collect, judge, publish, train; disputes opened on the way are pushed at once.

    Nothing here asks whether there is something to push or to record: a run that was cut off may
    have left it, and each step finds that out by itself.
    """
    collect = collect_answers(workspace, now=now)
    validate = judge_answers(workspace, now=now)
    push_tasks(workspace, now=now)
    version = build_version(workspace, now=now)
    # Before the training, which may take long; after it for what a cut left behind.
    record_progress(workspace, "Answers judged", now=now)
    train = train_model(workspace, now=now)
    record_progress(workspace, "Models judged", now=now)
    return Closing(collect=collect, validate=validate, version=version, train=train)
