from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from retrue.acts.adopting_label_studio import Wishes, adopt_project
from retrue.acts.foreign_question import Identity
from retrue.adapters.label_studio_project import (
    Control,
    ForeignAnswer,
    ForeignProject,
    ForeignTask,
)
from retrue.cli import adopt_words
from retrue.cli.adopts import app
from retrue.errors import ConfigError
from retrue.reading.ballots import gather
from retrue.steps.collect import collect_answers
from retrue.steps.push import push_tasks
from retrue.steps.validate import judge_answers
from small_world import ROOT, SmallWorld, a_config, fruit_labels

MORNING = datetime(2026, 3, 1, 9, tzinfo=UTC)
FRUIT = Control(name="fruit", tag="Choices", several=False, options=(("apple",), ("pear",)))


def choice(label: str, control: str = "fruit") -> list[dict[str, object]]:
    return [{"from_name": control, "type": "choices", "value": {"choices": [label]}}]


@dataclass
class Team:
    """Another team's project, as `LabelStudioProjects` would tell of it."""

    controls: tuple[Control, ...] = (FRUIT,)
    data: dict[int, dict[str, object]] = field(default_factory=dict)
    given: dict[str, tuple[int, ForeignAnswer]] = field(default_factory=dict)
    number: int = 7

    def show(self, *rows: dict[str, object]) -> None:
        for row in rows:
            self.data[len(self.data) + 1] = row

    def answer(self, task: int, person: str, label: str | None, **changes: object) -> str:
        name = str(len(self.given) + 100)
        told = ForeignAnswer(
            answer_id=name,
            revision="",
            annotator=f"{person}@example.com",
            skipped=label is None,
            result=() if label is None else choice(label),
            note="",
            lead_seconds=3.5,
            answered_at=MORNING + timedelta(minutes=len(self.given)),
        )
        self._keep(task, replace(told, **changes))
        return name

    def edit(self, name: str, label: str) -> None:
        task, old = self.given[name]
        later = old.answered_at + timedelta(days=1)
        self._keep(task, replace(old, result=choice(label), answered_at=later))

    def delete(self, name: str) -> None:
        del self.given[name]

    def find(self, wanted: str) -> ForeignProject:
        return ForeignProject(
            number=self.number,
            title=wanted,
            address=f"http://ls.test/projects/{self.number}",
            tasks=len(self.data),
            answers=len(self.given),
            controls=self.controls,
        )

    def tasks(self, project: ForeignProject) -> list[ForeignTask]:
        assert project.number == self.number
        answers = {
            number: tuple(one for task, one in self.given.values() if task == number)
            for number in self.data
        }
        return [
            ForeignTask(number=number, data=self.data[number], answers=found)
            for number, found in answers.items()
            if found
        ]

    def deleted(self, answer_ids: set[str]) -> set[str]:
        return set(answer_ids) - self.given.keys()

    def _keep(self, task: int, told: ForeignAnswer) -> None:
        self.given[told.answer_id] = (task, replace(told, revision=told.answered_at.isoformat()))


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    world.arrive("a")
    world.ingest()
    return world


@pytest.fixture
def team():
    team = Team()
    team.show(*({"id": f"a-{i}", "weight": i} for i in range(5)))
    return team


def adopt(world, team, *, dry_run=False, **wishes):
    return adopt_project(
        world.workspace("pat"),
        team,
        "Fruit",
        now=world.sleep(),
        wishes=Wishes(**wishes),
        dry_run=dry_run,
    )


def answers(world, report):
    return world.records.answers(report.round_id)


def votes(world, sample):
    found = gather(world.workspace(), now=world.sleep())[sample].ballot.votes
    return {vote.annotator.partition("@")[0]: vote.label for vote in found}


def verdict(world, sample):
    found = {
        one.sample_id: one
        for item in world.records.rounds()
        for _, file in world.records.verdict_files(item.plan.round_id)
        for one in file
    }
    return found[sample]


