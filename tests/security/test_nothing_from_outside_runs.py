"""Nothing that came from outside is run, unpickled, or parsed by what follows its references."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Reads what may be a pickle, whatever its file is called.
UNPICKLING = {
    "np.load",
    "numpy.load",
    "torch.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "mlflow.pyfunc.load_model",
    "mlflow.sklearn.load_model",
}
RUNNING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load"}
XML_WRITING = {"Element", "SubElement", "tostring"}  # of xml.etree: these parse nothing
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - addresses that everybody reaches


@cache
def trees() -> list[tuple[str, ast.AST]]:
    return [
        (path.relative_to(ROOT).as_posix(), node)
        for path in PROGRAMS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]


def imports() -> Iterator[tuple[str, str]]:
    """(file, dotted name) of everything imported."""
    for where, node in trees():
        if isinstance(node, ast.Import):
            yield from ((where, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((where, f"{node.module}.{name.name}") for name in node.names)


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(file, what is called, the call)."""
    for where, node in trees():
        if isinstance(node, ast.Call):
            yield where, ast.unparse(node.func), node


def test_nothing_is_unpickled():
    imported = [(where, name) for where, name in imports() if name.split(".")[0] in UNPICKLERS]
    called = [(where, name) for where, name, _ in calls() if name in UNPICKLING]
    allowing = [
        where for where, _, call in calls() if any(k.arg == "allow_pickle" for k in call.keywords)
    ]

    assert (imported, called, allowing) == ([], [], [])


def test_a_stored_model_is_loaded_in_one_place_with_the_types_it_may_hold_named():
    loading = [(where, call) for where, name, call in calls() if name == "skops.load"]

    assert [where for where, _ in loading] == ["src/retrue/adapters/model_files.py"]
    assert [[word.arg for word in call.keywords] for _, call in loading] == [["trusted"]]


def test_no_text_is_run_as_a_program():
    running = [(where, name) for where, name, _ in calls() if name in RUNNING]

    assert running == []


def test_a_shell_is_given_only_the_commands_of_the_configuration():
    shells = {where for where, _, call in calls() for word in call.keywords if word.arg == "shell"}

    assert shells <= {"src/retrue/adapters/fit_command.py"}


def test_xml_is_parsed_by_defusedxml_alone():
    foreign = [
        (where, name)
        for where, name in imports()
        if name.startswith(("lxml", "xml.dom", "xml.sax", "xml.parsers", "xml.etree"))
        and name.removeprefix("xml.etree.ElementTree.") not in XML_WRITING
    ]

    assert foreign == []


def test_no_listener_is_open_to_everybody_unless_told():
    open_to_all = [
        (where, node.value)
        for where, node in trees()
        if isinstance(node, ast.Constant) and node.value in EVERYWHERE
    ]

    assert open_to_all == []
