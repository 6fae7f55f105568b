"""What every command knows: where, who, when and how to print; and options they share."""

from __future__ import annotations

import getpass
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retrue.workspace import Workspace

__all__ = ["AsJson", "Call", "DryRun", "call_of", "examples"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the program."""

    start: Path  # the workspace, or a folder or file in it
    person: str | None  # as given by --person
    json: bool
    debug: bool
    now: datetime  # read once, so that one call has one time

    @property
    def folder(self) -> Path:
        """Where to look for the workspace."""
        return self.start.parent if self.start.is_file() else self.start

    def workspace(self, *, by_person: bool = False) -> Workspace:
        """The workspace, connected.

        Args:
            by_person: The command is a person's decision: their name is recorded with it.

        Raises:
            WorkspaceError: There is none here.
            ConfigError: Its configuration is wrong.
        """
        from retrue.wiring import open_workspace

        person = self.person or (person_here(self.folder) if by_person else None)
        return open_workspace(self.folder, person=person)

    def show(self, report: object, lines: Iterable[str]) -> None:
        """Print a report: as JSON if asked for, else in these words."""
        from retrue.cli import show

        if self.json:
            show.print_json(report)
        else:
            show.print_lines(lines)

    @contextmanager
    def waiting(self, text: str) -> Generator[None]:
        """Show on a terminal that work is being done."""
        from retrue.cli import show

        with show.waiting(text):
            yield


def call_of(ctx: typer.Context, *, as_json: bool = False) -> Call:
    """This call; `--json` counts before and after the command's name."""
    call = ctx.find_object(Call)
    if call is None:
        raise ValueError("ctx: expected a context below the program's own")
    return replace(call, json=call.json or as_json)


def person_here(folder: Path) -> str:
    """Who gives the command: git's user.name, or the login."""
    from retrue.adapters.git import Git
    from retrue.errors import RetrueError

    try:
        name = Git(folder)("config", "--get", "user.name")
    except RetrueError:  # no git, or no name set
        name = ""
    return name or getpass.getuser()


def examples(*lines: str) -> str:
    r"""The block of examples under a command's help.

    >>> examples("retrue push --dry-run")
    '\x08\nExamples:\n  retrue push --dry-run'
    """
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
