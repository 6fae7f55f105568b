"""Push and collect through a real Label Studio, against a bare import of the same bytes.

Push is the whole step, `push_tasks`: records on disk, ledger, queue, and the proof that each task
is there once. It takes turns with one bulk import of the same tasks; target: at most 1.3 times as
long. Collect: 100 new answers among 20,000 tasks; at most 2 s and 200 MB in a process of its own.

    python benchmarks/label_studio_push.py [tasks] [turns] [--postgresql]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from retrue.adapters.queue_label_studio import LabelStudioQueue
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.state_sql import open_ledger
from retrue.config import Labels
from retrue.records import RoundPlan, Sample, Task, short_hash
from retrue.stack.label_studio import DATABASE
from retrue.steps.push import push_tasks
from retrue.workspace import Workspace
from services import postgresql
from services.label_studio import LabelStudioServer, running
from services.label_studio_people import LabelStudioPeople

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABELS = Labels(kind="choice", classes=("cat", "dog"))
TEXT = "lorem ipsum dolor " * 7
ANSWERS = 100


def queue(url: str, token: str, name: str) -> LabelStudioQueue:
    """A fresh connection, as every run of a step has."""
    return LabelStudioQueue(
        url,
        token,
        project_prefix=name,
        schema_of=lambda _: LABELS,
        link=lambda uri: uri,
        settle=1.0,
    )


def a_task(name: str, number: int) -> Task:
    """The same for everybody but its sample and its key."""
    return Task(
        task_key=short_hash(name, str(number), digits=16),
        round_id=name,
        sample_id=f"{name}-{number}",
        arm="random",
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=None,
        trigger="benchmark",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def a_sample(name: str, number: int) -> Sample:
    """Some 150 bytes to show."""
    return Sample(
        sample_id=f"{name}-{number}",
        revision="1",
        window_id="w",
        uri="s3://bucket/rows.parquet",
        object_version="1",
        row=number,
        fields=json.dumps({"text": TEXT, "number": number}),
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def a_plan(name: str, count: int) -> RoundPlan:
    """A round of that many random tasks."""
    return RoundPlan(
        round_id=name,
        kind="incoming",
        cause=name,
        why="benchmark",
        population=(),
        frame_rows=count,
        seed="s",
        arms={"random": count},
        schema_version=1,
        guideline_version="1",
        cost_per_label=0.0,
        currency="EUR",
        parent=None,
        planned_at=NOW,
    )


def an_open_round(folder: Path, server: LabelStudioServer, name: str, count: int) -> Workspace:
    """A workspace on disk with one round that is open and not pushed."""
    from world import World  # with scikit-learn: not for the process whose memory is measured

    world = World(folder / name)
    (folder / name).mkdir()
    workspace = replace(
        world.workspace(),
        records=FileRoundRecord(folder / name / "data"),
        state=open_ledger(f"sqlite:///{folder / name / 'ledger.sqlite'}", workspace=name),
        queue=queue(server.url, server.token, name),
    )
    numbers = range(count)
    workspace.records.plan_round(
        a_plan(name, count),
        [a_sample(name, number) for number in numbers],
        [a_task(name, number) for number in numbers],
    )
    workspace.decide("round-opened", name, now=NOW, data={"round": name})
    return workspace


def bare_import(server: LabelStudioServer, name: str, count: int) -> float:
    """Seconds of one request with everything, into a project that is there."""
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Token {server.token}"}, timeout=600
    ) as http:
        config = '<View><Table name="sample" value="$fields"/></View>'
        made = http.post("/api/projects/", json={"title": "bare", "label_config": config})
        path = f"/api/projects/{made.json()['id']}/import?return_task_ids=false"
        body = [
            {
                "data": {
                    "fields": {"text": TEXT, "number": str(number)},
                    "retrue_key": a_task(name, number).task_key,
                }
            }
            for number in range(count)
        ]
        return seconds(lambda: http.post(path, json=body).raise_for_status())


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pushes(folder: Path, server: LabelStudioServer, count: int, turns: int) -> None:
    """Bare imports and pushes, taking turns."""
    bare: list[float] = []
    pushed: list[float] = []
    again: list[float] = []
    for turn in range(turns):
        name = f"bench{turn}"
        bare.append(bare_import(server, name, count))
        workspace = an_open_round(folder, server, name, count)
        pushed.append(seconds(lambda ours=workspace: push_tasks(ours, now=NOW)))
        again.append(seconds(lambda ours=workspace: push_tasks(ours, now=NOW)))
        print(f"{count} tasks: bare import {bare[-1]:.2f} s, push {pushed[-1]:.2f} s")  # noqa: T201
    ratio = statistics.median(pushed) / statistics.median(bare)
    print(f"push / bare import, medians of {turns}: {ratio:.2f}")  # noqa: T201
    print(f"push again, nothing to do: {statistics.median(again):.2f} s")  # noqa: T201


def collect(
    url: str, token: str, name: str, cursor: str, told: SimpleQueue[tuple[float, int, float]]
) -> None:
    """In a process of its own, so that peak memory is its own."""
    port = queue(url, token, name)
    found: list[int] = []
    took = seconds(lambda: found.append(len(port.answers(cursor).answers)))
    told.put((took, found[0], peak_megabytes()))


def peak_megabytes() -> float:
    """The most memory this process had (Linux); `getrusage` begins with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def collects(folder: Path, server: LabelStudioServer, count: int) -> None:
    """A round of twice as many tasks; some are answered long ago, some just now."""
    name = "collected"
    workspace = an_open_round(folder, server, name, 2 * count)
    push_tasks(workspace, now=NOW)
    port = queue(server.url, server.token, name)
    people = LabelStudioPeople(server, port)
    there = port.tasks(a_task(name, number).task_key for number in range(0, 2 * count, 10))
    for copy in there[: 3 * ANSWERS]:
        people.answer(copy.task_key, "ann", '"cat"', tool_id=copy.tool_id)
    cursor = port.answers("").cursor
    for copy in there[-ANSWERS:]:
        people.answer(copy.task_key, "bob", '"dog"', tool_id=copy.tool_id)
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    child = context.Process(target=collect, args=(server.url, server.token, name, cursor, told))
    child.start()
    took, found, memory = told.get()
    child.join()
    print(  # noqa: T201
        f"collect {ANSWERS} new of {2 * count} tasks: {took:.2f} s, {memory:.0f} MB "
        f"({found} told; the look-back repeats some)"
    )


def main(count: int, turns: int, *, on_postgresql: bool) -> None:
    """Run both and print them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base = stack.enter_context(postgresql.running(DATABASE)) if on_postgresql else None
        service = None if base is None else base.service
        server = stack.enter_context(running(folder / "label-studio", service))
        pushes(folder, server, count, turns)
        collects(folder, server, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="?", type=int, default=10_000)
    parser.add_argument("turns", nargs="?", type=int, default=3)
    parser.add_argument("--postgresql", action="store_true", help="where Label Studio keeps tasks")
    given = parser.parse_args()
    main(given.tasks, given.turns, on_postgresql=given.postgresql)
