"""What is left of a world when the clocks are taken out, and the loop's stations to start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from faults.cuts import Cuts, Killed, cut
from retrue.core.incident import read_incidents
from retrue.cycle import close_rounds, open_rounds
from retrue.errors import ServiceUnavailable
from retrue.reading.ballots import last_verdicts
from retrue.records import Decision
from retrue.workspace import LEASE_TTL, Workspace
from world import World

Facts = dict[str, object]
LATER = LEASE_TTL + timedelta(hours=1)  # a killed process's leases have run out


class Doubled(AssertionError):
    """Something is there twice."""


def facts(world: World) -> Facts:
    """What must not depend on where a run was cut: everything but clocks and tool ids.

    Raises:
        Doubled: A task has two copies, or one state of an answer is on file twice.
    """
    once("task", (task.task_key for task in world.queue._state.tasks.values()))
    rounds = world.records.rounds()
    answers = {
        item.plan.round_id: [
            (a.answer_id, a.revision) for a in world.records.answers(item.plan.round_id)
        ]
        for item in rounds
    }
    answers["unknown"] = [(a.answer_id, a.revision) for a in world.records.answers("unknown")]
    for name, states in answers.items():
        once(f"answer in {name}", states)
    champion = world.models.champion()
    incidents = read_incidents(world.records.decisions(), rounds)
    return {
        "windows": sorted(w.window_id for w in world.state.windows()),
        "rounds": {r.plan.round_id: (r.plan.kind, r.state, dict(r.plan.arms)) for r in rounds},
        "tasks": sorted(task.task_key for task in world.queue._state.tasks.values()),
        "in flight": sorted(world.state.samples_in_flight()),
        "answers": {name: sorted(states) for name, states in answers.items()},
        "verdicts": {
            name: (v.label, v.status, v.n_answers, v.method)
            for name, v in last_verdicts(world.workspace()).items()
        },
        "decisions": sorted((d.kind, name_of(d)) for d in world.records.decisions()),
        "incidents": [(i.incident_id, i.windows, i.state, i.outcome) for i in incidents],
        "versions": [m.content_digest for m in world.repo.versions()],
        "models": [(m.version, m.aliases) for m in world.models.versions()],
        "champion": champion.version if champion else None,
    }


def name_of(decision: Decision) -> str:
    """A gate is named by the version's whole digest, which holds clocks; the rest by their id."""
    if decision.kind == "gate":
        return f"{decision.data['dataset_version']} {decision.data['outcome']}"
    return decision.decision_id


def once(what: str, names: object) -> None:
    doubled = [name for name, times in Counter(names).items() if times > 1]
    if doubled:
        raise Doubled(f"{what}: {doubled}")


Act = Callable[[Workspace, datetime], object]


def run(world: World, act: Act, cuts: Cuts | None = None, *, holder: str = "first") -> None:
    """One run, perhaps cut."""
    faults = cuts or Cuts()
    act(world.workspace(lambda port: cut(port, faults), holder=holder), world.now)


def calls_of(picture: bytes, act: Act, folder: Path) -> tuple[int, Facts]:
    """How many calls an undisturbed run makes, and what it leaves."""
    world, cuts = World.develop(picture, folder), Cuts()
    run(world, act, cuts)
    return len(cuts.calls), facts(world)


def cut_and_rerun(picture: bytes, act: Act, cuts: Cuts, folder: Path) -> World:
    """The run is cut, and done again: by another process after a kill, by the same after a cut."""
    world = World.develop(picture, folder)
    try:
        run(world, act, cuts)
    except Killed:
        world.now += LATER
        run(world, act, holder="second")
    except ServiceUnavailable:
        run(world, act)
    return world


def opened(world: World, **time: float) -> None:
    open_rounds(world.workspace(), now=world.sleep(**(time or {"hours": 12})))


def closed(world: World) -> None:
    close_rounds(world.workspace(), now=world.sleep(hours=12))


def lived(world: World, days: int) -> None:
    """Days on which everybody answers what is open."""
    for _ in range(days):
        opened(world)
        world.people_answer()
        closed(world)
