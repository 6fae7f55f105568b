"""What Prefect adds to a night's work: the flow `monitor` against the same steps called plainly.

A real workspace (files, SQLite, git, DVC, MLflow) gets a first round with simulated answers and so
a champion; then a log of 100,000 rows x 25 columns arrives, with that champion's probabilities.
Each run starts from a copy of that state, in the same place, and reads and checks the log. Plain
and flow take turns, and each of a pair goes first as often as the other. Prefect's server is
started once, and both sides run once before they are timed. Target: at most 10% on top.

The flow also commits the records; `recorded` is the two steps and that commit, called plainly.

    python benchmarks/orchestration.py [rows] [--pairs 5]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import yaml

from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.cli.run import PREFECT, load_flow
from retrue.core.simulate import SimulatedAnnotator
from retrue.cycle import close_rounds, open_rounds
from retrue.initialising import make_workspace
from retrue.recording import record_progress
from retrue.records import Sample
from retrue.steps.drift import check_windows
from retrue.steps.ingest import ingest_windows
from retrue.wiring import clock, open_workspace, quiet_telemetry

ROWS, FIRST_ROWS, TICKS = 100_000, 2_000, 6
NUMBERS = [f"n{i}" for i in range(12)]
NAMES = [f"c{i}" for i in range(8)]
PEOPLE = (
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=3.0),
    SimulatedAnnotator(name="bob", accuracy=1.0, seconds=3.0),
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=3.0, group="adjudicator"),
)
PROJECT = {
    "project": "nightly",
    "data": {
        "kind": "table",
        "incoming": {"uri": "incoming", "key": "id"},
        "inference": {"uri": "log", "key": "id", "time": "seen_at", "probabilities": "p_*"},
        "fields": {
            **{name: {"type": "number"} for name in NUMBERS},
            **{name: {"type": "category"} for name in NAMES},
        },
    },
    "select": {"budget": 60},
    "round": {"open": "auto"},
    "model": {"promote": "auto"},
}
LABELS = {"kind": "choice", "classes": ["a", "b", "c"], "question": "Which side?"}
NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"))
}


def make_rows(rows: int, *, prefix: str, rng: np.random.Generator) -> pd.DataFrame:
    """A key, 12 numbers and 8 categories; the first number decides the class."""
    columns: dict[str, object] = {"id": [f"{prefix}-{i}" for i in range(rows)]}
    columns |= {name: rng.normal(size=rows) for name in NUMBERS}
    words = np.array([f"word-{i}" for i in range(20)])
    columns |= {name: words[rng.integers(0, 20, rows)] for name in NAMES}
    return pd.DataFrame(columns)


def side(number: float) -> str:
    """The truth about a row."""
    return "a" if number < -0.5 else "b" if number < 0.5 else "c"


def live_until_champion(root: Path, rng: np.random.Generator) -> None:
    """A workspace, its first rows, a round with answers, a version, a champion."""
    make_workspace(root, kind="table", project="nightly")
    (root / "configs/project.yaml").write_text(yaml.safe_dump(PROJECT))
    (root / "configs/labels.yaml").write_text(yaml.safe_dump(LABELS))
    for folder in ("incoming", "log"):
        (root / folder).mkdir(exist_ok=True)
    make_rows(FIRST_ROWS, prefix="first", rng=rng).to_parquet(root / "incoming/first.parquet")
    for _ in range(TICKS):
        workspace = open_workspace(root)
        schema = workspace.labels.label_schema
        opening = open_rounds(workspace, now=clock())
        if not isinstance(workspace.queue, FileQueue):
            raise TypeError("expected the queue in files")
        simulate_answers(
            workspace.queue,
            PEOPLE,
            lambda task: side(float(str(task.display["n0"]))),
            lambda _, schema=schema: schema,
            seed="bench",
            now=clock(),
        )
        closing = close_rounds(workspace, now=clock())
        if opening.idle and closing.idle:
            return


def serve(root: Path, rows: int, rng: np.random.Generator) -> None:
    """The application: the champion scores every row, and the log holds what it said."""
    workspace = open_workspace(root)
    champion = workspace.models.champion()
    if champion is None:
        raise RuntimeError("no champion after the first round")
    log = make_rows(rows, prefix="log", rng=rng)
    samples = [as_sample(row.to_json()) for _, row in log[NUMBERS + NAMES].iterrows()]
    scores = workspace.models.score(champion, samples, lambda _: b"")
    for place, label in enumerate(scores.classes):
        log[f"p_{json.loads(label)}"] = scores.probabilities[:, place]
    log["seen_at"] = pd.date_range("2026-01-01", periods=rows, freq="s", tz="UTC")
    log.to_parquet(root / "log/night.parquet", row_group_size=65_536)


def as_sample(fields: str) -> Sample:
    """A row as the model's door wants it; only its fields matter."""
    return Sample(
        sample_id="",
        revision="",
        window_id="",
        uri="",
        object_version="",
        row=0,
        fields=fields,
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def plain(root: str) -> None:
    """The two steps."""
    ingest_windows(open_workspace(Path(root)), now=clock())
    check_windows(open_workspace(Path(root)), now=clock())


def recorded(root: str) -> None:
    """The two steps, and the commit of their records."""
    plain(root)
    record_progress(open_workspace(Path(root)), "Windows checked", now=clock())


@contextmanager
def prefect_server(home: Path) -> Generator[None]:
    """A Prefect server of our own; its home and its database are thrown away."""
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with temporary_settings({PREFECT_HOME: home}), prefect_test_harness(120):
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Prefect leaves its sockets open
        gc.collect()


def timed(run: Callable[[str], object], root: Path, saved: Path, rows: int) -> float:
    """Seconds of one run from the saved state, which is put back first.

    Raises:
        RuntimeError: It did not check the window, or found drift where there is none.
    """
    shutil.rmtree(root)
    shutil.copytree(saved, root, symlinks=True)
    start = time.perf_counter()
    run(str(root))
    took = time.perf_counter() - start
    checks = open_workspace(root).records.decisions("drift-check")
    if [check.data["rows"] for check in checks if not check.data["alarm"]] != [rows]:
        raise RuntimeError(f"expected one quiet check of {rows} rows, found {len(checks)} checks")
    return took


def measure(top: Path, rows: int, pairs: int) -> dict[str, list[float]]:
    """Seconds of every kind of run, by turns."""
    root, saved = top / "nightly", top / "saved"
    rng = np.random.default_rng(0)
    live_until_champion(root, rng)
    serve(root, rows, rng)
    shutil.copytree(root, saved, symlinks=True)
    with prefect_server(top / "prefect"):
        runs: dict[str, Callable[[str], object]] = {
            "plain": plain,
            "recorded": recorded,
            "flow": load_flow(root, "monitor"),
        }
        for run in runs.values():
            timed(run, root, saved, rows)
        found: dict[str, list[float]] = {name: [] for name in runs}
        for pair in range(pairs):
            for name in list(runs)[:: 1 if pair % 2 else -1]:
                found[name].append(timed(runs[name], root, saved, rows))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    quiet_telemetry()
    for name, value in (PREFECT | NOBODY).items():  # read when Prefect is imported, when git runs
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.rows, asked.pairs)
    print(f"{asked.rows} rows x 25 columns, {asked.pairs} pairs")  # noqa: T201
    for name, seconds in found.items():
        print(  # noqa: T201
            f"{name:9} median {median(seconds):5.2f} s  {min(seconds):5.2f} to {max(seconds):.2f}"
        )
    for name in ("plain", "recorded"):
        ratios = [flow / own for flow, own in zip(found["flow"], found[name], strict=True)]
        print(  # noqa: T201
            f"flow / {name:9} median {median(ratios):.2f}  {min(ratios):.2f} to {max(ratios):.2f}"
            "  (target 1.10)"
        )
    added = [flow - own for flow, own in zip(found["flow"], found["recorded"], strict=True)]
    print(f"flow - recorded  median {median(added):.2f} s: the orchestration itself")  # noqa: T201


if __name__ == "__main__":
    main()
