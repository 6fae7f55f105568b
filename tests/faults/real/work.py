"""The working process: does some steps once, and says how it ended; it may be killed any time."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from faults.naive import naive_collect, naive_push
from faults.real.places import Place, open_place
from retrue.acts.following import Hints, Pace, follow
from retrue.adapters.hints_webhook import HintsListener
from retrue.errors import LeaseHeld, LeaseLost, RetrueError, TransientError
from retrue.recording import record_progress
from retrue.steps.collect import collect_answers
from retrue.steps.drift import check_windows
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.train import train_model
from retrue.steps.validate import judge_answers
from retrue.steps.version import build_version
from retrue.workspace import Workspace

__all__ = ["AGAIN", "BLOCKED", "BROKEN", "PRELOAD", "Act", "listen", "work"]

AGAIN, BLOCKED, BROKEN = 75, 76, 70  # exit codes: run it again; wait for a lease; a person must act
# What the server of processes loads once, so that a working process costs a fork.
PRELOAD = ["faults.real.work"]

PACE = Pace(quiet=0.2, longest=1.0, tick=3.0)

Act = Callable[[Workspace, datetime], object]


def publish(workspace: Workspace, now: datetime) -> None:
    """A version, its rows and its content digest in files that the harness reads."""
    manifest = build_version(workspace, now=now).manifest
    if manifest is None:
        return
    (workspace.root / "digest").write_text(manifest.content_digest, encoding="ascii")
    rows = {row.sample_id: asdict(row) for row in workspace.repo.rows(manifest.version)}
    (workspace.root / "rows.json").write_text(json.dumps(rows, default=str), encoding="utf-8")


def look(workspace: Workspace, now: datetime) -> None:  # noqa: ARG001 - as every act
    """What a loop left, to a file: everything that must not depend on where it was disturbed."""
    state, champion = workspace.repo.state(), workspace.models.champion()
    rounds = workspace.records.rounds()
    facts = {
        "windows": [window.rows for window in workspace.state.windows()],
        "rounds": [(item.plan.kind, item.state, dict(item.plan.arms)) for item in rounds],
        "decisions": Counter(made.kind for made in workspace.records.decisions()),
        "gates": [made.data["outcome"] for made in workspace.records.decisions("gate")],
        "versions": [made.content_digest for made in workspace.repo.versions()],
        "models": [(model.version, model.aliases) for model in workspace.models.versions()],
        "champion": champion and champion.dataset_version,
        "only here": [*state.unrecorded, state.unpushed],
    }
    (workspace.root.parent / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


ACTS: dict[str, Act] = {
    "drift": lambda workspace, now: check_windows(workspace, now=now),
    "record": lambda workspace, now: record_progress(workspace, "a tick", now=now),
    "train": lambda workspace, now: train_model(workspace, now=now),
    "look": look,
    "ingest": lambda workspace, now: ingest_windows(workspace, now=now),
    "select": lambda workspace, now: select_samples(workspace, now=now),
    "push": lambda workspace, now: push_tasks(workspace, now=now),
    "collect": lambda workspace, now: collect_answers(workspace, now=now),
    "sweep": lambda workspace, now: collect_answers(workspace, now=now, sweep=True),
    "validate": lambda workspace, now: judge_answers(workspace, now=now),
    "version": publish,
    "naive push": naive_push,
    "naive collect": lambda workspace, now: naive_collect(workspace, now, cursor_first=False),
    "naive collect, cursor first": lambda workspace, now: naive_collect(
        workspace, now, cursor_first=True
    ),
}


def work(place: Place, acts: Sequence[str], holder: str, now: datetime, said: Path) -> None:
    """Do some acts in order; ends the process with one of the exit codes.

    Args:
        place: Where.
        acts: Names in `ACTS`.
        holder: Names this process in leases.
        now: The time its records get.
        said: A file for what went wrong.
    """

    def do() -> None:
        workspace = open_place(place, holder=holder)
        for name in acts:
            ACTS[name](workspace, now)

    _end_with(do, said)


def listen(place: Place, port: int, secret: str, holder: str, now: datetime, said: Path) -> None:
    """As `retrue listen`, with less patience: collect at every hint until SIGTERM; as `work`."""
    hints = Hints()
    signal.signal(signal.SIGTERM, lambda *_: hints.end())

    def collect() -> None:
        with suppress(RetrueError):  # the next hint or tick tries again
            collect_answers(open_place(place, holder=holder), now=now)

    def do() -> None:
        with HintsListener(hints.hint, secret=secret, host="127.0.0.1", port=port):
            follow(hints, collect, PACE)

    _end_with(do, said)


def _end_with(do: Callable[[], None], said: Path) -> None:
    try:
        do()
        code = 0
    except (LeaseHeld, LeaseLost) as error:
        code = BLOCKED
        said.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    except TransientError as error:
        code = AGAIN
        said.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    except Exception:  # noqa: BLE001 - whatever it is, the harness must hear of it
        code = BROKEN
        said.write_text(traceback.format_exc(), encoding="utf-8")
    os._exit(code)
