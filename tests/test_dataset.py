from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from dataset_workspace import CONFIG, LEASE, add_round, decide_version, make_workspace
from fake_dvc import FakeDvc
from retrue.adapters.repo_git_dvc import GitDvcRepo
from retrue.cli.call import Call
from retrue.cli.datasets import app
from retrue.cli.stage import migrate_under
from retrue.dataset import open_dataset
from retrue.dataset_export import export_dataset
from retrue.errors import RecordError, RepoError
from retrue.reading.blame import blame, lineage, verify_versions
from retrue.steps.push import push_tasks
from retrue.steps.train import train_model
from small_world import NOON, SmallWorld, fruit_labels


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer()
    world.come_home()
    world.publish()
    return world


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Two versions in git, their files at hand, and no ledger."""
    root = make_workspace(tmp_path_factory.mktemp("clone") / "w")
    text = "project: defects\ndata: {kind: table, incoming: {uri: in}}\n"
    (root / "configs/project.yaml").write_text(text)
    repo = GitDvcRepo(root, CONFIG, check=lambda _lease: None, run=FakeDvc())
    for number, name in enumerate(("r1", "r2"), start=1):
        add_round(root, name)
        decide_version(root, number, [f"r{i}" for i in range(1, number + 1)])
        repo.build(number, lease=LEASE)
        repo.folder(number)
    return root


def call(clone, *words):
    given = Call(start=clone, person=None, json=False, debug=False, now=NOON)
    return CliRunner().invoke(app, list(words), obj=given)


# --- blame, lineage, verify --------------------------------------------------------------------


def test_blame_tells_the_whole_story_of_a_sample(world):
    train_model(world.workspace(), now=world.sleep())
    row = next(row for row in world.repo.rows(1) if row.split == "train")

    found = blame(world.repo, world.records, row.sample_id)

    (pick,) = found.picks
    assert pick.kind == "bootstrap"
    assert "by chance" in pick.trigger
    assert {answer.annotator for _, answer in found.answers} <= {"ann", "bob"}
    assert [verdict.status for _, verdict in found.verdicts] == ["accepted"]
    assert [(one.version, one.label, one.split) for one in found.versions] == [
        (1, '"apple"', "train")
    ]
    assert found.models == ("1",)


def test_an_eval_sample_trained_no_model(world):
    train_model(world.workspace(), now=world.sleep())
    row = next(row for row in world.repo.rows(1) if row.split == "eval")

    found = blame(world.repo, world.records, row.sample_id)

    assert found.models == ()
    assert found.picks[0].arm == "audit"
    assert found.picks[0].probability == pytest.approx(0.4)


def test_every_observed_state_of_an_answer_is_blamed(world):
    key = world.records.tasks(world.records.rounds()[0].plan.round_id)[0]
    first = next(iter(world.queue.answer_ids([key.task_key])))
    world.queue.change(first, '"pear"', now=world.sleep())
    world.come_home()

    found = blame(world.repo, world.records, key.sample_id)

    assert [a.value for _, a in found.answers if a.answer_id == first] == ['"apple"', '"pear"']


def test_a_sample_nobody_asked_about_says_how_to_bring_the_records(world):
    with pytest.raises(RecordError, match="dvc pull"):
        blame(world.repo, world.records, "nobody")


def test_lineage_names_rounds_people_and_money(world):
    train_model(world.workspace(), now=world.sleep())

    found = lineage(world.repo, world.records, "v1")

    assert (found.manifest.version, found.outcome) == (1, "first")
    (share,) = found.rounds
    assert share.trained_on + share.tested_on == 8
    assert share.annotators == ("ann", "bob")
    assert share.cost == pytest.approx(share.answers * 0.10)
    with pytest.raises(RecordError, match="put to the gate: 1"):
        lineage(world.repo, world.records, "7")


def test_lineage_counts_the_disputes_it_took(tmp_path):
    world = SmallWorld(tmp_path)
    world.bootstrap()
    world.answer(lambda person, _: '"apple"' if person == "ann" else '"pear"')
    world.come_home()
    push_tasks(world.workspace(), now=world.sleep())
    world.answer(people=["judy"])
    world.come_home()
    world.come_home()
    world.publish()
    train_model(world.workspace(), now=world.sleep())

    found = lineage(world.repo, world.records, "1")

    assert [share.kind for share in found.rounds] == ["bootstrap", "dispute"]
    assert found.rounds[1].annotators == ("judy",)
    assert found.rounds[1].cost > 0


def test_versions_rebuild_to_their_digest(world):
    checks = list(verify_versions(world.repo, world.records, migrate=migrate_under(fruit_labels())))

    assert [(check.stored, check.rebuilt, check.rows) for check in checks] == [(True, True, 8)]


def test_a_version_whose_records_were_changed_is_noticed(world):
    changed = migrate_under(fruit_labels())

    checks = list(
        verify_versions(
            world.repo,
            world.records,
            migrate=lambda label, old, new: changed(label.replace("apple", "pear"), old, new),
        )
    )

    assert [(check.stored, check.rebuilt, check.ok) for check in checks] == [(True, False, False)]


# --- open_dataset ------------------------------------------------------------------------------


def test_a_dataset_opens_from_a_clone_without_ledger_or_services(clone):
    dataset = open_dataset("v2", start=clone)

    assert dataset.manifest.rows == 6
    assert list(dataset.rows.index) == ["r1-0", "r1-1", "r1-2", "r2-0", "r2-1", "r2-2"]
    assert set(dataset.rows["label"]) == {"ok"}
    assert list(dataset.samples().index) == list(dataset.rows.index)
    assert open_dataset("latest", start=clone).manifest == dataset.manifest
    assert not (clone / ".retrue/ledger.sqlite").exists()


@pytest.mark.parametrize("version", ["v9", "two", "v"])
def test_a_version_that_is_not_there_is_refused(clone, version):
    with pytest.raises(RepoError, match="expected"):
        open_dataset(version, start=clone)


def test_the_package_offers_open_dataset_and_pays_for_it_only_when_asked():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, retrue; a = 'pandas' in sys.modules; retrue.open_dataset; "
            "print(a, 'pandas' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_export_holds_rows_and_fields(world, tmp_path, ending):
    from retrue.dataset import Dataset, frame_of

    (manifest,) = world.repo.versions()
    dataset = Dataset(manifest=manifest, rows=frame_of(world.repo.rows(1)), records=world.records)
    file = tmp_path / f"out.{ending}"

    count = export_dataset(dataset, file)

    reader = {
        "csv": pd.read_csv,
        "jsonl": lambda f: pd.read_json(f, lines=True),
        "parquet": pd.read_parquet,
    }[ending]
    table = reader(file)
    assert count == len(table) == 8
    assert set(table["label"]) == {"apple"}
    assert (table["sample_id"] == [f"a-{int(w)}" for w in table["weight"]]).all()
    with pytest.raises(RepoError, match="ending"):
        export_dataset(dataset, tmp_path / "out.xlsx")


# --- commands ----------------------------------------------------------------------------------


def test_versions_are_listed_and_shown_from_git_alone(clone):
    listed = call(clone, "list", "--json")
    shown = call(clone, "show", "v1")

    assert [one["version"] for one in json.loads(listed.output)] == [1, 2]
    assert "defects v1" in shown.output
    assert "ok: 3" in shown.output
    assert "v2" in call(clone, "list").output


def test_a_diff_counts_what_came(clone):
    result = call(clone, "diff", "v1", "latest")

    assert result.exit_code == 0, result.output
    assert "3 added, 0 changed, 0 removed, 3 the same" in result.output
    assert "3 added: ok (audit)" in result.output


def test_blame_and_verify_run_on_the_clone(clone):
    story = call(clone, "blame", "r1-0")
    checks = call(clone, "verify")

    assert story.exit_code == 0, story.output
    assert "picked 2025-01-01 in r1" in story.output
    assert "in v1 as ok" in story.output
    assert "in v2 as ok" in story.output
    assert checks.exit_code == 0, checks.output
    assert checks.output.count("rebuilt to the same digest") == 2


def test_a_version_is_checked_out_and_exported(clone, tmp_path):
    out = call(clone, "checkout", "v1", str(tmp_path / "v1"))
    table = call(clone, "export", "v1", str(tmp_path / "v1.csv"))

    assert out.exit_code == 0, out.output
    assert (tmp_path / "v1/manifest.json").exists()
    assert table.exit_code == 0, table.output
    assert len(pd.read_csv(tmp_path / "v1.csv")) == 3
