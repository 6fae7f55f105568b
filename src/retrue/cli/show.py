"""Printing: lines and tables for people, JSON for programs, a sign of life for long work."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from retrue.records import Json

__all__ = ["counting", "plain", "print_json", "print_lines", "print_table", "waiting"]

WIDE = 200  # columns of a table that goes to a file or a pipe: nothing is cut


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are."""
    for line in lines:
        typer.echo(line)


def print_json(value: object) -> None:
    """Print a report as indented JSON."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: object) -> Json:
    """A record, and all in it, as JSON: times in ISO 8601, NaN as null, anything else as text.

    >>> plain({"at": datetime(2025, 1, 1), "scores": (0.5, float("nan"), 2)})
    {'at': '2025-01-01T00:00:00', 'scores': [0.5, None, 2]}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): plain(item) for key, item in items}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(item) for item in cast("Iterable[object]", value)]
    return _numpy(value)


def _numpy(value: object) -> Json:
    """What knows itself as a list (numpy's arrays and numbers); else its text."""
    as_list = getattr(value, "tolist", None)
    return plain(as_list()) if callable(as_list) else str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are set to the right, None is a dash, no row is `none yet`."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = [list(row) for row in rows]
    if not shown:
        print_lines(["none yet"])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        numbers = all(isinstance(row[place], int | float | None) for row in shown)
        table.add_column(name, justify="right" if numbers else "left")
    for row in shown:
        table.add_row(*(Text(_cell(value)) for value in row))  # Text: "[b]" is a label, not bold
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@contextmanager
def waiting(text: str) -> Generator[None]:
    """A turning sign on the terminal (on stderr) while a block runs; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextmanager
def counting(what: str) -> Generator[Callable[[int], None]]:
    """A number that grows on the terminal (on stderr) while a block runs; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield _unseen
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda number: status.update(f"{number:,} {what}")


def _unseen(number: int) -> None:
    """Nobody is looking."""
