"""Pictures that are none, and objects that are gone: told by name, and never a stop of the loop."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from loop_facts import a_picture
from retrue.adapters.model_files import ModelSpec, model_inputs
from retrue.cli import words
from retrue.core.openings import Opening
from retrue.ports import Scores
from retrue.reading.windows import read_window
from retrue.records import ModelVersion, Window
from retrue.steps.drift import DriftReport, check_windows
from retrue.steps.ingest import IngestReport, ingest_windows
from retrue.steps.select import SelectReport, request_round
from world import BUCKET, World, a_config

SPEC = ModelSpec(
    trainer="sklearn",
    data_kind="image",
    label_kind="choice",
    classes=('"left"', '"right"'),
    features={},
    text=None,
    side=4,
    constant={},
)
CHAMPION = ModelVersion(
    name="points",
    version="1",
    run_id="",
    dataset_version=None,
    dataset_digest="",
    aliases=("champion",),
    created_at=World.now,
)


class Watcher:
    """A registry whose champion decodes pictures as ours does, and says how bright they are."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def champion(self) -> ModelVersion:
        return CHAMPION

    def score(self, model, samples, media) -> Scores:  # noqa: ARG002
        inputs = model_inputs(SPEC, samples, [media(one) for one in samples])
        bright = np.asarray(inputs).mean(axis=1)
        return Scores(
            classes=SPEC.classes,
            probabilities=np.stack([bright, 1 - bright]).T,
            predicted=tuple(SPEC.classes[int(value < 0.5)] for value in bright),
        )

    def evidence(self, model, name: str) -> str | None:  # noqa: ARG002
        return self.kept.get(name)

    def save_evidence(self, model, name: str, text: str) -> None:  # noqa: ARG002
        self.kept[name] = text


def a_world(folder, *, key: str | None = None, **more: object) -> World:
    data = {"kind": "image", "incoming": {"uri": f"{BUCKET}/in", "key": key}}
    world = World(folder, config=a_config(data=data, **more))
    world.models = Watcher()
    return world


@pytest.fixture(params=[None, "name"])
def world(request, tmp_path) -> World:
    """Samples are objects, known by their bytes or by their names."""
    return a_world(tmp_path, key=request.param)


def take(world: World, name: str, data: bytes) -> str:
    uri = f"{BUCKET}/in/{name}"
    world.store.put(uri, data, modified_at=world.now)
    return uri


def pictures(world: World, name: str, count: int) -> list[str]:
    rng = np.random.default_rng(len(name) + count)
    grey = rng.integers(0, 255, (count, 8, 8))
    return [take(world, f"{name}-{n:02}.png", a_picture(one)) for n, one in enumerate(grey)]


def ingest(world: World) -> IngestReport:
    (report,) = ingest_windows(world.workspace(), now=world.sleep(hours=1))
    return report


def drift(world: World, **more: bool) -> DriftReport:
    return check_windows(world.workspace(), now=world.sleep(hours=1), **more)


def ask(world: World, *windows: Window, budget: int = 12) -> SelectReport:
    cause = "/".join(window.window_id for window in windows)
    opening = Opening(kind="adhoc", cause=cause, why="a look", windows=windows, budget=budget)
    return request_round(world.workspace(), opening, now=world.sleep(hours=1))


def audited(world: World) -> World:
    """A reference: one window of good pictures, of which some were audited and judged."""
    pictures(world, "first", 20)
    window = ingest(world).window
    planned = ask(world, window).planned[0].plan
    for kind in ("round-opened", "round-closed"):
        data = {"round": planned.round_id}
        world.workspace().decide(kind, planned.round_id, now=world.sleep(hours=1), data=data)
    return world


