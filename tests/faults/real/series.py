"""A series of runs on one stack: resumable, replayable by seed, a line of JSON for each run."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

from faults.real import stack as services
from faults.real import table
from faults.real.bench import Bench, Outcome
from faults.real.loops import make_template, play_loop
from faults.real.places import fill_bucket
from faults.real.plans import Plan, loop_plan_of, plan_of
from faults.real.rounds import play
from faults.real.stack import Stack
from faults.real.work import PRELOAD
from retrue.adapters.state_sql import open_ledger
from services import postgresql

__all__ = ["Series", "Suite", "main", "read_outcomes"]

Suite = Literal["rounds", "loops", "naive"]
RUNS: dict[Suite, int] = {"rounds": 300, "loops": 30, "naive": 300}


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code: 1 if a run of ours was not fine."""
    parser = argparse.ArgumentParser(prog="python -m faults.real", description=__doc__)
    parser.add_argument("suites", nargs="+", choices=(*RUNS, "keep", "table"))
    parser.add_argument("--runs", type=int, help="seeds 0 to this, less one")
    parser.add_argument("--seed", type=int, action="append", help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, help="results; what is in it is not run again")
    parser.add_argument("--lanes", type=int, default=3, help="runs at once")
    parser.add_argument("--stack", type=Path, help="file of a stack that `keep` started")
    asked = parser.parse_args(arguments)
    if asked.suites == ["table"]:
        table.write(read_outcomes(asked.out))
        return 0
    with _stack(asked.stack) as stack:
        if asked.suites == ["keep"]:
            _keep_running(stack, asked.stack or Path("stack.json"))
            return 0
        series = Series(stack, asked.out, lanes=asked.lanes)
        signal.signal(signal.SIGTERM, series.stop)
        signal.signal(signal.SIGINT, series.stop)
        for suite in cast("list[Suite]", asked.suites):
            series.run(suite, asked.seed or range(asked.runs or RUNS[suite]))
    return 0 if series.fine else 1


def read_outcomes(file: Path | None) -> list[Outcome]:
    """The results of earlier runs; none if there are none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file and file.exists() else ()
    return [Outcome(**json.loads(line)) for line in lines]


@contextmanager
def _stack(file: Path | None) -> Generator[Stack]:
    if file is not None and file.exists():
        yield Stack(**json.loads(file.read_text(encoding="utf-8")))
        return
    with tempfile.TemporaryDirectory() as folder, services.running(Path(folder)) as stack:
        yield stack


def _keep_running(stack: Stack, file: Path) -> None:
    """Leave the stack running for other series, until SIGTERM."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(stack)), encoding="utf-8")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, lambda *_: over.set())
    over.wait()
    file.unlink()


class Series:
    """Runs on one stack, several at once."""

    def __init__(self, stack: Stack, out: Path | None, *, lanes: int) -> None:
        """Continue the series in `out`, if there is one."""
        self._stack, self._out, self._lanes = stack, out, lanes
        self._done = {(one.suite, one.seed): one for one in read_outcomes(out)}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._broken: Exception | None = None  # not a fault's doing, but ours

    @property
    def fine(self) -> bool:
        """Whether nothing was lost or doubled in any run of ours."""
        return all(one.fine for one in self._done.values() if one.suite != "naive")

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signals call
        """End after the runs under way; the same command goes on from there."""
        self._over.set()

    def run(self, suite: Suite, seeds: Iterable[int]) -> None:
        """Those that are not done: first, for each world in them, a run that nothing disturbs."""
        made = loop_plan_of if suite == "loops" else plan_of
        plans = [made(seed) for seed in seeds]
        worlds = sorted({plan.world for plan in plans})
        calm = [replace(made(world), faults=(), seed=-1 - world) for world in worlds]
        loaded = [*PRELOAD, "mlflow"] if suite == "loops" else PRELOAD
        multiprocessing.get_context("forkserver").set_forkserver_preload(loaded)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            if suite == "loops":
                make_template(folder)
            else:
                for world in worlds:
                    fill_bucket(self._stack, world)
            self._all(suite, folder, calm)
            self._all(suite, folder, plans)

    def _all(self, suite: Suite, folder: Path, plans: list[Plan]) -> None:
        waiting: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        for plan in plans:
            if (suite, plan.seed) not in self._done:
                waiting.put(plan)
        lanes = [
            threading.Thread(target=self._guarded_lane, args=(suite, folder, waiting))
            for _ in range(min(self._lanes, waiting.qsize()))
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if self._broken is not None:
            raise self._broken

    def _guarded_lane(self, *where: Any) -> None:
        try:
            self._lane(*where)
        except Exception as error:  # noqa: BLE001 - raised again by who waits for us
            self._broken = error
            self._over.set()

    def _lane(self, suite: Suite, folder: Path, waiting: queue.SimpleQueue[Plan]) -> None:
        """One run after the other on a database of its own, as some runs restart it."""
        with postgresql.running() as database:
            with self._lock:  # Alembic knows one database at a time
                open_ledger(database.url, workspace="any")
            bench = Bench(stack=self._stack, database=database, folder=folder)
            while not self._over.is_set():
                try:
                    plan = waiting.get_nowait()
                except queue.Empty:
                    return
                if suite == "loops":
                    self._keep(play_loop(bench, plan))
                else:
                    self._keep(play(bench, plan, suite=suite))

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            calm = self._done.get((outcome.suite, -1 - outcome.world))
            if outcome.seed >= 0 and calm is not None:
                outcome.same_digest = outcome.digest == calm.digest
            self._done[outcome.suite, outcome.seed] = outcome
            line = json.dumps(asdict(outcome))
            if self._out is not None:
                with self._out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            mark = "fine" if outcome.fine else "DAMAGE"
            told = line if self._out is None else f"in {outcome.seconds} s"
            sys.stdout.write(f"{outcome.suite} {outcome.seed}: {mark} {told}\n")
            sys.stdout.flush()
