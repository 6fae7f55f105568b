"""retrain: a challenger on the newest version, the paired gate, and a promotion if it wins."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import link_report
from flows.steps import Report, train

__all__ = ["retrain"]


@flow(name="retrue-retrain")
def retrain(root: str) -> Report:
    """Train, compare, promote or hold."""
    trained = train(root)
    if trained["outcome"] != "nothing":
        link_report(root)
    return {"train": trained}
