"""Select: which rounds are planned, and what is in them."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
import pytest

from faults.cuts import Cuts, Killed, cut
from retrue.core.openings import Opening
from retrue.cycle import close_rounds, open_rounds
from retrue.records import Task
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import SelectReport, request_round, select_samples
from world import EXPERTS, World, a_config, some_labels


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def ingest(world: World) -> None:
    ingest_windows(world.workspace(), now=world.sleep(hours=1))


def select(world: World, **more: bool) -> SelectReport:
    return select_samples(world.workspace(), now=world.sleep(hours=1), **more)


def request(world: World, *, stream="incoming", budget=30, cause="pat/1", kind="adhoc", **more):
    windows = tuple(world.state.windows(stream))[-1:]
    opening = Opening(kind=kind, cause=cause, why="a test", windows=windows, budget=budget)
    return request_round(world.workspace(), opening, now=world.sleep(hours=1), **more)


def tasks_of(world: World, report: SelectReport, arm: str | None = None) -> list[Task]:
    (planned,) = report.planned
    tasks = world.records.tasks(planned.plan.round_id)
    return [task for task in tasks if arm in (None, task.arm)]


def trained(world: World) -> World:
    """A model in service, taught by a first round of 60."""
    world.arrive("a", 200)
    open_rounds(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS)
    assert close_rounds(world.workspace(), now=world.sleep(hours=1)).train.outcome == "first"
    return world


# --- the first round -------------------------------------------------------------------------


def test_the_first_round_is_half_audit_by_chance_with_its_probability(world):
    world.arrive("a", 240)
    ingest(world)

    report = select(world)

    (planned,) = report.planned
    assert (planned.plan.kind, dict(planned.plan.arms)) == (
        "bootstrap",
        {"audit": 30, "random": 30},
    )
    assert (planned.plan.frame_rows, planned.opened) == (240, True)
    audit, rest = tasks_of(world, report, "audit"), tasks_of(world, report, "random")
    assert {(task.inclusion_probability, task.overlap) for task in audit} == {(30 / 240, 2)}
    assert {(task.inclusion_probability, task.overlap) for task in rest} == {(None, 1)}
    assert (planned.answers, planned.cost) == (90, pytest.approx(9.0))


def test_a_window_smaller_than_the_audit_is_audited_whole_with_certainty(world):
    world.arrive("a", 12)
    ingest(world)

    report = select(world)

    assert [task.inclusion_probability for task in tasks_of(world, report)] == [1.0] * 12


def test_selecting_again_finds_the_round_and_plans_no_other(world):
    world.arrive("a", 100)
    ingest(world)
    select(world)

    again = select(world)

    assert (again.planned, again.waiting) == ((), ())
    assert len(world.records.rounds()) == 1


def test_a_round_that_is_asked_for_waits_for_approval(tmp_path):
    world = World(tmp_path, config=a_config(round={"open": "ask"}))
    world.arrive("a", 100)
    ingest(world)

    first, second = select(world), select(world)

    (planned,) = first.planned
    assert planned.opened is False
    assert world.records.rounds()[0].state == "planned"
    assert second.planned == ()
    (waiting,) = second.waiting
    assert waiting.do == f"`retrue round approve {planned.plan.round_id}`"


def test_a_dry_run_shows_the_round_and_writes_nothing(world):
    world.arrive("a", 100)
    ingest(world)
    before = world.records.decisions()

    dry = select(world, dry_run=True)

    assert sum(dry.planned[0].plan.arms.values()) == 60
    assert (world.records.rounds(), world.records.decisions()) == ([], before)
    assert select(world).planned[0].plan.arms == dry.planned[0].plan.arms


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_cut_off_before_the_round_was_opened_is_finished_by_the_next(world, when):
    world.arrive("a", 100)
    ingest(world)
    cuts = Cuts()
    now = world.sleep(hours=1)
    picture = world.photograph()
    select_samples(world.workspace(lambda port: cut(port, cuts)), now=now)
    place = cuts.calls.index("MemoryRoundRecord.decide") + 1
    world = World.develop(picture, world.folder)
    cuts = Cuts(at=place, when=when)
    with pytest.raises(Killed):
        select_samples(world.workspace(lambda port: cut(port, cuts)), now=now)

    world.sleep(hours=8)
    select(world)

    (item,) = world.records.rounds()
    assert item.state == "open"


def test_a_window_where_nobody_consented_does_not_use_the_first_round_up(tmp_path):
    data = a_config().data.model_dump(exclude_none=True) | {"consent": {"column": "y"}}
    world = World(tmp_path, config=a_config(data=data))
    world.arrive("a", 50)
    ingest(world)

    report = select(world)

    assert report.planned == ()
    assert "retrue ingest" in report.waiting[0].do
    assert world.records.rounds() == []


# --- arms ------------------------------------------------------------------------------------


def test_arms_have_their_shares_and_sum_to_the_budget(world):
    trained(world)
    world.arrive("log", 300, stream="log")
    ingest(world)

    report = request(world, stream="inference")

    (planned,) = report.planned
    assert dict(planned.plan.arms) == {"audit": 6, "random": 3, "active": 18, "novel": 3}
    assert len({task.sample_id for task in tasks_of(world, report)}) == 30


def test_where_no_log_tells_the_champion_is_asked_what_it_hesitates_about(world):
    trained(world)
    world.arrive("b", 300)
    ingest(world)

    report = request(world, stream="incoming")

    active = tasks_of(world, report, "active")
    assert len(active) == 18
    assert max(task.score for task in active) < 0.9
    assert all(task.predicted_probability is not None for task in tasks_of(world, report))


def test_ten_rows_are_scored_for_each_that_active_picks_even_without_a_novel_arm(tmp_path):
    shares = {"audit": 0.2, "random": 0.1, "active": 0.7, "novel": 0.0}
    select_ = {"budget": 20, "bootstrap": 60, "shares": shares}
    world = trained(World(tmp_path, config=a_config(select=select_)))
    world.arrive("b", 300)
    ingest(world)

    windows = tuple(world.state.windows("incoming"))[-1:]
    opening = Opening(kind="adhoc", cause="c", why="", windows=windows, budget=20)
    models = Counting(world)
    request_round(replace(world.workspace(), models=models), opening, now=world.sleep(hours=1))

    assert world.records.rounds()[-1].plan.arms["active"] == 14
    assert models.scored >= 140


class Counting:
    """A world's registry that counts the samples it scores."""

    def __init__(self, world: World) -> None:
        self._models, self.scored = world.models, 0

    def __getattr__(self, name: str):
        return getattr(self._models, name)

    def score(self, model, samples, media):
        self.scored += len(samples)
        return self._models.score(model, samples, media)


