"""The exit codes a single step has of its own, so that a script can tell what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrue.steps.drift import DriftReport
    from retrue.steps.train import TrainReport
    from retrue.steps.validate import ValidateReport

__all__ = ["DRIFT_FOUND", "GATE_REFUSED", "TOO_FEW_ANSWERS", "of_drift", "of_train", "of_validate"]

DRIFT_FOUND = 3
GATE_REFUSED = 4
TOO_FEW_ANSWERS = 5


def of_drift(report: DriftReport) -> int:
    """3 if a window drifted, else 0."""
    return DRIFT_FOUND if any(check.alarm for check in report.checks) else 0


def of_train(report: TrainReport) -> int:
    """4 if the gate held or rejected the challenger, else 0."""
    return GATE_REFUSED if report.outcome in ("held", "rejected") else 0


def of_validate(report: ValidateReport) -> int:
    """5 if no round closed because answers are missing, else 0."""
    closed = any(item.closed for item in report.rounds)
    waiting = any(item.waiting for item in report.rounds)
    return TOO_FEW_ANSWERS if waiting and not closed else 0
