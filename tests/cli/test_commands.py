"""The program as a whole: its words, its help, its answers to mistakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import retrue
from retrue.cli.app import COMMANDS, GROUPS, SECTIONS, app

STEPS = ("ingest", "drift", "select", "push", "collect", "validate", "version", "train")


def commands(words: tuple[str, ...] = (), command: object = None) -> Iterator[tuple[str, ...]]:
    """The words of every command that can be called, hidden ones too."""
    command = get_command(app) if command is None else command
    below = getattr(command, "commands", None)
    if below is None or getattr(command, "invoke_without_command", False):
        yield words
    for name in below or ():
        yield from commands((*words, name), below[name])


def test_every_step_word_is_a_command():
    known = {*COMMANDS, *GROUPS}

    assert set(STEPS) <= known


def test_every_command_stands_in_one_section_of_the_help():
    shown = [name for names in SECTIONS.values() for name in names]

    assert sorted([*shown, "stage"]) == sorted([*COMMANDS, *GROUPS])


@pytest.mark.parametrize("words", sorted(set(commands())), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(words: tuple[str, ...]):
    asked = CliRunner().invoke(app, [*words, "--help"])

    assert asked.exit_code == 0, asked.output
    if words:
        assert "Examples:" in asked.output
        assert f"retrue {' '.join(words)}" in asked.output


def test_help_names_every_section():
    asked = CliRunner().invoke(app, ["--help"])

    assert all(f"{title}:" in asked.output for title in SECTIONS)
    assert "stage" not in asked.output


def test_a_mistyped_command_is_a_usage_error_with_a_guess():
    asked = CliRunner().invoke(app, ["slect"])

    assert asked.exit_code == 2
    assert "'select'" in asked.output


def test_an_unknown_option_is_a_usage_error():
    asked = CliRunner().invoke(app, ["push", "--hard"])

    assert asked.exit_code == 2


def test_outside_a_workspace_a_command_says_what_to_do(tmp_path: Path):
    asked = CliRunner().invoke(app, ["-C", str(tmp_path), "status"])

    assert asked.exit_code == 1
    assert "retrue init" in asked.stderr
    assert "Traceback" not in asked.output
    assert asked.stdout == ""


def test_debug_shows_where_an_error_came_from(tmp_path: Path):
    asked = CliRunner().invoke(app, ["-C", str(tmp_path), "--debug", "status"])

    assert isinstance(asked.exception, retrue.errors.WorkspaceError)


def test_the_version_is_printed_before_anything_is_looked_for():
    asked = CliRunner().invoke(app, ["--version"])

    assert asked.stdout == f"retrue {retrue.__version__}\n"
