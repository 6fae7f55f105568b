"""The report: one HTML file that needs nothing but a browser."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

import retrue
from retrue.report import pictures, sentences, wording
from retrue.report.reading import plain_label
from retrue.report.story import Story, gather_story
from retrue.workspace import Workspace

__all__ = ["render", "write_report"]


def write_report(workspace: Workspace, out: Path, *, now: datetime) -> Path:
    """Write the report of a workspace.

    Args:
        workspace: Which one.
        out: The file; it is replaced whole, or left as it is.
        now: Printed as the time of the report.

    Returns:
        `out`.

    Raises:
        RecordError: A record is damaged.
        RepoError: The newest version's files are on no remote we can reach.
        OSError: The file cannot be written.
    """
    page = render(gather_story(workspace, now=now))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        # Text from data may hold half a character, which no file can.
        temporary.write_bytes(page.encode(errors="replace"))
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def render(story: Story) -> str:
    """The page as text. Everything from data is escaped, and nothing from data becomes a link."""
    environment = Environment(
        loader=PackageLoader("retrue.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": wording.amount,
        "column": wording.column_name,
        "day": wording.day,
        "interval": wording.interval,
        "label": plain_label,
        "pace": wording.pace,
        "percent": wording.percent,
        "points": wording.points,
    }
    return environment.get_template("report.html.j2").render(
        story=story,
        facts=story.facts,
        draw=pictures,
        say=sentences,
        money=wording.money,
        plural=wording.plural,
        program=f"retrue {retrue.__version__}",
    )
