"""close_round: bring answers home, judge them, and publish the rounds that are done."""

from __future__ import annotations

from prefect import flow

from flows.steps import Report, collect, push, record, validate, version

__all__ = ["close_round"]


@flow(name="retrue-close-round")
def close_round(root: str) -> Report:
    """Collect, validate, version."""
    collected = collect(root)
    judged = validate(root)
    if judged["disputes"]:
        push(root)
    built = version(root)
    if built["manifest"] is None and (judged["written"] or judged["disputes"]):
        record(root, "Answers judged")
    return {"collect": collected, "validate": judged, "version": built}
