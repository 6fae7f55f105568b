"""Consensus on crowd labels with known truth, against majority, targets and other libraries.

Five public sets of raw answers with annotator ids. One prior strength for all of them. Majority is
the expectation over random ties. With crowd-kit and krippendorff installed, alpha and the plain
Dawid-Skene are compared with theirs; without, the lines say so.

    RETRUE_DATA=../shared/data python benchmarks/consensus_crowd.py
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import importlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from retrue.core.agreement import krippendorff_alpha
from retrue.core.consensus import Floats, Ints, consensus, dawid_skene
from retrue.core.votes import vote_shares

REACH = {"rte": 92.75, "bluebird": 88.8, "dog": 84.0, "web": 81.5}
REACH_SPARSE = {2: 79.0, 3: 85.0}
DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One data set."""

    name: str
    task: Ints  # (n_answers,), 0..n_tasks-1
    worker: Ints
    label: Ints
    truth: Ints  # (n_tasks,), -1 where there is no gold
    n_workers: int
    n_classes: int

    @property
    def n_tasks(self) -> int:
        """Tasks, with gold or not."""
        return len(self.truth)

    def only(self, rows: npt.NDArray[np.intp]) -> tuple[Ints, Ints, Ints]:
        """Some of the answers."""
        return self.task[rows], self.worker[rows], self.label[rows]


def load(folder: Path) -> Crowd:
    """A data set as it lies on disk; a worker's first answer to a task counts."""
    answers = pd.read_csv(folder / "label.csv").drop_duplicates(["item", "worker"])
    gold = pd.read_csv(folder / "truth.csv").set_index("item")["truth"]
    task, items = pd.factorize(answers["item"])
    worker, names = pd.factorize(answers["worker"])
    label = answers["label"].to_numpy(dtype=np.int64)
    return Crowd(
        name=folder.name,
        task=task.astype(np.int64),
        worker=worker.astype(np.int64),
        label=label,
        truth=gold.reindex(items).fillna(-1).to_numpy(dtype=np.int64),
        n_workers=len(names),
        n_classes=int(label.max()) + 1,
    )


def accuracy(posterior: Floats, truth: Ints) -> float:
    """Expected percentage right, ties broken evenly, on tasks with gold."""
    best = posterior == posterior.max(axis=1, keepdims=True)
    known = np.flatnonzero(truth >= 0)
    return 100 * float((best[known, truth[known]] / best[known].sum(axis=1)).mean())


def calibration_error(posterior: Floats, truth: Ints) -> float:
    """Expected calibration error of `confidence`, ten even bins, 0..1."""
    known = truth >= 0
    confidence = posterior[known].max(axis=1)
    right = posterior[known].argmax(axis=1) == truth[known]
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = np.bincount(bins, weights=confidence - right.astype(float), minlength=10)
    return float(np.abs(gaps).sum() / len(confidence))


def ours(crowd: Crowd, rows: npt.NDArray[np.intp]) -> Floats:
    """Dawid-Skene with the prior."""
    fitted = dawid_skene(
        *crowd.only(rows),
        n_tasks=crowd.n_tasks,
        n_workers=crowd.n_workers,
        n_classes=crowd.n_classes,
    )
    return fitted.posterior


def ruled(crowd: Crowd, rows: npt.NDArray[np.intp]) -> tuple[Floats, str]:
    """What `consensus` makes of the answers without a model, and by which method."""
    found = consensus(
        *crowd.only(rows),
        n_tasks=crowd.n_tasks,
        n_classes=crowd.n_classes,
        probabilities=None,
        people_only=np.ones(crowd.n_tasks, dtype=np.bool_),
        rng=np.random.default_rng(0),
    )
    return found.posterior, "+".join(sorted(set(found.method.tolist()) - {""}))