def test_a_log_of_another_model_is_not_stored_as_the_champions_prediction(tmp_path):
    data = a_config().data.model_dump(exclude_none=True)
    data["inference"]["model_version"] = "model"
    world = trained(World(tmp_path, config=a_config(data=data)))
    lie = {"p_left": 0.999, "p_right": 0.001, "model": "9"}
    arrive_logged(world, "log", 200, **lie)
    ingest(world)

    report = request(world, stream="inference")

    said = {task.predicted for task in tasks_of(world, report)}
    assert said == {'"left"', '"right"'}
    assert len(tasks_of(world, report, "active")) == 18


def arrive_logged(world: World, name: str, rows: int, **columns: object) -> None:
    world.arrive(name, rows, stream="log")
    (ref,) = world.store.list_objects("memory://bucket/log", since=None)
    table = pd.read_parquet(io.BytesIO(world.store.read(ref))).assign(**columns)
    data = io.BytesIO()
    table.to_parquet(data, index=False)
    world.store.put(ref.uri, data.getvalue(), modified_at=world.now)


def test_the_audit_is_blind_to_scores_and_to_what_is_labelled(world):
    trained(world)
    labelled = {
        s.sample_id for r in world.records.rounds() for s in world.records.samples(r.plan.round_id)
    }

    report = request(world, stream="incoming", budget=100)

    audit = {task.sample_id for task in tasks_of(world, report, "audit")}
    others = {task.sample_id for task in tasks_of(world, report)} - audit
    assert audit & labelled
    assert not others & labelled
    assert {task.inclusion_probability for task in tasks_of(world, report, "audit")} == {20 / 200}


def test_a_drawn_sample_with_enough_human_answers_asks_nobody(world):
    trained(world)

    report = request(world, stream="incoming", budget=200)

    first = {t.sample_id: t for t in world.records.tasks(world.records.rounds()[0].plan.round_id)}
    again = {
        task.sample_id: task.overlap
        for task in tasks_of(world, report, "audit")
        if task.sample_id in first
    }
    left = {name: 2 - first[name].overlap for name in again}
    assert set(left.values()) == {0, 1}
    assert again == left


def test_answers_of_programs_do_not_count_as_human(tmp_path):
    queue = {"annotators": {"program": ["ann", "bob", "cleo"]}}
    world = World(tmp_path, config=a_config(queue=queue))
    world.arrive("a", 60)
    ingest(world)
    select(world)
    push_tasks(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS)
    collect_answers(world.workspace(), now=world.sleep(hours=1))

    report = request(world, stream="incoming")

    assert {task.overlap for task in tasks_of(world, report, "audit")} == {2}


def test_the_order_of_the_queue_tells_no_arm(world):
    world.arrive("a", 200)
    ingest(world)

    tasks = tasks_of(world, select(world))

    assert [task.task_key for task in tasks] == sorted(task.task_key for task in tasks)
    arms = [task.arm for task in tasks]
    assert arms != sorted(arms)
    assert arms != sorted(arms, reverse=True)


