"""Version: verdicts become immutable dataset versions, each rebuilt to its digest for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faults.cuts import Cuts, Killed, cut
from retrue.adapters.dataset_files import write_dataset
from retrue.cli.stage import migrate_under
from retrue.records import Manifest
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.validate import judge_answers
from retrue.steps.version import VersionReport, build_version
from world import EXPERTS, World, some_labels


def judged(folder: Path) -> World:
    """A first round, answered by people who never disagree, and closed."""
    world = World(folder)
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    asked(world)
    world.people_answer(EXPERTS)
    come_home(world)
    return world


def asked(world: World) -> None:
    select_samples(world.workspace(), now=world.sleep(hours=1))
    push_tasks(world.workspace(), now=world.sleep(hours=1))


def come_home(world: World) -> None:
    collect_answers(world.workspace(), now=world.sleep(hours=1))
    judge_answers(world.workspace(), now=world.sleep(hours=1))


def build(world: World, **how: bool) -> VersionReport:
    return build_version(world.workspace(), now=world.sleep(hours=1), **how)


def changed_answer(world: World) -> tuple[str, str]:
    """A training answer is turned round; returns its sample and the new label."""
    (home, *_) = world.records.rounds()
    random = {
        t.task_key: t.sample_id
        for t in world.records.tasks(home.plan.round_id)
        if t.arm == "random"
    }
    saved = next(s for s in world.queue._state.current.values() if s.answer.task_key in random)
    other = '"left"' if saved.answer.value == '"right"' else '"right"'
    world.queue.change(saved.answer.answer_id, other, now=world.sleep(hours=1))
    return random[saved.answer.task_key], other


def rebuilt(world: World, version: int, folder: Path) -> Manifest:
    """A past version, from the records alone."""
    return write_dataset(
        world.records,
        folder,
        version=version,
        project=world.config.project,
        migrate=migrate_under(world.labels),
    )


def test_a_closed_round_becomes_a_version_and_is_published(tmp_path: Path):
    world = judged(tmp_path)

    report = build(world)
    again = build(world)

    assert report.manifest is not None
    assert (report.manifest.version, report.manifest.rows) == (1, 60)
    assert (report.manifest.train, report.manifest.evaluation) == (30, 30)
    assert [item.state for item in world.records.rounds()] == ["published"]
    assert (again.manifest, again.why) == (None, "no closed round waits for a version")


def test_an_open_round_waits_and_a_dry_run_decides_nothing(tmp_path: Path):
    world = World(tmp_path)
    world.arrive("first", 100)
    ingest_windows(world.workspace(), now=world.sleep(hours=1))
    asked(world)
    waiting = build(world)
    world.people_answer(EXPERTS)
    come_home(world)

    told = build(world, dry_run=True)

    assert waiting.manifest is None
    assert told.why.startswith("would build the next version: joins rounds bootstrap-")
    assert (told.manifest, world.records.decisions("version")) == (None, [])


def test_a_late_change_waits_for_the_next_version_or_for_force(tmp_path: Path):
    world = judged(tmp_path)
    first = build(world).manifest
    sample_id, label = changed_answer(world)
    come_home(world)

    patient = build(world)
    forced = build(world, force=True).manifest
    nothing = build(world, force=True)

    assert patient.manifest is None
    assert "1 newer verdict files join the next version" in patient.why
    assert forced is not None
    assert (forced.version, forced.changed, forced.rows) == (2, 1, 60)
    assert {r.label for r in world.repo.rows(2) if r.sample_id == sample_id} == {label}
    assert world.repo.versions()[0] == first
    assert nothing.manifest is None


def test_a_version_that_was_decided_and_not_built_is_continued_and_joins_nothing_newer(
    tmp_path: Path,
):
    world = judged(tmp_path)
    twin = World.develop(world.photograph(), tmp_path / "twin")
    calls = Cuts()
    build_version(twin.workspace(lambda port: cut(port, calls)), now=twin.now)
    at = 1 + next(i for i, name in enumerate(calls.calls) if name.endswith(".decide"))
    cuts = Cuts(at=at, when="after")
    with pytest.raises(Killed):
        build_version(world.workspace(lambda port: cut(port, cuts)), now=world.now)
    sample_id, label = changed_answer(world)
    world.sleep(hours=7)
    come_home(world)

    unfinished = build(world).manifest
    following = build(world, force=True).manifest

    assert unfinished is not None
    assert unfinished.content_digest == twin.repo.versions()[0].content_digest
    assert following is not None
    assert [r.label for r in world.repo.rows(2) if r.sample_id == sample_id] == [label]
    assert [r.label for r in world.repo.rows(1) if r.sample_id == sample_id] != [label]


def test_every_past_version_rebuilds_to_its_digest_from_the_records_alone(tmp_path: Path):
    world = judged(tmp_path)
    build(world)
    for _ in range(2):
        changed_answer(world)
        come_home(world)
        build(world, force=True)

    again = [rebuilt(world, number, tmp_path / f"again-{number}") for number in (1, 2, 3)]

    tagged = world.repo.versions()
    assert [m.digest for m in again] == [m.digest for m in tagged]
    assert [m.content_digest for m in again] == [m.content_digest for m in tagged]
    assert len({m.digest for m in tagged}) == 3


def test_an_earlier_version_keeps_its_digest_under_a_later_schema(tmp_path: Path):
    world = judged(tmp_path)
    first = build(world).manifest
    assert first is not None
    world.labels = some_labels(
        classes=["west", "right"],
        version=2,
        migrations=[{"to": 2, "op": "rename", "source": ["left"], "target": ["west"]}],
    )
    changed_answer(world)
    come_home(world)
    second = build(world, force=True).manifest

    again = rebuilt(world, 1, tmp_path / "again")

    assert again.digest == first.digest
    assert second is not None
    assert set(first.classes) == {'"left"', '"right"'}
    assert set(second.classes) == {'"west"', '"right"'}
    assert second.schema_version == 2


def test_a_closed_probe_starts_no_version_and_rides_with_the_next(tmp_path: Path):
    world = judged(tmp_path)
    build(world)
    closed_round(world, "probe")

    alone = build(world)
    closed_round(world, "adhoc")
    both = build(world).manifest

    assert alone.manifest is None
    assert both is not None
    assert {"probe-x", "adhoc-x"} <= set(both.rounds)
    assert {item.state for item in world.records.rounds()} == {"published"}


def test_relabelled_samples_wait_for_the_aimed_round_that_is_under_way(tmp_path: Path):
    world = judged(tmp_path)
    build(world)
    closed_round(world, "relabel")
    planned_round(world, "inference")

    waiting = build(world)
    finished(world, "inference")
    both = build(world).manifest

    assert waiting.manifest is None
    assert both is not None
    assert {"relabel-x", "inference-x"} <= set(both.rounds)


def test_relabelled_samples_alone_are_a_version(tmp_path: Path):
    world = judged(tmp_path)
    build(world)
    closed_round(world, "relabel")

    assert build(world).manifest is not None


def planned_round(world: World, kind: str) -> None:
    """A round about one new sample, opened."""
    (home, *_) = world.records.rounds()
    name = f"{kind}-x"
    sample = replace(world.records.samples(home.plan.round_id)[0], sample_id=name, revision=name)
    arm = "relabel" if kind == "relabel" else "random"
    old = world.records.tasks(home.plan.round_id)[0]
    task = replace(
        old, task_key=name, round_id=name, sample_id=sample.sample_id, arm=arm, overlap=1
    )
    plan = replace(
        home.plan,
        round_id=name,
        kind=kind,
        cause=name,
        arms={arm: 1},
        frame_rows=0,
        population=(),
        planned_at=world.sleep(hours=1),
    )
    world.records.plan_round(plan, [sample], [task])
    world.workspace().decide("round-opened", name, now=world.now, data={"round": name})
    push_tasks(world.workspace(), now=world.now)


def finished(world: World, kind: str) -> None:
    """Somebody new answers the round's question, and it closes."""
    world.queue.answer(f"{kind}-x", "zoe", '"left"', now=world.sleep(hours=1))
    come_home(world)
    assert world.records.round(f"{kind}-x").state == "closed"


def closed_round(world: World, kind: str) -> None:
    planned_round(world, kind)
    finished(world, kind)
