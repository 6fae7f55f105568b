"""What every dataset repository promises: memory, and git with DVC.

DVC takes seconds per call, so one history is made per adapter and the tests ask it questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dataset_workspace import CONFIG, LEASE, add_round, decide_version, make_workspace
from retrue.adapters.dataset_files import read_manifest, write_dataset
from retrue.adapters.record_links import record_names
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.repo_git_dvc import GitDvcRepo
from retrue.adapters.repo_memory import MemoryRepo
from retrue.errors import LeaseLost, RepoError
from retrue.ports import DatasetRepo, FitResult, Lease, RepoState
from retrue.records import Manifest

OLD_LEASE = replace(LEASE, token=0)


@dataclass
class History:
    """A repository in which two rounds were recorded and two versions built."""

    repo: DatasetRepo
    root: Path
    commits: list[str] = field(default_factory=list[str])
    states: list[RepoState] = field(default_factory=list[RepoState])
    built: list[Manifest] = field(default_factory=list[Manifest])
    fit: FitResult | None = None


def check(lease: Lease) -> None:
    if lease.token < LEASE.token:
        raise LeaseLost("a newer token was granted")


def memory_repo(root: Path) -> DatasetRepo:
    def build(folder: Path) -> None:
        write_dataset(
            FileRoundRecord(root / "data"),
            folder,
            version=None,
            project="defects",
            migrate=lambda label, _old, _new: label,
        )

    def fit(dataset: Path) -> FitResult:
        assert read_manifest(dataset).rows
        (root / "model").mkdir(exist_ok=True)
        return FitResult(
            model_dir=root / "model",
            metrics={"accuracy": 0.9},
            plots=(),
            predictions=root / "predictions.parquet",
            predicted={"r1-0": '"ok"'},
        )

    return MemoryRepo(
        "defects",
        place=root / ".retrue/datasets",
        records=lambda: record_names(root),
        build=build,
        fit=fit,
        check=check,
    )


def git_dvc_repo(root: Path) -> DatasetRepo:
    return GitDvcRepo(root, CONFIG, check=check)


MAKERS: dict[str, Callable[[Path], DatasetRepo]] = {"memory": memory_repo, "git_dvc": git_dvc_repo}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    root = make_workspace(tmp_path_factory.mktemp(request.param) / "w")
    past = History(MAKERS[request.param](root), root)
    add_round(root, "r1")
    past.states.append(past.repo.state())
    past.commits.append(past.repo.record("round r1", lease=LEASE))
    past.states.append(past.repo.state())
    past.commits.append(past.repo.record("round r1, again", lease=LEASE))
    decide_version(root, 1, ["r1"])
    past.built.append(past.repo.build(1, lease=LEASE))
    add_round(root, "r2", samples=1)
    decide_version(root, 2, ["r1", "r2"])
    past.built.append(past.repo.build(2, lease=LEASE))
    past.fit = past.repo.fit(2, lease=LEASE)
    return past


@pytest.fixture(params=sorted(MAKERS))
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    root = make_workspace(tmp_path / "w")
    return History(MAKERS[request.param](root), root)


def test_nothing_is_there_at_first(empty: History):
    state = empty.repo.state()

    assert (state.branch_tip, state.unrecorded, empty.repo.versions()) == (None, (), [])


def test_a_file_counts_as_unrecorded_until_it_is_recorded(history: History):
    before, after = history.states

    assert set(before.unrecorded) == {
        f"data/rounds/r1/{name}"
        for name in ("plan.json", "samples.parquet", "tasks.parquet", "verdicts-0001.parquet")
    }
    assert after.unrecorded == ()
    assert after.branch_tip == history.commits[0]


def test_recording_the_same_again_makes_no_commit(history: History):
    first, again = history.commits

    assert again == first


def test_a_build_returns_what_the_stage_wrote(history: History):
    first, second = history.built

    assert (first.version, first.rows, second.version, second.rows) == (1, 3, 2, 4)


def test_versions_are_listed_oldest_first(history: History):
    assert history.repo.versions() == history.built


def test_building_a_version_again_returns_the_first_manifest(history: History):
    tip = history.repo.state().branch_tip

    again = history.repo.build(1, lease=LEASE)

    assert again == history.built[0]
    assert history.repo.state().branch_tip == tip


def test_every_version_keeps_its_own_rows(history: History):
    first, second = history.repo.rows(1), history.repo.rows(2)

    assert [row.sample_id for row in first] == ["r1-0", "r1-1", "r1-2"]
    assert [row.sample_id for row in second] == ["r1-0", "r1-1", "r1-2", "r2-0"]


def test_a_versions_folder_is_there_for_reading_and_stays(history: History):
    folder = history.repo.folder(1)

    assert read_manifest(folder) == history.built[0]
    assert history.repo.folder(1) == folder


def test_a_version_is_checked_out_into_an_empty_folder_only(history: History, tmp_path: Path):
    folder = history.repo.checkout(1, tmp_path / "new")

    assert read_manifest(folder) == history.built[0]
    with pytest.raises(RepoError, match="empty"):
        history.repo.checkout(2, folder)
    assert read_manifest(folder) == history.built[0]


def test_a_version_that_does_not_exist_is_refused_and_the_others_are_named(history: History):
    with pytest.raises(RepoError, match="v1, v2"):
        history.repo.rows(7)


def test_a_fit_returns_files_and_numbers(history: History):
    fit = history.fit

    assert fit is not None
    assert fit.metrics == {"accuracy": 0.9}
    assert fit.predicted == {"r1-0": '"ok"'}
    assert fit.model_dir.is_dir()


def test_only_the_newest_version_is_fitted(history: History):
    with pytest.raises(RepoError, match="newest"):
        history.repo.fit(1, lease=LEASE)


def test_who_lost_the_lease_records_nothing(empty: History):
    add_round(empty.root, "r1")

    with pytest.raises(LeaseLost):
        empty.repo.record("round r1", lease=OLD_LEASE)

    assert empty.repo.state().branch_tip is None


def test_a_stage_that_builds_another_version_is_refused(empty: History):
    add_round(empty.root, "r1")
    decide_version(empty.root, 1, ["r1"])

    with pytest.raises(RepoError, match="expected version 2"):
        empty.repo.build(2, lease=LEASE)

    assert empty.repo.versions() == []
