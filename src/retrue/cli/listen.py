"""`retrue listen`: collects as soon as Label Studio hints at new answers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, Call, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.acts.following import Hints
    from retrue.adapters.label_studio_hooks import HooksReport
    from retrue.workspace import Workspace

__all__ = ["app"]

LOOPBACK = ("127.0.0.1", "localhost")
app = typer.Typer()


@app.command(
    epilog=examples(
        "retrue listen",
        "retrue listen --register http://retrue.example.org:8089/hint",
        "retrue listen --unregister",
    )
)
def listen(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8089,
    every: Annotated[
        float, typer.Option(metavar="MINUTES", help="Collect this often without any hint.")
    ] = 10.0,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Set up webhooks to this address in our Label Studio projects."
        ),
    ] = None,
    unregister: Annotated[
        bool, typer.Option("--unregister", help="Remove our webhooks from Label Studio, and end.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Collect whenever Label Studio's webhook hints at new answers, and now and then anyway.

    RETRUE_WEBHOOK_SECRET is what a webhook must carry. A hint is not believed: it leads to one
    `retrue collect`, however many come at once. Ctrl-C ends it after the collect under way.
    """
    from retrue.wiring import label_studio_hooks, webhook_secret

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    if unregister:
        report = label_studio_hooks(workspace.config).unregister(dry_run=dry_run)
        call.show(report, [f"{report.removed} webhooks removed from {report.projects} projects"])
        return
    secret = webhook_secret().get_secret_value()
    look = _look(call, workspace, dry_run=dry_run)
    if register is not None:
        set_up = _set_up(call, workspace, secret, register, dry_run=dry_run)
        both = (set_up, look)
    else:
        both = (look,)
    _serve(both, secret=secret, host=host, port=port, every=every)


def _serve(
    acts: tuple[Callable[[], None], ...], *, secret: str, host: str, port: int, every: float
) -> None:
    """Listen, and act at every hint and tick until a signal comes."""
    from retrue.acts.following import Hints, Pace, follow
    from retrue.adapters.hints_webhook import HintsListener

    hints = Hints()
    with HintsListener(hints.hint, secret=secret, host=host, port=port) as listener:
        typer.echo(f"listening on {listener.url} (Ctrl-C ends)", err=True)
        if host not in LOOPBACK:
            typer.echo("this is plain HTTP: put TLS in front, or the secret is seen", err=True)
        with _ending(hints):
            follow(hints, lambda: _all(acts), Pace(tick=every * 60))
    typer.echo("ended", err=True)


def _all(acts: tuple[Callable[[], None], ...]) -> None:
    """Each of them; a failure is told, and the next hint or tick makes good."""
    from retrue.errors import RetrueError

    for act in acts:
        try:
            act()
        except RetrueError as error:
            typer.echo(f"Error: {error}\nThe next hint or tick tries again.", err=True)


def _look(call: Call, workspace: Workspace, *, dry_run: bool) -> Callable[[], None]:
    """`retrue collect`; says something where something came."""
    from retrue.cli import words
    from retrue.steps.collect import collect_answers
    from retrue.wiring import clock

    def look() -> None:
        report = collect_answers(workspace, now=clock(), dry_run=dry_run)
        if report.new or report.changed or report.deleted or report.unknown:
            call.show(report, words.collect(report, commit=""))

    return look


def _set_up(
    call: Call, workspace: Workspace, secret: str, url: str, *, dry_run: bool
) -> Callable[[], None]:
    """Webhooks in every project of ours, also in those made later."""
    from retrue.wiring import label_studio_hooks

    hooks = label_studio_hooks(workspace.config, secret)

    def set_up() -> None:
        report = hooks.register(url, dry_run=dry_run)
        if report.added or report.removed:
            call.show(report, _hook_lines(report))

    return set_up


def _hook_lines(report: HooksReport) -> Iterator[str]:
    yield (
        f"webhooks in {report.projects} projects: {report.added} added, {report.kept} kept, "
        f"{report.removed} removed"
    )


@contextmanager
def _ending(hints: Hints) -> Generator[None]:
    """The first Ctrl-C (or SIGTERM) ends in order, the second at once."""

    def end(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        hints.end()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
