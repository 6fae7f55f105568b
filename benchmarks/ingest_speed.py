"""Ingest (read, clean, identify, find duplicates, profile) against only decoding the same file.

1,000,000 rows x 25 columns of parquet: a text key, a time, 12 numbers, 8 categories and a model's
3 probabilities. Each measure runs in its own process, so that peak memory is its own. Target: at
most 2.5 times the time of decoding with pyarrow, and at most 500 MB.

    python benchmarks/ingest_speed.py [rows]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq

from retrue.core.arrow import as_column, table_of

ROWS = 1_000_000
_REPEATS = 3
_NAMES = [f"category-{i}" for i in range(40)]


def write_table(path: Path, rows: int) -> None:
    """Make the file: row groups of 100,000 rows, pyarrow's defaults otherwise."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((2.0, 1.0, 1.0), rows)
    columns: dict[str, np.ndarray] = {
        "id": np.char.add("row-", rng.permutation(rows).astype(str)),
        "seen_at": np.datetime64("2026-01-01", "us") + np.arange(rows).astype("timedelta64[s]"),
        **{f"p_{c}": probabilities[:, i] for i, c in enumerate("abc")},
        **{f"n{i}": rng.normal(size=rows) for i in range(8)},
        **{f"k{i}": rng.integers(0, 1000, rows) for i in range(4)},
        **{f"c{i}": np.array(_NAMES)[rng.integers(0, 40, rows)] for i in range(8)},
    }
    table = table_of({name: as_column(values) for name, values in columns.items()})
    cast("Any", pq).write_table(table, path, row_group_size=100_000)


def decode(path: Path) -> None:
    """Only decode, batch by batch as ingest does."""
    with pq.ParquetFile(path, pre_buffer=False) as table:
        for _ in cast("Any", table).iter_batches(batch_size=65_536):
            pass


def ingest(path: Path) -> None:
    """The real step over memory state."""
    from retrue.adapters.state_memory import MemoryWorkingState
    from retrue.adapters.store_local import LocalStore
    from retrue.config import Config, Labels
    from retrue.steps.ingest import ingest_windows
    from retrue.workspace import Workspace

    source = {"uri": path.name, "key": "id", "time": "seen_at", "probabilities": "p_*"}
    unused = cast("Any", None)  # ports that ingest never asks
    workspace = Workspace(
        root=path.parent,
        config=Config.model_validate(
            {"project": "bench", "data": {"kind": "table", "inference": source}}
        ),
        labels=Labels(kind="choice", classes=("a", "b", "c")),
        store=LocalStore(path.parent, ["."]),
        state=MemoryWorkingState(),
        queue=unused,
        records=unused,
        repo=unused,
        models=unused,
        notify=unused,
        holder="bench",
    )
    reports = ingest_windows(workspace, now=datetime(2026, 11, 20, tzinfo=UTC))
    if reports[0].window is None or reports[0].window.rows == 0:
        raise RuntimeError("nothing was ingested")


def measure(name: str, path: Path) -> tuple[float, float, float]:
    """Best wall and CPU seconds of some runs, and the process's peak memory in MB."""
    run = {"decode": decode, "ingest": ingest}[name]
    run(path)  # imports and caches
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(_REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        run(path)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return min(walls), min(cpus), peak


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        spawn = multiprocessing.get_context("spawn")
        maker = spawn.Process(target=write_table, args=(path, rows))
        maker.start()
        maker.join()
        found: dict[str, tuple[float, float, float]] = {}
        for name in ("decode", "ingest"):
            with spawn.Pool(1) as pool:
                found[name] = pool.apply(measure, (name, path))
    print(f"{rows} rows x 25 columns")  # noqa: T201
    for name, (wall, cpu, peak) in found.items():
        print(f"{name:8} {wall:6.2f} s  {cpu:6.2f} CPU s  peak {peak:5.0f} MB")  # noqa: T201
    ratios = [found["ingest"][i] / found["decode"][i] for i in (0, 1)]
    print(f"ratio    {ratios[0]:6.2f} wall, {ratios[1]:.2f} CPU (target 2.5)")  # noqa: T201


if __name__ == "__main__":
    main()
