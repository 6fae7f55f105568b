"""What a run leaves on Prefect's pages: tables of checks and rounds, a link to the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.running import Report
from retrue.wiring import STATE_DIR, clock, open_workspace

__all__ = ["link_report", "show_checks", "show_rounds"]

REASONS = 3  # per window; the report has them all


def show_checks(checks: Sequence[Report]) -> None:
    """One row per window that was checked."""
    rows = [
        {
            "window": check["window_id"],
            "rows": check["rows"],
            "alarm": "ALARM" if check["alarm"] else "quiet",
            "incident": check["incident"] or "",
            "reasons": "; ".join(check["reasons"][:REASONS]),
        }
        for check in checks
    ]
    create_table_artifact(table=rows, key="retrue-drift", description="Drift checks")


def show_rounds(planned: Sequence[Report]) -> None:
    """One row per round that was planned."""
    rows = [
        {
            "round": item["plan"]["round_id"],
            "why": item["plan"]["why"],
            "answers": item["answers"],
            "cost": f"{item['cost']:.2f} {item['plan']['currency']}",
            "open": "yes" if item["opened"] else "waits for `retrue round approve`",
        }
        for item in planned
    ]
    create_table_artifact(table=rows, key="retrue-rounds", description="Labeling rounds")


def link_report(root: str) -> None:
    """Write the report anew and link it."""
    from retrue.report.page import write_report

    workspace = open_workspace(Path(root))
    path = write_report(workspace, workspace.root / STATE_DIR / "report.html", now=clock())
    create_link_artifact(
        link=path.resolve().as_uri(), key="retrue-report", link_text="The report, as it is now"
    )
