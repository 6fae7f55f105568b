"""The documents are run: a page that tells something untrue fails here.

In a document

- a console block is typed line by line; output that is shown must come (`...` stands for anything);
- `# not run` at a command's end: it must exist, with these options; `# exit 3`: it ends so;
- a block whose first line is a comment with a file's name is written to that file;
- `yaml` is a configuration, whole or, with `# fragment` in its first line, a part of one;
- `<!-- continues README.md -->` begins where that document ended.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import BaseModel

from docs_session import Block, Session, blocks, commands_in, complaint, make_home
from retrue.config import Config, Labels

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "infra/README.md",
        ROOT / "src/retrue/template/README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
CONTINUES = re.compile(r"<!-- continues (\S+) -->")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MINIMAL: dict[str, Any] = {
    "project": "example",
    "data": {"kind": "table", "incoming": {"uri": "incoming"}},
}
FREE = {"fields", "quotas", "options", "answers_per_item"}  # the names in them are the user's
PLACEHOLDER = "(the lead pastes the real output here)"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Library:
    """Every document is run once; one that continues another begins in a copy of its end."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self._ended: dict[Path, Session] = {}

    def run(self, page: Path) -> Session:
        if page not in self._ended:
            session = self._begin(page)
            for name, value in session.environment.items():
                self._monkeypatch.setenv(name, value)
            for block in blocks(page):
                play(session, block, name_of(page))
            self._ended[page] = session
        return self._ended[page]

    def _begin(self, page: Path) -> Session:
        home = self._folder / name_of(page).replace("/", "-").removesuffix(".md")
        before = CONTINUES.search(page.read_text(encoding="utf-8"))
        return make_home(home) if before is None else self.run(ROOT / before[1]).copy(home)


def play(session: Session, block: Block, page: str) -> None:
    """Do what a reader of this block would do; what is shown must come true."""
    if block.file is not None:
        session.write(block)
    elif block.language == "python":
        session.execute(block.text)
    elif block.language == "console":
        for command, shown in block.commands:
            where = f"{page}:{block.line}: {command}"
            command, _, remark = command.partition("  # ")
            if remark == "not run":
                continue
            code, said = session.run(command)
            wanted = int(remark.removeprefix("exit ")) if remark.startswith("exit ") else 0
            assert code == wanted, f"{where}\nexit code {code}\n{said}"
            if shown.strip():
                right = doctest.OutputChecker().check_output(shown, said, FLAGS)
                assert right, f"{where}\nexpected\n{shown}\ngot\n{said}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("MLFLOW_TRACKING_URI", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        yield Library(tmp_path_factory.mktemp("docs"), monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_document_shows_comes_true(page: Path, library: Library):
    library.run(page)


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=name_of)
def test_every_command_a_document_names_exists(path: Path):
    assert [why for line in commands_in(path.read_text("utf-8")) if (why := complaint(line))] == []


def test_a_command_that_does_not_exist_is_noticed():
    wrong = ["retrue dance", "retrue push --twice", "retrue round open party --why x"]

    assert [complaint(line) is None for line in wrong] == [False, False, False]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_configuration_in_a_document_is_valid(page: Path):
    for block in blocks(page):
        if block.language == "yaml":
            value = yaml.safe_load(block.text)
            section = Labels if "classes" in value or value.get("kind") == "number" else Config
            if block.text.startswith("# fragment"):
                value = merged(MINIMAL, value)
            section.model_validate(value)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_configuration_that_init_copies_is_valid(path: Path):
    section = Labels if "labels" in path.name else Config

    section.model_validate(yaml.safe_load(path.read_text("utf-8")))


@pytest.mark.parametrize(("name", "section"), [("project.yaml", Config), ("labels.yaml", Labels)])
def test_the_commented_configuration_has_every_knob_in_its_place_and_no_other(
    name: str, section: type[BaseModel]
):
    text = (ROOT / "configs" / name).read_text(encoding="utf-8")

    told = yaml.safe_load(re.sub(r"(?m)^( *)# ( *(?:[a-z_]+:|- \{))", r"\1\2", text))

    assert {*map(of_stream, paths(told))} == {*map(of_stream, knobs(section))}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")

    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_first_page_shows_what_a_real_demo_printed():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "<!-- demo -->" in text
    assert PLACEHOLDER not in text


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A part of a configuration laid over another, section by section."""
    return base | {
        name: merged(base[name], cast("dict[str, Any]", value))
        if isinstance(value, dict) and isinstance(base.get(name), dict)
        else value
        for name, value in more.items()
    }


def knobs(section: type[BaseModel], before: str = "") -> Iterator[str]:
    """The paths of all settings; a section, and a list of sections, is entered."""
    for name, field in section.model_fields.items():
        path = f"{before}{field.alias or name}"
        below = sections_in(field.annotation)
        if below:
            yield from knobs(below[0], f"{path}.")
        else:
            yield path


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    parts = (annotation, *getattr(annotation, "__args__", ()))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def paths(value: dict[str, Any], before: str = "") -> Iterator[str]:
    """The paths of all settings in a configuration."""
    for name, item in value.items():
        first = cast("Any", item[0] if isinstance(item, list) and item else item)
        if isinstance(first, dict) and name not in FREE:
            yield from paths(cast("dict[str, Any]", first), f"{before}{name}.")
        else:
            yield f"{before}{name}"


def of_stream(path: str) -> str:
    """Both streams have the same settings: each needs to be shown in one of them only."""
    return path.replace("data.inference.", "data.incoming.")
