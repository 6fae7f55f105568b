"""Reading parquet from S3 through our store against boto3 and 8 threads written by hand.

64 objects of about 8 MB on a real SeaweedFS that this script starts and stops. Both sides decode
every row; they take turns in one run, so that a busy machine is busy for both. *By hand* is a pool
of 8 threads, each getting a whole object and reading it with pyarrow; *retrue* is what `ingest`
does: the batches of one object after the other, the next ones on their way. Peak memory is that of
a process which does nothing else. Target: at least 0.9 times the speed of by hand.

    python benchmarks/s3_read.py [--objects 64] [--turns 9]
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from retrue.adapters.s3_access import S3Access
from retrue.adapters.store_s3 import S3Store
from retrue.records import ObjectRef
from services.seaweedfs import running

THREADS = 8
ROWS = 40_000  # x 25 columns of noise, which does not compress
BUCKET = "bench"
HAND, OURS = "by hand", "retrue"


def object_bytes(seed: int) -> bytes:
    """One parquet file of three row groups."""
    rng = np.random.default_rng(seed)
    table = pa.table({f"n{i}": pa.array(rng.normal(size=ROWS)) for i in range(25)})
    sink = io.BytesIO()
    cast("Any", pq).write_table(table, sink, row_group_size=14_000, use_dictionary=False)
    return sink.getvalue()


def refs_in(store: S3Store) -> list[ObjectRef]:
    """What there is to read."""
    return list(store.list_objects(f"s3://{BUCKET}/in", since=None))


def by_hand(refs: Sequence[ObjectRef]) -> int:
    """Rows read by a pool of threads."""
    client = S3Access().client

    def rows(ref: ObjectRef) -> int:
        key = ref.uri.removeprefix(f"s3://{BUCKET}/")
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return cast("Any", pq).read_table(io.BytesIO(body)).num_rows

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(rows, refs))


def ours(refs: Sequence[ObjectRef]) -> int:
    """Rows read as `ingest` reads them."""
    with S3Store(S3Access(), [f"s3://{BUCKET}"]).ahead(refs) as near:
        return sum(len(batch.rows) for ref in refs for batch in near.batches(ref))


SIDES: Mapping[str, Callable[[Sequence[ObjectRef]], int]] = {HAND: by_hand, OURS: ours}


def fill(objects: int) -> list[ObjectRef]:
    """Put the objects; the environment says where."""
    client = S3Access().client
    client.create_bucket(Bucket=BUCKET)
    bodies = [object_bytes(seed) for seed in range(4)]
    for number in range(objects):
        key = f"in/{number:03}.parquet"
        client.put_object(Bucket=BUCKET, Key=key, Body=bodies[number % len(bodies)])
    refs = refs_in(S3Store(S3Access(), [f"s3://{BUCKET}"]))
    size = sum(ref.size for ref in refs)
    print(f"{len(refs)} objects, {size / 1e6:.0f} MB, {os.cpu_count()} cores")  # noqa: T201
    return refs


def seconds_of(side: str, refs: Sequence[ObjectRef]) -> float:
    """One turn of one side."""
    began = time.perf_counter()
    if (rows := SIDES[side](refs)) != len(refs) * ROWS:
        raise ValueError(f"{side}: expected {len(refs) * ROWS} rows, got {rows}")
    return time.perf_counter() - began


def peak_of(side: str, refs: Sequence[ObjectRef]) -> float:
    """Megabytes of a process that reads once and does nothing else."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (side, refs))


def _peak(side: str, refs: Sequence[ObjectRef]) -> float:
    SIDES[side](refs)
    # Not ru_maxrss: a new process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=64)
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "weed") as server:
        os.environ.update(server.environment())
        refs = fill(given.objects)
        turns = [(HAND, OURS) if turn % 2 else (OURS, HAND) for turn in range(given.turns + 1)]
        # The first turn warms up.
        times = [{side: seconds_of(side, refs) for side in turn} for turn in turns][1:]
        peaks = {side: peak_of(side, refs) for side in SIDES}
    for side in SIDES:
        spent = [turn[side] for turn in times]
        told = f"{statistics.median(spent):.2f} s ({min(spent):.2f} to {max(spent):.2f})"
        print(f"{side:8} {told}, peak {peaks[side]:.0f} MB")  # noqa: T201
    ratios = sorted(turn[HAND] / turn[OURS] for turn in times)
    print(  # noqa: T201
        f"speed over by hand, turn by turn: median {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}); target 0.9"
    )


if __name__ == "__main__":
    main()
