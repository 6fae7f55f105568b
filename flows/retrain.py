"""retrain: a challenger on the newest version, the paired gate, and a promotion if it wins."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import link_report
from flows.naming import run_name
from flows.steps import Report, record, told, train

__all__ = ["retrain"]


@flow(name="retrue-retrain", flow_run_name=run_name)
def retrain(root: str) -> Report:
    """Train, compare, promote or hold."""
    trained = told(train(root))
    record(root, "Model put to the gate")
    link_report(root)
    return {"train": trained}
