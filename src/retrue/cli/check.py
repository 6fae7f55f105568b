"""`retrue check` (offline) and `retrue doctor` (services too)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from retrue.cli.call import AsJson, Call, call_of, examples

if TYPE_CHECKING:
    from retrue.cli.checks import Check

__all__ = ["app"]

app = typer.Typer()


@app.command(epilog=examples("retrue check", "retrue -C loops/defects check --json"))
def check(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Is everything in place? Looks offline; exit code 1 if anything is wrong."""
    from retrue.cli.checks import check_workspace
    from retrue.wiring import find_root

    call = call_of(ctx, as_json=as_json)
    _tell(call, check_workspace(find_root(call.folder)))


@app.command(epilog=examples("retrue doctor", "retrue doctor --json"))
def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """As `check`, then every service: does it answer, may we, what is wrong and what to do.

    Looks only, but for one small object that it writes to the DVC remote and removes again.
    """
    from retrue.cli.checks import check_workspace
    from retrue.cli.services import check_services
    from retrue.wiring import find_root

    call = call_of(ctx, as_json=as_json)
    root = find_root(call.folder)
    checks = check_workspace(root)
    if all(one.ok for one in checks):
        asked = check_services(root, waiting=call.waiting)
        names = {one.name for one in asked}
        checks = [*(one for one in checks if one.name not in names), *asked]
    _tell(call, checks)


def _tell(call: Call, checks: Sequence[Check]) -> None:
    wide = max(len(one.name) for one in checks)
    lines = [f"{_word(one)}  {one.name:{wide}}  {one.detail}" for one in checks]
    wrong = sum(not one.ok for one in checks)
    call.show(checks, [*lines, "" if wrong else "Everything is in place."])
    if wrong:
        typer.echo(f"{wrong} of {len(checks)} checks failed.", err=True)
        raise typer.Exit(1)


def _word(found: Check) -> str:
    if not found.ok:
        return "WRONG"
    return "warn " if found.warn else "ok   "
