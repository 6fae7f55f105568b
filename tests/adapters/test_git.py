"""git and other commands: bounded in time, no prompts, errors that say what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dataset_workspace import git, make_workspace
from retrue.adapters.git import Git
from retrue.adapters.process import run_process
from retrue.adapters.repo_init import init_repo
from retrue.errors import RepoError, ServiceUnavailable, TransientError, WorkspaceError


def test_a_command_answers_with_its_output(tmp_path: Path):
    root = make_workspace(tmp_path / "w")

    branch = Git(root)("symbolic-ref", "--short", "HEAD")

    assert branch == "main"


def test_a_refusal_carries_gits_last_words(tmp_path: Path):
    root = make_workspace(tmp_path / "w")

    with pytest.raises(RepoError, match=r"git checkout: exit 1: .*no-such-file"):
        Git(root)("checkout", "HEAD", "--", "no-such-file")


def test_what_does_not_exist_is_none_and_not_an_error(tmp_path: Path):
    root = make_workspace(tmp_path / "w")

    found = Git(root).find("rev-parse", "--verify", "--quiet", "refs/heads/no")
    text = Git(root).text("HEAD", "no-such-file")

    assert (found, text) == (None, None)


def test_the_content_of_a_file_is_exact(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    (root / "a.txt").write_text("one\n\n\n", encoding="utf-8")
    git(root, "add", "a.txt")
    git(root, "commit", "-q", "-m", "a")

    assert Git(root).text("HEAD", "a.txt") == "one\n\n\n"


def test_a_remote_that_is_down_is_worth_a_retry_and_its_password_is_not_told(tmp_path: Path):
    root = make_workspace(tmp_path / "w")

    with pytest.raises(ServiceUnavailable) as caught:
        Git(root)("ls-remote", "http://me:secret@127.0.0.1:1/x")

    assert "secret" not in str(caught.value)


def test_a_ref_that_moved_is_worth_a_retry(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    head = git(root, "rev-parse", "HEAD")

    with pytest.raises(TransientError):
        Git(root)("update-ref", "refs/heads/main", head, "1" * 40)


def test_a_repository_named_by_the_environment_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = make_workspace(tmp_path / "w")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert Git(root)("rev-parse", "--show-toplevel") == str(root)


def test_a_persons_hooks_do_not_run(tmp_path: Path):
    root = make_workspace(tmp_path / "w")
    hook = root / ".git/hooks/reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", encoding="utf-8")
    hook.chmod(0o755)

    Git(root)("update-ref", "refs/heads/other", "HEAD")

    assert not (tmp_path / "ran").exists()


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path):
    script = f"(sleep 3; touch {tmp_path}/alive) & sleep 60"
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable, match=r"within 0\.3 s"):
        run_process(["sh", "-c", script], cwd=tmp_path, env={}, timeout=0.3)

    assert time.monotonic() - started < 3
    time.sleep(max(0.0, started + 4 - time.monotonic()))
    assert not (tmp_path / "alive").exists()


def test_a_missing_program_is_named(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="no-such-program"):
        run_process(["no-such-program"], cwd=tmp_path, env={}, timeout=1)


def test_a_folder_becomes_a_git_repository_and_a_dvc_project(tmp_path: Path):
    init_repo(tmp_path, dvc_remote="s3://acme/dvc")
    init_repo(tmp_path)

    assert (tmp_path / ".git").is_dir()
    assert "url = s3://acme/dvc" in (tmp_path / ".dvc/config").read_text(encoding="utf-8")
    assert (tmp_path / "data/rounds").is_dir()


def test_a_workspace_in_a_repository_becomes_a_dvc_project_of_its_own(tmp_path: Path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a").mkdir()

    init_repo(tmp_path / "a")

    assert (tmp_path / "a/.dvc/config").exists()
    assert not (tmp_path / "a/.git").exists()
