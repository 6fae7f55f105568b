"""`retrue schema plan|apply`: what labels.yaml does to the labels there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.reading.schemas import SchemaPlan

__all__ = ["app"]

SHOWN = 20

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The label schema: see what a change does, apply it."""


@app.command(epilog=examples("retrue schema plan", "retrue schema plan --json"))
def plan(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say what labels.yaml does to existing labels; exit code 1 if it cannot be applied."""
    from retrue.reading.schemas import plan_schema

    call = call_of(ctx, as_json=as_json)
    report = plan_schema(call.workspace())
    call.show(report, _lines(report))
    if report.problems:
        raise typer.Exit(1)


@app.command(epilog=examples("retrue schema apply --dry-run", "retrue schema apply"))
def apply(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Fix the meaning of labels.yaml's version; questions follow in the next round."""
    from retrue.reading.schemas import apply_schema, plan_schema
    from retrue.recording import record_progress

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    report = plan_schema(workspace)
    if dry_run:
        call.show(report, _lines(report))
        return
    pending = report.pending
    decision = apply_schema(workspace, now=call.now)
    if pending:
        record_progress(workspace, f"Schema version {report.version}", now=call.now)
    lines = [f"schema version {report.version} {'is applied' if pending else 'was applied before'}"]
    if pending and report.ask_again:
        lines.append(f"Next: `retrue select` asks {report.ask_again} samples again.")
    call.show(decision, lines)


def _lines(report: SchemaPlan) -> Iterator[str]:
    before = "none applied yet" if report.recorded is None else f"version {report.recorded}"
    yield f"schema: {before} -> version {report.version} (labels.yaml)"
    yield from (f"problem: {problem}" for problem in report.problems)
    for move in report.moves[:SHOWN]:
        new = "ask again" if move.new is None else move.new
        yield f"  {move.samples:,} samples: {move.old} (version {move.version}) -> {new}"
    if len(report.moves) > SHOWN:
        yield f"  and {len(report.moves) - SHOWN} more kinds of change"
    yield f"{report.kept:,} labels stay as they are, {report.ask_again:,} samples are asked again"
    if report.pending and not report.problems:
        yield "Next: `retrue schema apply`"
