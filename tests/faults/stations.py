"""The loop's stations: a photograph of the world just before each step has much to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faults.worlds import Act, closed, lived, opened
from retrue.cycle import close_rounds, open_rounds
from retrue.steps.collect import collect_answers
from retrue.steps.drift import check_windows
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.train import train_model
from retrue.steps.validate import judge_answers
from retrue.steps.version import build_version
from retrue.workspace import Workspace
from world import EXPERTS, World


def ingest(workspace: Workspace, now: object) -> object:
    return ingest_windows(workspace, now=now)


def drift(workspace: Workspace, now: object) -> object:
    return check_windows(workspace, now=now)


def select(workspace: Workspace, now: object) -> object:
    return select_samples(workspace, now=now)


def push(workspace: Workspace, now: object) -> object:
    return push_tasks(workspace, now=now)


def collect(workspace: Workspace, now: object) -> object:
    return collect_answers(workspace, now=now)


def validate(workspace: Workspace, now: object) -> object:
    return judge_answers(workspace, now=now)


def version(workspace: Workspace, now: object) -> object:
    return build_version(workspace, now=now)


def train(workspace: Workspace, now: object) -> object:
    return train_model(workspace, now=now)


def open_tick(workspace: Workspace, now: object) -> object:
    return open_rounds(workspace, now=now)


def close_tick(workspace: Workspace, now: object) -> object:
    return close_rounds(workspace, now=now)


Stations = dict[str, tuple[bytes, Act]]


def stations(folder: Path) -> Stations:
    """One life of the loop; every photograph is taken with all the work of its step ahead."""
    return {name: (picture, act) for name, picture, act in _life(World(folder))}


def _life(world: World) -> Iterator[tuple[str, bytes, Act]]:
    world.arrive("first", 200)
    yield from _opening(world, "first")
    world.people_answer(limit=40)
    closed(world)
    _second_thoughts(world)
    world.people_answer()
    yield from _closing(world, "first")
    world.people_answer()
    yield from _closing(world, "second")
    world.arrive("calm", 200, stream="log")
    lived(world, 1)
    world.arrive("moved", 200, shift=3.0, stream="log")
    yield from _opening(world, "probe")
    world.people_answer(EXPERTS)
    closed(world)
    yield from _opening(world, "aimed")
    world.people_answer(EXPERTS)
    yield from _closing(world, "gate")


def _opening(world: World, name: str) -> Iterator[tuple[str, bytes, Act]]:
    world.sleep(hours=12)
    yield f"open/{name}", world.photograph(), open_tick
    for act in (ingest, drift, select, push):
        yield f"{act.__name__}/{name}", world.photograph(), act
        act(world.workspace(), world.now)
    opened(world, hours=1)


def _closing(world: World, name: str) -> Iterator[tuple[str, bytes, Act]]:
    world.sleep(hours=12)
    yield f"close/{name}", world.photograph(), close_tick
    for act in (collect, validate, version, train):
        yield f"{act.__name__}/{name}", world.photograph(), act
        act(world.workspace(), world.now)
    opened(world, hours=1)


def _second_thoughts(world: World) -> None:
    """One answer is changed and another taken back, after both were collected."""
    saved = sorted(world.queue._state.current.values(), key=lambda one: int(one.answer.answer_id))
    first, second = (one.answer for one in saved[:2])
    other = '"left"' if first.value == '"right"' else '"right"'
    world.queue.change(first.answer_id, other, now=world.now)
    world.queue.delete(second.answer_id, now=world.now)
