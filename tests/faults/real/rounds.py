"""One push and collect on the real services while its plan goes wrong, and what is left of it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faults.real.bench import Bench, Outcome, Workers, proxied
from faults.real.crowd import Crowd, habits
from faults.real.hints import hinter
from faults.real.places import Place
from faults.real.plans import Plan
from retrue.adapters.label_studio_api import KEY
from retrue.adapters.records_files import FileRoundRecord
from retrue.core.answers import live_answers
from services.packages import free_ports

__all__ = ["TICK", "compare", "people_come", "play"]

# What a tick does while people are at work. Judging is left to the end: how sure a verdict is
# depends on the answers there were when it was first written.
TICK = ("collect", "push")
LAST_TICK = ("sweep", "push", "validate", "version")


def play(bench: Bench, plan: Plan, *, suite: str) -> Outcome:
    """One run.

    Args:
        bench: Where.
        plan: What goes wrong.
        suite: "rounds": ours. "naive": the naive push and collect.
    """
    began = time.monotonic()
    outcome = Outcome(suite, plan.seed, plan.world, [asdict(fault) for fault in plan.faults])
    name = f"{suite[0]}{plan.seed}-{os.getpid()}"
    with (
        tempfile.TemporaryDirectory(dir=bench.folder) as folder,
        proxied(bench, plan, outcome, Path(folder), name) as (place, workers),
    ):
        crowd = Crowd(bench.stack, name, [], plan.seed)
        try:
            if any(fault.service == "s3" for fault in plan.faults):
                workers.until_done("ingest", "select")
            else:
                shutil.copytree(bench.planned(plan.world), place.root / "data")
            people_come(place, crowd)
            if suite == "naive":
                _naive(plan, workers, crowd)
            else:
                _ours(plan, place, workers, crowd)
            compare(place, crowd, outcome)
        finally:
            crowd.stop()
            crowd.clean()
            crowd.close()
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _ours(plan: Plan, place: Place, workers: Workers, crowd: Crowd) -> None:
    hints = [fault for fault in plan.faults if fault.what == "hints"]
    if plan.people_hurry and not hints:
        working = crowd.start()
        done = workers.until_done("push") and workers.until_done(*TICK)
        if not done:
            crowd.stop()
        working.join()
        if crowd.error is not None:
            raise crowd.error
    elif done := workers.until_done("push"):
        crowd.work(0.5)
        done = workers.until_done(*TICK)
        if hints:
            _listen(plan, workers, crowd)
            workers.outcome.fired.append(hints[0].name)
        else:
            crowd.work()
    workers.rest()
    if done and workers.until_done(*LAST_TICK):
        _read_version(place, workers.outcome)


def _read_version(place: Place, outcome: Outcome) -> None:
    """Without one the digest stays empty, which is no other run's."""
    if (place.root / "digest").exists():
        outcome.digest = (place.root / "digest").read_text(encoding="ascii")
        outcome.facts = json.loads((place.root / "rows.json").read_text(encoding="utf-8"))


def _listen(plan: Plan, workers: Workers, crowd: Crowd) -> None:
    """People answer while somebody collects at every webhook."""
    (port,), secret = free_ports(1), secrets.token_hex(16)
    crowd.told = hinter(port, secret, plan.seed)
    with workers.listening(port, secret):
        crowd.work()


def _naive(plan: Plan, workers: Workers, crowd: Crowd) -> None:
    if workers.until_done("naive push"):
        crowd.work()
        cursor_first = plan.seed % 2 == 0
        workers.until_done("naive collect, cursor first" if cursor_first else "naive collect")


def people_come(place: Place, crowd: Crowd) -> None:
    records = FileRoundRecord(place.root / "data")
    (only,) = records.rounds()
    round_id = only.plan.round_id
    crowd.todo[:] = habits(records.tasks(round_id), records.samples(round_id))


def compare(place: Place, crowd: Crowd, outcome: Outcome) -> None:
    """What is in the tool and on file, against what was planned and what people did."""
    records = FileRoundRecord(place.root / "data")
    wanted = {
        task.task_key
        for item in records.rounds()
        for task in records.tasks(item.plan.round_id)
        if task.overlap > 0
    }
    tasks = crowd.tasks("all")
    copies = Counter(_key(task) for task in tasks)
    empty = sum(not task["annotations"] for task in tasks if copies[_key(task)] > 1)
    outcome.tasks = len(wanted)
    outcome.lost_tasks = len(wanted - copies.keys())
    spare = sum(number - 1 for number in copies.values())
    outcome.copies_left = min(spare, empty)
    outcome.answered_copies = spare - outcome.copies_left
    names = [*(item.plan.round_id for item in records.rounds()), "unknown"]
    on_file = [answer for name in names for answer in records.answers(name)]
    states = Counter((answer.answer_id, answer.revision) for answer in on_file)
    live = [a for name in names for a in live_answers(records.answers(name))]
    said = Counter((a.task_key, a.annotator.partition("@")[0], a.value) for a in live)
    meant = Counter((h.task_key, h.person, f'"{h.label}"') for h, _ in crowd.given)
    outcome.answers = len(meant)
    outcome.lost_answers = sum((meant - said).values())
    again = sum(times - 1 for times in states.values())
    outcome.doubled_answers = sum((said - meant).values()) + again
    outcome.wrong = [
        *(f"lost: {one}" for one in (meant - said)),
        *(f"more: {one}" for one in (said - meant)),
        *(f"twice: {one}" for one, times in states.items() if times > 1),
    ]
    outcome.wrong += [
        f"copy: {_key(task)} made {task['created_at']}, {len(task['annotations'])} answers"
        for task in tasks
        if copies[_key(task)] > 1
    ]
    keys = {key for key, *_ in (meant - said) + (said - meant)}
    outcome.wrong += [f"in the tool: {task}" for task in tasks if _key(task) in keys]
    outcome.wrong += [f"on file: {answer}" for answer in on_file if answer.task_key in keys]


def _key(task: Mapping[str, Any]) -> str:
    return str(task["data"].get(KEY))
