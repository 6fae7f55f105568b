"""`retrue init`: what is made, and where it refuses."""

import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dataset_workspace import git
from retrue.adapters.state_sql import open_ledger
from retrue.cli.app import app
from retrue.config import Config, Labels, load_config, load_labels
from retrue.errors import ConfigError, WorkspaceError
from retrue.initialising import make_workspace, template_file

ROOT = Path(__file__).parents[2]


def test_a_new_workspace_is_committed_whole(fresh: Path):
    names = git(fresh, "ls-files").splitlines()

    assert {"configs/project.yaml", "configs/labels.yaml", "dvc.yaml", "flows/cycle.py"} <= {*names}
    assert {".gitignore", ".dvc/config", "README.md"} <= {*names}
    assert git(fresh, "status", "--porcelain") == ""
    assert (fresh / "incoming/wines.csv").exists()


def test_the_program_makes_a_workspace_named_by_its_folder(tmp_path: Path):
    told = CliRunner().invoke(app, ["init", str(tmp_path / "My Loop!")])

    assert told.exit_code == 0, told.output
    assert load_config(tmp_path / "My Loop!").project == "my-loop"
    assert "retrue check" in told.stdout


def test_a_workspace_may_be_a_folder_of_a_repository_with_other_things(tmp_path: Path):
    git(tmp_path, "init", "-q")
    (tmp_path / "app.py").write_text("print('ours')\n", encoding="utf-8")
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops" / "notes.md").write_text("ours\n", encoding="utf-8")
    (tmp_path / "loops" / ".gitignore").write_text("*.log\n", encoding="utf-8")

    make_workspace(tmp_path / "loops", project="defects")

    assert git(tmp_path / "loops", "rev-parse", "--show-prefix") == "loops/"
    assert "app.py" not in git(tmp_path, "ls-files")
    assert (tmp_path / "loops" / "notes.md").read_text(encoding="utf-8") == "ours\n"
    ignored = (tmp_path / "loops" / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*.log"
    assert "/data/rounds/" in ignored


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("Dear Ada", encoding="utf-8")

    with pytest.raises(WorkspaceError, match="expected an empty folder"):
        make_workspace(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_workspace_is_not_made_over_a_workspace(fresh: Path):
    with pytest.raises(WorkspaceError, match="expected no workspace"):
        make_workspace(fresh)


def test_a_name_that_cannot_be_a_project_is_refused_before_git_sees_anything(tmp_path: Path):
    with pytest.raises(ConfigError, match="project"):
        make_workspace(tmp_path / "w", project="No,Name")

    assert not (tmp_path / "w" / ".git").exists()


@pytest.mark.parametrize("kind", ["table", "text", "image"])
def test_every_example_configuration_is_right(kind: str, tmp_path: Path):
    (tmp_path / "configs").mkdir()
    for name, source in (("project", f"{kind}.yaml"), ("labels", f"{kind}-labels.yaml")):
        text = template_file(f"configs/examples/{source}").read_text(encoding="utf-8")
        (tmp_path / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    config = load_config(tmp_path, environ={})

    assert config.data.kind == kind
    assert load_labels(tmp_path, config).question


@pytest.mark.parametrize("kind", ["table", "text", "image"])
def test_every_example_can_be_ingested(kind, retrue, tmp_path: Path):
    make_workspace(tmp_path / "w", kind=kind, example=True)

    told = retrue(tmp_path / "w", "ingest")

    assert told.exit_code == 0, told.output
    assert "0 quarantined" in told.stdout
    state = open_ledger(
        f"sqlite:///{tmp_path / 'w/.retrue/ledger.sqlite'}",
        workspace=load_config(tmp_path / "w").project,
    )
    assert state.windows("incoming")[0].rows > 100


def test_every_knob_stands_in_the_commented_configuration():
    text = (ROOT / "configs/project.yaml").read_text(encoding="utf-8")
    labels = (ROOT / "configs/labels.yaml").read_text(encoding="utf-8")

    assert [name for name in knobs(Config) if f"{name}:" not in text] == []
    assert [name for name in knobs(Labels) if f"{name}:" not in labels] == []


def test_the_commented_configuration_holds_no_knob_that_does_not_exist():
    lines = (ROOT / "configs/project.yaml").read_text(encoding="utf-8").splitlines()
    known = {*knobs(Config), "temperature", "site", "crowd", "expert"}

    named = [line.lstrip("# ").split(":")[0] for line in lines if ":" in line.split(" #")[0]]

    assert [name for name in named if " " not in name and name not in known] == []


def test_the_wheel_carries_what_the_template_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert {"configs", "flows", "dvc.yaml"} <= {*carried}
    assert all(target == f"retrue/template/{source}" for source, target in carried.items())
    assert all((ROOT / source).exists() for source in carried)


def test_the_stages_call_the_program():
    stages = yaml.safe_load(template_file("dvc.yaml").read_text(encoding="utf-8"))["stages"]

    assert {name: stage["cmd"] for name, stage in stages.items()} == {
        "build": "retrue stage build",
        "fit": "retrue stage fit",
    }


def knobs(section: type) -> list[str]:
    """The names of all fields of a section and of those below it, as YAML spells them."""
    names: list[str] = []
    for name, field in section.model_fields.items():
        names.append(field.alias or name)
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(part, "model_fields"):
                names += knobs(part)
    return names