def add_broken(world: World) -> set[str]:
    whole = a_picture(np.arange(4096).reshape(64, 64) % 251)
    return {
        take(world, "broken.png", b"\x07random\x00\xff"),
        take(world, "empty.png", b""),
        take(world, "readme.txt", b"These are pictures."),
        take(world, "cut.png", whole[: len(whole) // 2]),
    }


def test_ingest_sets_aside_what_is_no_picture_where_it_reads_the_bytes(tmp_path):
    world = a_world(tmp_path)
    good, broken = pictures(world, "a", 10), add_broken(world)

    report = ingest(world)

    window = report.window
    assert window is not None
    assert (window.rows, window.eligible, window.quarantined) == (10, 10, 4)
    assert {ref.uri for ref in window.objects} == {*good}
    assert {item.uri for item in report.quarantined} == broken
    assert world.state.quarantined(window.window_id) == list(report.quarantined)
    reasons = {item.uri.rpartition("/")[2]: item.reason for item in report.quarantined}
    assert reasons["broken.png"] == "expected a picture, got 9 bytes of something else"
    assert reasons["empty.png"] == "expected a picture, got an empty object"
    assert "0x" not in str(reasons)
    assert ingest(world).window is None


def test_a_second_look_at_the_same_objects_finds_the_same_whatever_was_hashed_before(tmp_path):
    world = a_world(tmp_path)
    pictures(world, "a", 3)
    add_broken(world)

    (dry,) = ingest_windows(world.workspace(), now=world.now, dry_run=True)
    (wet,) = ingest_windows(world.workspace(), now=world.now)

    assert (dry.window, dry.quarantined) == (wet.window, wet.quarantined)


def test_a_teams_own_command_may_read_pictures_that_we_cannot(tmp_path):
    world = a_world(tmp_path, train={"command": "true", "score": "true"})
    world.models.champion = lambda: None
    take(world, "scan.dcm", b"\x00" * 128 + b"DICM")

    window = ingest(world).window

    assert (window.rows, window.quarantined) == (1, 0)
    assert ask(world, window).planned[0].plan.arms


def test_a_round_is_full_and_holds_no_broken_picture(world):
    pictures(world, "a", 30)
    broken = add_broken(world)
    window = ingest(world).window

    report = ask(world, window, budget=30)

    (planned,) = report.planned
    asked = {sample.uri for sample in world.records.samples(planned.plan.round_id)}
    assert len(asked) == 30
    assert not asked & broken
    assert planned.plan.frame_rows == 30
    if world.config.data.incoming.key is not None:  # else ingest had set them aside
        assert {item.uri for item in planned.skipped} == broken
        told = "\n".join(words.select(report, dry_run=False))
        assert "4 objects could not be read and were left out" in told
        assert "broken.png: expected a picture, got 9 bytes of something else" in told


def test_drift_leaves_out_broken_pictures_by_name_and_goes_on(world):
    audited(world)
    pictures(world, "night", 20)
    broken = add_broken(world)
    ingest(world)

    report = drift(world)

    (check,) = report.checks
    assert any(test.statistic != "none" for test in check.tests)
    if world.config.data.incoming.key is not None:
        assert {item.uri for item in report.skipped} == broken
        assert "left out, for it cannot be read: 4" in check.note
        assert "readme.txt" in "\n".join(words.drift(report))
    assert drift(world).checks == ()


def test_an_object_deleted_after_its_window_was_recorded_stops_nothing(world):
    audited(world)
    uris = pictures(world, "night", 20)
    window = ingest(world).window
    for uri in uris[:3]:
        world.store.delete(uri)

    report, asked = drift(world), ask(world, window, budget=17)

    assert [check.window_id for check in report.checks] == [window.window_id]
    assert {item.uri for item in report.skipped} == {*uris[:3]}
    told = "\n".join(words.drift(report))
    assert "3 objects could not be read and were left out" in told
    assert "Was it deleted?" in told
    assert "put them back" in told
    (planned,) = asked.planned
    assert not {*uris[:3]} & {one.uri for one in world.records.samples(planned.plan.round_id)}


def test_a_window_of_which_nothing_is_left_is_named_and_checked_when_it_is_back(world):
    audited(world)
    uris = pictures(world, "night", 3)
    window = ingest(world).window
    kept = {uri: world.store._objects.pop(uri) for uri in uris}

    report, asked = drift(world), ask(world, window)
    world.store._objects |= kept
    again = drift(world)

    assert report.checks == ()
    assert f"not checked, for nothing of it can be read: window {window.window_id}" in report.why
    assert {item.uri for item in report.skipped} == {*uris}
    assert asked.planned == ()
    assert "3 could not be read" in asked.waiting[0].why
    assert [check.window_id for check in again.checks] == [window.window_id]


def test_a_table_that_is_gone_is_passed_over_with_its_rows(tmp_path):
    world = World(tmp_path)
    world.arrive("a", 40)
    world.sleep(minutes=1)
    world.arrive("b", 40)
    window = ingest_windows(world.workspace(), now=world.sleep(hours=1))[0].window
    gone = window.objects[0].uri
    world.store.delete(gone)

    report = ask(world, window, budget=10)

    (planned,) = report.planned
    assert planned.plan.frame_rows == 40
    assert [item.uri for item in planned.skipped] == [gone]


def test_which_of_many_objects_is_gone_is_found_where_nothing_was_hashed_before(tmp_path):
    world = a_world(tmp_path)
    uris = pictures(world, "a", 9)
    window = ingest(world).window
    world.store.delete(uris[4])
    lost: list = []

    batches = list(read_window(window, world.config, world.store, lost=lost))

    assert [item.uri for item in lost] == [uris[4]]
    assert sum(len(batch) for batch in batches) == 8


def test_a_probes_next_block_goes_on_behind_the_first_though_pictures_are_broken(world):
    pictures(world, "a", 30)
    add_broken(world)
    window = ingest(world).window
    seen: list[str] = []
    for block in (1, 2):
        opening = Opening(
            kind="probe", cause=f"inc/{block}", why="a look", windows=(window,), budget=10
        )
        made = request_round(world.workspace(), opening, now=world.now + timedelta(hours=block))
        samples = world.records.samples(made.planned[0].plan.round_id)
        seen += [one.sample_id for one in samples]

    assert len(seen) == len(set(seen)) == 20
