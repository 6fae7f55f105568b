"""`retrue stack up|status|down|reset`: real services on this machine, without Docker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, Call, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.stack import ServiceStatus, Stack

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A local stack: S3, PostgreSQL, Label Studio, MLflow, Prefect and a worker, without Docker."""


@app.command(
    epilog=examples(
        "retrue stack up",
        "retrue stack up --only seaweedfs --only label-studio",
        "retrue stack up --port label-studio=8080",
        "set -a; . .retrue/stack/env; set +a",
    )
)
def up(
    ctx: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Start this one and those it needs. May be repeated."),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PORT", help="A port of your choice. Default: a free one."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Start what does not run, and wait until all of it works.

    The first time installs Label Studio (800 MB) and takes minutes; later a start takes seconds.
    """
    from retrue import stack

    call = call_of(ctx, as_json=as_json)
    root, ports = _root(call), _ports(port or ())
    if dry_run:
        names = stack.STACK.chosen(only or ())
        idle = [one.name for one in stack.status(root) if one.name in names and one.pid is None]
        lines = [f"would start {name}" for name in idle] or ["all of it runs: nothing to start"]
        call.show({"would_start": idle}, lines)
        return
    running = stack.up(root, say=_progress(), only=only or (), ports=ports)
    call.show(_without_secrets(running), _lines(running, root))


@app.command(epilog=examples("retrue stack status", "retrue stack status --json"))
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Ask every service how it is. Exit code 1: one that should run does not, or does not work."""
    from retrue import stack
    from retrue.cli import show

    call = call_of(ctx, as_json=as_json)
    with call.waiting("asking every service"):
        asked = stack.status(_root(call))
    if call.json:
        show.print_json(asked)
    else:
        columns = ("service", "state", "link", "pid", "since", "MB")
        show.print_table(columns, [_row(one) for one in asked])
        show.print_lines(f"{one.name}: {one.detail}" for one in asked if one.detail)
    if not all(one.fine for one in asked):
        raise typer.Exit(1)


@app.command(epilog=examples("retrue stack down", "retrue stack down --dry-run"))
def down(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Stop what `retrue stack up` started, and nothing else. Data and credentials stay."""
    from retrue import stack

    call = call_of(ctx, as_json=as_json)
    root = _root(call)
    if dry_run:
        names = [one.name for one in stack.status(root) if one.pid is not None]
        call.show({"would_stop": names}, _words("would stop", names))
        return
    names = stack.down(root, say=_progress())
    call.show({"stopped": names}, _words("stopped", names))


@app.command(epilog=examples("retrue stack reset --dry-run", "retrue stack reset --yes"))
def reset(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Stop the stack and throw its data away: buckets, tasks, answers, models, runs."""
    from retrue import stack

    call = call_of(ctx, as_json=as_json)
    root = _root(call)
    folder = stack.folder_of(root)
    if dry_run:
        here = stack.exists(root)
        words = f"would stop the stack and remove {folder}" if here else "there is no stack here"
        call.show({"folder": folder, "would_remove": here}, [words])
        return
    if stack.exists(root) and not yes:
        typer.confirm(f"Stop the stack and throw away all that is in {folder}?", abort=True)
    removed = stack.reset(root, say=_progress())
    words = f"removed {folder}" if removed else "there is no stack here"
    call.show({"folder": folder, "removed": removed}, [words])


def _root(call: Call) -> Path:
    """The workspace; outside of one, the folder itself."""
    from retrue.errors import WorkspaceError
    from retrue.wiring import find_root

    try:
        return find_root(call.folder)
    except WorkspaceError:
        return call.folder.resolve()


def _ports(given: Sequence[str]) -> dict[str, int]:
    from retrue import stack

    found: dict[str, int] = {}
    for one in given:
        name, _, port = one.partition("=")
        if name not in stack.STACK.chosen(()) or not port.isdecimal() or not 0 < int(port) < 65536:
            raise typer.BadParameter(f"--port: expected NAME=PORT, got {one}")
        found[name] = int(port)
    return found


def _progress() -> Callable[[str], None]:
    """Says lines with the seconds since now, where they do not mix with what is printed."""
    began = time.monotonic()
    return lambda line: typer.echo(f"{time.monotonic() - began:5.0f} s  {line}", err=True)


def _without_secrets(running: Stack) -> dict[str, object]:
    return {
        "folder": running.folder,
        "env_file": running.env_file,
        "environment": sorted(running.environment),  # names only
        "links": running.links,
        "notes": running.notes,
    }


def _lines(running: Stack, root: Path) -> Iterator[str]:
    wide = max(len(name) for name in running.links) if running.links else 0
    yield from (f"{name:<{wide}}  {link}" for name, link in running.links.items())
    yield from running.notes
    yield f"Names and credentials, logins too, are in {running.env_file}:"
    yield f"  set -a; . {_short(running.env_file, root)}; set +a"


def _short(file: Path, root: Path) -> Path:
    return file.relative_to(root) if Path.cwd() == root and file.is_relative_to(root) else file


def _row(one: ServiceStatus) -> tuple[object, ...]:
    pid = None if one.pid is None else str(one.pid)  # a name, not an amount
    return one.name, one.state, one.link, pid, one.since, one.memory_mb


def _words(done: str, names: Sequence[str]) -> list[str]:
    return [f"{done} {', '.join(names)}"] if names else ["nothing of this stack runs"]
