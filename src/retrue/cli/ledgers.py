"""`retrue ledger rebuild|upgrade|copy`: an index that can be made anew, mended and moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.acts.rebuilding import RebuildReport
    from retrue.adapters.state_copy import CopyReport

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The ledger: rebuild it from the records, bring its schema up to date, move it."""


@app.command(epilog=examples("retrue ledger rebuild --dry-run", "retrue ledger rebuild --yes"))
def rebuild(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Forget the working state and fill it from the records, after .retrue was lost."""
    from retrue.acts.rebuilding import rebuild_ledger, recorded_windows

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    windows = recorded_windows(workspace)
    if dry_run:
        names = [window.window_id for window in windows]
        lines = [f"{len(names)} recorded windows would be read again; others are ingested anew"]
        call.show({"windows": names}, lines)
        return
    if workspace.state.windows() and not yes:
        typer.confirm("The ledger holds windows. Forget it and read them again?", abort=True)
    with call.waiting(f"reading {len(windows)} windows again"):
        report = rebuild_ledger(workspace, now=call.now)
    call.show(report, _lines(report))


@app.command(epilog=examples("retrue ledger upgrade", "retrue ledger upgrade --dry-run"))
def upgrade(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring the ledger's tables up to date with this version of retrue."""
    from retrue.adapters.state_engine import connect, schema_revision
    from retrue.adapters.state_sql import upgrade as upgrade_schema
    from retrue.config import load_config
    from retrue.wiring import STATE_DIR, find_root, ledger_url

    call = call_of(ctx, as_json=as_json)
    root = find_root(call.folder)
    url = ledger_url(root, load_config(root))
    if dry_run:
        revision = schema_revision(connect(url))
        call.show({"revision": revision}, [f"the ledger is at revision {revision or 'none'}"])
        return
    (root / STATE_DIR).mkdir(exist_ok=True)
    applied = upgrade_schema(url)
    lines = [f"applied {name}" for name in applied] or ["the ledger is up to date"]
    call.show({"applied": applied}, lines)


@app.command(
    epilog=examples(
        "retrue ledger copy --to postgresql://retrue@db.internal/retrue --dry-run",
        "RETRUE_LEDGER_TO=postgresql://retrue:SECRET@db.internal/retrue retrue ledger copy",
        "retrue ledger copy --to sqlite:////srv/loop/.retrue/ledger.sqlite --replace",
    )
)
def copy(
    ctx: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            envvar="RETRUE_LEDGER_TO",
            show_envvar=True,
            metavar="URL",
            help="Where to. A URL with a password belongs into the environment variable.",
        ),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what the target holds of this workspace.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move this workspace's ledger to another database. The old one then refuses every write."""
    from retrue.adapters.state_copy import copy_ledger
    from retrue.cli.show import counting
    from retrue.config import load_config
    from retrue.wiring import find_root, ledger_url

    call = call_of(ctx, as_json=as_json)
    root = find_root(call.folder)
    config = load_config(root)
    with counting("rows copied") as told:
        report = copy_ledger(
            ledger_url(root, config),
            to,
            workspace=config.project,
            now=call.now,
            replace=replace,
            dry_run=dry_run,
            told=told,
        )
    call.show(report, _copied(report, dry_run=dry_run))


def _copied(report: CopyReport, *, dry_run: bool) -> Iterator[str]:
    rows = f"{sum(report.rows.values()):,} rows"
    instead = f", in place of {report.replaced:,}" if report.replaced else ""
    if dry_run:
        yield f"{rows} would be copied from {report.source} to {report.target}{instead}"
        return
    yield f"{rows} copied from {report.source} to {report.target}{instead}; counted on both sides"
    yield "The old ledger is closed: whoever still uses it is told where it went."
    yield "Next: name the new one in configs/project.yaml of every clone, the password by name:"
    yield '  store: {ledger: "${RETRUE_LEDGER}"}'


def _lines(report: RebuildReport) -> Iterator[str]:
    yield f"{report.windows:,} windows read again, {report.tasks:,} tasks found in the records"
    yield f"{report.in_flight:,} samples still wait for answers"
    if report.centers:
        yield f"{report.centers:,} columns keep the bins of the champion's reference"
    yield from (f"window {one.window_id} cannot be read: {one.reason}" for one in report.lost)
    yield "Next: `retrue ingest` reads again what no record names, then `retrue push` and collect."
