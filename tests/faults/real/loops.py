"""A whole loop on the real services: rows to a promoted model, and the next alarm, with faults.

ingest (S3), drift, select, push (Label Studio), people, collect, validate, version (git, and DVC on
S3), train (MLflow); then other rows come, and drift opens a probe. Every part is run again until it
is done; what is left must be what a loop without faults leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import mlflow
import yaml

from faults.real.bench import Bench, Outcome, Workers, proxied
from faults.real.crowd import Crowd
from faults.real.places import BUCKET, LABELS, Place, put_rows
from faults.real.plans import Plan
from faults.real.rounds import TICK, compare, people_come
from faults.real.script import Fault
from retrue.core.digest import content_digest
from retrue.initialising import make_workspace
from retrue.records import short_hash
from retrue.wiring import open_dataset_repo

__all__ = ["make_template", "play_loop"]

OPENING = ("ingest", "drift", "select", "push", "record")
CLOSING = ("sweep", "push", "validate", "push", "version", "record", "train", "record")
ROWS, TASKS = 200, 24
LATER_ON = timedelta(days=1)
OLD_SECONDS, SOON_SECONDS = 120, 5.0  # a lock that may be removed; when a fresh one becomes so
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


def make_template(folder: Path) -> None:
    """A workspace that every loop of a series begins with a copy of."""
    root = folder / "template"
    make_workspace(root, kind="table", project="points")
    labels = {"kind": "choice", "classes": list(LABELS.classes)}
    (root / "configs/labels.yaml").write_text(yaml.safe_dump(labels), encoding="utf-8")
    # An empty registry takes MLflow seconds to make.
    (root / "local").mkdir()
    mlflow.MlflowClient(f"sqlite:///{root / 'local/mlflow.db'}").search_experiments()


def play_loop(bench: Bench, plan: Plan) -> Outcome:
    """One loop; its digest is of all that a loop leaves."""
    began = time.monotonic()
    outcome = Outcome("loops", plan.seed, plan.world, [asdict(fault) for fault in plan.faults])
    name = f"l{plan.seed}-{os.getpid()}"
    folder = tempfile.TemporaryDirectory(dir=bench.folder, ignore_cleanup_errors=True)
    root = Path(folder.name) / "points"
    with folder, proxied(bench, plan, outcome, root, name, whole=True) as (place, workers):
        _make(bench, place)
        crowd = Crowd(bench.stack, name, [], plan.seed)
        try:
            if _live(bench, plan, place, workers, crowd):
                _look(place, workers, crowd)
        finally:
            crowd.stop()
            crowd.clean()
            crowd.close()
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _make(bench: Bench, place: Place) -> None:
    """A workspace of its own, with a git remote, rows, and nothing else."""
    shutil.copytree(bench.folder / "template", place.root)
    remote = place.root.with_name("remote.git")
    incoming, log = f"loops-{place.world:03d}/in", f"{place.name}/log"
    config = {
        "project": "points",
        "data": {
            "kind": "table",
            "incoming": {"uri": f"s3://{BUCKET}/{incoming}", "key": "id"},
            "inference": {"uri": f"s3://{BUCKET}/{log}", "key": "id", "probabilities": "p_*"},
            "fields": {"x": {"type": "number"}, "y": {"type": "number"}},
        },
        "select": {"bootstrap": TASKS, "bootstrap_audit": 0.34, "budget": TASKS},
        "drift": {"probe": {"labels": 10, "max": 20}},
        "round": {"open": "auto"},
        "model": {"promote": "auto"},
        "store": {"dvc_remote": f"s3://{BUCKET}/{place.name}/dvc"},
    }
    (place.root / "configs/project.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    git(place.root, "init", "-q", "--bare", str(remote))
    git(place.root, "remote", "add", "origin", str(remote))
    git(place.root, "commit", "-qam", "Our question")
    put_rows(bench.stack, f"{incoming}/first.parquet", ROWS, seed=place.world)
    put_rows(bench.stack, f"{log}/calm.parquet", ROWS, seed=1000 + place.world)


def _live(bench: Bench, plan: Plan, place: Place, workers: Workers, crowd: Crowd) -> bool:
    """Whether it came to its end."""
    if not workers.until_done(*OPENING):
        return False
    people_come(place, crowd)
    if plan.people_hurry:
        working = crowd.start()
        ticked = workers.until_done(*TICK)
        working.join()
        if crowd.error is not None:
            raise crowd.error
    else:
        crowd.work(0.5)
        ticked = workers.until_done(*TICK)
        crowd.work()
    if not ticked:
        return False
    locks = [fault for fault in plan.faults if fault.what == "index.lock"]
    for fault in locks:
        _leave_lock(place, fault)
        workers.outcome.fired.append(fault.name)
    workers.rest()
    if not workers.until_done(*CLOSING):
        return False
    moved = f"{place.name}/log/moved.parquet"
    put_rows(bench.stack, moved, ROWS, seed=2000 + place.world, shift=3.0)
    workers.now += LATER_ON
    return workers.until_done(*OPENING) and workers.until_done("look")


def _leave_lock(place: Place, fault: Fault) -> None:
    """As a git does that was killed: some time ago, or only just."""
    lock = place.root / ".git/worktrees/worktree/index.lock"
    lock.touch()

    def age() -> None:
        if lock.exists():
            os.utime(lock, (time.time() - OLD_SECONDS,) * 2)

    if fault.seconds:
        age()
    else:
        threading.Timer(SOON_SECONDS, age).start()


def _look(place: Place, workers: Workers, crowd: Crowd) -> None:
    outcome = workers.outcome
    facts = json.loads((place.root.parent / "facts.json").read_text(encoding="utf-8"))
    facts["version 1, from the remote"] = _from_remote(place)
    compare(place, crowd, outcome)
    outcome.facts = facts
    outcome.digest = short_hash(json.dumps(facts, sort_keys=True))


def _from_remote(place: Place) -> str:
    """Content digest of what a machine finds that has nothing but the remotes."""
    clone = place.root.with_name("clone")
    branch = ("-b", "retrue/data")
    git(place.root, "clone", "-q", *branch, str(place.root.with_name("remote.git")), str(clone))
    os.environ.update(place.s3_env | {"AWS_ENDPOINT_URL": place.s3})
    _, _, repo, _ = open_dataset_repo(clone)
    return content_digest(repo.rows(1))


def git(folder: Path, *args: str) -> None:
    """Run git, which must succeed."""
    subprocess.run([*GIT, *args], cwd=folder, check=True, capture_output=True, timeout=60)
