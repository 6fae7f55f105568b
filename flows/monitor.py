"""monitor: pull what is new and check it; an alarm opens an incident and emits an event.

The event is a hint to act at once. If it is lost, the incident is pending in the records and the
next cycle opens its round.
"""

from __future__ import annotations

from prefect import flow
from prefect.events import emit_event

from flows.artifacts import show_checks
from flows.steps import Report, drift, ingest, record

__all__ = ["DRIFT_EVENT", "monitor"]

DRIFT_EVENT = "retrue.drift.detected"


@flow(name="retrue-monitor")
def monitor(root: str) -> Report:
    """Ingest, check for drift, and say so."""
    ingested = ingest(root)
    checked = drift(root)
    alarms = [check for check in checked["checks"] if check["alarm"]]
    if checked["checks"] or checked["probes"]:
        record(root, "Windows checked")
        show_checks(checked["checks"])
    for check in alarms:
        emit_event(
            event=DRIFT_EVENT,
            resource={"prefect.resource.id": f"retrue.incident.{check['incident']}"},
            payload={"root": root, "window": check["window_id"], "reasons": check["reasons"]},
        )
    return {"ingest": ingested, "drift": checked, "alarms": len(alarms)}
