"""git and DVC: what a cut, another machine, a moved branch and a person's checkout do to us.

Only the tests that say so run the real DVC; the contract suite does it for the straight way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from dataset_workspace import CONFIG, LEASE, add_round, decide_version, git, make_workspace
from fake_dvc import FakeDvc
from retrue.adapters.dvc_cli import Dvc, dvc_places
from retrue.adapters.process import Finished, Runner, run_process
from retrue.adapters.repo_git_dvc import GitDvcRepo
from retrue.errors import (
    LeaseHeld,
    RecordError,
    RepoError,
    RetrueError,
    ServiceUnavailable,
    TrainingError,
    TransientError,
    WorkspaceError,
)
from retrue.records import Manifest

READING = {"rev-parse", "config", "ls-tree", "ls-files", "ls-remote", "for-each-ref", "cat-file"}
READING |= {"merge-base", "var", "rev-list", "symbolic-ref", "list"}
OUTSIDE = {"push", "update-ref", "add", "repro", "fetch"}  # somebody else can see what they did
VERBS = OUTSIDE | {"worktree", "read-tree", "checkout", "update-index", "write-tree"}
VERBS |= {"commit-tree", "mktag", "pull"}


class Between:
    """A runner that does something at the calls it is told to, before or after them."""

    def __init__(
        self,
        wanted: Callable[[Sequence[str], int], bool],
        act: Callable[[], None],
        *,
        after: bool = False,
        run: Runner | None = None,
    ) -> None:
        self.wanted = wanted
        self.act = act
        self.after = after
        self.run = run or FakeDvc()
        self.effects: list[str] = []  # the verb of every call that changes something

    def __call__(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stdin: str = "",
    ) -> Finished:
        changes = READING.isdisjoint(args)
        if changes:
            self.effects.append(next(word for word in args if word in VERBS))
        hit = changes and self.wanted(args, len(self.effects))
        if hit and not self.after:
            self.act()
        finished = self.run(args, cwd=cwd, env=env, timeout=timeout, stdin=stdin)
        if hit and self.after:
            self.act()
        return finished


def cut() -> None:
    raise ServiceUnavailable("cut")


def repo_of(root: Path, run: Runner | None = None, **options: float) -> GitDvcRepo:
    return GitDvcRepo(
        root, CONFIG, check=lambda _lease: None, run=FakeDvc() if run is None else run, **options
    )


def with_remote(tmp_path: Path) -> Path:
    """A workspace with a git remote and a DVC remote that other machines reach too."""
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    root = make_workspace(tmp_path / "w")
    git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(root, "push", "-q", "origin", "main")
    return root


def clone_of(tmp_path: Path, name: str = "other") -> Path:
    """Another machine: a clone that reaches the same DVC remote."""
    git(tmp_path, "clone", "-q", "-b", "main", str(tmp_path / "origin.git"), name)
    (tmp_path / name / "local").mkdir()
    (tmp_path / "w/local/dvc-remote").mkdir(parents=True, exist_ok=True)
    (tmp_path / name / "local/dvc-remote").symlink_to(tmp_path / "w/local/dvc-remote")
    return tmp_path / name


def whole_loop(repo: GitDvcRepo, root: Path) -> Manifest:
    if not (root / "data/rounds/r1").exists():
        add_round(root, "r1")
    repo.record("round r1", lease=LEASE)
    decide_version(root, 1, ["r1"])
    built = repo.build(1, lease=LEASE)
    repo.fit(1, lease=LEASE)
    return built


def fingerprint(root: Path) -> dict[str, str]:
    """Every byte of a person's checkout and of what git keeps for it."""
    mine = [root / ".git/index", root / ".git/HEAD", root / ".git/refs/heads/main"]
    files = [path for path in root.rglob("*") if path.is_file() and not _ours(path, root)]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in [*mine, *files]}


def _ours(path: Path, root: Path) -> bool:
    inside = path.relative_to(root).as_posix()
    return inside.startswith((".git/", ".retrue/", ".dvc/cache/", "local/"))


