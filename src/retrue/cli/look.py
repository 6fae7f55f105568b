"""Where things stand (`status`, `report`), a short burst of labeling, and the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, call_of, examples, person_here

if TYPE_CHECKING:
    from retrue.adapters.queue_embedded import EmbeddedQueue
    from retrue.workspace import Workspace

__all__ = ["app"]

app = typer.Typer()


@app.command(epilog=examples("retrue status", "retrue status --json"))
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Where things stand, and the one thing to do next."""
    from retrue.cli import standing
    from retrue.report.facts import gather_facts

    call = call_of(ctx, as_json=as_json)
    facts = gather_facts(call.workspace(), now=call.now)
    call.show(facts, standing.lines(facts))


@app.command(epilog=examples("retrue report --open", "retrue report --out report.html"))
def report(
    ctx: typer.Context,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write. Default: .retrue/report.html in the workspace."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report. One HTML file that needs no server and no network."""
    from retrue.report.page import write_report
    from retrue.wiring import STATE_DIR

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    with call.waiting("writing the report"):
        path = write_report(
            workspace, out or workspace.root / STATE_DIR / "report.html", now=call.now
        )
    call.show({"report": path}, [f"Wrote {path}"])
    if open_it:
        typer.launch(path.absolute().as_uri())


@app.command(epilog=examples("retrue label", "retrue label --annotator ada --minutes 5"))
def label(
    ctx: typer.Context,
    annotator: Annotated[
        str | None, typer.Option(help="Who answers. Default: git's user.name, or your login.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="When to stop.")] = 15.0,
) -> None:
    """Answer questions at the keyboard, for a short burst. Needs `queue.use: files`."""
    import sys

    from rich.console import Console

    from retrue.adapters.keyboard import keyboard
    from retrue.adapters.label_terminal import label_burst
    from retrue.wiring import clock

    call = call_of(ctx)
    workspace = call.workspace()
    name = annotator or call.person or person_here(call.folder)
    with keyboard(sys.stdin) as read_key:
        label_burst(
            embedded_queue(workspace),
            workspace.labels,
            name,
            group=workspace.config.queue.annotators.group_of(name),
            console=Console(),
            read_key=read_key,
            now=clock,
            minutes=minutes,
            read_media=lambda uri: workspace.store.read(workspace.store.resolve(uri)),
        )


def embedded_queue(workspace: Workspace) -> EmbeddedQueue:
    """The workspace's queue, if it is the one in files.

    Raises:
        QueueError: People answer elsewhere.
    """
    from retrue.adapters.queue_embedded import EmbeddedQueue
    from retrue.errors import QueueError

    if not isinstance(workspace.queue, EmbeddedQueue):
        raise QueueError(
            f"queue.use: expected `files` for `retrue label`, got {workspace.config.queue.use}. "
            "Answer in the annotation tool."
        )
    return workspace.queue
