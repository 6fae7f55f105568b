"""monitor: pull what is new and check it; an alarm opens an incident and emits an event.

The event is a hint to act at once. If it is lost, the incident is pending in the records and the
next cycle opens its round.
"""

from __future__ import annotations

from prefect.events import emit_event

from flows.artifacts import link_report, show_checks
from flows.running import Report, loop_flow, project_of
from flows.steps import drift, ingest, record, told

__all__ = ["DRIFT_EVENT", "monitor", "say_drift"]

DRIFT_EVENT = "retrue.drift.detected"


@loop_flow("retrue-monitor")
def monitor(root: str) -> Report:
    """Ingest, check for drift, and say so."""
    ingested = told(ingest(root))
    checked = told(drift(root))
    alarms = [check for check in checked["checks"] if check["alarm"]]
    for check in {check["incident"]: check for check in alarms}.values():
        say_drift(project_of(root), check)
    record(root, "Windows checked")
    if checked["checks"]:
        show_checks(checked["checks"])
    if alarms:
        link_report(root)
    return {"ingest": ingested, "drift": checked, "alarms": len(alarms)}


def say_drift(project: str, check: Report) -> None:
    """Emit the event of an alarm; `prefect.yaml` opens a round on it.

    Args:
        project: Whose alarm; a server may serve several.
        check: A `WindowCheck` as plain values, with its incident.
    """
    incident = check["incident"]
    emit_event(
        event=DRIFT_EVENT,
        resource={
            "prefect.resource.id": f"retrue.incident.{incident}",
            "prefect.resource.name": f"incident {incident} of {project}",
            "retrue.project": project,
        },
        payload={"window": check["window_id"], "reasons": check["reasons"]},
    )
