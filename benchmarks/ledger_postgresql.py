"""What a long history costs: status, collect and validate of one round, with and without it.

Two workspaces on one PostgreSQL. Both have one open round of 5,000 tasks whose 6,000 answers wait
in the queue; one of them also has 834 rounds that were published long ago, with 5 million answers,
834 dataset versions, a drift check a round, and 4.2 million tasks in the ledger. Each step runs in
a process of its own, by turns in the one and the other, and a run begins where the last one began.
Target: at most 2 times the empty workspace's time.

The queue is a stand-in that hands out the open round's answers and knows how many there are in
all: what the annotation tool takes for that is measured elsewhere.

    python benchmarks/ledger_postgresql.py [--rounds 834] [--tasks 5000] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pydantic import TypeAdapter

from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.state_sql import open_ledger
from retrue.adapters.tables_arrow import schema_of
from retrue.ports import ObservedAnswers
from retrue.reading.resting import remember_judging
from retrue.records import (
    Answer,
    Decision,
    ObjectRef,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    Window,
    short_hash,
)
from retrue.report.facts import gather_facts
from retrue.steps.collect import collect_answers
from retrue.steps.validate import judge_answers
from retrue.wiring import open_workspace
from retrue.workspace import Workspace
from services.postgresql import running

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AUDIT, CLASSES, PEOPLE = 0.2, ("cat", "dog", "bird", "fish"), 40
STEPS = ("status", "collect", "collect again", "validate", "validate again")
OPEN = "incoming-open"
UNITS = ("seconds", "cpu", "wall", "memory")


@dataclass(frozen=True)
class Made:
    """One round's rows."""

    samples: pa.Table
    tasks: pa.Table
    answers: pa.Table
    verdicts: pa.Table


# --- a history -------------------------------------------------------------------------------


def make_round(name: str, at: datetime, size: int, rng: np.random.Generator) -> Made:
    """A round as select, push, collect and validate leave it: a fifth is asked twice."""
    ids = ids_of(size, rng)
    keys = ids_of(size, rng)
    twice = np.arange(size) < AUDIT * size
    truth = rng.integers(len(CLASSES), size=size)
    who = np.concatenate([np.arange(size), np.flatnonzero(twice)])  # the task of each answer
    rng.shuffle(who)
    wrong = rng.random(len(who)) < 0.05
    said = np.where(wrong, rng.integers(len(CLASSES), size=len(who)), truth[who])
    first = rng.integers(PEOPLE, size=size)
    seen = np.zeros(size, dtype=int)
    person = np.empty(len(who), dtype=int)
    for place, task in enumerate(who):  # two people, never one twice
        person[place] = (first[task] + 7 * seen[task]) % PEOPLE
        seen[task] += 1
    label = [f'"{name}"' for name in CLASSES]
    moments = [at + timedelta(seconds=int(s)) for s in rng.integers(86_400, size=len(who))]
    samples = table(
        Sample,
        size,
        sample_id=ids,
        revision=ids,
        window_id=f"w-{name}",
        uri=f"s3://b/{name}",
        object_version="1",
        row=list(range(size)),
        fields=[f'{{"n":{n},"text":"a description of what is to be seen"}}' for n in range(size)],
        time=at,
        multiplicity=1,
    )
    tasks = table(
        Task,
        size,
        task_key=keys,
        round_id=name,
        sample_id=ids,
        arm=np.where(twice, "audit", "active").tolist(),
        group="crowd",
        overlap=np.where(twice, 2, 1).tolist(),
        inclusion_probability=[0.01 if audit else None for audit in twice],
        trigger="new rows",
        schema_version=1,
        guideline_version="1",
        predicted=[label[one] for one in truth],
        predicted_probability=0.9,
    )
    answers = table(
        Answer,
        len(who),
        seq=list(range(1, len(who) + 1)),
        answer_id=ids_of(len(who), rng),
        revision="1",
        task_key=[keys[task] for task in who],
        annotator=[f"person-{one}" for one in person],
        status="answered",
        value=[label[one] for one in said],
        note="",
        lead_seconds=rng.uniform(2, 20, len(who)),
        answered_at=moments,
        observed_at=at + timedelta(days=2),
    )
    verdicts = table(
        Verdict,
        size,
        sample_id=ids,
        label=[label[one] for one in truth],
        confidence=0.95,
        n_answers=np.where(twice, 2, 1).tolist(),
        status="accepted",
        method="dawid-skene",
        reason="",
        schema_version=1,
        decided_at=at + timedelta(days=3),
    )
    return Made(samples=samples, tasks=tasks, answers=answers, verdicts=verdicts)