def test_every_answer_is_kept_with_its_person_its_time_and_its_pace(world, team):
    team.answer(1, "ann", "apple", note="bruised")
    team.answer(1, "bob", "pear")
    team.answer(1, "cleo", "apple")
    team.answer(2, "ann", None)

    report = adopt(world, team)

    assert (report.new, report.samples, report.annotators, report.skipped) == (4, 2, 3, 1)
    assert report.disputed == 1
    assert report.unanswered == 3
    told = {(a.answer_id, a.annotator, a.status, a.value, a.note) for a in answers(world, report)}
    assert told == {
        ("100", "ann@example.com", "answered", '"apple"', "bruised"),
        ("101", "bob@example.com", "answered", '"pear"', ""),
        ("102", "cleo@example.com", "answered", '"apple"', ""),
        ("103", "ann@example.com", "skipped", None, ""),
    }
    assert {a.lead_seconds for a in answers(world, report)} == {3.5}
    assert min(a.answered_at for a in answers(world, report)) == MORNING
    assert verdict(world, "a-1").status == "unanswerable"


def test_they_become_a_dataset_version_and_nobody_is_asked(world, team):
    team.answer(1, "ann", "apple")
    team.answer(2, "bob", "pear")

    report = adopt(world, team)
    push_tasks(world.workspace(), now=world.sleep())
    version = world.publish()

    rows = world.repo.rows(version)
    assert [(row.sample_id, row.label, row.arm) for row in rows] == [
        ("a-0", '"apple"', "adopted"),
        ("a-1", '"pear"', "adopted"),
    ]
    assert world.records.round(report.round_id).plan.cost_per_label == 0
    keys = [task.task_key for task in world.records.tasks(report.round_id)]
    assert world.queue.tasks(keys) == []


def test_a_rerun_adds_nothing_and_later_answers_become_another_round(world, team):
    team.answer(1, "ann", "apple")
    first = adopt(world, team)

    again = adopt(world, team)
    team.answer(1, "bob", "pear")
    team.answer(2, "ann", "pear")
    second = adopt(world, team)

    assert (again.round_id, again.new, again.known) == (None, 0, 1)
    assert (second.new, second.known) == (2, 1)
    assert second.round_id not in (None, first.round_id)
    assert votes(world, "a-0") == {"ann": '"apple"', "bob": '"pear"'}
    assert len([*answers(world, first), *answers(world, second)]) == 3


def test_a_changed_answer_goes_to_the_round_that_holds_it_and_is_counted_once(world, team):
    name = team.answer(1, "ann", "apple")
    first = adopt(world, team)
    team.edit(name, "pear")

    report = adopt(world, team)
    again = adopt(world, team)
    judge_answers(world.workspace(), now=world.sleep())

    assert (report.round_id, report.changed, again.changed) == (None, 1, 0)
    assert [(a.answer_id, a.value) for a in answers(world, first)] == [
        (name, '"apple"'),
        (name, '"pear"'),
    ]
    assert votes(world, "a-0") == {"ann": '"pear"'}
    assert verdict(world, "a-0").label == '"pear"'


def test_a_deleted_answer_is_recorded_as_deleted_once(world, team):
    name = team.answer(1, "ann", "apple")
    team.answer(1, "bob", "pear")
    first = adopt(world, team)
    team.delete(name)

    report = adopt(world, team)
    again = adopt(world, team)

    assert (report.deleted, again.deleted) == (1, 0)
    assert [a.status for a in answers(world, first)] == ["answered", "answered", "deleted"]
    assert votes(world, "a-0") == {"bob": '"pear"'}


def test_a_class_nobody_here_knows_is_kept_as_given_and_is_no_label(world, team):
    team.controls = (replace(FRUIT, options=(("apple",), ("plum",))),)
    team.answer(1, "ann", "plum")
    team.answer(2, "ann", "apple")
    team.answer(2, "bob", "plum")

    report = adopt(world, team)

    assert (report.unknown_classes, report.missing_classes) == (("plum",), ("pear",))
    assert [(one.task, one.annotator) for one in report.outside] == [
        (1, "ann@example.com"),
        (2, "bob@example.com"),
    ]
    assert "plum" in report.outside[0].reason
    assert '"plum"' in {a.value for a in answers(world, report)}
    assert verdict(world, "a-0").status == "unanswerable"
    assert verdict(world, "a-1").label == '"apple"'
    (made,) = world.records.decisions("labels-adopted")
    assert made.data["bad"] == 2
    assert made.by == "pat"


