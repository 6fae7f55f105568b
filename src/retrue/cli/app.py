"""The `retrue` program: global options, the table of commands, errors as messages.

A command's module is imported when the command is called, and imports what it works with inside
the command, so that `retrue --help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from retrue import __version__
from retrue.cli.call import Call
from retrue.errors import RetrueError, TransientError
from retrue.secrecy import without_secrets

if TYPE_CHECKING:  # Typer's own copy of click, for the signatures only
    from typer._click import Command, Context
    from typer._click.formatting import HelpFormatter

__all__ = ["COMMANDS", "GROUPS", "SECTIONS", "app", "main"]

# Command -> the module whose `app` holds it.
COMMANDS: Mapping[str, str] = {
    "init": "retrue.cli.init",
    "check": "retrue.cli.check",
    "doctor": "retrue.cli.check",
    "demo": "retrue.cli.demos",
    "status": "retrue.cli.look",
    "label": "retrue.cli.look",
    "report": "retrue.cli.look",
    "ingest": "retrue.cli.steps",
    "drift": "retrue.cli.steps",
    "select": "retrue.cli.steps",
    "push": "retrue.cli.steps",
    "collect": "retrue.cli.steps",
    "validate": "retrue.cli.steps",
    "version": "retrue.cli.steps",
    "train": "retrue.cli.steps",
    "run": "retrue.cli.run",
    "listen": "retrue.cli.listen",
    "deploy": "retrue.cli.deploy",
    "stage": "retrue.cli.stage",
}
# Group -> the module whose `app` it is; `retrue drift` is a step with the group's commands below.
GROUPS: Mapping[str, str] = {
    "round": "retrue.cli.rounds",
    "model": "retrue.cli.models",
    "dataset": "retrue.cli.datasets",
    "schema": "retrue.cli.schemas",
    "adopt": "retrue.cli.adopts",
    "ledger": "retrue.cli.ledgers",
    "annotators": "retrue.cli.people",
    "answers": "retrue.cli.people",
    "stack": "retrue.cli.stack",
}
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("init", "check", "doctor", "demo", "stack"),
    "Every day": ("status", "label", "report", "run", "listen", "deploy"),
    "One step at a time": (
        "ingest",
        "drift",
        "select",
        "push",
        "collect",
        "validate",
        "version",
        "train",
    ),
    "Look closer, decide, mend": (
        "round",
        "model",
        "dataset",
        "schema",
        "annotators",
        "answers",
        "adopt",
        "ledger",
    ),
}


class _Commands(MutableMapping[str, "Command"]):
    """Commands by name; a module is imported when one of its commands is looked up."""

    def __init__(self) -> None:
        self._added: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._added:
            self._added[name] = _load(name)
        return self._added[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*COMMANDS, *GROUPS))

    def __len__(self) -> int:
        return len(COMMANDS) + len(GROUPS)


def _load(name: str) -> Command:
    module = COMMANDS.get(name) or GROUPS[name]  # KeyError: there is no such command
    holder: typer.Typer = import_module(module).app
    holder.rich_markup_mode = None
    group = get_group(holder)
    return group.commands.get(name, group)


class Root(TyperGroup):
    """All commands, in sections; an error of ours is a message and exit code 1."""

    def __init__(self, **attrs: Any) -> None:  # noqa: ANN401 - handed on as they come
        super().__init__(**attrs)
        self.commands = _Commands()

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        """One block of help per section."""
        for title, names in SECTIONS.items():
            width = formatter.width - 6 - max(len(name) for name in self.commands)
            rows = [(name, self.commands[name].get_short_help_str(width)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Context) -> object:
        """Run a command; say what went wrong where the caller can do something about it."""
        try:
            return super().invoke(ctx)
        except RetrueError as error:
            if ctx.params.get("debug"):
                raise
            again = "\nNothing is lost: run it again." if isinstance(error, TransientError) else ""
            typer.echo(f"Error: {error}{again}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Root,
    name="retrue",
    rich_markup_mode=None,  # plain help: quick, and the same in every terminal
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"retrue {__version__}")
        raise typer.Exit


@app.callback(
    epilog=(
        "Exit codes: 0 fine, 1 error, 2 usage; steps also 3 drift found, 4 gate refused, "
        "5 not enough answers yet."
    )
)
def _options(
    ctx: typer.Context,
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-C", metavar="DIR", help="The workspace, or a folder or file in it."
        ),
    ] = Path(),
    person: Annotated[
        str | None,
        typer.Option(help="Who decides, for the record. Default: git's user.name, or your login."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for programs instead of words.")
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Keep a model true to the world it works in.

    Watches traffic for drift, picks what is worth a label, brings answers home, versions the
    dataset, retrains, and promotes only what is shown to be better.
    """
    from retrue.wiring import clock

    ctx.obj = Call(start=config, person=person, json=as_json, debug=debug, now=clock())


def main() -> None:
    """The entry point of the `retrue` program."""
    try:
        app()
    except Exception:  # noqa: BLE001 - whatever it is, its traceback is shown without secrets
        sys.exit(without_secrets(traceback.format_exc()))
