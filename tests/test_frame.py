"""Frames: who may be drawn, once each, whatever the order of objects."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrue.ports import Scores
from retrue.reading.frame import Wanted, draw_frame, fetch, with_outputs
from retrue.records import ModelVersion, Window
from retrue.steps.ingest import ingest_windows
from world import BUCKET, World, a_config

CONSENT = {
    "kind": "table",
    "incoming": {"uri": f"{BUCKET}/in", "key": "id"},
    "inference": {
        "uri": f"{BUCKET}/log",
        "key": "id",
        "probabilities": "p_*",
        "model_version": "model",
    },
    "fields": {"x": {"type": "number"}},
    "consent": {"column": "ok"},
}
MODEL = ModelVersion(
    name="points",
    version="7",
    run_id="",
    dataset_version=None,
    dataset_digest="",
    aliases=(),
    created_at=World.now,
)


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path, config=a_config(data=CONSENT))


def put(world: World, name: str, rows: list[dict[str, object]], stream: str = "in") -> None:
    data = io.BytesIO()
    pd.DataFrame(rows).to_parquet(data, index=False)
    world.store.put(f"{BUCKET}/{stream}/{name}.parquet", data.getvalue(), modified_at=world.now)


def rows(*ids: str, ok: bool = True, **more: object) -> list[dict[str, object]]:
    return [{"id": name, "x": float(place), "ok": ok, **more} for place, name in enumerate(ids)]


def logged(*ids: str, model: str | None = "7", sure: float = 0.9) -> list[dict[str, object]]:
    return rows(*ids, p_left=sure, p_right=1 - sure, model=model)


def ingest(world: World) -> list[Window]:
    reports = ingest_windows(world.workspace(), now=world.sleep(hours=1))
    return [report.window for report in reports if report.window]


def wanted(audit: int = 0, *, random: int = 0, pool: int = 0, shortlist: int = 0) -> Wanted:
    return Wanted(audit=audit, audit_key="r", random=random, pool=pool, shortlist=shortlist)


def draw(world: World, windows: list[Window], want: Wanted, *, excluded=frozenset(), model=None):
    return draw_frame(
        world.workspace(), windows, want, round_id="r", excluded=excluded, model=model
    )


def test_rows_without_consent_are_not_in_the_frame(world):
    put(world, "a", [*rows("a", "b"), *rows("c", ok=False)])

    frame = draw(world, ingest(world), wanted(9, random=9))

    assert frame.rows == 2
    assert set(frame.audit) == {"a", "b"}


def test_a_sample_in_two_windows_is_in_the_frame_once_and_stands_for_both_rows(world):
    put(world, "one", rows("a", "b"))
    windows = ingest(world)
    put(world, "two", [*rows("b"), *rows("b", "c")])
    windows += ingest(world)

    frame = draw(world, windows, wanted(9))
    found = fetch(world.workspace(), windows, frame.audit)

    assert (frame.rows, sorted(frame.audit)) == (3, ["a", "b", "c"])
    times = {name: one.sample.multiplicity for name, one in found.candidates.items()}
    assert times == {"a": 1, "b": 3, "c": 1}


def test_consent_given_later_lets_a_sample_in_with_its_consenting_row_only(world):
    put(world, "one", rows("a", ok=False))
    windows = ingest(world)
    put(world, "two", rows("z", "a"))
    windows += ingest(world)

    frame = draw(world, windows, wanted(9))
    found = fetch(world.workspace(), windows, ["a"]).candidates["a"].sample

    assert frame.rows == 2
    assert (found.window_id, found.multiplicity, found.fields) == (
        windows[1].window_id,
        1,
        '{"x":1.0}',
    )


def test_the_audit_takes_labelled_rows_too_and_the_other_arms_leave_them_out(world):
    ids = [f"s{n}" for n in range(20)]
    put(world, "a", rows(*ids))

    frame = draw(world, ingest(world), wanted(20, random=20), excluded=set(ids[:15]))
    other = draw(world, world.state.windows(), wanted(4, random=20), excluded=set(ids[:15]))

    assert set(frame.audit) == set(ids)
    assert frame.random == ()
    assert set(other.random) == set(ids[15:]) - set(other.audit)


def test_the_draw_does_not_depend_on_the_order_of_objects_or_windows(world):
    for name in "abc":
        put(world, name, rows(*(f"{name}{n}" for n in range(30))))
    (window,) = ingest(world)
    put(world, "d", rows(*(f"d{n}" for n in range(30))))
    (second,) = ingest(world)
    turned = replace(window, objects=window.objects[::-1])
    want = wanted(10, random=10, pool=10)

    assert draw(world, [window, second], want) == draw(world, [second, turned], want)


def test_a_longer_draw_of_the_same_name_starts_with_the_shorter_one(world):
    put(world, "a", rows(*(f"a{n}" for n in range(50))))
    windows = ingest(world)

    assert draw(world, windows, wanted(20)).audit[:8] == draw(world, windows, wanted(8)).audit


def test_a_draw_that_wants_no_unsure_rows_brings_none(world):
    put(world, "a", logged("a", "b", "c"), stream="log")

    assert draw(world, ingest(world), wanted(1, pool=1)).unsure == ()


def test_unsure_rows_are_those_the_log_is_least_sure_of(world):
    table = [*logged("sure"), *logged("torn", sure=0.5), *logged("unsure", sure=0.6)]
    put(world, "a", table, stream="log")

    frame = draw(world, ingest(world), wanted(shortlist=2), model=MODEL)

    assert frame.unsure == ("torn", "unsure")


@pytest.mark.parametrize("author", ["8", None])
def test_what_another_model_or_nobody_knows_who_logged_is_not_the_champions_word(world, author):
    table = [*logged("a", "b", model=author), *logged("c", model=author or "9")]
    put(world, "a", table, stream="log")
    windows = ingest(world)

    frame = draw(world, windows, wanted(shortlist=2), model=MODEL)
    found = fetch(world.workspace(), windows, ["a"], model=MODEL)

    assert frame.unsure == ()
    assert found.candidates["a"].predicted is None


def test_before_there_is_a_champion_any_log_tells_what_is_unsure(world):
    put(world, "a", logged("a", "b", model="8"), stream="log")
    windows = ingest(world)

    assert len(draw(world, windows, wanted(shortlist=2)).unsure) == 2
    assert fetch(world.workspace(), windows, ["a"]).candidates["a"].predicted == '"left"'


class Certain:
    """A registry whose model says right of everything."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, model, samples, media):  # noqa: ARG002
        self.asked += [sample.sample_id for sample in samples]
        return Scores(
            classes=('"left"', '"right"'),
            probabilities=np.tile([0.1, 0.9], (len(samples), 1)),
            predicted=('"right"',) * len(samples),
        )


def test_only_rows_the_champion_did_not_log_are_scored(world):
    put(world, "a", logged("a"), stream="log")
    windows = ingest(world)
    put(world, "b", logged("b", model="8"), stream="log")
    windows += ingest(world)
    place = replace(world.workspace(), models=Certain())
    drawn = fetch(place, windows, ["a", "b"], model=MODEL)

    told = with_outputs(place, drawn, MODEL).candidates

    assert place.models.asked == ["b"]
    assert (told["a"].predicted, told["b"].predicted) == ('"left"', '"right"')
    assert told["b"].probabilities.tolist() == [0.1, 0.9]


def test_without_a_champion_nothing_is_scored(world):
    put(world, "a", rows("a"))
    drawn = fetch(world.workspace(), ingest(world), ["a"])

    assert with_outputs(world.workspace(), drawn, None) is drawn