def test_a_class_that_is_named_later_counts_without_being_answered_again(world, team):
    team.controls = (replace(FRUIT, options=(("Apple",), ("pear",))),)
    team.answer(1, "ann", "Apple")
    first = adopt(world, team)

    report = adopt(world, team, classes={"Apple": "apple"})
    again = adopt(world, team, classes={"Apple": "apple"})

    assert (first.unknown_classes, report.unknown_classes) == (("Apple",), ())
    assert (report.changed, again.changed, again.known) == (1, 0, 1)
    assert votes(world, "a-0") == {"ann": '"apple"'}


def test_a_class_that_the_schema_learns_later_counts_too(world, team):
    team.controls = (replace(FRUIT, options=(("apple",), ("plum",))),)
    team.answer(1, "ann", "plum")
    adopt(world, team)

    step = {"to": 2, "op": "add", "target": ["plum"]}
    classes = ["apple", "pear", "plum"]
    world.labels = fruit_labels(version=2, classes=classes, migrations=[step])

    assert votes(world, "a-0") == {"ann": '"plum"'}


def test_answers_whose_sample_is_in_no_window_wait_for_it(world, team):
    team.show({"id": "b-0"}, {"name": "no key"}, {"id": "a-5"})
    team.answer(1, "ann", "apple")
    for task in (6, 7, 8):
        team.answer(task, "ann", "pear")

    first = adopt(world, team)
    world.arrive("b")
    world.ingest()
    second = adopt(world, team)

    assert [(one.task, one.reason) for one in first.unmatched] == [
        (6, "sample b-0: in no window"),
        (7, "its data hold no key"),
        (8, "sample a-5: its row has no consent"),
    ]
    assert (first.new, second.new) == (1, 1)
    assert votes(world, "b-0") == {"ann": '"pear"'}


def test_a_dry_run_counts_and_writes_nothing(world, team):
    team.answer(1, "ann", "apple")
    before = world.records.decisions()

    report = adopt(world, team, dry_run=True)

    assert report.new == 1
    assert world.records.rounds() == []
    assert world.records.decisions() == before


@pytest.mark.parametrize("method", ["append_answers", "plan_round", "append_verdicts", "decide"])
def test_an_adoption_cut_off_anywhere_is_finished_by_running_it_again(world, team, method):
    name = team.answer(1, "ann", "apple")
    whole = world.records
    world.records = CutRecords(whole, method)
    with pytest.raises(ConnectionError):
        adopt(world, team)
    team.answer(1, "bob", "apple")  # the project does not stand still
    team.edit(name, "pear")

    adopt(world, team)
    adopt(world, team)

    assert votes(world, "a-0") == {"ann": '"pear"', "bob": '"apple"'}
    assert {item.state for item in whole.rounds()} == {"closed"}
    ids = [
        answer.answer_id
        for item in whole.rounds()
        for answer in {a.answer_id: a for a in whole.answers(item.plan.round_id)}.values()
    ]
    assert sorted(ids) == ["100", "101"]


class CutRecords:
    """Records that fail once, at the first call of one method."""

    def __init__(self, records, method):
        self._records, self._method = records, method

    def __getattr__(self, name):
        if name == self._method:
            self._method = None
            raise ConnectionError(name)
        return getattr(self._records, name)


@pytest.mark.parametrize("person", ["ann", "bob"])
def test_two_projects_whose_answers_have_the_same_ids_are_both_kept(world, team, person):
    team.answer(1, "ann", "apple")
    other = Team(number=8, data=dict(team.data))
    other.answer(1, person, "apple")

    first, second = adopt(world, team), adopt(world, other)

    assert (first.new, second.new) == (1, 1)
    assert first.round_id != second.round_id
    assert votes(world, "a-0") == dict.fromkeys(["ann", person], '"apple"')


def test_collect_and_a_sweep_leave_adopted_answers_as_they_are(world, team):
    team.answer(1, "ann", "apple")
    adopt(world, team)

    collected = collect_answers(world.workspace(), now=world.sleep(), sweep=True)
    judged = judge_answers(world.workspace(), now=world.sleep())

    assert (collected.deleted, judged.written) == (0, 0)


def test_a_declared_random_sample_has_a_probability(world, team):
    team.answer(1, "ann", "apple")
    team.answer(2, "ann", "apple")

    report = adopt(world, team, declared_random=world.state.windows()[0].window_id[:6])

    assert report.probability == pytest.approx(0.2)
    tasks = world.records.tasks(report.round_id)
    assert {task.inclusion_probability for task in tasks} == {0.2}


