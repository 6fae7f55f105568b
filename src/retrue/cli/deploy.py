"""`retrue deploy`: everything in `prefect.yaml` onto a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.adapters.prefect_deploy import DeployReport
    from retrue.adapters.prefect_server import Deployed

__all__ = ["app"]

app = typer.Typer()


@app.command(epilog=examples("retrue deploy", "retrue deploy --dry-run"))
def deploy(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Register the schedules and flows of prefect.yaml on a Prefect server.

    The server is the one PREFECT_API_URL names. Call it again after editing prefect.yaml or moving
    the folder; what is there is brought up to date, nothing is doubled.
    """
    import os

    from retrue.adapters.prefect_deploy import deploy as register
    from retrue.adapters.prefect_deploy import prefect_address
    from retrue.adapters.prefect_server import HOW_TO_START, PrefectServer
    from retrue.config import load_config
    from retrue.errors import ConfigError
    from retrue.wiring import find_root, quiet_telemetry

    quiet_telemetry()
    call = call_of(ctx, as_json=as_json)
    root = find_root(call.folder)
    config = load_config(root)
    with call.waiting("registering with Prefect"):
        url = prefect_address(root, os.environ)
        if url is None:
            raise ConfigError(
                f"PREFECT_API_URL: expected a Prefect server's address. {HOW_TO_START}"
            )
        report = register(root, config.project, PrefectServer(url, os.environ), dry_run=dry_run)
    call.show(report, _lines(report, dry_run=dry_run))


def _lines(report: DeployReport, *, dry_run: bool) -> Iterator[str]:
    yield f"Prefect {report.version} at {report.server}"
    for name in report.pools:
        made = "would be made" if dry_run else "made"
        yield f"work pool {name}: {made if name in report.new_pools else 'there already'}"
    if dry_run:
        yield from (f"{name}: would be registered" for name in report.new)
    wide = max((len(one.name) for one in report.deployments), default=0)
    for one in report.deployments:
        change = "would be brought up to date" if dry_run else "up to date"
        change = "new" if one.name in report.new else change
        yield f"{one.name:{wide}}  {change}; {_when(one)}"
    for folder in report.moved_from:
        yield f"These ran in {folder} before. Two workspaces must not have one project's name."
    for name in report.left_over:
        yield f"{name} is not in prefect.yaml any more: `prefect deployment delete {name}`"
    if not dry_run:
        for pool in report.idle_pools:
            yield f"Next, on this machine: `prefect worker start --pool {pool} --type process`"


def _when(one: Deployed) -> str:
    """When it runs, in words."""
    occasions = [*(f"at {plan}" for plan in one.schedules), *(f"on {name}" for name in one.events)]
    limit = "" if one.limit is None else f"; {one.limit} at a time"
    return f"{' and '.join(occasions) or 'when you say'}{limit}"
