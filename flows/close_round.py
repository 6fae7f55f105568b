"""close_round: bring answers home, judge them, and publish the rounds that are done."""

from __future__ import annotations

from flows.running import Report, loop_flow
from flows.steps import collect, push, record, told, validate, version

__all__ = ["close_round"]


@loop_flow("retrue-close-round")
def close_round(root: str) -> Report:
    """Collect, validate, version; disputes opened on the way are pushed at once."""
    collected = told(collect(root))
    judged = told(validate(root))
    if judged["disputes"]:
        told(push(root))
    built = told(version(root))
    record(root, "Answers judged")
    return {"collect": collected, "validate": judged, "version": built}
