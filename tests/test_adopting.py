from __future__ import annotations

import pytest

from retrue.acts.adopting import adopt_labels
from retrue.acts.label_files import LabelLine, read_label_file
from retrue.cli.adopts import app
from retrue.errors import ConfigError, WorkspaceError
from retrue.reading.ballots import gather
from retrue.steps.collect import collect_answers
from retrue.steps.push import push_tasks
from retrue.steps.validate import judge_answers
from small_world import SmallWorld


@pytest.fixture
def world(tmp_path):
    world = SmallWorld(tmp_path)
    world.arrive("a")
    world.ingest()
    return world


def lines(**said):
    return [
        LabelLine(line=i, key=key.replace("_", "-"), value=value, annotator=None)
        for i, (key, value) in enumerate(said.items(), start=2)
    ]


def adopt(world, told, **options):
    return adopt_labels(
        world.workspace("pat"), told, source="old.csv", now=world.sleep(), **options
    )


def verdicts(world, round_id):
    return {v.sample_id: v for _, found in world.records.verdict_files(round_id) for v in found}


def test_labels_become_a_closed_round_that_costs_nothing_and_asks_nobody(world):
    report = adopt(world, lines(a_0="apple", a_1="pear"))

    item = world.records.round(report.round_id)
    assert item.state == "closed"
    assert item.plan.kind == "adopted"
    assert item.plan.cost_per_label == 0
    tasks = world.records.tasks(report.round_id)
    assert {(t.sample_id, t.arm, t.overlap, t.inclusion_probability) for t in tasks} == {
        ("a-0", "adopted", 0, None),
        ("a-1", "adopted", 0, None),
    }
    found = verdicts(world, report.round_id)
    assert {(v.sample_id, v.label, v.method) for v in found.values()} == {
        ("a-0", '"apple"', "adopted"),
        ("a-1", '"pear"', "adopted"),
    }
    push_tasks(world.workspace(), now=world.sleep())
    assert world.queue.tasks(task.task_key for task in tasks) == []


def test_adopted_labels_become_a_dataset_version(world):
    adopt(world, lines(a_0="apple", a_1="pear"))

    version = world.publish()

    rows = world.repo.rows(version)
    assert [(row.sample_id, row.label, row.arm) for row in rows] == [
        ("a-0", '"apple"', "adopted"),
        ("a-1", '"pear"', "adopted"),
    ]


def test_adopting_twice_adds_nothing(world):
    first = adopt(world, lines(a_0="apple", a_1="pear"))

    second = adopt(world, lines(a_0="apple", a_1="pear"))

    assert first.samples == 2
    assert (second.round_id, second.samples, second.known) == (None, 0, 2)
    assert len(world.records.rounds()) == 1


def test_a_file_that_grew_brings_only_what_is_new(world):
    adopt(world, lines(a_0="apple"))

    report = adopt(world, lines(a_0="apple", a_1="pear"))

    assert [s.sample_id for s in world.records.samples(report.round_id)] == ["a-1"]


def test_keys_that_are_nowhere_or_lack_consent_are_quarantined_with_a_reason(world):
    report = adopt(world, lines(a_0="apple", z_9="pear", a_5="pear"))

    assert [(one.line, one.reason) for one in report.unknown] == [
        (3, "key z-9: in no window"),
        (4, "key a-5: its row has no consent"),
    ]
    (made,) = world.records.decisions("labels-adopted")
    assert made.data["unknown"] == 2
    assert made.data["quarantined"][0] == {"line": 3, "reason": "key z-9: in no window"}


def test_labels_outside_the_schema_are_reported_line_by_line(world):
    report = adopt(world, lines(a_0="apple", a_1="plum"))

    assert [one.line for one in report.bad] == [3]
    assert "plum" in report.bad[0].reason
    assert report.samples == 1


