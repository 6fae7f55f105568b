"""The steps as commands, on a real workspace with local adapters, up to the first verdicts."""

import json
from pathlib import Path

from typer.testing import Result


def test_a_first_round_is_opened_step_by_step_and_waits_for_answers(retrue, workspace: Path):
    ingested = retrue(workspace, "ingest", "--json")
    checked = retrue(workspace, "drift")
    selected = retrue(workspace, "select", "--json")
    pushed = retrue(workspace, "push", "--json")
    collected = retrue(workspace, "collect", "--json")
    judged = retrue(workspace, "validate", "--json")

    assert parsed(ingested)[0]["window"]["rows"] == 178
    assert (checked.exit_code, checked.stdout) == (0, "no champion yet: nothing to compare with\n")
    (planned,) = parsed(selected)["planned"]
    assert planned["opened"] is True
    assert parsed(pushed)[0]["added"] == 40
    assert parsed(collected)["new"] == 0
    assert judged.exit_code == 5
    assert json.loads(judged.stdout)["rounds"][0]["waiting"] == 40
    assert recorded(retrue, workspace)


def test_a_dry_run_changes_nothing(retrue, workspace: Path):
    retrue(workspace, "ingest")
    before = files(workspace)

    told = retrue(workspace, "select", "--dry-run")

    assert "would be planned" in told.stdout
    assert files(workspace) == before


def test_status_says_where_a_new_workspace_stands_and_what_to_do(retrue, workspace: Path):
    told = retrue(workspace, "status")
    facts = parsed(retrue(workspace, "status", "--json"))

    assert told.stdout.startswith("wines, ")
    assert "none in service yet" in told.stdout
    assert "retrue run cycle" in told.stdout
    assert facts["next"]["command"] == "retrue run cycle"
    assert facts["version"] == 0


def test_json_is_printed_wherever_the_option_stands(retrue, workspace: Path):
    before = retrue(workspace, "--json", "status")
    after = retrue(workspace, "status", "--json")

    assert parsed(before)["project"] == parsed(after)["project"] == "wines"


def test_a_file_of_the_workspace_names_it_as_well(retrue, workspace: Path):
    told = retrue(workspace / "configs" / "project.yaml", "status")

    assert told.stdout.startswith("wines, ")


def test_the_build_stage_without_any_version_succeeds_and_says_so(retrue, workspace: Path):
    told = retrue(workspace, "stage", "build")

    assert told.stdout == "build: no version was decided yet, so the dataset is empty.\n"
    assert (workspace / "data/dataset/manifest.json").exists()


def test_labeling_without_a_terminal_says_where_people_can_answer(retrue, workspace: Path):
    told = retrue(workspace, "label")

    assert told.exit_code == 1
    assert "expected a terminal" in told.stderr


def parsed(result: Result) -> object:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def recorded(retrue, workspace: Path) -> bool:
    repo = parsed(retrue(workspace, "status", "--json"))["repo"]
    return repo["branch_tip"] is not None and not repo["unrecorded"]


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "data").rglob("*")
        if path.is_file()
    }