def ids_of(count: int, rng: np.random.Generator) -> list[str]:
    """As many different 128-bit ids."""
    text = rng.bytes(16 * count).hex()
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def table(record: type, rows: int, **columns: object) -> pa.Table:
    """A record table; a column is its values, or one value for all rows; others are null."""
    schema = schema_of(record)
    whole = [
        value if isinstance(value, list | np.ndarray) else [value] * rows
        for value in (columns.get(name) for name in schema.names)
    ]
    return pa.Table.from_arrays(
        [pa.array(v, type=f.type) for v, f in zip(whole, schema, strict=True)], schema=schema
    )


def plan_of(name: str, at: datetime, size: int) -> RoundPlan:
    """The plan of such a round."""
    audit = int(AUDIT * size)
    window = Window(
        window_id=f"w-{name}",
        stream="incoming",
        objects=(ObjectRef(uri=f"s3://b/{name}", version="1", size=1, modified_at=at),),
        rows=100 * audit,
        eligible=100 * audit,
        duplicates=0,
        quarantined=0,
        first_time=at,
        last_time=at,
        model_version=None,
        recorded_at=at,
    )
    return RoundPlan(
        round_id=name,
        kind="incoming",
        cause=name,
        why="new rows",
        population=(window,),
        frame_rows=100 * audit,
        seed="s",
        arms={"audit": audit, "active": size - audit},
        schema_version=1,
        guideline_version="1",
        cost_per_label=0.05,
        currency="EUR",
        parent=None,
        planned_at=at,
    )


def write_history(data: Path, rounds: int, size: int, ledger: psycopg.Connection) -> int:
    """Rounds of the years before, with their decisions and tasks; returns how many answers."""
    rng, answers, joined = np.random.default_rng(0), 0, list[str]()
    every = timedelta(days=3 * 365) / max(rounds, 1)
    for number in range(rounds):
        at = NOW - timedelta(days=60) - every * (rounds - number)
        name = f"incoming-{number:05d}"
        made, folder = make_round(name, at, size, rng), data / "rounds" / name
        folder.mkdir(parents=True)
        for stem, rows in asdict_shallow(made).items():
            with pq.ParquetWriter(
                folder / f"{stem}.parquet",
                rows.schema,
                compression="zstd",
                write_page_checksum=True,
            ) as writer:
                writer.write_table(rows)
        (folder / "plan.json").write_bytes(
            TypeAdapter(RoundPlan).dump_json(plan_of(name, at, size), indent=2)
        )
        answers += made.answers.num_rows
        joined.append(f"{name}/verdicts-0001.parquet")
        write_decisions(data / "decisions", name, number, at, joined)
        columns = [made.tasks.column(c).to_pylist() for c in ("task_key", "sample_id")]
        copy_tasks(ledger, name, *columns)
    return answers


def asdict_shallow(made: Made) -> dict[str, pa.Table]:
    """The tables by the names of their files."""
    return {
        "samples": made.samples,
        "tasks": made.tasks,
        "answers-0001": made.answers,
        "verdicts-0001": made.verdicts,
    }


def write_decisions(folder: Path, name: str, number: int, at: datetime, joined: list[str]) -> None:
    """Opened, closed, published; the version it went into; the check of its window."""
    version = {
        "version": number + 1,
        "verdict_files": joined,
        "schema_version": 1,
        "guideline_version": "1",
        "eval_share": 0.5,
        "temporal_cutoff": None,
    }
    check = {"window": f"w-{name}", "champion": "1", "alarm": False, "alpha_spent": 1e-4}
    for kind, cause, days, data in (
        ("round-opened", name, 0, {"round": name}),
        ("round-closed", name, 3, {"round": name}),
        ("round-published", name, 3, {"round": name, "version": number + 1}),
        ("version", str(number + 1), 3, version),
        ("drift-check", name, 0, check),
    ):
        made = Decision(
            decision_id=short_hash(kind, cause, digits=12),
            kind=kind,
            at=at + timedelta(days=days),
            by="retrue",
            data=data,
        )
        (folder / kind).mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(made) | {"at": made.at.isoformat()}, indent=2)
        (folder / kind / f"{made.decision_id}.json").write_text(text + "\n", encoding="utf-8")


