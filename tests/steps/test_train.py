"""Train: a challenger, its paired test, and a promotion that is whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from faults.cuts import Cuts, Killed, cut
from retrue.adapters.models_memory import MemoryModels
from retrue.core.gate import SliceResult, alpha_for
from retrue.cycle import close_rounds, open_rounds
from retrue.errors import ModelError, TrainingError
from retrue.ports import FitResult, Scores
from retrue.reading.exam import Exam
from retrue.reading.reference import load_reference
from retrue.records import DatasetRow, Manifest, ModelVersion
from retrue.steps.train import TrainReport, _watched, promote, rollback, train_model
from world import EXPERTS, World, a_config, fitted, some_labels


class Scripted(MemoryModels):
    """Models that say what a test wants: version -> sample id -> label; blind: cannot read it."""

    def say(self, version: str, said: dict[str, str], blind: frozenset[str] = frozenset()) -> None:
        self.__dict__.setdefault("said", {})[version] = (said, blind)

    def score(self, model, samples, media):
        if model.version not in self.__dict__.get("said", {}):
            return super().score(model, samples, media)
        said, blind = self.said[model.version]
        if any(sample.sample_id in blind for sample in samples):
            raise ModelError("model: it cannot read these samples: no column x")
        predicted = tuple(said[sample.sample_id] for sample in samples)
        return Scores(classes=(), probabilities=np.zeros((len(samples), 0)), predicted=predicted)


@dataclass
class Bench(World):
    """A world in which a test says how good the next model is: 1 is always right."""

    skill: float = 1.0
    fits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.models = Scripted(self.folder, self.config, self.labels)

    def _fit(self, _dataset) -> FitResult:
        self.fits.append(len(self.fits))
        folder = self.folder / f"fit-{len(self.fits)}"
        folder.mkdir()
        return fitted(folder, self.answers(self.skill))

    def answers(self, skill: float) -> dict[str, str]:
        """Right for this share of the truths, the same ones each time."""
        other = {"left": "right", "right": "left"}
        keep = np.random.default_rng(0).random(len(self.truths)) < skill
        said = zip(self.truths.items(), keep, strict=True)
        return {name: json.dumps(label if ok else other[label]) for (name, label), ok in said}


@pytest.fixture
def bench(tmp_path) -> Bench:
    """A version with 60 evaluation items, and no model yet."""
    select = {"budget": 30, "bootstrap": 80, "bootstrap_audit": 0.75}
    bench = Bench(tmp_path, config=a_config(select=select))
    bench.arrive("a", 200)
    open_rounds(bench.workspace(), now=bench.sleep(hours=1))
    bench.people_answer(EXPERTS)
    bench.repo._stage_fit = refuse
    with pytest.raises(TrainingError):
        close_rounds(bench.workspace(), now=bench.sleep(hours=1))
    bench.repo._stage_fit = bench._fit
    return bench


def refuse(_dataset) -> FitResult:
    raise TrainingError("not yet")


def train(bench: Bench, **more: bool) -> TrainReport:
    return train_model(bench.workspace(), now=bench.sleep(hours=1), **more)


def try_another(bench: Bench, skill: float, *, seed: int, promote: str = "auto") -> TrainReport:
    """Train again on the same version with another configuration."""
    bench.skill = skill
    bench.config = bench.config.model_copy(
        update={
            "train": bench.config.train.model_copy(update={"seed": seed}),
            "model": bench.config.model.model_copy(update={"promote": promote}),
        }
    )
    report = train(bench)
    if report.challenger is not None:
        bench.models.say(report.challenger.version, bench.answers(skill))
    return report


def first(bench: Bench, skill: float) -> ModelVersion:
    """A champion that is right this often."""
    report = try_another(bench, skill, seed=1)
    assert report.outcome == "first"
    return bench.models.champion()


def gates(bench: Bench) -> list[dict[str, object]]:
    return [made.data for made in bench.records.decisions("gate")]


# --- outcomes --------------------------------------------------------------------------------


def test_without_a_version_there_is_nothing_to_train_on(tmp_path):
    assert train(Bench(tmp_path)).why == "there is no dataset version yet"


def test_the_first_model_becomes_champion_with_its_audited_accuracy_and_reference(bench):
    report = train(bench)

    assert report.outcome == "first"
    assert (report.accuracy.value, report.accuracy.n) == (1.0, 60)
    assert "champion" in bench.models.champion().aliases
    reference = load_reference(bench.workspace(), report.challenger)
    assert reference.windows == tuple(window.window_id for window in bench.state.windows())
    assert bench.models.evidence(report.challenger, "gate.json")


def test_a_dry_run_trains_nothing(bench):
    assert train(bench, dry_run=True).why == "would train on v1"
    assert (bench.fits, bench.models.versions()) == ([], [])


def test_a_version_that_has_its_model_is_not_trained_on_again(bench):
    train(bench)

    report = train(bench)

    assert (report.outcome, report.why) == ("nothing", "v1: has its model and verdict")
    assert bench.fits == [0]
    assert len(gates(bench)) == 1


def test_a_better_challenger_is_promoted(bench):
    first(bench, 0.6)

    report = try_another(bench, 1.0, seed=2)

    assert (report.outcome, bench.models.champion().version) == ("promoted", "2")
    assert report.result.delta > 0.2
    changes = json.loads(bench.models.evidence(report.challenger, "changes.json"))
    assert len(changes) == report.result.discordant
    assert {one["after"] for one in changes} == {'"left"', '"right"'}


def test_an_equal_challenger_is_held_and_told_how_many_labels_are_missing(bench):
    first(bench, 0.8)

    report = try_another(bench, 0.8, seed=2)

    assert (report.outcome, bench.models.champion().version) == ("held", "1")
    assert "This test sees gains of" in report.why


def test_a_worse_challenger_is_rejected(bench):
    first(bench, 1.0)

    report = try_another(bench, 0.5, seed=2)

    assert (report.outcome, bench.models.champion().version) == ("rejected", "1")


def test_a_slice_nobody_can_judge_asks_a_person(bench):
    bench.config = bench.config.model_copy(
        update={"metrics": bench.config.metrics.model_copy(update={"slices": ("y",)})}
    )
    first(bench, 0.5)

    report = try_another(bench, 1.0, seed=2)

    assert report.outcome == "waiting"
    assert "not checkable on y=" in report.why
    assert {one.verdict for one in report.slices} == {"not checkable"}
    assert gates(bench)[-1]["slices"]


def test_a_slice_that_got_worse_holds_back_a_better_challenger():
    night = SliceResult(name="time=night", n=80, delta=-0.2, low=-0.3, verdict="worse")
    day = SliceResult(name="time=day", n=9, delta=0.1, low=-0.2, verdict="not checkable")

    outcome, why = _watched("promoted", "+3 points.", (day, night))

    assert outcome == "held"
    assert "worse on time=night (80 items)" in why


def test_slices_part_the_exam_by_the_values_of_a_field(bench):
    exam = Exam.of(bench.workspace(), bench.repo.versions()[-1])

    masks = exam.slices(bench.workspace(), ["y", "absent"])

    assert masks.pop("absent=None").all()
    assert sum(mask.sum() for mask in masks.values()) == len(exam.rows)


def test_where_a_person_promotes_a_better_challenger_waits(bench):
    first(bench, 0.6)

    report = try_another(bench, 1.0, seed=2, promote="ask")
    again = train(bench)

    assert (report.outcome, again.outcome) == ("waiting", "nothing")
    assert bench.models.champion().version == "1"


# --- alpha -----------------------------------------------------------------------------------


def test_every_challenger_spends_from_the_champions_budget_and_a_rerun_spends_nothing(bench):
    first(bench, 0.8)

    spent = [try_another(bench, 0.8, seed=n).result.alpha for n in (2, 3, 4)]
    train(bench)

    assert spent == pytest.approx([alpha_for(k) for k in (1, 2, 3)])
    assert len({gate["key"] for gate in gates(bench)}) == len(gates(bench)) == 4


def test_a_new_champion_has_a_budget_of_its_own(bench):
    first(bench, 0.5)
    try_another(bench, 0.9, seed=2)
    assert bench.models.champion().version == "2"

    report = try_another(bench, 0.9, seed=3)

    assert report.result.alpha == pytest.approx(alpha_for(1))


def test_a_gate_cut_off_before_it_was_recorded_spends_its_alpha_once(bench):
    first(bench, 0.8)
    bench.config = bench.config.model_copy(
        update={"train": bench.config.train.model_copy(update={"seed": 2})}
    )
    now = bench.sleep(hours=1)
    with pytest.raises(Killed):
        train_model(bench.workspace(lambda port: cut(port, CutAtDecide())), now=now)
    assert len(gates(bench)) == 1

    bench.sleep(hours=12)
    report = train(bench)

    assert report.result.alpha == pytest.approx(alpha_for(1))
    assert [model.version for model in bench.models.versions()] == ["1", "2"]


class CutAtDecide(Cuts):
    """Dies instead of deciding anything."""

    def around(self, name, call):
        if name.endswith(".decide"):
            raise Killed(name)
        return super().around(name, call)


# --- promotion -------------------------------------------------------------------------------


def test_a_promotion_cut_off_anywhere_is_finished_by_the_next_run(bench):
    first(bench, 0.6)
    bench.skill = 1.0
    bench.config = bench.config.model_copy(
        update={"train": bench.config.train.model_copy(update={"seed": 2})}
    )
    cuts, now = Cuts(), bench.sleep(hours=1)
    kept = dict(bench.records._decisions), dict(bench.models._aliases), dict(bench.models._evidence)
    report = train_model(bench.workspace(lambda port: cut(port, cuts)), now=now)
    assert report.outcome == "promoted"
    decide = [n for n, call in enumerate(cuts.calls, start=1) if call.endswith(".decide")]

    for at in range(decide[0], len(cuts.calls) + 1):
        bench.records._decisions, bench.models._aliases, bench.models._evidence = (
            dict(kept[0]),
            dict(kept[1]),
            dict(kept[2]),
        )
        again = Cuts(at=at, when="after")
        with pytest.raises(Killed):
            train_model(
                bench.workspace(lambda port, again=again: cut(port, again)),
                now=bench.sleep(hours=12),
            )
        bench.sleep(hours=12)
        train(bench)

        champion = bench.models.champion()
        assert champion.version == "2", cuts.calls[at - 1]
        assert load_reference(bench.workspace(), champion) is not None, cuts.calls[at - 1]
        assert len(bench.records.decisions("promotion")) == 2, cuts.calls[at - 1]


def test_a_rollback_is_not_undone_by_the_next_run(bench):
    first(bench, 0.6)
    try_another(bench, 1.0, seed=2)
    bench.models._evidence.pop(("2", "reference.json"))

    model = rollback(bench.workspace(), now=bench.sleep(hours=1))
    train(bench)

    assert model.version == "1"
    assert bench.models.champion().version == "1"


def test_rolled_back_twice_goes_back_two_and_never_forward(bench):
    first(bench, 0.3)
    try_another(bench, 0.7, seed=2)
    try_another(bench, 1.0, seed=3)
    assert bench.models.champion().version == "3"

    back = [rollback(bench.workspace(), now=bench.sleep(hours=1)) for _ in range(3)]

    assert [model.version if model else None for model in back] == ["2", "1", None]
    assert bench.models.champion().version == "1"


def test_a_model_that_was_rolled_back_can_be_promoted_again(bench):
    first(bench, 0.6)
    second = try_another(bench, 1.0, seed=2).challenger
    rollback(bench.workspace(), now=bench.sleep(hours=1))

    promote(bench.workspace(), second, why="it was not to blame", now=bench.sleep(hours=1))

    assert bench.models.champion().version == "2"
    moves = [made.data["version"] for made in bench.records.decisions("promotion")]
    assert moves == ["1", "2", "1", "2"]


def test_another_configuration_on_the_same_version_is_another_model(bench):
    first(bench, 0.8)

    report = try_another(bench, 0.8, seed=2)

    assert report.challenger.version == "2"
    assert len({gate["fit_key"] for gate in gates(bench)}) == 2


# --- the exam --------------------------------------------------------------------------------


def test_items_the_champion_cannot_read_count_as_wrong(bench):
    champion = first(bench, 1.0)
    eval_ids = sorted(row.sample_id for row in bench.repo.rows(1) if row.split == "eval")
    bench.models.say(champion.version, bench.answers(1.0), blind=frozenset(eval_ids[:30]))

    report = try_another(bench, 1.0, seed=2)

    assert report.outcome == "promoted"
    assert report.result.discordant == 30


def test_a_champion_that_can_read_nothing_is_reported_as_broken(bench):
    champion = first(bench, 1.0)
    bench.models.say(champion.version, {}, blind=frozenset(bench.truths))

    with pytest.raises(ModelError, match="cannot read"):
        try_another(bench, 1.0, seed=2)


def test_without_evaluation_items_a_challenger_is_held(bench):
    first(bench, 1.0)
    bench.config = bench.config.model_copy(
        update={
            "metrics": bench.config.metrics.model_copy(update={"primary": "recall", "class_": "up"})
        }
    )

    report = try_another(bench, 1.0, seed=2)

    assert (report.outcome, report.result, report.accuracy) == ("held", None, None)
    assert "audit a window first" in report.why
    assert try_another(bench, 1.0, seed=3).outcome == "held"


def test_a_champion_of_an_older_schema_is_judged_in_the_new_names(bench):
    champion = first(bench, 1.0)
    bench.labels = some_labels(
        version=2,
        classes=["west", "right"],
        migrations=[{"to": 2, "op": "rename", "source": ["left"], "target": ["west"]}],
    )
    manifest = replace(bench.repo.versions()[0], schema_version=2)
    exam = Exam.of(bench.workspace(), manifest)

    said = exam.asked(bench.workspace(), champion)

    assert set(said.values()) == {'"west"', '"right"'}


class Rows:
    """A repository of one version with these rows."""

    def __init__(self, rows: list[DatasetRow]) -> None:
        self._rows = rows

    def rows(self, _version: int) -> list[DatasetRow]:
        return self._rows


def an_exam(folder, rows: list[DatasetRow], **metrics: object) -> Exam:
    world = World(folder, config=a_config(metrics=metrics))
    return Exam.of(replace(world.workspace(), repo=Rows(rows)), MANIFEST)


ROW = DatasetRow(
    sample_id="a",
    label='"left"',
    confidence=1.0,
    n_answers=2,
    verdict="r/v",
    arm="audit",
    inclusion_probability=0.1,
    multiplicity=1,
    round_id="r",
    window_id="w",
    group="a",
    split="eval",
    schema_version=1,
    guideline_version="1",
    labelled_at=World.now,
)
MANIFEST = Manifest(
    project="points",
    version=1,
    rows=0,
    train=0,
    evaluation=0,
    digest="",
    content_digest="",
    schema_version=1,
    guideline_version="1",
    classes={},
    rounds=(),
    verdict_files=(),
    base="",
    deltas=(),
    added=0,
    changed=0,
    removed=0,
    built_at=World.now,
)


def test_only_evaluation_items_of_known_probability_are_in_the_exam(tmp_path):
    rows = [
        ROW,
        replace(ROW, sample_id="b", split="train"),
        replace(ROW, sample_id="c", inclusion_probability=None),
        replace(ROW, sample_id="d", multiplicity=3, inclusion_probability=0.5),
    ]

    exam = an_exam(tmp_path, rows)

    assert [row.sample_id for row in exam.rows] == ["a", "d"]
    assert exam.weight.tolist() == [10, 6]


def test_recall_asks_about_the_items_of_its_class_alone(tmp_path):
    rows = [ROW, replace(ROW, sample_id="b", label='"right"')]

    exam = an_exam(tmp_path, rows, primary="recall", **{"class": "right"})

    assert [row.sample_id for row in exam.rows] == ["b"]
    assert len(an_exam(tmp_path, rows).rows) == 2


def test_numbers_are_right_within_the_tolerance(tmp_path):
    exam = replace(an_exam(tmp_path, [replace(ROW, label="2.0")]), kind="number", tolerance=0.5)

    assert exam.score({"a": "2.5"}).tolist() == [1]
    assert exam.score({"a": "2.6"}).tolist() == [0]
    assert exam.score({"a": ""}).tolist() == [0]


def test_a_fit_that_says_nothing_of_an_item_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="got none for sample 'a'"):
        an_exam(tmp_path, [ROW]).score({"b": '"left"'})
