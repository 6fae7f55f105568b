"""From a seed to what goes wrong in a run: nothing else decides it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from faults.real.script import Fault, What

NameT = TypeVar("NameT", bound=str)

__all__ = ["LOOP_WORLDS", "WORLDS", "Plan", "loop_plan_of", "plan_of"]

WORLDS = 20  # different rows; each has one undisturbed run to compare with
LOOP_WORLDS = 3

_TOOL: tuple[tuple[What, int], ...] = (  # and how often, relative to each other
    ("cut before", 3),
    ("cut after", 5),
    ("time-out", 3),
    ("late", 3),
    ("429", 2),
    ("500", 2),
    ("503 burst", 3),
    ("slow body", 2),
    ("cut body", 3),
    ("truncated JSON", 3),
    ("kill before", 3),
    ("kill after", 5),
)
_TOOL_CALLS = (
    *(("import", 4), ("create project", 2), ("delete tasks", 1), ("tasks", 3)),
    *(("answers", 3), ("write", 2), ("any", 4)),
)
_STORE: tuple[tuple[What, int], ...] = (
    ("cut before", 1),
    ("cut body", 2),
    ("500", 1),
    ("503 burst", 3),
    ("slow body", 1),
    ("time-out", 1),
)
_REMOTE: tuple[tuple[What, int], ...] = (
    *_STORE,
    ("cut after", 2),
    ("away", 4),
    ("kill before", 2),
    ("kill after", 2),
)
_LEDGER: tuple[tuple[What, int], ...] = (
    ("cut before", 2),
    ("cut after", 3),
    ("kill before", 1),
    ("kill after", 2),
    ("restart", 3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens in one run."""

    seed: int
    world: int  # 0 .. WORLDS - 1
    faults: tuple[Fault, ...]
    people_hurry: bool  # they answer while tasks are pushed and answers collected


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - no secret
    faults = [_tool_fault(chance) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
    if chance.random() < 0.3:
        faults.append(_store_fault(chance))
    if chance.random() < 0.4:
        faults.append(_ledger_fault(chance))
    if chance.random() < 0.25:
        seconds = round(chance.uniform(0.05, 1.5), 3)
        at = chance.randint(1, 4)
        faults.append(Fault(service="process", what="kill", at=at, seconds=seconds))
    if chance.random() < 0.3:
        faults.append(Fault(service="webhook", what="hints"))
    return Plan(
        seed=seed,
        world=seed % WORLDS,
        faults=tuple(faults),
        people_hurry=chance.random() < 0.5,
    )


def loop_plan_of(seed: int) -> Plan:
    """The plan of a whole loop: faults at every station."""
    chance = random.Random(f"loop {seed}")  # noqa: S311 - no secret
    faults = [_tool_fault(chance) for _ in range(chance.choice((0, 1, 1, 2)))]
    faults += [_remote_fault(chance) for _ in range(chance.choice((1, 1, 2)))]
    if chance.random() < 0.6:
        faults.append(_ledger_fault(chance, longer=3))
    if chance.random() < 0.6:
        at, seconds = chance.randint(1, 4), round(chance.uniform(0.2, 25.0), 2)
        faults.append(Fault(service="process", what="kill", at=at, seconds=seconds))
    if chance.random() < 0.4:
        age = chance.choice((0.0, 120.0))
        faults.append(Fault(service="git", what="index.lock", seconds=age))
    return Plan(
        seed=seed,
        world=seed % LOOP_WORLDS,
        faults=tuple(faults),
        people_hurry=chance.random() < 0.5,
    )


def _remote_fault(chance: random.Random) -> Fault:
    """Of S3 under a loop: what it reads rows from, and where DVC keeps its bytes."""
    what = _drawn(chance, _REMOTE)
    on = chance.choice(("write", "write", "any", "read"))
    times = {"503 burst": chance.choice((1, 3, 8)), "away": 40}.get(what, 1)
    at = chance.randint(1, {"write": 20, "read": 40, "any": 60}[on])
    return Fault(service="s3", what=what, on=on, at=at, times=times)


def _tool_fault(chance: random.Random) -> Fault:
    what = _drawn(chance, _TOOL)
    on = _drawn(chance, _TOOL_CALLS)
    # Beyond the usual few calls of a kind a fault would meet nobody.
    at = chance.randint(1, {"any": 20, "tasks": 4, "write": 6}.get(on, 2))
    times = chance.choice((2, 3, 5)) if what == "503 burst" else 1
    return Fault(service="label studio", what=what, on=on, at=at, times=times)


def _store_fault(chance: random.Random) -> Fault:
    what = _drawn(chance, _STORE)
    times = chance.choice((1, 2, 4)) if what == "503 burst" else 1
    return Fault(service="s3", what=what, at=chance.randint(1, 6), times=times)


def _ledger_fault(chance: random.Random, *, longer: int = 1) -> Fault:
    what = _drawn(chance, _LEDGER)
    on = chance.choice(("commit", "commit", "statement", "connect"))
    at = chance.randint(1, longer * {"commit": 40, "statement": 120, "connect": 40}[on])
    return Fault(service="postgresql", what=what, on=on, at=at)


def _drawn(chance: random.Random, weighted: tuple[tuple[NameT, int], ...]) -> NameT:
    return chance.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]
