"""`retrue check`: each thing that can be wrong is named, with what to do."""

import json
from pathlib import Path

import pytest

from retrue.cli.checks import Check, check_workspace


def wrong(root: Path) -> dict[str, str]:
    return {one.name: one.detail for one in check_workspace(root) if not one.ok}


def test_a_new_workspace_is_in_order(retrue, fresh: Path):
    told = retrue(fresh, "check")

    assert told.exit_code == 0, told.output
    assert told.stdout.endswith("Everything is in place.\n")


def test_checks_can_be_read_by_programs(retrue, fresh: Path):
    told = retrue(fresh, "check", "--json")

    names = [one["name"] for one in json.loads(told.stdout)]
    assert {"configs/project.yaml", "git", "dvc", "ledger", "label schema"} <= {*names}


def test_every_mistake_in_the_configuration_is_told_and_the_exit_code_is_1(retrue, workspace: Path):
    add(workspace / "configs/project.yaml", "drift: {floor: 3}\ntrain: {when: never}\n")

    told = retrue(workspace, "check")

    assert told.exit_code == 1
    assert "drift.floor" in told.stdout
    assert "train.when" in told.stdout
    assert "1 of" in told.stderr


def test_a_variable_nobody_set_stops_work_instead_of_taking_another_ledger(
    retrue, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    add(workspace / "configs/project.yaml", 'store: {ledger: "${A_LEDGER_OF_OURS}"}\n')
    monkeypatch.delenv("A_LEDGER_OF_OURS", raising=False)

    told = retrue(workspace, "ingest")

    assert told.exit_code == 1
    assert "store.ledger: ${A_LEDGER_OF_OURS}" in told.stderr
    assert "not set" in wrong(workspace)["variables"]
    assert retrue(workspace, "dataset", "list").exit_code == 0  # reading versions needs none


def test_a_missing_stream_folder_is_named(workspace: Path):
    project = workspace / "configs/project.yaml"
    project.write_text(
        project.read_text(encoding="utf-8").replace("uri: incoming", "uri: elsewhere"),
        encoding="utf-8",
    )

    assert "expected a folder" in wrong(workspace)["data.incoming"]


def test_a_labeling_page_that_does_not_fit_the_labels_is_told(workspace: Path):
    add(workspace / "configs/project.yaml", "queue: {page: configs/page.xml}\n")
    page = workspace / "configs/page.xml"

    assert "expected a labeling page" in wrong(workspace)["configs/page.xml"]

    page.write_text('<View><Choices name="label" toName="x"/></View>', encoding="utf-8")

    assert "not offered:" in wrong(workspace)["configs/page.xml"]


def test_records_that_git_would_take_are_named(workspace: Path):
    (workspace / ".gitignore").write_text("/.retrue/\n", encoding="utf-8")

    found = wrong(workspace)["git"]

    assert "/data/rounds/" in found
    assert "/.retrue/" not in found


@pytest.mark.parametrize("name", ["dvc.yaml", "flows/cycle.py", "configs/labels.yaml"])
def test_a_missing_file_is_named(name: str, workspace: Path):
    (workspace / name).unlink()

    assert "expected" in wrong(workspace)[name]


def test_a_folder_without_dvc_is_told(workspace: Path):
    (workspace / ".dvc/config").unlink()

    assert "dvc init" in wrong(workspace)["dvc"]


def test_classes_that_changed_without_a_new_version_are_told(retrue, workspace: Path):
    assert retrue(workspace, "schema", "apply").exit_code == 0
    labels = workspace / "configs/labels.yaml"
    labels.write_text(
        labels.read_text(encoding="utf-8").replace("barbera]", "nebbiolo]"), encoding="utf-8"
    )

    assert "Raise it to 2" in wrong(workspace)["label schema"]


def test_another_key_than_the_first_ingest_had_is_wrong_and_refused(retrue, workspace: Path):
    assert "identity" not in wrong(workspace)
    assert retrue(workspace, "ingest").exit_code == 0
    project = workspace / "configs/project.yaml"
    before = project.read_text(encoding="utf-8")
    assert "key: id" in before
    project.write_text(before.replace("key: id", "key: color"), encoding="utf-8")

    told, asked = retrue(workspace, "ingest"), retrue(workspace, "select")

    assert "expected 'id'" in wrong(workspace)["identity"]
    assert "Put the earlier key back" in wrong(workspace)["identity"]
    assert (told.exit_code, asked.exit_code) == (1, 1)
    assert "data.incoming.key: expected 'id'" in told.stderr
    project.write_text(before, encoding="utf-8")
    assert "identity" not in wrong(workspace)


def test_doctor_asks_the_services_of_a_workspace_in_order(retrue, workspace: Path):
    told = retrue(workspace, "doctor", "--json")

    found = {one["name"]: Check(**one) for one in json.loads(told.stdout)}
    assert found["data.incoming"].detail.startswith("incoming can be listed")
    assert found["queue"].detail == "files: 0 answers"
    assert found["model registry"].ok
    assert "git remote add" in found["git remote"].detail


def test_doctor_stops_at_what_check_finds(retrue, workspace: Path):
    (workspace / ".dvc/config").unlink()

    told = retrue(workspace, "doctor")

    assert told.exit_code == 1
    assert "model registry" not in told.stdout


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