# --- the question ----------------------------------------------------------------------------


RIPE = Control(name="ripe", tag="Choices", several=False, options=(("yes",), ("no",)))
BOXES = Control(name="boxes", tag="RectangleLabels", several=False, options=())
MANY = Control(name="many", tag="Choices", several=True, options=(("apple",), ("pear",)))


@pytest.mark.parametrize(
    ("controls", "wishes", "message"),
    [
        ((FRUIT, RIPE), {}, "found 2.*'fruit'.*'ripe'.*--from-name"),
        ((BOXES,), {}, "found none.*RectangleLabels name='boxes'"),
        ((MANY,), {}, 'with choice="single" for kind choice, found none'),
        ((), {}, "no control"),
        ((FRUIT,), {"from_name": "veg"}, "named 'veg'"),
        ((RIPE,), {}, "offers yes, no.*no class is in both"),
        ((FRUIT,), {"classes": {"apple": "quince"}}, "--class apple=quince: expected THEIRS=OURS"),
        ((FRUIT,), {"classes": {"Apfel": "apple"}}, "theirs one of apple, pear"),
    ],
)
def test_a_page_that_does_not_ask_our_question_is_refused_in_words(
    world, team, controls, wishes, message
):
    team.controls = controls

    with pytest.raises(ConfigError, match=f"(?s){message}"):
        adopt(world, team, **wishes)


def test_of_several_controls_the_named_one_is_read(world, team):
    team.controls = (RIPE, FRUIT)
    team.answer(1, "ann", "apple", result=[*choice("yes", "ripe"), *choice("pear")])
    team.answer(2, "ann", "apple", result=choice("yes", "ripe"))

    report = adopt(world, team, from_name="fruit")

    assert votes(world, "a-0") == {"ann": '"pear"'}
    assert [(one.task, "got None" in one.reason) for one in report.outside] == [(2, True)]


@pytest.mark.parametrize(
    ("schema", "control", "given", "label"),
    [
        (
            {"kind": "choices", "classes": ["apple", "pear"]},
            MANY,
            {"choices": ["pear", "apple"]},
            '["apple","pear"]',
        ),
        (
            {"kind": "taxonomy", "classes": ["fruit/apple", "fruit/pear"]},
            replace(
                FRUIT, tag="Taxonomy", options=(("fruit",), ("fruit", "apple"), ("fruit", "pear"))
            ),
            {"taxonomy": [["fruit", "pear"]]},
            '"fruit/pear"',
        ),
        (
            {"kind": "number", "classes": [], "minimum": 0},
            Control(name="fruit", tag="Number", several=False, options=()),
            {"number": 3.5},
            "3.5",
        ),
    ],
)
def test_every_kind_of_label_is_read(world, team, schema, control, given, label):
    world.labels = fruit_labels(**schema)
    team.controls = (control,)
    team.answer(1, "ann", "", result=[{"from_name": control.name, "value": given}])

    report = adopt(world, team)

    assert (report.unknown_classes, report.outside) == ((), ())
    assert votes(world, "a-0") == {"ann": label}


def test_classes_that_the_tasks_bring_are_not_compared(world, team):
    team.controls = (replace(FRUIT, options=()),)
    team.answer(1, "ann", "pear")

    report = adopt(world, team)

    assert (report.missing_classes, report.unknown_classes) == ((), ())
    assert votes(world, "a-0") == {"ann": '"pear"'}


# --- the sample ------------------------------------------------------------------------------


def test_the_key_may_stand_in_another_field(world, team):
    team.data = {1: {"part": "a-3", "id_of_theirs": 12}}
    team.answer(1, "ann", "apple")

    with pytest.raises(ConfigError, match=r"'id' in the tasks' data.*part, id_of_theirs.*--key"):
        adopt(world, team)
    with pytest.raises(ConfigError, match="--key nr: no task has this field"):
        adopt(world, team, key="nr")
    report = adopt(world, team, key="part")

    assert report.new == 1
    assert votes(world, "a-3") == {"ann": '"apple"'}


