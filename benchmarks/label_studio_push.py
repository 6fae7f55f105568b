"""Push and collect through a real Label Studio, against one bare import of the same bytes.

Push is what the push step asks of the queue: which tasks are there, add the rest in batches, look
twice again. Target: at most 1.3 times one bulk import of all tasks. Collect: 100 new answers among
20,000 tasks; at most 2 s and 200 MB in a process of its own.

    python benchmarks/label_studio_push.py [tasks]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from retrue.adapters.queue_label_studio import LabelStudioQueue
from retrue.config import Labels
from retrue.records import ProjectKey, QueueTask, short_hash
from retrue.steps.push import BATCH
from services.label_studio import LabelStudioServer, running
from services.label_studio_people import LabelStudioPeople

LABELS = Labels(kind="choice", classes=("cat", "dog"))
CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
ANSWERS = 100


def queue(url: str, token: str) -> LabelStudioQueue:
    """A fresh connection, as every run of a step has."""
    return LabelStudioQueue(
        url,
        token,
        project_prefix="bench",
        schema_of=lambda _: LABELS,
        link=lambda uri: uri,
        settle=1.0,
    )


def make_tasks(start: int, count: int) -> list[QueueTask]:
    """Tasks with some 150 bytes to show."""
    return [
        QueueTask(
            task_key=short_hash(str(number), digits=16),
            project=CROWD,
            display={"text": "lorem ipsum dolor " * 7, "number": number},
            media_uri=None,
        )
        for number in range(start, start + count)
    ]


def push(port: LabelStudioQueue, tasks: list[QueueTask]) -> None:
    """The calls of the push step."""
    keys = [task.task_key for task in tasks]
    present = {copy.task_key for copy in port.tasks(keys)}
    missing = [task for task in tasks if task.task_key not in present]
    for start in range(0, len(missing), BATCH):
        port.add(missing[start : start + BATCH])
    for _ in range(2):  # copies, then losses
        if len(port.tasks(keys)) != len(tasks):
            raise RuntimeError("tasks were lost or doubled")


def bare_import(server: LabelStudioServer, tasks: list[QueueTask]) -> float:
    """Seconds of one request with everything, into a project of its own."""
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Token {server.token}"}, timeout=600
    ) as http:
        config = '<View><Table name="sample" value="$fields"/></View>'
        made = http.post("/api/projects/", json={"title": "bare", "label_config": config})
        path = f"/api/projects/{made.json()['id']}/import?return_task_ids=false"
        body = [
            {"data": {"retrue_key": task.task_key, "fields": dict(task.display)}} for task in tasks
        ]
        return seconds(lambda: http.post(path, json=body).raise_for_status())


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def collect(url: str, token: str, cursor: str, told: SimpleQueue[tuple[float, int, float]]) -> None:
    """In a process of its own, so that peak memory is its own."""
    port = queue(url, token)
    found: list[int] = []
    took = seconds(lambda: found.append(len(port.answers(cursor).answers)))
    told.put((took, found[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main(count: int) -> None:
    """Run both and print them."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        port = queue(server.url, server.token)
        tasks = make_tasks(0, count)
        bare = bare_import(server, tasks)
        pushed = seconds(lambda: push(port, tasks))
        ratio = pushed / bare
        print(f"push {count}: {pushed:.1f} s; bare import {bare:.1f} s; ratio {ratio:.2f}")  # noqa: T201
        again = seconds(lambda: push(port, tasks))
        print(f"push again, nothing to do: {again:.1f} s")  # noqa: T201
        more = make_tasks(count, count)
        for start in range(0, count, BATCH):
            port.add(more[start : start + BATCH])
        people = LabelStudioPeople(server, port)
        there = port.tasks(task.task_key for task in tasks[::10])
        for copy in there[: 3 * ANSWERS]:  # answered long ago
            people.answer(copy.task_key, "ann", '"cat"', tool_id=copy.tool_id)
        cursor = port.answers("").cursor
        for copy in there[-ANSWERS:]:
            people.answer(copy.task_key, "bob", '"dog"', tool_id=copy.tool_id)
        context = multiprocessing.get_context("spawn")
        told = context.SimpleQueue()
        child = context.Process(target=collect, args=(server.url, server.token, cursor, told))
        child.start()
        took, found, memory = told.get()
        child.join()
        print(  # noqa: T201
            f"collect {ANSWERS} new of {2 * count} tasks: {took:.2f} s, {memory:.0f} MB "
            f"({found} told; the look-back repeats some)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="?", type=int, default=10_000)
    main(parser.parse_args().tasks)
