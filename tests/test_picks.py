"""Picks: what the choosing arms take, and what they leave to chance."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from loop_facts import BLANK, a_picture
from retrue.reading import picks
from retrue.reading.frame import Candidate, Drawn, Frame
from retrue.reading.picks import pick_arms
from retrue.records import Sample
from retrue.steps.ingest import ingest_windows
from retrue.steps.select import select_samples
from world import World, a_config


def candidate(name: str, x: float, y: float = 0.0) -> Candidate:
    sample = replace(BLANK, sample_id=name, fields=json.dumps({"x": x, "y": y}))
    return Candidate(sample=sample, predicted=None, probabilities=None)


def told(name: str, x: float, y: float = 0.0, *, sure: float = 0.9, said: str = "left"):
    chances = np.array([sure, 1 - sure])
    sample = candidate(name, x, y).sample
    return Candidate(sample=sample, predicted=f'"{said}"', probabilities=chances)


def pick(world, pool, *, audit=(), asked=frozenset(), **sizes):
    drawn = Drawn(candidates={c.sample.sample_id: c for c in (*pool, *audit)}, media={})
    frame = Frame(
        rows=100,
        audit=tuple(c.sample.sample_id for c in audit),
        random=(),
        pool=tuple(c.sample.sample_id for c in pool),
        unsure=(),
    )
    whole = {"audit": 0, "random": 0, "quota": 0, "active": 0, "novel": 0, **sizes}
    return pick_arms(world.workspace(), frame, drawn, round_id="r", sizes=whole, asked=set(asked))


def names(picked, arm: str) -> list[str]:
    return [one.sample_id for one in picked if one.arm == arm]


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def test_active_takes_where_the_model_hesitates(world):
    pool = [told(f"s{n}", n, -n, sure=0.5 + n / 100) for n in range(40)]

    picked = pick(world, pool, active=4)

    assert len(names(picked, "active")) == 4
    assert "s0" in names(picked, "active")
    assert "margin 0.00" in picked[0].reason


def test_rows_no_model_spoke_of_are_never_active_and_chance_fills_up(world):
    pool = [candidate(f"s{n}", n, -n) for n in range(10)]

    picked = pick(world, pool, active=4)

    assert names(picked, "active") == []
    assert len(names(picked, "random")) == 4
    assert {one.drawn for one in picked} == {0}


def test_models_with_more_and_fewer_classes_are_compared_by_margin(world):
    two = told("two", 0, 1, sure=0.5)
    three = replace(told("three", 1, 0), probabilities=np.array([0.2, 0.2, 0.6]))
    one = replace(told("one", 2, 0), probabilities=np.array([1.0]))

    picked = pick(world, [three, one, two], active=2)

    assert names(picked, "active") == ["two", "three"]


def test_novel_takes_what_is_unlike_anything_taken(world):
    audit = [candidate(f"a{n}", n / 10) for n in range(5)]
    pool = [candidate("near", 0.21), candidate("far", 9, 9), candidate("nearer", 0.3)]

    picked = pick(world, pool, audit=audit, novel=1)

    assert names(picked, "novel") == ["far"]


def test_two_columns_full_of_labels_still_leave_rows_to_pick(world):
    rng = np.random.default_rng(0)
    audit = [candidate(f"a{n}", *rng.normal(size=2)) for n in range(60)]
    pool = [told(f"s{n}", *rng.normal(size=2), sure=0.6) for n in range(100)]

    picked = pick(world, pool, audit=audit, active=20)

    assert len(names(picked, "active")) == 20


def test_a_copy_of_what_is_taken_is_not_picked(world):
    audit = [candidate("a", 1.0, 2.0), candidate("b", -1.0, 0.0)]
    pool = [told("copy", 1.001, 2.0, sure=0.5), told("other", -1.0, 1.0, sure=0.9)]

    picked = pick(world, pool, audit=audit, active=1)

    assert names(picked, "active") == ["other"]


def test_samples_without_any_field_are_not_taken_for_copies(world):
    bare = replace(BLANK, fields="{}")
    pool = [replace(told(f"s{n}", 0), sample=replace(bare, sample_id=f"s{n}")) for n in range(3)]
    audit = [replace(candidate("a", 0), sample=replace(bare, sample_id="a"))]

    assert len(names(pick(world, pool, audit=audit, active=2), "active")) == 2


def test_a_quota_is_filled_with_samples_taken_for_the_class_and_the_rest_is_active(tmp_path):
    world = World(tmp_path, config=a_config(select={"budget": 30, "quotas": {"right": 3}}))
    pool = [told(f"l{n}", n, -n, sure=0.5) for n in range(10)]
    pool += [told(f"r{n}", n, n, said="right", sure=0.1) for n in range(2)]

    picked = pick(world, pool, quota=3, active=2)

    assert sorted(names(picked, "quota")) == ["r0", "r1"]
    assert len(names(picked, "active")) == 3


def test_only_the_newest_labelled_samples_are_compared_with(world):
    world.arrive("a", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    select_samples(world.workspace(), now=world.sleep(hours=1))
    (item,) = world.records.rounds()
    ids = {sample.sample_id for sample in world.records.samples(item.plan.round_id)}

    known = picks._labelled(world.workspace(), ids, most=25)

    assert [len(samples) for samples in known.values()] == [25]


def test_a_labelled_picture_that_is_gone_does_not_stop_a_round(tmp_path):
    data = {"kind": "image", "incoming": {"uri": "memory://bucket/in"}}
    world = World(tmp_path, config=a_config(data=data))
    noise = np.random.default_rng(0).integers(0, 255, (3, 16, 16))
    pictures = {f"{n}": a_picture(grey) for n, grey in enumerate(noise)}
    pool = [replace(told(name, 0), sample=image(name)) for name in pictures]
    drawn = Drawn(
        candidates={one.sample.sample_id: one for one in pool},
        media=pictures,
    )
    gone = replace(image("gone"), media_uri="memory://bucket/in/gone.png")

    read = list(picks._media(world.workspace(), drawn, [pool[0].sample], {"r": [gone]}))

    assert read == [pictures["0"], b""]


def image(name: str) -> Sample:
    return replace(BLANK, sample_id=name, media_uri=f"memory://bucket/{name}", media_sha256=name)