def copy_tasks(ledger: psycopg.Connection, name: str, keys: list[str], ids: list[str]) -> None:
    """The round's rows in the ledger's index of tasks, all finished."""
    into = "COPY retrue_task (workspace, task_key, round_id, sample_id, finished) FROM STDIN"
    with ledger.cursor() as cursor, cursor.copy(into) as copy:
        for key, sample in zip(keys, ids, strict=True):
            copy.write_row(("long", key, name, sample, True))


# --- a workspace -----------------------------------------------------------------------------


def make_workspace(root: Path, project: str, url: str, rounds: int, size: int) -> int:
    """Config, git, history and one open round that was pushed; returns how many answers it has."""
    (root / "configs").mkdir(parents=True)
    (root / ".retrue").mkdir()
    config = {
        "project": project,
        "data": {"kind": "table", "incoming": {"uri": "s3://b/", "key": "id"}},
        "store": {"ledger": url},
        "select": {"caps": {"day": 10_000, "cost_per_label": "0.05 EUR"}},
    }
    (root / "configs/project.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    labels = {"kind": "choice", "classes": list(CLASSES)}
    (root / "configs/labels.yaml").write_text(yaml.safe_dump(labels), encoding="utf-8")
    state = open_ledger(url, workspace=project)
    with psycopg.connect(url) as ledger:
        answers = write_history(root / "data", rounds, size, ledger)
        ledger.commit()
        ledger.autocommit = True
        ledger.execute("VACUUM ANALYZE retrue_task")  # as autovacuum does
    records = FileRoundRecord(root / "data")
    made = make_round(OPEN, NOW - timedelta(days=2), size, np.random.default_rng(1))
    for stem, rows in asdict_shallow(made).items():
        pq.write_table(rows, root / f".retrue/{stem}.parquet")
    tasks = [Task(**row) for row in made.tasks.to_pylist()]
    samples = [Sample(**row) for row in made.samples.to_pylist()]
    records.plan_round(plan_of(OPEN, NOW - timedelta(days=2), size), samples, tasks)
    opened = Decision(
        decision_id="opened",
        kind="round-opened",
        at=NOW - timedelta(days=2),
        by="retrue",
        data={"round": OPEN},
    )
    records.decide(opened)
    with state.lease("write", holder="benchmark", ttl=timedelta(hours=1), now=NOW) as lease:
        state.add_tasks(tasks, lease)
        state.set_value(f"push/{OPEN}", "complete", lease)
        state.set_value("collect/live", live_before(root, rounds), lease)
    git(root)
    workspace = open_workspace(root)
    with workspace.lease("validate", now=NOW) as lease:
        remember_judging(workspace, NOW - timedelta(days=1), lease)  # as of last night
    return answers


def live_before(root: Path, rounds: int) -> dict[str, int]:
    """Answers of every round, as the collect before counted them."""
    names = sorted(path.parent.name for path in (root / "data/rounds").glob("*/plan.json"))
    return {
        name: pq.read_metadata(root / "data/rounds" / name / "answers-0001.parquet").num_rows
        for name in names[:rounds]
        if name != OPEN
    } | {OPEN: 0, "unknown": 0}


def git(root: Path) -> None:
    """A repository whose data branch lists the records there are."""
    from retrue.adapters.record_links import record_names

    (root / "data/records.txt").write_text(
        "".join(f"{name}\n" for name in sorted(record_names(root))), encoding="utf-8"
    )
    author = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    for command in (
        ("init", "--quiet"),
        ("add", "-f", "configs", "data/records.txt"),
        (*author, "commit", "--quiet", "-m", "benchmark"),
        ("branch", "retrue/data"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)  # noqa: S603, S607
    (root / "data/records.txt").unlink()


# --- one step in one process -----------------------------------------------------------------


class History(MemoryQueue):
    """A tool that holds all answers, and has told of all but the open round's."""

    def __init__(self, answers: list[Answer], before: int) -> None:
        super().__init__()
        self._given, self._before = answers, before

    def answers(self, cursor: str) -> ObservedAnswers:
        """The open round's answers, once."""
        return ObservedAnswers(answers=() if cursor == "1" else tuple(self._given), cursor="1")

    def count(self) -> int:
        """All there are."""
        return self._before + len(self._given)


def run_step(root: Path, step: str, before: int) -> None:
    """Run one step; print its seconds on the clock and of this process, and the peak memory."""
    rows = pq.read_table(root / ".retrue/answers-0001.parquet").to_pylist()
    queue = History([Answer(**row) for row in rows], before)
    began, worked = time.perf_counter(), time.process_time()
    workspace = replace(open_workspace(root), queue=queue)
    what: dict[str, Callable[[Workspace], object]] = {
        "status": lambda w: gather_facts(w, now=NOW),
        "collect": lambda w: collect_answers(w, now=NOW),
        "validate": lambda w: judge_answers(w, now=NOW),
    }
    said = what[step.split()[0]](workspace)
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": seconds, "cpu": cpu, "memory": memory, "said": summary(said)}
    print(json.dumps(told))  # noqa: T201


def summary(said: object) -> str:
    """Something to see that the step did its work."""
    names = ("new", "written", "ready", "running", "money")
    return ", ".join(f"{name} {getattr(said, name)}" for name in names if hasattr(said, name))


def rewind(root: Path, project: str, url: str) -> None:
    """Back to before the answers were collected."""
    folder = root / "data/rounds" / OPEN
    for path in (*folder.glob("answers-*"), *folder.glob("verdicts-*")):
        path.unlink()
    for path in (root / "data/decisions").glob("round-*/*.json"):
        about = str(json.loads(path.read_text(encoding="utf-8"))["data"]["round"])
        if about.startswith("dispute") or (about == OPEN and path.parent.name == "round-closed"):
            path.unlink()
    for path in (root / "data/rounds").glob("dispute-*"):
        shutil.rmtree(path)
    with psycopg.connect(url) as ledger:
        ledger.execute(
            "DELETE FROM retrue_value WHERE workspace = %s AND key = 'collect/cursor'", [project]
        )
        ledger.execute(
            "UPDATE retrue_task SET finished = false WHERE workspace = %s AND round_id = %s",
            [project, OPEN],
        )


def measure(root: Path, step: str, before: int) -> dict[str, float]:
    """One step in a fresh process."""
    command = [sys.executable, __file__, "--step", step, "--root", str(root)]
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603
        [*command, "--before", str(before)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    wall = time.perf_counter() - began
    return json.loads(done.stdout) | {"wall": wall}


# --- the whole -------------------------------------------------------------------------------


def main() -> None:
    """Make both workspaces, run the steps by turns, print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=834)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--before", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Make the workspaces here and leave them.")
    args = parser.parse_args()
    if args.step:
        run_step(args.root, args.step, args.before)
        return
    with tempfile.TemporaryDirectory(prefix="retrue-bench-") as name, running() as server:
        place = args.keep or Path(name)
        began = time.perf_counter()
        answers = {
            project: make_workspace(place / project, project, server.url, rounds, args.tasks)
            for project, rounds in (("long", args.rounds), ("empty", 0))
        }
        print(f"{server.version}; {answers['long']:,} answers in {args.rounds} rounds,")  # noqa: T201
        print(f"made in {time.perf_counter() - began:.0f} s")  # noqa: T201
        compare(place, server.url, answers, args.runs)
        if args.keep:
            input("Enter ends it.")
            shutil.rmtree(place)


def compare(place: Path, url: str, answers: dict[str, int], runs: int) -> None:
    """Every step in both workspaces, by turns."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for run in range(runs + 1):  # the first fills the caches and is told of by itself
        for project in answers:
            rewind(place / project, project, url)
        for step in STEPS:
            for project in answers if run % 2 else reversed(answers):
                told = measure(place / project, step, answers[project])
                if run:
                    found.setdefault((step, project), []).append(told)
                else:
                    print(f"first {step}, {project}: {told['seconds']:.2f} s  {told['said']}")  # noqa: T201
    print("seconds: on the clock, of our process, of the whole process with its imports; MB")  # noqa: T201
    for step in STEPS:
        for project in ("empty", "long"):
            told = {k: median(one[k] for one in found[step, project]) for k in UNITS}
            print(f"{step:16} {project:6}" + "".join(f"{told[k]:9.2f}" for k in UNITS))  # noqa: T201
        ratios = [
            median(one[k] for one in found[step, "long"])
            / median(one[k] for one in found[step, "empty"])
            for k in UNITS
        ]
        print(f"{step:16} ratio " + "".join(f"{ratio:8.2f}x" for ratio in ratios))  # noqa: T201


if __name__ == "__main__":
    main()