@pytest.mark.parametrize(
    "row", [{"weight": 3, "color": "red"}, {"weight": "3", "color": "red", "more": 1}]
)
def test_without_keys_the_hash_of_the_declared_fields_finds_the_sample(tmp_path, row):
    raw = a_config().model_dump(by_alias=True)["data"]
    data = {**raw, "incoming": {"uri": f"{ROOT}/in"}}
    world = SmallWorld(tmp_path, config=a_config(data=data))
    world.arrive("a")
    world.ingest()
    team = Team(data={1: row})
    team.answer(1, "ann", "apple")

    report = adopt(world, team)

    assert (report.new, report.unmatched) == (1, ())
    (sample,) = world.records.samples(report.round_id)
    assert sample.fields == '{"color":"red","weight":3.0}'
    with pytest.raises(ConfigError, match="--field shape: no task has this field"):
        adopt(world, Team(data={1: row}, given=dict(team.given), number=9), fields=("shape",))


def test_pictures_that_are_told_by_their_bytes_are_found_by_their_files_names(tmp_path):
    data = {"kind": "image", "incoming": {"uri": f"{ROOT}/in"}}
    world = SmallWorld(tmp_path, config=a_config(data=data))
    for number, place in enumerate(("cam/a.png", "cam/twin.png", "old/twin.png")):
        picture = io.BytesIO()
        Image.new("L", (4, 4), 40 * number).save(picture, "PNG")
        world.store.put(f"{ROOT}/in/{place}", picture.getvalue(), modified_at=world.now)
    world.ingest()
    shown = ("https://cdn.test/x/a.png", f"{ROOT}/in/old/twin.png", "https://cdn.test/x/twin.png")
    team = Team()
    team.show(*({"image": address} for address in shown))
    for task in (1, 2, 3):
        team.answer(task, "ann", "apple")

    report = adopt(world, team, key="image")

    samples = world.records.samples(report.round_id)
    assert {one.media_uri for one in samples} == {f"{ROOT}/in/cam/a.png", f"{ROOT}/in/old/twin.png"}
    # Two files are called so: nobody can tell which.
    assert [one.task for one in report.unmatched] == [3]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("a-1", "a-1"),
        (17, "17"),
        ("s3://bucket/in/a-1.png", "a-1"),
        ("https://x.test/in/a%201.png?X-Amz-Signature=0&d=", "a 1"),
        ("/data/local-files/?d=in/a-1.png", "a-1"),
        ("/data/upload/3/0f1e2d3c-a-1.png", "a-1"),
    ],
)
def test_a_file_is_found_by_the_name_in_its_address(address, name):
    files = Identity(key="image", fields=(), media=True)
    rows = Identity(key="image", fields=(), media=False)

    assert name in files.candidates([{"image": address}])[0]
    assert rows.candidates([{"image": address}]) == [(str(address),)]
    assert files.candidates([{"image": None}, {}, {"image": ["a"]}]) == [(), (), ()]


# --- the command -----------------------------------------------------------------------------


def test_the_command_wants_to_know_where_label_studio_is(world):
    told = world.call(app, "label-studio", "7")

    assert isinstance(told.exception, ConfigError)
    assert "LABEL_STUDIO_URL" in str(told.exception)


def test_a_class_without_a_name_of_ours_is_a_mistake_in_the_call(world):
    told = world.call(app, "label-studio", "7", "--class", "plum")

    assert told.exit_code == 2
    assert "expected THEIRS=OURS" in told.output


def test_what_came_of_it_is_told_in_words(world, team):
    team.controls = (replace(FRUIT, options=(("apple",), ("plum",))),)
    team.show({"id": "z-9"})
    team.answer(1, "ann", "apple")
    team.answer(2, "bob", "plum")
    team.answer(6, "bob", "apple")
    name = team.answer(3, "ann", None)

    looked = list(adopt_words.project(adopt(world, team, dry_run=True), dry_run=True))
    first = list(adopt_words.project(adopt(world, team), dry_run=False))
    team.edit(name, "apple")
    second = list(adopt_words.project(adopt(world, team), dry_run=False))

    assert [line for line in looked if "would be adopted" in line and "1 of them skipped" in line]
    assert "  classes nobody could pick there: pear" in first
    assert "  1 answers kept as given, but no label here" in first
    assert "    task 6, answer 102 (bob@example.com): sample z-9: in no window" in first
    assert first[-1] == "Next: `retrue validate`, then `retrue version` publishes the labels."
    assert "  1 of those adopted before have changed" in second
    assert second[-1].startswith("Next: `retrue validate` judges what changed")
