"""close_round: bring answers home, judge them, and publish the rounds that are done."""

from __future__ import annotations

from prefect import flow

from flows.naming import run_name
from flows.steps import Report, collect, push, record, told, validate, version

__all__ = ["close_round"]


@flow(name="retrue-close-round", flow_run_name=run_name)
def close_round(root: str) -> Report:
    """Collect, validate, version; disputes opened on the way are pushed at once."""
    collected = told(collect(root))
    judged = told(validate(root))
    if judged["disputes"]:
        told(push(root))
    built = told(version(root))
    record(root, "Answers judged")
    return {"collect": collected, "validate": judged, "version": built}
