"""The shape of the program, as its design says it is."""

import ast
import re
from pathlib import Path

import pytest

from retrue import errors
from retrue.cli.app import COMMANDS, SECTIONS
from retrue.config import Config

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "retrue"
STEPS = ("ingest", "drift", "select", "push", "collect", "validate", "version", "train")
# Port -> its contract suite. An adapter is `<port>_<technology>.py`.
SUITES = {
    "store": "test_sample_store.py",
    "queue": "test_annotation_queue.py",
    "records": "test_round_record.py",
    "state": "test_working_state.py",
    "repo": "test_dataset_repo.py",
    "models": "test_model_registry.py",
}
# Parts that the adapters of one port share; a suite cannot run them alone.
PARTS = {
    "store_roots",
    "queue_embedded",
    "queue_simulated",
    "records_cache",
    "state_copy",
    "state_engine",
    "state_leases",
    "state_tables",
    "repo_init",
    "models_cache",
}
# What has a step's name but no section: nothing about it is left to choose.
WITHOUT_SECTION = {"ingest", "push", "collect", "version"}
# Above the adapters, so free to use them.
MAY_IMPORT_ADAPTERS = {"adapters", "cli", "demo", "wiring.py"}  # a demo plays the world around


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """All modules a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_a_step_is_a_file_a_command_and_a_test():
    files = {path.stem for path in (SOURCE / "steps").glob("*.py")} - {"__init__"}

    assert files == {*STEPS}
    assert {*STEPS} <= {*COMMANDS}
    assert SECTIONS["One step at a time"] == STEPS


def test_a_step_is_a_section_of_the_config_unless_there_is_nothing_to_choose():
    fields = {field.alias or name for name, field in Config.model_fields.items()}
    sections = fields - {"version"}  # `version: 1` is the format of the file

    assert {*STEPS} - sections == WITHOUT_SECTION


@pytest.mark.parametrize("name", sorted({*errors.__all__}))
def test_every_error_is_raised_somewhere_or_has_one_below_it_that_is(name: str):
    kind = getattr(errors, name)
    names = [one for one in errors.__all__ if issubclass(getattr(errors, one), kind)]
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in modules() if path.name != "errors.py"
    )

    # An error is also raised by being built: `raise _refusal(...)` returns one.
    assert any(re.search(rf"\b{one}\(", text) for one in names)


def test_every_adapter_appears_in_the_contract_suite_of_its_port():
    missing = [
        path.name
        for path in sorted((SOURCE / "adapters").glob("*.py"))
        if (suite := SUITES.get(path.stem.partition("_")[0])) and path.stem not in PARTS
        if f"retrue.adapters.{path.stem}" not in imported(ROOT / "tests/contracts" / suite)
    ]

    assert missing == []


def test_nothing_is_called_a_part_that_is_not_there():
    files = {path.stem for path in (SOURCE / "adapters").glob("*.py")}

    assert files >= PARTS


def test_only_the_wiring_and_what_stands_above_it_know_adapters():
    knowing = {
        name
        for path in modules()
        if (name := path.relative_to(SOURCE).as_posix()).split("/")[0] not in MAY_IMPORT_ADAPTERS
        if any(one.startswith("retrue.adapters") for one in imported(path))
    }

    assert knowing == {
        "initialising.py",  # there is no workspace to wire yet
        "acts/adopting_models.py",  # reads foreign model files
        "acts/label_files.py",  # reads foreign label files
        "acts/adopting_label_studio.py",  # reads foreign projects
        "acts/foreign_question.py",  # reads their labeling pages
        "acts/foreign_answers.py",  # and their answers
    }


def test_only_flows_know_prefect():
    assert [
        path for path in modules() if any(n.startswith("prefect") for n in imported(path))
    ] == []


def test_every_module_says_what_it_offers():
    silent = [
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        if path.name not in ("__init__.py", "__main__.py") and "migrations" not in path.parts
        if "\n__all__ = " not in path.read_text(encoding="utf-8")
    ]

    assert silent == []


def test_nothing_is_called_a_helper():
    vague = re.compile(r"util|helper|manager|common|misc")

    assert [path.name for path in modules() if vague.search(path.stem)] == []
