"""`retrue init`: a new workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from retrue.cli.call import AsJson, call_of, examples

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog=examples("retrue init defects", "retrue init wines --kind table --example"),
)
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to make it.")],
    kind: Annotated[
        Literal["table", "text", "image"] | None,
        typer.Option(help="Start from a short example instead of the commented configuration."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="The project's name. Default: the folder's.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Bring example data, to walk the loop at once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a workspace. Configuration, flows, a git repository with DVC, a first commit."""
    from retrue.initialising import make_workspace

    call = call_of(ctx, as_json=as_json)
    with call.waiting("making the workspace"):
        config = make_workspace(folder, kind=kind, project=project, example=example)
    edit = "" if example else "edit configs/project.yaml and configs/labels.yaml, then "
    lines = [
        f"Made the workspace {config.project} in {folder}.",
        f"Next: `cd {folder}`, {edit}`retrue check`, `retrue run cycle`.",
    ]
    call.show({"project": config.project, "folder": folder}, lines)
