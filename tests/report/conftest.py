"""A workspace in memory that has lived through a drift, and one that has only begun."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import pytest

from report_world import DAY, DIGITS, HOUR, NOW, START, World, accuracy
from retrue.core.profile import to_json
from retrue.ports import Lease
from retrue.records import Arm, Json, Window, canonical_json


@pytest.fixture
def begun() -> World:
    """Only a bootstrap round is planned."""
    world = World()
    windows = [world.window(0, START)]
    why = "there is no model yet: a first batch, drawn by chance"
    world.round("bootstrap", "first", why, START + HOUR, {"audit": 20, "random": 20}, windows)
    return world


@pytest.fixture
def lived() -> World:
    """Two versions, nine checks, a shift and its probe, a gate, a new champion, a round running."""
    world = World()
    lease = Lease(name="x", holder="t", token=1, expires_at=NOW)
    first = _bootstrap(world, lease)
    windows = _checks(world)
    _shift(world, windows, first, lease)
    at = NOW - 6 * DAY
    later = [world.window(10, at)]
    after = world.round(
        "inference",
        "weekly",
        "a weekly look",
        at,
        {"audit": 60, "random": 8, "active": 24, "novel": 12},
        later,
        error=0.06,
    )
    world.open(after, at + HOUR)
    world.answer(after, at + DAY)
    world.judge(after, at + 2 * DAY)
    world.close(after, at + 2 * DAY)
    last = world.round(
        "inference",
        "today",
        "a weekly look",
        NOW - HOUR,
        {"audit": 24, "random": 6, "active": 18, "novel": 6},
        later,
        error=0.06,
    )
    world.open(last, NOW - HOUR)
    world.answer(last, NOW - HOUR, share=0.4)
    return world


def _bootstrap(world: World, lease: Lease) -> str:
    windows = [world.window(0, START)]
    why = "there is no model yet: a first batch, drawn by chance"
    first = world.round(
        "bootstrap", "first", why, START + HOUR, {"audit": 80, "random": 80}, windows
    )
    world.open(first, START + 2 * HOUR)
    world.answer(first, START + DAY)
    wrong = [one.sample_id for one in world.records.samples(first)[3:9]]
    world.judge(first, START + 2 * DAY, wrong=wrong)
    world.close(first, START + 2 * DAY)
    world.version(1, START + 3 * DAY, lease)
    world.gate(
        1,
        START + 3 * DAY,
        {
            "champion": None,
            "outcome": "first",
            "why": "the first model",
            "items": 80,
            "windows": ["w00"],
            "result": None,
            "accuracy": accuracy(0.84, 0.745, 0.909, 80),
        },
    )
    world.promote(1, START + 3 * DAY, "the first model")
    profile = world.profile(shifted=False)
    world.models.files["1", "reference.json"] = json.dumps(
        {"model_version": "1", "windows": ["w00"], "outputs": to_json(profile), "features": {}}
    )
    return first


def _checks(world: World) -> list[Window]:
    windows = []
    for number in range(1, 10):
        at = START + 7 * number * DAY
        shifted = number in (7, 8)
        window = world.window(number, at, shifted=shifted)
        change = 0.31 - (number - 7) * 0.04 if shifted else 0.03 + 0.01 * (number % 3)
        if number == 7:
            data: dict[str, Json] = {
                "incident": "i1",
                "champion": "1",
                "window": "w07",
                "reasons": ["p_max: KS distance 0.31 is over its floor 0.10 (p = 2e-09)"],
            }
            world.decide("incident-opened", "i1", at, data)
        world.check(window, at, change, incident="i1" if shifted else None)
        windows.append(window)
    return windows


def _shift(world: World, windows: Sequence[Window], first: str, lease: Lease) -> None:
    at = windows[6].recorded_at + HOUR
    why = "a random look at what raised the alarm: p_max"
    probe = world.round("probe", "i1/1", why, at, {"audit": 40}, [windows[6]], error=0.4)
    world.open(probe, at)
    world.answer(probe, at + DAY)
    world.judge(probe, at + 2 * DAY)
    world.close(probe, at + 2 * DAY)
    world.decide(
        "incident-decided",
        "i1",
        at + 2 * DAY,
        {
            "incident": "i1",
            "outcome": "loss",
            "why": "accuracy fell by 24 points (9 to 38) on 40 labels",
            "loss": 0.24,
            "low": 0.09,
            "high": 0.38,
            "n": 40,
            "none_count": 0,
        },
    )
    arms: dict[Arm, int] = {"audit": 60, "random": 30, "active": 70, "novel": 20}
    aimed = world.round("inference", "i1", why, at + 3 * DAY, arms, [windows[7]], error=0.3)
    world.open(aimed, at + 3 * DAY)
    world.answer(aimed, at + 4 * DAY)
    world.judge(aimed, at + 5 * DAY)
    world.judge(first, at + 5 * DAY)
    world.close(aimed, at + 5 * DAY)
    world.version(2, at + 5 * DAY, lease)
    _second_gate(world, aimed, at + 5 * DAY)


def _second_gate(world: World, aimed: str, at: datetime) -> None:
    result: Json = {
        "delta": 0.083,
        "low": 0.031,
        "high": 0.136,
        "p_value": 0.0006,
        "alpha": 0.0304,
        "n": 180,
        "n_groups": 180,
        "discordant": 23,
        "minimum_detectable": 0.071,
        "labels_needed": 150,
        "decision": "promote",
        "reason": "better by 8.3 points (3.1 to 13.6) on 180 items",
    }
    world.gate(
        2,
        at,
        {
            "champion": "1",
            "outcome": "promoted",
            "why": "better by 8.3 points (3.1 to 13.6) on 180 items",
            "items": 180,
            "windows": ["w00", "w07", "w08"],
            "result": result,
            "accuracy": accuracy(0.923, 0.874, 0.957, 180),
        },
    )
    audited = [task for task in world.records.tasks(aimed) if task.arm == "audit"][:23]
    changes = []
    for i, task in enumerate(audited):
        truth = int(DIGITS.target[int(task.sample_id[1:])])
        good, bad = canonical_json(str(truth)), canonical_json(str((truth + 4) % 10))
        before, after = (good, bad) if i % 6 == 0 else (bad, good)
        changes.append(
            {"sample_id": task.sample_id, "label": good, "before": before, "after": after}
        )
    world.models.files["2", "changes.json"] = json.dumps(changes)
    curve = [[20, 0.55], [40, 0.68], [80, 0.79], [120, 0.85], [160, 0.88], [200, 0.91]]
    world.models.files["2", "learning_curve.json"] = json.dumps(curve)
    world.promote(2, at, "better by 8.3 points (3.1 to 13.6) on 180 items")