def test_a_run_cut_after_any_effect_ends_the_same_when_it_is_run_again(tmp_path: Path):
    (tmp_path / "calm").mkdir()
    calm = with_remote(tmp_path / "calm")
    counter = Between(lambda _args, _call: False, cut)
    expected = whole_loop(repo_of(calm, counter), calm)
    verbs = counter.effects
    cuts = [n for n, verb in enumerate(verbs) if verb in OUTSIDE or verb not in verbs[:n]]
    assert set(verbs) >= VERBS - {"fetch", "pull", "add"}  # add goes with push, in one process

    for call in (n + 1 for n in cuts):
        place = tmp_path / str(call)
        place.mkdir()
        root = with_remote(place)
        with pytest.raises(ServiceUnavailable, match="cut"):
            whole_loop(
                repo_of(root, Between(lambda _args, n, k=call: n == k, cut, after=True)), root
            )

        repo = repo_of(root)

        assert whole_loop(repo, root) == expected, call
        assert repo.versions() == [expected], call
        assert (repo.state().unrecorded, repo.state().unpushed) == ((), 0), call
        assert git(root, "ls-tree", "-r", "retrue/data") == git(
            calm, "ls-tree", "-r", "retrue/data"
        ), call
        assert git(place / "origin.git", "rev-parse", "retrue/data") == repo.state().branch_tip
        assert "defects/dataset/v1" in git(place / "origin.git", "tag"), call