def test_the_same_seed_picks_the_same_samples_whatever_the_order_of_objects(tmp_path):
    picks = []
    for turned in (False, True):
        world = World(tmp_path / str(turned))
        world.folder.mkdir()
        trained(world)
        for name in ("b", "c", "d"):
            world.arrive(name, 100, stream="log")
        ingest(world)
        (window,) = world.state.windows("inference")
        if turned:
            window = replace(window, objects=window.objects[::-1])
        opening = Opening(kind="adhoc", cause="c", why="", windows=(window,), budget=30)
        report = request_round(world.workspace(), opening, now=world.sleep(hours=1))
        picks.append({(task.sample_id, task.arm) for task in tasks_of(world, report)})

    assert picks[0] == picks[1]


def test_quotas_come_out_of_the_active_share(tmp_path):
    world = trained(
        World(
            tmp_path,
            config=a_config(select={"budget": 30, "bootstrap": 60, "quotas": {"right": 5}}),
        )
    )
    world.arrive("log", 300, stream="log")
    ingest(world)

    report = request(world, stream="inference")

    assert report.planned[0].plan.arms["quota"] == 5
    assert report.planned[0].plan.arms["active"] == 13
    assert {task.predicted for task in tasks_of(world, report, "quota")} == {'"right"'}


# --- requests --------------------------------------------------------------------------------


def test_the_same_request_finds_the_same_round(world):
    world.arrive("a", 100)
    ingest(world)
    first = request(world)
    world.config = a_config(select={"budget": 30, "caps": {"day": 1}})

    again = request(world)

    assert again.planned[0].plan == first.planned[0].plan
    assert again.planned[0].answers == first.planned[0].answers
    assert len(world.records.rounds()) == 1


# --- caps ------------------------------------------------------------------------------------


def capped(tmp_path, rows=300, **caps) -> World:
    select_ = {"budget": 30, "bootstrap": 60, "caps": caps}
    world = World(tmp_path, config=a_config(select=select_))
    world.arrive("a", rows)
    ingest(world)
    return world


@pytest.mark.parametrize("cap", [2, 3, 4, 7, 20, 41, 89])
def test_a_cap_on_answers_trims_a_round_and_is_never_passed(tmp_path, cap):
    report = select(capped(tmp_path, round=cap))

    assert cap - 3 < report.planned[0].answers <= cap


@pytest.mark.parametrize("caps", [{"round": 0}, {"day": 0}, {"month": 0}])
def test_a_cap_that_is_used_up_blocks_and_says_what_to_do(tmp_path, caps):
    report = select(capped(tmp_path, **caps))

    assert report.planned == ()
    assert "raise select.caps" in report.waiting[0].do


def test_a_day_cap_is_shared_by_the_days_rounds_and_free_again_on_the_next(tmp_path):
    world = capped(tmp_path, day=100)
    first = select(world).planned[0].answers

    second = request(world, cause="pat/1").planned[0].answers
    third = request(world, cause="pat/2")
    world.sleep(days=1)
    tomorrow = request(world, cause="pat/3")

    assert (first, second <= 10) == (90, True)
    assert third.planned == () or third.planned[0].answers <= 10 - second
    assert tomorrow.planned[0].answers > 10


# --- relabel ---------------------------------------------------------------------------------


def split(world: World) -> None:
    """Right is split in two: its labels have no meaning any more."""
    world.labels = some_labels(
        version=2,
        classes=["left", "top", "bottom"],
        migrations=[{"to": 2, "op": "split", "source": ["right"], "target": ["top", "bottom"]}],
    )


def test_labels_without_meaning_are_asked_again_once(world):
    trained(world)
    split(world)

    report = select(world)
    again = select(world)

    tasks = tasks_of(world, report)
    assert {task.arm for task in tasks} == {"relabel"}
    assert {world.truths[task.sample_id] for task in tasks} == {"right"}
    assert {task.overlap for task in tasks} == {1, 2}
    assert again.planned == ()


def test_a_cap_cuts_a_relabeling_short_and_it_goes_on_when_the_first_part_is_over(tmp_path):
    world = trained(World(tmp_path))
    split(world)
    world.config = a_config(select={"budget": 30, "caps": {"round": 10}})

    first = select(world)
    between = select(world)
    round_id = first.planned[0].plan.round_id
    world.workspace().decide("round-closed", round_id, now=world.now, data={"round": round_id})
    second = select(world)

    assert 0 < first.planned[0].answers <= 10
    assert between.planned == ()
    asked = {task.sample_id for task in world.records.tasks(round_id)}
    assert not asked & {task.sample_id for task in tasks_of(world, second)}


# --- probes ----------------------------------------------------------------------------------


def test_blocks_of_a_probe_are_one_draw_without_replacement(world):
    trained(world)
    world.arrive("log", 100, stream="log")
    ingest(world)

    drawn = []
    for block in (1, 2, 3):
        report = request(world, stream="inference", kind="probe", cause=f"inc/{block}", budget=30)
        drawn += world.records.samples(report.planned[0].plan.round_id)

    whole = request(world, stream="inference", kind="probe", cause="inc/4", budget=30)
    ids = [sample.sample_id for sample in drawn]
    assert len(set(ids)) == 90
    assert dict(whole.planned[0].plan.arms) == {"audit": 10}
