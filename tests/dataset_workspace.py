"""A small workspace with a git repository, records to version, and stand-ins for the two stages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from retrue.adapters.process import run_process
from retrue.adapters.records_files import FileRoundRecord
from retrue.config import Config
from retrue.core.version_plan import VersionPlan, version_data
from retrue.ports import Lease
from retrue.records import Decision, RoundPlan, Sample, Task, Verdict, Window

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
LEASE = Lease(name="defects", holder="test", token=1, expires_at=NOON + timedelta(hours=1))
CONFIG = Config.model_validate(
    {"project": "defects", "data": {"kind": "table", "incoming": {"uri": "in"}}}
)
STAGES = """\
import json, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq

if Path("configs/broken").exists():
    sys.exit("stage: the shelf fell down")
if sys.argv[1] == "build":
    from retrue.adapters.dataset_files import write_dataset
    from retrue.adapters.records_files import FileRoundRecord
    write_dataset(FileRoundRecord(Path("data")), Path("data/dataset"), version=None,
                  project="defects", migrate=lambda label, old, new: label)
else:
    rows = json.loads(Path("data/dataset/manifest.json").read_text())["rows"]
    for folder in ("model", "plots"):
        Path(folder).mkdir(exist_ok=True)
    Path("model/model.txt").write_text(f"{rows} rows")
    Path("plots/curve.svg").write_text("<svg/>")
    table = pa.table({"sample_id": ["r1-0"], "predicted": ['"ok"']})
    pq.write_table(table, "predictions.parquet")
    Path("metrics.json").write_text(json.dumps({"accuracy": 0.9}))
"""
DVC_YAML = """\
stages:
  build:
    cmd: python stages.py build
    deps: [data/rounds, data/decisions, configs/labels.yaml]
    outs: [{data/dataset: {persist: true}}]
  fit:
    cmd: python stages.py fit
    deps: [data/dataset, data/rounds]
    params: [{configs/project.yaml: null}]
    outs: [model, predictions.parquet]
    metrics: [{metrics.json: {cache: false}}]
    plots: [plots]
"""
IGNORED = """\
/.retrue/
/local/
/data/rounds/
/data/decisions/
/data/dataset/
/model/
/plots/
/predictions.parquet
"""


def git(folder: Path, *args: str) -> str:
    """Run git as a person would."""
    done = run_process(["git", *args], cwd=folder, env={}, timeout=60)
    assert done.code == 0, done.err
    return done.out.rstrip("\n")


def make_workspace(root: Path) -> Path:
    """A committed workspace without records; `root` may be a folder of a repository."""
    (root / "configs").mkdir(parents=True)
    (root / ".dvc").mkdir()
    files = {
        "configs/labels.yaml": "kind: choice\nclasses: [ok, scratch]\n",
        "configs/project.yaml": "project: defects\n",
        "dvc.yaml": DVC_YAML,
        "stages.py": STAGES,
        ".gitignore": IGNORED,
        ".dvc/config": "",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    if not (root.parent / ".git").exists():
        git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "A Person")
    git(root, "config", "user.email", "person@example.org")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "A workspace")
    return root


def add_round(root: Path, name: str, samples: int = 3) -> None:
    """Record a finished round of `samples` accepted samples."""
    record = FileRoundRecord(root / "data")
    ids = [f"{name}-{number}" for number in range(samples)]
    record.plan_round(
        _plan(name, samples), [_sample(i) for i in ids], [_task(name, i) for i in ids]
    )
    record.append_verdicts(name, [_verdict(i) for i in ids])


def decide_version(root: Path, version: int, rounds: list[str]) -> None:
    """Decide that a version joins the first verdicts of these rounds."""
    plan = VersionPlan(
        version=version,
        verdict_files=tuple(f"{name}/verdicts-0001.parquet" for name in rounds),
        schema_version=1,
        guideline_version="1",
        eval_share=0.5,
        temporal_cutoff=None,
        at=NOON,
    )
    FileRoundRecord(root / "data").decide(
        Decision(
            decision_id=f"{version:012x}",
            kind="version",
            at=NOON,
            by="retrue",
            data=version_data(plan),
        )
    )


def _plan(name: str, samples: int) -> RoundPlan:
    window = Window(
        window_id="w1",
        stream="incoming",
        objects=(),
        rows=samples,
        eligible=samples,
        duplicates=0,
        quarantined=0,
        first_time=None,
        last_time=None,
        model_version=None,
        recorded_at=NOON,
    )
    return RoundPlan(
        round_id=name,
        kind="bootstrap",
        cause=name,
        why="a first look",
        population=(window,),
        frame_rows=samples,
        seed="s",
        arms={"audit": samples},
        schema_version=1,
        guideline_version="1",
        cost_per_label=0.0,
        currency="EUR",
        parent=None,
        planned_at=NOON,
    )


def _sample(sample_id: str) -> Sample:
    return Sample(
        sample_id=sample_id,
        revision="0" * 32,
        window_id="w1",
        uri="file:///in/a.csv",
        object_version="1",
        row=0,
        fields="{}",
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def _task(name: str, sample_id: str) -> Task:
    return Task(
        task_key=f"{name}/{sample_id}",
        round_id=name,
        sample_id=sample_id,
        arm="audit",
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=1.0,
        trigger="a first look",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def _verdict(sample_id: str) -> Verdict:
    return Verdict(
        sample_id=sample_id,
        label='"ok"',
        confidence=0.9,
        n_answers=1,
        status="accepted",
        schema_version=1,
        method="majority",
        reason="",
        decided_at=NOON,
    )