def test_a_dirty_checkout_is_the_same_byte_for_byte_afterwards(tmp_path: Path):
    root = with_remote(tmp_path)
    add_round(root, "r1")
    decide_version(root, 1, ["r1"])
    (root / "stages.py").write_text("# staged\n")
    git(root, "add", "stages.py")
    (root / "stages.py").write_text("# not staged\n")
    (root / "configs/labels.yaml").write_text("kind: choice\nclasses: [a, b]\n")
    (root / "notes.txt").write_text("untracked\n")
    os.utime(root / ".gitignore", (1, 1))  # a careless `git status` would refresh the index
    before = fingerprint(root)

    repo = repo_of(root)
    repo.record("round r1", lease=LEASE)
    repo.build(1, lease=LEASE)
    repo.state()

    assert fingerprint(root) == before
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_commit_holds_committed_code_and_configs_as_they_are_on_disk(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    (root / "stages.py").write_text("# not committed\n")
    (root / "configs/labels.yaml").write_text("# as on disk\n")
    (root / "configs/more.yaml").write_text("# new\n")
    (root / "configs/private.yaml").write_text("# ignored\n")
    (root / "configs/project.yaml").unlink()
    (root / ".git/info/exclude").write_text("private.yaml\n")

    repo_of(root).record("configs", lease=LEASE)

    tree = git(root, "ls-tree", "-r", "--name-only", "retrue/data").splitlines()
    assert {name for name in tree if name.startswith("configs/")} == {
        "configs/labels.yaml",
        "configs/more.yaml",
    }
    assert git(root, "show", "retrue/data:configs/labels.yaml") == "# as on disk"
    assert git(root, "show", "retrue/data:stages.py") == git(root, "show", "main:stages.py")


def test_the_persons_new_commits_become_second_parents(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    first = repo_of(root).record("first", lease=LEASE)
    (root / "new.py").write_text("")
    git(root, "add", "new.py")
    git(root, "commit", "-q", "-m", "new code")
    add_round(root, "r1")

    second = repo_of(root).record("second", lease=LEASE)

    main = git(root, "rev-parse", "main")
    assert git(root, "log", "-1", "--format=%P", second).split() == [first, main]
    assert git(root, "log", "-1", "--format=%an") == "A Person"


def test_somebody_without_a_name_commits_as_retrue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = make_workspace(tmp_path / "w")
    git(root, "config", "--remove-section", "user")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)

    commit = repo_of(root).record("first", lease=LEASE)

    assert git(root, "log", "-1", "--format=%an <%ae>", commit) == "retrue <retrue@localhost>"


def test_somebody_on_the_data_branch_is_asked_to_leave_it(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    repo_of(root).record("first", lease=LEASE)
    git(root, "switch", "-q", "retrue/data")
    before = fingerprint(root)
    add_round(root, "r1")
    before |= {k: v for k, v in fingerprint(root).items() if k not in before}

    with pytest.raises(RepoError, match="git switch -"):
        repo_of(root).record("second", lease=LEASE)

    assert fingerprint(root) == before


def test_private_dvc_settings_reach_dvc_and_no_commit(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    (root / ".dvc/config.local").write_text(
        "['remote \"retrue\"']\n    access_key_id = hush-hush\n"
    )

    repo_of(root).record("first", lease=LEASE)

    private = root / ".retrue/worktree/.dvc/config.local"
    assert "hush-hush" in private.read_text()
    assert private.stat().st_mode & 0o077 == 0
    with pytest.raises(AssertionError):
        git(root, "grep", "hush-hush", "retrue/data")


def test_a_branch_that_moved_in_between_is_not_overwritten_and_a_rerun_adds_to_it(tmp_path: Path):
    root = with_remote(tmp_path)
    other = clone_of(tmp_path)
    add_round(root, "r1")
    add_round(other, "r2")
    rival = Between(
        lambda args, _call: "push" in args and "git" in args,
        lambda: str(repo_of(other).record("theirs", lease=LEASE)),
    )

    with pytest.raises(TransientError, match="moved at origin"):
        repo_of(root, rival).record("ours", lease=LEASE)
    theirs = git(tmp_path / "origin.git", "rev-parse", "retrue/data")
    ours = repo_of(root).record("ours", lease=LEASE)

    assert git(root, "rev-parse", f"{ours}^") == theirs
    assert (root / "data/rounds/r2/plan.json").exists()


def test_a_lost_machine_loses_nothing_that_was_recorded(tmp_path: Path):
    root = with_remote(tmp_path)
    built = whole_loop(repo_of(root), root)
    other = clone_of(tmp_path)

    restored = repo_of(other).restore()

    assert "data/rounds/r1/plan.json" in restored
    assert repo_of(other).restore() == ()
    assert repo_of(other).versions() == [built]
    assert len(repo_of(other).rows(1)) == built.rows
    assert repo_of(other).fit(1, lease=LEASE).metrics == {"accuracy": 0.9}


def test_a_record_that_differs_between_machines_is_an_error_and_stays_as_it_is(tmp_path: Path):
    root = with_remote(tmp_path)
    add_round(root, "r1")
    repo_of(root).record("round r1", lease=LEASE)
    other = clone_of(tmp_path)
    plan = other / "data/rounds/r1/plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text("another plan\n")

    with pytest.raises(RecordError, match=r"data/rounds/r1/plan\.json"):
        repo_of(other).record("round r1", lease=LEASE)

    assert plan.read_text() == "another plan\n"


def test_a_plain_clone_with_tags_lists_versions(tmp_path: Path):
    root = with_remote(tmp_path)
    built = whole_loop(repo_of(root), root)
    git(tmp_path, "clone", "-q", "-b", "main", str(tmp_path / "origin.git"), "plain")

    assert repo_of(tmp_path / "plain").versions() == [built]


def test_an_erasure_stands_in_for_the_version_it_redacts(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    whole_loop(repo_of(root), root)
    git(root, "switch", "-q", "--detach", "defects/dataset/v1")
    text = (root / "data/manifest.json").read_text()
    (root / "data/manifest.json").write_text(text.replace('"rows": 3', '"rows": 2'))
    git(root, "commit", "-qam", "redacted")
    for erasure in (2, 10):
        git(root, "tag", f"defects/dataset/v1+e{erasure}", "HEAD" if erasure == 10 else "HEAD^")

    assert [manifest.rows for manifest in repo_of(root).versions()] == [2]


def test_a_remote_that_is_added_later_gets_everything(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    whole_loop(repo_of(root), root)
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    before = repo_of(root).state().unpushed

    repo_of(root).record("nothing new", lease=LEASE)

    assert before > 0
    assert repo_of(root).state().unpushed == 0
    assert git(tmp_path / "origin.git", "tag") == "defects/dataset/v1"


def test_a_copied_workspace_commits_to_its_own_repository(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    tip = repo_of(root).record("first", lease=LEASE)
    shutil.copytree(root, tmp_path / "copy", symlinks=True)
    add_round(tmp_path / "copy", "r1")

    repo_of(tmp_path / "copy").record("in the copy", lease=LEASE)

    assert repo_of(root).state().branch_tip == tip
    assert repo_of(tmp_path / "copy").state().branch_tip != tip


def test_only_a_stale_lock_of_our_own_worktree_is_removed(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    repo_of(root).record("first", lease=LEASE)
    ours, theirs = root / ".git/worktrees/worktree/index.lock", root / ".git/index.lock"
    ours.touch()
    theirs.touch()
    os.utime(theirs, (1, 1))

    with pytest.raises(TransientError, match=r"index\.lock"):
        repo_of(root).record("second", lease=LEASE)
    os.utime(ours, (1, 1))
    repo_of(root).record("second", lease=LEASE)

    assert not ours.exists()
    assert theirs.exists()


def test_two_processes_do_not_work_in_one_worktree(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    rival = Between(
        lambda args, _call: "retrue.adapters.dvc_together" in args,
        lambda: str(repo_of(root).record("rival", lease=LEASE)),
    )

    with pytest.raises(LeaseHeld):
        repo_of(root, rival).record("first", lease=LEASE)


def test_a_transfer_that_hangs_is_given_up_and_a_rerun_finishes(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    add_round(root, "r1")

    def hang() -> None:
        run_process(["sleep", "60"], cwd=tmp_path, env={}, timeout=0.2)

    run = Between(lambda args, _call: "push" in args, hang)
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        repo_of(root, run).record("round r1", lease=LEASE)
    assert time.monotonic() - started < 20
    assert repo_of(root).state().branch_tip is None

    repo_of(root).record("round r1", lease=LEASE)

    assert repo_of(root).state().unrecorded == ()


def test_the_real_dvc_is_stopped_when_its_time_is_over(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable, match="dvc"):
        repo_of(root, run_process, transfer_seconds=0.1).record("first", lease=LEASE)

    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("ERROR: Unable to acquire lock. Most likely another DVC process", TransientError),
        ("ERROR: failed to push data to the cloud - remote 'x' doesn't exist", RepoError),
        ('ERROR: Could not connect to the endpoint URL: "http://s3"', ServiceUnavailable),
    ],
)
def test_what_dvc_says_becomes_what_the_caller_should_do(
    words: str, error: type[RetrueError], tmp_path: Path
):
    def says(*_args: object, **_options: object) -> Finished:
        return Finished(code=1, out="", err=words)

    with pytest.raises(error) as caught:
        Dvc(tmp_path, says).push(["data/rounds.dvc"])

    assert type(caught.value) is error


def test_the_remote_is_shown_without_its_password(tmp_path: Path):
    places = dvc_places(tmp_path, "https://me:hush@host/dvc")

    assert places.shown == "https://***@host/dvc"
    assert "hush" in places.settings


def test_a_folder_in_no_repository_is_no_workspace(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="retrue init"):
        repo_of(tmp_path)


def test_a_repository_without_a_commit_says_what_to_do(tmp_path: Path):
    git(tmp_path, "init", "-q")

    with pytest.raises(RepoError, match="Commit your workspace first"):
        repo_of(tmp_path).record("first", lease=LEASE)


def test_a_workspace_in_a_monorepo_goes_the_whole_way_with_the_real_dvc(tmp_path: Path):
    git(tmp_path, "init", "-q", "-b", "main", "mono")
    root = make_workspace(tmp_path / "mono/defects")
    repo = repo_of(root, run_process)
    add_round(root, "r1")
    decide_version(root, 1, ["r1"])

    built = repo.build(1, lease=LEASE)
    (root / "configs/broken").touch()
    with pytest.raises(TrainingError, match="the shelf fell down"):
        repo.fit(1, lease=LEASE)
    decide_version(root, 2, ["r1"])
    with pytest.raises(RepoError, match="the shelf fell down"):
        repo.build(2, lease=LEASE)

    assert repo.versions() == [built]
    assert "defects/data/manifest.json" in git(
        root, "ls-tree", "-r", "--name-only", "--full-tree", "defects/dataset/v1"
    )
    assert "data/rounds.dvc" in git(root, "ls-tree", "-r", "--name-only", "defects/dataset/v1")
    assert git(root, "status", "--porcelain") == "?? defects/configs/broken"