def sparse(crowd: Crowd, per_task: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows of `per_task` answers of each task, drawn by chance."""
    order = np.lexsort((rng.random(len(crowd.task)), crowd.task))
    count = np.bincount(crowd.task)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    return order[rank < per_task]


def majority_of(crowd: Crowd, rows: npt.NDArray[np.intp]) -> Floats:
    """Shares of the answers."""
    task, _, label = crowd.only(rows)
    return vote_shares(task, label, crowd.n_tasks, crowd.n_classes)


def full_table(crowds: list[Crowd]) -> None:
    """All answers."""
    print(f"{'set':9} {'majority':>8} {'ours':>6} {'reach':>6} {'ok':>3}  rule")
    for crowd in crowds:
        rows = np.arange(len(crowd.task))
        posterior = ours(crowd, rows)
        base, got = (accuracy(p, crowd.truth) for p in (majority_of(crowd, rows), posterior))
        reach = REACH.get(crowd.name, base)
        method = ruled(crowd, rows)[1]
        gap = calibration_error(posterior, crowd.truth)
        ok = "yes" if got >= max(reach, base) else "NO"
        print(
            f"{crowd.name:9} {base:8.2f} {got:6.2f} {reach:6.2f} {ok:>3}  {method}, ECE {gap:.3f}"
        )


def sparse_table(crowds: list[Crowd]) -> None:
    """Two, three and five answers per item, mean over seeded draws."""
    print(f"\n{DRAWS} draws   majority   ours  reach  rule")
    for crowd in crowds:
        for per_task in (2, 3, 5):
            base: list[float] = []
            got: list[float] = []
            rule: list[float] = []
            method = ""
            for seed in range(DRAWS):
                rows = sparse(crowd, per_task, np.random.default_rng(seed))
                base.append(accuracy(majority_of(crowd, rows), crowd.truth))
                got.append(accuracy(ours(crowd, rows), crowd.truth))
                chosen, method = ruled(crowd, rows)
                rule.append(accuracy(chosen, crowd.truth))
            reach = REACH_SPARSE.get(per_task) if crowd.name == "rte" else None
            print(
                f"{crowd.name:9} {per_task} {np.mean(base):8.2f} {np.mean(got):6.2f} "
                f"{reach or '':>6}  {np.mean(rule):.2f} ({method})"
            )


def shared_errors(rng: np.random.Generator) -> None:
    """A guideline everybody misreads: on a tenth of the items all lean to one wrong class."""
    print("\nshared error   accuracy  mean confidence  ECE   (2,000 items, 5 answers, skill .85)")
    for share in (0.0, 0.1, 0.2):
        truth = rng.integers(0, 3, size=2000)
        task = np.repeat(np.arange(2000), 5)
        worker = np.argsort(rng.random((2000, 40)), axis=1)[:, :5].ravel()
        misread = rng.random(2000) < share
        lean = np.where(misread, (truth + 1) % 3, truth)[task]
        wrong = (lean + rng.integers(1, 3, size=len(task))) % 3
        label = np.where(rng.random(len(task)) < 0.85, lean, wrong)
        posterior = dawid_skene(
            task, worker, label, n_tasks=2000, n_workers=40, n_classes=3
        ).posterior
        print(
            f"{share:12.0%} {accuracy(posterior, truth):10.2f} "
            f"{posterior.max(axis=1).mean():16.3f} {calibration_error(posterior, truth):5.3f}"
        )


def against_krippendorff(crowds: list[Crowd]) -> None:
    """Alpha to eight digits, nominal and interval."""
    try:
        oracle = importlib.import_module("krippendorff")
    except ImportError:
        print("\nkrippendorff is not installed: alpha is not compared")
        return
    print("\nalpha       level     ours        krippendorff  difference")
    for crowd in crowds:
        table = np.full((crowd.n_workers, crowd.n_tasks), np.nan)
        table[crowd.worker, crowd.task] = crowd.label
        for level in ("nominal", "interval"):
            got = krippendorff_alpha(crowd.task, crowd.worker, crowd.label, level=level)
            theirs = float(oracle.alpha(reliability_data=table, level_of_measurement=level))
            print(f"{crowd.name:11} {level:9} {got:.8f}  {theirs:.8f}    {abs(got - theirs):.1e}")


def against_crowdkit(crowds: list[Crowd], rounds: int = 20) -> None:
    """Plain Dawid-Skene after as many rounds, and the time of each."""
    try:
        oracle = importlib.import_module("crowdkit.aggregation")
    except ImportError:
        print("\ncrowd-kit is not installed: Dawid-Skene is not compared")
        return
    print(
        f"\nplain Dawid-Skene, {rounds} rounds   ours  crowd-kit  largest difference  times slower"
    )
    for crowd in crowds:
        began = time.perf_counter()
        fitted = dawid_skene(
            crowd.task,
            crowd.worker,
            crowd.label,
            n_tasks=crowd.n_tasks,
            n_workers=crowd.n_workers,
            n_classes=crowd.n_classes,
            confusion_answers=0,
            skill_answers=0,
            rounds=rounds,
            tolerance=0,
        )
        middle = time.perf_counter()
        frame = pd.DataFrame({"task": crowd.task, "worker": crowd.worker, "label": crowd.label})
        # A tolerance no loss meets, so that both run every round.
        found = oracle.DawidSkene(n_iter=rounds, tol=-np.inf).fit_predict_proba(frame)
        ended = time.perf_counter()
        theirs = found.reindex(range(crowd.n_tasks))[range(crowd.n_classes)].to_numpy(dtype=float)
        print(
            f"{crowd.name:30} {accuracy(fitted.posterior, crowd.truth):6.2f} "
            f"{accuracy(theirs, crowd.truth):9.2f} {np.abs(theirs - fitted.posterior).max():14.1e} "
            f"{(ended - middle) / (middle - began):14.1f}"
        )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("RETRUE_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="folder that holds crowd/")
    folder: Path = parser.parse_args().data / "crowd"
    crowds = [load(p.parent) for p in sorted(folder.glob("*/label.csv"))]
    if not crowds:
        raise SystemExit(f"--data: expected crowd/*/label.csv, got none under {folder}")
    full_table(crowds)
    sparse_table([crowd for crowd in crowds if crowd.name in REACH])
    shared_errors(np.random.default_rng(0))
    against_krippendorff(crowds)
    against_crowdkit(crowds)


if __name__ == "__main__":
    main()