def test_people_who_disagree_leave_a_dispute_and_no_label(world):
    told = [
        LabelLine(line=2, key="a-0", value="apple", annotator="ann"),
        LabelLine(line=3, key="a-0", value="pear", annotator="bob"),
    ]

    report = adopt(world, told)

    assert report.disputed == 1
    verdict = verdicts(world, report.round_id)["a-0"]
    assert (verdict.status, verdict.label, verdict.n_answers) == ("disputed", None, 2)


def test_a_declared_random_sample_has_a_probability(world):
    window = world.state.windows()[0]
    assert window.eligible == 10

    report = adopt(world, lines(a_0="apple", a_1="pear"), declared_random=window.window_id[:6])

    assert report.probability == pytest.approx(0.2)
    assert {t.inclusion_probability for t in world.records.tasks(report.round_id)} == {0.2}
    with pytest.raises(WorkspaceError, match="expected one recorded window"):
        adopt(world, lines(a_2="apple"), declared_random="nothing")


def test_a_dry_run_counts_and_writes_nothing(world):
    before = world.records.decisions()

    report = adopt(world, lines(a_0="apple"), dry_run=True)

    assert report.samples == 1
    assert world.records.rounds() == []
    assert world.records.decisions() == before


class CutRecords:
    """Records that fail once, at the first call of one method."""

    def __init__(self, records, method):
        self._records, self._method = records, method

    def __getattr__(self, name):
        if name == self._method:
            self._method = None
            raise ConnectionError(name)
        return getattr(self._records, name)


@pytest.mark.parametrize("method", ["plan_round", "append_answers", "append_verdicts"])
def test_an_adoption_cut_off_anywhere_is_finished_by_running_it_again(world, method):
    told, whole = lines(a_0="apple", a_1="pear"), world.records
    world.records = CutRecords(whole, method)
    with pytest.raises(ConnectionError):
        adopt(world, told)

    adopt(world, told)

    (item,) = whole.rounds()
    assert item.state == "closed"
    assert len(whole.answers(item.plan.round_id)) == 2
    assert set(verdicts(world, item.plan.round_id)) == {"a-0", "a-1"}


def test_validate_and_a_sweep_leave_adopted_labels_as_they_are(world):
    report = adopt(world, lines(a_0="apple", a_1="pear"))

    collected = collect_answers(world.workspace(), now=world.sleep(), sweep=True)
    judged = judge_answers(world.workspace(), now=world.sleep())

    assert collected.deleted == 0
    assert judged.written == 0
    assert len(gather(world.workspace(), now=world.now)["a-0"].ballot.votes) == 1
    assert len(world.records.verdict_files(report.round_id)) == 1


def test_a_file_is_read_with_the_line_numbers_an_editor_shows(tmp_path):
    path = tmp_path / "old.csv"
    path.write_text("id,label,who\na-0,apple,ann\n,pear,ann\na-2,,bob\na-3,pear\n")

    told, unfit = read_label_file(path, key="id", label="label", annotator="who")

    assert [(one.line, one.key, one.value, one.annotator) for one in told] == [
        (2, "a-0", "apple", "ann")
    ]
    assert sorted((one.line, one.reason) for one in unfit) == [
        (3, "no key"),
        (4, "no label"),
        (5, "expected 3 cells, got 2"),
    ]


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_text('{"id": 7, "answer": "apple"}\n')

    with pytest.raises(ConfigError, match="'label', got columns id, answer"):
        read_label_file(path, key="id", label="label")


def test_the_command_adopts_by_the_streams_key_and_says_what_it_left_out(world, tmp_path):
    path = tmp_path / "old.csv"
    path.write_text("id,label\na-0,apple\na-1,plum\nz-1,pear\n")

    result = world.call(app, "labels", str(path))

    assert result.exit_code == 0, result.output
    assert "1 samples are adopted" in result.output
    assert "line 3" in result.output
    assert "key z-1: in no window" in result.output
    assert world.records.decisions("labels-adopted")[0].by == "pat"
