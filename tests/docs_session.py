"""Runs a document: what a reader would type, in a home folder of its own."""

from __future__ import annotations

import csv
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from PIL import Image, ImageDraw
from typer.main import get_command
from typer.testing import CliRunner

from retrue.adapters.queue_files import FileQueue
from retrue.cli.app import app
from retrue.records import QueueTask, canonical_json
from retrue.wiring import clock, open_workspace

__all__ = ["Block", "Session", "blocks", "commands_in", "complaint", "make_home"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`(retrue [^`\n]*)`(?!`)")
FILE_NAME = re.compile(r"# ([\w/.-]+\.(?:yaml|py|csv))$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a document."""

    language: str
    text: str
    line: int  # of its first line in the document

    @property
    def file(self) -> str | None:
        """The file it stands for: its first line is a comment that names it."""
        found = FILE_NAME.match(self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Console only: each command with the output shown below it ("" = none is shown)."""
        parts = re.split(r"^\$ ", self.text, flags=re.M)[1:]
        return [(head, shown) for head, _, shown in (part.partition("\n") for part in parts)]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(language=m[1], text=m[2], line=text.count("\n", 0, m.start(2)) + 1)
        for m in FENCE.finditer(text)
    ]


def commands_in(text: str) -> Iterator[str]:
    """Every `retrue ...` a text names: in code spans, in blocks, in comments of configurations."""
    yield from INLINE.findall(FENCE.sub("", text))
    for found in FENCE.finditer(text):
        for line in found[2].splitlines():
            line = line.removeprefix("$ ").partition("  #")[0].strip()
            if line.startswith("retrue ") and found[1] in ("console", "sh", ""):
                yield line


def complaint(command: str) -> str | None:
    """Why the program would not take this command; None: it would. Left out arguments are fine."""
    words = shlex.split(command)[1:]
    try:
        _parse(get_command(app), "retrue", words, None)
    except typer.Exit:
        return None  # --help, --version
    except Exception as error:  # noqa: BLE001 - the errors of Typer's own copy of click are private
        kind = type(error).__name__
        fine = kind in ("MissingParameter", "NoArgsIsHelpError")
        return None if fine else f"{command}: {kind}: {error}"
    return None


def _parse(command: Any, name: str, words: list[str], parent: Any) -> None:
    """Have click read the words of a command, and of the command below it, without calling it."""
    ctx = command.make_context(name, words, parent=parent)
    rest = [*ctx._protected_args, *ctx.args]
    if hasattr(command, "resolve_command") and rest:
        below, inner, left = command.resolve_command(ctx, rest)
        _parse(inner, below, left, ctx)


class Session:
    """A home folder, where the reader is, and what they type."""

    def __init__(self, home: Path) -> None:
        self.home = self.at = home
        self._names: dict[str, object] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The reader's environment variables."""
        return {
            "HOME": str(self.home),
            "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "160",
        }

    def copy(self, home: Path) -> Session:
        """The same in another home."""
        shutil.copytree(self.home, home, symlinks=True)
        for pointer in (".retrue/worktree", ".git/worktrees"):  # git writes whole paths into them
            for found in home.glob(f"*/{pointer}"):
                shutil.rmtree(found)
        session = Session(home)
        session.at = home / self.at.relative_to(self.home)
        return session

    def run(self, command: str) -> tuple[int, str]:
        """Run one command.

        Returns:
            Its exit code and all it printed.
        """
        words = shlex.split(command)
        if words[0] == "cd":
            self.at = (self.at / Path(words[1]).expanduser()).resolve()
            return 0, ""
        with chdir(self.at):
            if words[:2] == ["retrue", "label"]:
                return 0, _people_answer(words)
            if words[0] == "retrue" and not {"|", ">", "&&"} & {*words}:
                done = CliRunner().invoke(app, words[1:])
                if done.exception is not None and not isinstance(done.exception, SystemExit):
                    raise done.exception
                return done.exit_code, done.output
            shell = subprocess.run(  # noqa: S602 - our own documents
                command, shell=True, capture_output=True, text=True, check=False
            )
            return shell.returncode, shell.stdout + shell.stderr

    def execute(self, code: str) -> None:
        """Run Python code; names live as long as the session."""
        with chdir(self.at):
            sys.path.insert(0, str(self.at))
            try:
                exec(code, self._names)  # noqa: S102 - our own documents
            finally:
                sys.path.pop(0)

    def write(self, block: Block) -> None:
        """Write a block that names its file."""
        target = self.at / str(block.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")


def _people_answer(words: list[str]) -> str:
    """Play the person at `retrue label`: all open questions, answered right."""
    name = words[words.index("--annotator") + 1] if "--annotator" in words else "Ada"
    workspace = open_workspace(Path())
    queue = workspace.queue
    if not isinstance(queue, FileQueue):
        raise TypeError("expected the queue in files")
    group = workspace.config.queue.annotators.group_of(name)
    tasks = queue.open_tasks(name, group)
    for task in tasks:
        queue.answer(task.task_key, name, _truth(task), note="", lead_seconds=3.0, now=clock())
    return (
        f"{name}: {len(tasks)} answered, 0 skipped, 0 left; nothing is left to answer.\n"
        "Everything is saved; `retrue collect` brings it home.\n"
    )


def _truth(task: QueueTask) -> str:
    if task.media_uri is not None:
        return canonical_json("round" if "round" in task.media_uri else "square")
    weight, height = (float(str(task.display[name])) for name in ("weight", "height"))
    return canonical_json(_quality(weight, height))


def _quality(weight: float, height: float) -> str:
    return "bad" if weight > 106 or height < 17.5 else "good"


def make_home(home: Path, *, parts: int = 360, pictures: int = 60) -> Session:
    """Fill a home folder with the files the documents name.

    Args:
        home: Where.
        parts: Rows of parts.csv (300) and parts-tuesday.csv; history.csv knows each tenth label.
        pictures: Files in shapes/.

    Returns:
        The session of a reader who is at home.
    """
    (home / "shapes").mkdir(parents=True)
    rng = random.Random(0)  # noqa: S311 - no secret
    rows = [
        (f"p{i:04d}", round(rng.gauss(100, 5), 2), round(rng.gauss(20, 2), 2), rng.choice("ABC"))
        for i in range(parts)
    ]
    header = ("id", "weight", "height", "line")
    _write_csv(home / "parts.csv", header, rows[:300])
    _write_csv(home / "parts-tuesday.csv", header, rows[300:])
    history = [(name, _quality(weight, height)) for name, weight, height, _ in rows[:300:10]]
    _write_csv(home / "history.csv", ("id", "label"), history)
    for i in range(pictures):
        name = "round" if i % 2 else "square"
        picture = Image.new("L", (32, 32), rng.randint(180, 255))
        draw = ImageDraw.Draw(picture)
        x, y = rng.randint(2, 12), rng.randint(2, 12)
        (draw.ellipse if i % 2 else draw.rectangle)((x, y, x + 16, y + 16), fill=rng.randint(0, 60))
        picture.save(home / "shapes" / f"{name}-{i:03d}.png")
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        "[advice]\ndetachedHead = false\n"
    )
    return Session(home)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
