"""The eight steps as commands: what happened, the numbers, and what to do next."""

from __future__ import annotations

from typing import Annotated

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples
from retrue.cli.drifts import app as drift_app

__all__ = ["app"]

app = typer.Typer()
app.add_typer(drift_app, name="drift")


@app.command(epilog=examples("retrue ingest", "retrue ingest --dry-run --json"))
def ingest(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Read what is new in the store. Each stream's new rows become a window with a profile."""
    from retrue.cli import words
    from retrue.steps.ingest import ingest_windows

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("reading new objects"):
        reports = ingest_windows(workspace, now=call.now, dry_run=dry_run)
    call.show(reports, words.ingest(reports, dry_run=dry_run))


@drift_app.callback(
    invoke_without_command=True,
    epilog=examples("retrue drift", "retrue drift --dry-run", "retrue drift list"),
)
def drift(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Check new windows against the champion's traffic. Exit code 3 if one drifted."""
    if ctx.invoked_subcommand is not None:
        return
    from retrue.cli import codes, words
    from retrue.steps.drift import check_windows

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("comparing windows with the reference"):
        report = check_windows(workspace, now=call.now, dry_run=dry_run)
    call.show(report, words.drift(report))
    raise typer.Exit(codes.of_drift(report))


@app.command(epilog=examples("retrue select --dry-run", "retrue select"))
def select(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Plan the rounds that are due. Says which samples, why, and what they cost."""
    from retrue.cli import words
    from retrue.recording import record_progress
    from retrue.steps.select import select_samples

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("drawing and scoring samples"):
        report = select_samples(workspace, now=call.now, dry_run=dry_run)
        names = [item.plan.round_id for item in report.planned]
        if names and not dry_run:
            record_progress(workspace, f"Plan {', '.join(names)}", now=call.now)
    empty = not workspace.state.windows()
    call.show(report, words.select(report, dry_run=dry_run, empty=empty))


@app.command(epilog=examples("retrue push", "retrue push --dry-run"))
def push(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Put the tasks of open rounds into the queue. Each is there exactly once."""
    from retrue.cli import words
    from retrue.steps.push import push_tasks

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("asking the queue what is there, adding the rest"):
        reports = push_tasks(workspace, now=call.now, dry_run=dry_run)
    planned = [one.plan.round_id for one in workspace.records.rounds() if one.state == "planned"]
    call.show(
        reports, words.push(reports, workspace.config.queue.tool, dry_run=dry_run, planned=planned)
    )


@app.command(epilog=examples("retrue collect", "retrue collect --sweep", "retrue collect --push"))
def collect(
    ctx: typer.Context,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Look for deleted answers, even without a sign of any.")
    ] = False,
    push_records: Annotated[
        bool, typer.Option("--push", help="Commit and push the records as well.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring answers home. Every state of an answer is kept, also changed and deleted ones."""
    from retrue.cli import words
    from retrue.recording import record_progress
    from retrue.steps.collect import collect_answers

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    commit = ""
    with call.waiting("bringing answers home"):
        report = collect_answers(workspace, now=call.now, sweep=sweep, dry_run=dry_run)
        if push_records and not dry_run:
            commit = record_progress(workspace, f"Collect {report.new} answers", now=call.now)
    call.show(report, words.collect(report, commit=commit))


@app.command(epilog=examples("retrue validate", "retrue validate --dry-run"))
def validate(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Judge answers and close rounds. Disputes are asked again; exit code 5 if answers lack."""
    from retrue.cli import codes, words
    from retrue.recording import record_progress
    from retrue.steps.validate import judge_answers

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("judging answers"):
        report = judge_answers(workspace, now=call.now, dry_run=dry_run)
        closed = [item.round_id for item in report.rounds if item.closed]
        if closed or report.disputes:
            done = [f"close {name}" for name in closed] + [f"open {n}" for n in report.disputes]
            record_progress(workspace, ", ".join(done).capitalize(), now=call.now)
    call.show(report, words.validate(report))
    raise typer.Exit(codes.of_validate(report))


@app.command(epilog=examples("retrue version", "retrue version --dry-run"))
def version(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Publish late answers, even if no round waits.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Build and tag the next dataset version. It joins the rounds that are closed."""
    from retrue.cli import words
    from retrue.steps.version import build_version

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("building the dataset version"):
        report = build_version(workspace, now=call.now, dry_run=dry_run, force=force)
    call.show(report, words.version(report))


@app.command(epilog=examples("retrue train", "retrue train --dry-run"))
def train(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Train a challenger and put it to the gate. Exit code 4 if it is refused."""
    from retrue.cli import codes, words
    from retrue.steps.train import train_model

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("training and comparing"):
        report = train_model(workspace, now=call.now, dry_run=dry_run)
    call.show(report, words.train(report))
    raise typer.Exit(codes.of_train(report))
