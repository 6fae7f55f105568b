"""`retrue drift list|show|accept|mute`: the incidents, and a person's word on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, Call, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.core.incident import Incident
    from retrue.workspace import Workspace

__all__ = ["app"]

Name = Annotated[str, typer.Argument(metavar="INCIDENT", help="As `retrue drift list` names it.")]

app = typer.Typer()


@app.command("list", epilog=examples("retrue drift list", "retrue drift list --json"))
def list_all(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All incidents, oldest first."""
    from retrue.cli import show

    call = call_of(ctx, as_json=as_json)
    incidents = _incidents(call.workspace())
    if call.json:
        show.print_json(incidents)
        return
    columns = ("incident", "state", "opened", "champion", "windows", "outcome", "first reason")
    rows = [
        (
            item.incident_id,
            item.state,
            item.opened_at,
            item.champion,
            len(item.windows),
            item.outcome,
            item.reasons[0] if item.reasons else "",
        )
        for item in incidents
    ]
    show.print_table(columns, rows)


@app.command("show", epilog=examples("retrue drift show 1a2b3c4d"))
def show_one(ctx: typer.Context, incident: Name, as_json: AsJson = False) -> None:
    """One incident: what moved, what the probe said, what came of it."""
    call = call_of(ctx, as_json=as_json)
    found = _incident(call.workspace(), incident)
    call.show(found, _lines(found))


@app.command(epilog=examples("retrue drift accept 1a2b3c4d"))
def accept(
    ctx: typer.Context, incident: Name, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Take a shift for the new normal: no probe, and no alarm about it for a while."""
    _end(call_of(ctx, as_json=as_json), incident, until=None, dry_run=dry_run)


@app.command(epilog=examples("retrue drift mute 1a2b3c4d --until 2026-04-01"))
def mute(
    ctx: typer.Context,
    incident: Name,
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The first day it may alarm again, UTC.")
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a shift be until a date: further alarms join this incident and ask nobody."""
    end = until.replace(tzinfo=UTC)
    _end(call_of(ctx, as_json=as_json), incident, until=end, dry_run=dry_run)


def _end(call: Call, name: str, *, until: datetime | None, dry_run: bool) -> None:
    from retrue.errors import RecordError
    from retrue.recording import record_progress
    from retrue.steps.drift import close_incident

    workspace = call.workspace(by_person=True)
    item = _incident(workspace, name)
    if until is not None and until <= call.now:
        raise RecordError(f"--until: expected a day to come, got {until:%Y-%m-%d}")
    what = f"muted until {until:%Y-%m-%d}" if until else "accepted as the new normal"
    if not dry_run:
        made = close_incident(workspace, item.incident_id, now=call.now, until=until)
        if until and made.data["until"] != until.isoformat():
            raise RecordError(
                f"incident {item.incident_id}: {made.by} muted it until {made.data['until']}, "
                "and a decision is not changed. The next shift opens an incident of its own."
            )
        record_progress(workspace, f"Incident {item.incident_id} {what}", now=call.now)
    verb = "would be" if dry_run else "is"
    call.show(
        {"incident": item.incident_id, "until": until, "dry_run": dry_run},
        [f"incident {item.incident_id} {verb} {what}"],
    )


def _incidents(workspace: Workspace) -> list[Incident]:
    from retrue.core.incident import read_incidents

    return read_incidents(workspace.records.decisions(), workspace.records.rounds())


def _incident(workspace: Workspace, name: str) -> Incident:
    from retrue.errors import RecordError

    incidents = _incidents(workspace)
    for item in incidents:
        if item.incident_id == name:
            return item
    known = ", ".join(item.incident_id for item in incidents) or "none yet"
    raise RecordError(f"incident {name}: expected one of: {known}")


def _lines(item: Incident) -> Iterator[str]:
    yield f"{item.incident_id} is {item.state}, opened {item.opened_at:%Y-%m-%d %H:%M}"
    yield f"champion {item.champion}; windows {', '.join(item.windows)}"
    yield from (f"  {reason}" for reason in item.reasons)
    if item.probes:
        yield f"probed by {', '.join(item.probes)}"
    if item.outcome:
        yield f"outcome: {item.outcome}: {item.why}"
    if item.aimed:
        yield f"labeling round {item.aimed} was aimed at it"
    if item.quiet_until:
        yield f"quiet until {item.quiet_until:%Y-%m-%d}, or until another champion"
