"""retrain: a challenger on the newest version, the paired gate, and a promotion if it wins."""

from __future__ import annotations

from flows.artifacts import link_report
from flows.running import Report, loop_flow
from flows.steps import record, told, train

__all__ = ["retrain"]


@loop_flow("retrue-retrain")
def retrain(root: str) -> Report:
    """Train, compare, promote or hold."""
    trained = told(train(root))
    record(root, "Model put to the gate")
    link_report(root)
    return {"train": trained}
