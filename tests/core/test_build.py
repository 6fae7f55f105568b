"""From records to rows: which verdict counts, who picked it, how likely, which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.core.build import RoundFacts, build_rows, diff_rows
from retrue.core.card import card_text
from retrue.core.dataset_split import FirstLabel, Splits
from retrue.core.version_plan import VersionPlan, version_data, version_plan, version_plans
from retrue.errors import RecordError
from retrue.records import (
    Arm,
    DatasetRow,
    Decision,
    Manifest,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    VerdictStatus,
    Window,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
FILE = "verdicts-0001.parquet"


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def sample(sample_id: str, **changes: object) -> Sample:
    plain = Sample(
        sample_id=sample_id,
        revision=f"rev-{sample_id}",
        window_id="w1",
        uri="s3://b/k",
        object_version="1",
        row=None,
        fields="{}",
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )
    return replace(plain, **changes)


def verdict(
    sample_id: str, label: str = '"x"', *, at: float, status: VerdictStatus = "accepted"
) -> Verdict:
    return Verdict(
        sample_id=sample_id,
        label=label if status == "accepted" else None,
        confidence=0.87654321,
        n_answers=2,
        status=status,
        method="majority",
        reason="",
        schema_version=1,
        decided_at=day(at),
    )


def window(window_id: str) -> Window:
    return Window(
        window_id=window_id,
        stream="incoming",
        objects=(),
        rows=100,
        eligible=100,
        duplicates=0,
        quarantined=0,
        first_time=None,
        last_time=None,
        model_version=None,
        recorded_at=START,
    )


def facts(
    round_id: str,
    asked: Sequence[tuple[Sample, Arm]],
    verdicts: Mapping[str, Sequence[Verdict]] | Sequence[Verdict],
    *,
    planned: float = 0,
    drawn: int = 0,
    frame: int = 0,
    windows: Sequence[str] = ("w1",),
    chance: float | None = None,
) -> RoundFacts:
    plan = RoundPlan(
        round_id=round_id,
        kind="incoming",
        cause=round_id,
        why="",
        population=tuple(window(name) for name in windows),
        frame_rows=frame,
        seed="s",
        arms={"audit": drawn} if drawn else {},
        schema_version=1,
        guideline_version="g1",
        cost_per_label=0.0,
        currency="EUR",
        parent=None,
        planned_at=day(planned),
    )
    tasks = [
        Task(
            task_key=f"{round_id}-{number}",
            round_id=round_id,
            sample_id=about.sample_id,
            arm=arm,
            group="crowd",
            overlap=1,
            score=None,
            inclusion_probability=chance,
            trigger="",
            schema_version=1,
            guideline_version="g1",
            predicted=None,
            predicted_probability=None,
            gold=None,
        )
        for number, (about, arm) in enumerate(asked)
    ]
    return RoundFacts(
        plan=plan,
        samples=[about for about, _ in asked],
        tasks=tasks,
        verdicts=verdicts if isinstance(verdicts, Mapping) else {FILE: verdicts},
    )


def plan(version: int, *files: str, **changes: object) -> VersionPlan:
    plain = VersionPlan(
        version=version,
        verdict_files=files,
        schema_version=1,
        guideline_version="g1",
        eval_share=1.0,
        temporal_cutoff=None,
        at=day(100 + version),
    )
    return replace(plain, **changes)


def keep(label: str, _from: int, _to: int) -> str | None:
    return label


def rows_of(
    rounds: Sequence[RoundFacts], *plans: VersionPlan, forgotten: frozenset[str] = frozenset()
) -> dict[str, DatasetRow]:
    """The last plan's rows, by sample."""
    rows = build_rows(rounds, plans, version=plans[-1].version, migrate=keep, forgotten=forgotten)
    return {row.sample_id: row for row in rows}


def test_one_labelled_sample_worked_by_hand():
    asked = sample("a", multiplicity=3, group="part-7")
    rounds = [facts("r1", [(asked, "audit")], [verdict("a", at=1)], drawn=25, frame=100)]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}"))

    assert rows["a"] == DatasetRow(
        sample_id="a",
        label='"x"',
        confidence=0.8765,
        n_answers=2,
        verdict=f"r1/{FILE}",
        arm="audit",
        inclusion_probability=0.25,
        multiplicity=3,
        round_id="r1",
        window_id="w1",
        group="part-7",
        split="eval",
        schema_version=1,
        guideline_version="g1",
        labelled_at=day(1),
    )


def test_the_last_verdict_counts_by_time_then_planning_then_file():
    a = sample("a")
    first = facts(
        "r1",
        [(a, "active")],
        {FILE: [verdict("a", '"1"', at=5)], "verdicts-0002.parquet": [verdict("a", '"2"', at=5)]},
    )
    second = facts("r2", [(a, "relabel")], [verdict("a", '"3"', at=5)], planned=2)
    both = (f"r1/{FILE}", "r1/verdicts-0002.parquet")

    by_file = rows_of([first, second], plan(1, *both))
    by_planning = rows_of([first, second], plan(1, *both, f"r2/{FILE}"))

    assert by_file["a"].label == '"2"'
    assert by_planning["a"].label == '"3"'
    assert by_planning["a"].round_id == "r1"
    assert by_planning["a"].arm == "active"


@pytest.mark.parametrize("status", ["disputed", "unanswerable", "missing"])
def test_a_sample_without_an_accepted_verdict_has_no_row(status: VerdictStatus):
    files = {
        FILE: [verdict("a", at=1)],
        "verdicts-0002.parquet": [verdict("a", at=2, status=status)],
    }
    rounds = [facts("r1", [(sample("a"), "active")], files)]

    assert rows_of(rounds, plan(1, f"r1/{FILE}")).keys() == {"a"}
    assert rows_of(rounds, plan(1, f"r1/{FILE}", "r1/verdicts-0002.parquet")) == {}


def test_a_later_round_that_nobody_answered_does_not_take_a_label_away():
    a = sample("a")
    rounds = [
        facts("r1", [(a, "active")], [verdict("a", at=1)]),
        facts("r2", [(a, "relabel")], [verdict("a", at=9, status="missing")], planned=5),
    ]

    assert rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}")).keys() == {"a"}


def test_an_adjudicated_audit_sample_stays_audit_and_eval():
    a = sample("a")
    rounds = [
        facts("r1", [(a, "audit")], [verdict("a", at=1, status="disputed")], drawn=10, frame=100),
        facts("d1", [(a, "dispute")], [verdict("a", at=3)], planned=2, windows=()),
    ]

    row = rows_of(rounds, plan(1, f"r1/{FILE}", f"d1/{FILE}"))["a"]

    assert (row.arm, row.split, row.round_id) == ("audit", "eval", "r1")
    assert row.inclusion_probability == 0.1
    assert row.verdict == f"d1/{FILE}"


def test_the_chance_of_an_audit_row_is_over_every_draw_whose_frame_held_it():
    a = sample("a", window_id="w1")
    rounds = [
        facts("r1", [(a, "audit")], [verdict("a", at=1)], drawn=20, frame=100, windows=["w1"]),
        facts("p1", [(sample("b"), "audit")], [verdict("b", at=2)], planned=1, drawn=50, frame=100),
        facts(
            "r3",
            [(sample("c", window_id="w2"), "audit")],
            [verdict("c", at=3)],
            planned=2,
            drawn=50,
            frame=100,
            windows=["w2"],
        ),
    ]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}", f"p1/{FILE}", f"r3/{FILE}"))

    assert rows["a"].inclusion_probability == pytest.approx(1 - 0.8 * 0.5)
    assert rows["b"].inclusion_probability == pytest.approx(1 - 0.8 * 0.5)
    assert rows["c"].inclusion_probability == 0.5


def test_a_draw_with_unequal_chances_says_its_own():
    rounds = [
        facts("r1", [(sample("a"), "audit")], [verdict("a", at=1)], drawn=1, frame=4, chance=0.9)
    ]

    assert rows_of(rounds, plan(1, f"r1/{FILE}"))["a"].inclusion_probability == 0.9


@pytest.mark.parametrize(
    ("arm", "expected"), [("random", 0.5), ("adopted", 0.5), ("active", None), ("quota", None)]
)
def test_only_arms_drawn_by_chance_carry_a_chance(arm: Arm, expected: float | None):
    rounds = [facts("r1", [(sample("a"), arm)], [verdict("a", at=1)], chance=0.5)]

    row = rows_of(rounds, plan(1, f"r1/{FILE}"))["a"]

    assert (row.inclusion_probability, row.split) == (expected, "train")


def test_later_rounds_and_verdicts_change_no_earlier_version():
    a = sample("a")
    early = [facts("r1", [(a, "active")], [verdict("a", at=1)])]
    late = [
        replace(
            early[0],
            verdicts={**early[0].verdicts, "verdicts-0002.parquet": [verdict("a", '"y"', at=9)]},
        ),
        facts("r2", [(a, "audit")], [verdict("a", at=9)], planned=8, drawn=5, frame=10),
    ]
    one = plan(1, f"r1/{FILE}")

    assert rows_of(late, one) == rows_of(early, one)


def test_a_group_keeps_the_split_it_got_first():
    first, later = sample("a", group="g"), sample("b", group="g")
    rounds = [
        facts("r1", [(first, "active")], [verdict("a", at=1)]),
        facts("r2", [(later, "audit")], [verdict("b", at=0.5)], planned=2, drawn=1, frame=2),
    ]
    one = plan(1, f"r1/{FILE}")
    two = plan(2, f"r1/{FILE}", f"r2/{FILE}")

    rows = rows_of(rounds, one, two)

    # b was labelled before a, but version 1 had recorded the group by then.
    assert (rows["a"].split, rows["b"].split) == ("train", "train")
    assert rows["b"].arm == "audit"


def test_a_group_first_seen_by_audit_is_eval_with_all_that_follows():
    rounds = [
        facts("r1", [(sample("a", group="g"), "audit")], [verdict("a", at=1)], drawn=1, frame=2),
        facts("r2", [(sample("b", group="g"), "active")], [verdict("b", at=2)], planned=2),
    ]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}"))

    assert {row.split for row in rows.values()} == {"eval"}


def test_of_labels_at_the_same_time_audit_comes_first():
    asked: list[tuple[Sample, Arm]] = [
        (sample("a", group="g"), "active"),
        (sample("b", group="g"), "audit"),
    ]
    rounds = [facts("r1", asked, [verdict("a", at=1), verdict("b", at=1)], drawn=1, frame=2)]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}"))

    assert {row.split for row in rows.values()} == {"eval"}


def test_an_active_sample_audited_later_stays_in_training():
    a = sample("a")
    rounds = [
        facts("r1", [(a, "active")], [verdict("a", at=1)]),
        facts("r2", [(a, "audit")], [verdict("a", at=5)], planned=4, drawn=1, frame=2),
    ]

    row = rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}"))["a"]

    assert (row.arm, row.split) == ("audit", "train")


def test_the_eval_share_is_a_share_of_audited_groups():
    names = [f"s{number}" for number in range(2000)]
    asked: list[tuple[Sample, Arm]] = [(sample(name), "audit") for name in names]
    verdicts = [verdict(name, at=1) for name in names]
    rounds = [facts("r1", asked, verdicts, drawn=2000, frame=4000)]

    split = {
        share: {
            name
            for name, row in rows_of(rounds, plan(1, f"r1/{FILE}", eval_share=share)).items()
            if row.split == "eval"
        }
        for share in (0.0, 0.3, 0.5, 1.0)
    }

    assert split[0.0] == set()
    assert split[1.0] == set(names)
    assert split[0.3] < split[0.5]
    assert 0.25 < len(split[0.3]) / 2000 < 0.35


@pytest.mark.parametrize("shared", [{"media_sha256": "m"}, {"revision": "same"}])
@pytest.mark.parametrize(("first", "split"), [("active", "train"), ("audit", "eval")])
def test_a_copy_takes_the_split_its_content_had_first(
    shared: dict[str, object], first: Arm, split: str
):
    second: Arm = "audit" if first == "active" else "active"
    rounds = [
        facts("r1", [(sample("a", **shared), first)], [verdict("a", at=1)], drawn=1, frame=9),
        facts("r2", [(sample("b", **shared), second)], [verdict("b", at=2)], drawn=1, frame=9),
    ]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}"))

    assert {row.split for row in rows.values()} == {split}


def test_a_sample_that_bridges_train_and_eval_stays_out_of_training():
    splits = Splits({})
    train = sample("t", revision="rt")
    evaluation = sample("e", media_sha256="me")
    bridge = sample("b", revision="rt", media_sha256="me")

    for about, audit in ((train, False), (evaluation, True), (bridge, False)):
        label = FirstLabel(sample=about, at=START, audit=audit, place=(START, "r"))
        splits.add([label], eval_share=1.0, cutoff=None)

    assert [splits.of(about) for about in (train, evaluation, bridge)] == ["train", "eval", "eval"]


def test_a_recorded_split_outlives_what_gave_it():
    splits = Splits({"b": "train"})
    labels = [
        FirstLabel(sample=sample(name, group="g"), at=day(n), audit=True, place=(START, "r"))
        for n, name in enumerate("bc")
    ]

    splits.add(labels, eval_share=1.0, cutoff=None)

    assert [splits.of(label.sample) for label in labels] == ["train", "train"]


def test_with_a_cutoff_only_newer_audit_samples_are_for_evaluation():
    asked: list[tuple[Sample, Arm]] = [
        (sample("old", time=day(0)), "audit"),
        (sample("new", time=day(2)), "audit"),
        (sample("untimed"), "audit"),
        (sample("picked", time=day(2)), "active"),
    ]
    rounds = [facts("r1", asked, [verdict(s.sample_id, at=3) for s, _ in asked], drawn=3, frame=9)]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}", temporal_cutoff=day(1)))

    assert {name: row.split for name, row in rows.items()} == {
        "old": "train",
        "new": "eval",
        "untimed": "eval",
        "picked": "train",
    }


def test_a_forgotten_sample_leaves_every_version_and_moves_nobody():
    rounds = [
        facts("r1", [(sample("a", group="g"), "active")], [verdict("a", at=1)]),
        facts("r2", [(sample("b", group="g"), "audit")], [verdict("b", at=2)], drawn=1, frame=2),
    ]
    one = plan(1, f"r1/{FILE}", f"r2/{FILE}")

    before = rows_of(rounds, one)
    after = rows_of(rounds, one, forgotten=frozenset({"a"}))

    assert after == {"b": before["b"]}


def test_labels_are_given_under_the_versions_schema():
    rounds = [
        facts(
            "r1",
            [(sample("a"), "active"), (sample("b"), "active")],
            [verdict("a", '"car"', at=1), verdict("b", '"van"', at=1)],
        )
    ]
    merged = {'"car"': '"vehicle"'}

    def migrate(label: str, since: int, to: int) -> str | None:
        return label if since == to else merged.get(label)

    plans = [plan(1, f"r1/{FILE}"), plan(2, f"r1/{FILE}", schema_version=2)]
    old = build_rows(rounds, plans, version=1, migrate=migrate)
    new = build_rows(rounds, plans, version=2, migrate=migrate)

    assert [row.label for row in old] == ['"car"', '"van"']
    assert [(row.label, row.schema_version) for row in new] == [('"vehicle"', 1)]


def test_a_new_revision_of_a_sample_has_the_facts_of_its_own_draw():
    old = sample("a", revision="1", window_id="w1", multiplicity=5)
    new = sample("a", revision="2", window_id="w2", multiplicity=7)
    rounds = [
        facts("r1", [(old, "audit")], [verdict("a", at=1)], drawn=1, frame=2),
        facts("r2", [(new, "active")], [verdict("a", '"y"', at=5)], planned=4, windows=["w2"]),
    ]

    row = rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}"))["a"]

    assert (row.round_id, row.window_id, row.multiplicity) == ("r2", "w2", 7)
    assert (row.arm, row.inclusion_probability) == ("active", None)


def test_records_that_are_not_there_are_named():
    rounds = [facts("r1", [(sample("a"), "active")], [verdict("a", at=1)])]

    with pytest.raises(RecordError, match=r"version 1 joins r9/.*dvc pull"):
        rows_of(rounds, plan(1, f"r9/{FILE}"))
    with pytest.raises(RecordError, match=r"r1/verdicts-0007\.parquet"):
        rows_of(rounds, plan(1, "r1/verdicts-0007.parquet"))


def test_a_verdict_about_nobody_is_an_error():
    stranger = [facts("r1", [(sample("a"), "active")], [verdict("z", at=1)])]
    unasked = replace(facts("r1", [(sample("a"), "active")], [verdict("a", at=1)]), tasks=[])

    with pytest.raises(RecordError, match="sample z"):
        rows_of(stranger, plan(1, f"r1/{FILE}"))
    with pytest.raises(RecordError, match="no round has a task"):
        rows_of([unasked], plan(1, f"r1/{FILE}"))
    with pytest.raises(RecordError, match="task r1-0 is about sample a"):
        rows_of([replace(unasked, samples=[], tasks=stranger[0].tasks)], plan(1, f"r1/{FILE}"))


NAMES = st.sampled_from("abcdef")
STATUS: st.SearchStrategy[VerdictStatus] = st.sampled_from(["accepted", "disputed", "missing"])
ARMS: st.SearchStrategy[Arm] = st.sampled_from(["audit", "random", "active"])


@st.composite
def round_facts(draw: st.DrawFn, number: int) -> RoundFacts:
    arms = draw(st.dictionaries(NAMES, ARMS, min_size=1))
    in_window = {name: f"w{ord(name) % 2}" for name in arms}
    asked = [(sample(name, window_id=in_window[name]), arm) for name, arm in arms.items()]
    one = st.builds(verdict, st.sampled_from(sorted(arms)), at=st.integers(0, 5), status=STATUS)
    return facts(
        f"r{number}",
        asked,
        {FILE: draw(st.lists(one)), "verdicts-0002.parquet": draw(st.lists(one))},
        planned=draw(st.integers(0, 3)),
        drawn=draw(st.integers(0, 2)),
        frame=4,
        windows=draw(st.sets(st.sampled_from(["w0", "w1"]))),
    )


@given(st.data())
def test_a_version_is_the_same_whether_its_records_came_at_once_or_bit_by_bit(data: st.DataObject):
    rounds = [data.draw(round_facts(number)) for number in range(3)]
    files = [f"{found.plan.round_id}/{file}" for found in rounds for file in found.verdicts]
    order = data.draw(st.permutations(files))
    steps = [plan(number, *order[:number]) for number in range(1, len(files) + 1)]

    bit_by_bit = rows_of(rounds, *steps)
    at_once = rows_of(rounds[::-1], plan(9, *sorted(order)))

    # Only splits may depend on what was known when.
    assert {name: replace(row, split="train") for name, row in bit_by_bit.items()} == {
        name: replace(row, split="train") for name, row in at_once.items()
    }


def test_a_version_that_drops_a_file_has_nothing_of_it():
    rounds = [
        facts("r1", [(sample("a"), "active")], [verdict("a", at=1)]),
        facts("r2", [(sample("b"), "active")], [verdict("b", at=1)]),
    ]

    rows = rows_of(rounds, plan(1, f"r1/{FILE}", f"r2/{FILE}"), plan(2, f"r2/{FILE}"))

    assert rows.keys() == {"b"}


def test_a_version_that_nobody_planned_is_a_mistake():
    with pytest.raises(ValueError, match="got 2"):
        build_rows([], [plan(1)], version=2, migrate=keep)


def test_a_diff_lists_what_came_went_and_changed():
    rounds = [
        facts("r1", [(sample(name), "active") for name in "abc"], [verdict(n, at=1) for n in "abc"])
    ]
    old = list(rows_of(rounds, plan(1, f"r1/{FILE}")).values())
    a, b, c = old
    changed = replace(b, label='"other"')

    diff = diff_rows([a, b], [c, changed])

    assert (diff.added, diff.changed, diff.removed, diff.same) == ((c,), ((b, changed),), (a,), 0)
    assert diff_rows(old, reversed(old)).same == 3


def decision(data: Mapping[str, object], decision_id: str = "d1") -> Decision:
    return Decision(decision_id=decision_id, kind="version", at=START, by="me", data=data)


def test_a_version_decision_is_read_as_it_was_written():
    wanted = plan(3, f"r1/{FILE}", temporal_cutoff=day(1), eval_share=0.5, at=START)

    assert version_plan(decision(version_data(wanted))) == wanted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 0),
        ("version", True),
        ("verdict_files", None),
        ("verdict_files", ["r1"]),
        ("verdict_files", ["r1/f", "r1/f"]),
        ("schema_version", "1"),
        ("guideline_version", 1),
        ("eval_share", 1.5),
        ("temporal_cutoff", "2026-01-01"),
        ("temporal_cutoff", "soon"),
        ("temporal_cutoff", 5),
    ],
)
def test_a_version_decision_that_says_nonsense_is_refused(key: str, value: object):
    data = {**version_data(plan(1)), key: value}

    with pytest.raises(RecordError, match="version/d1"):
        version_plan(decision(data))


def test_two_decisions_about_one_version_are_refused():
    data = version_data(plan(1))

    with pytest.raises(RecordError, match="version 1: expected one decision"):
        version_plans([decision(data), decision(data, "d2")])


def test_a_card_is_plain_and_data_cannot_write_in_it():
    label = '"<b>|`x`"'
    rounds = [facts("r1", [(sample("a"), "active")], [verdict("a", label, at=1)])]
    rows = list(rows_of(rounds, plan(1, f"r1/{FILE}")).values())
    manifest = Manifest(
        project="cars",
        version=1,
        rows=1,
        train=1,
        evaluation=0,
        digest="0" * 64,
        content_digest="0" * 64,
        schema_version=1,
        guideline_version="g1",
        classes={label: 1},
        rounds=("r1",),
        verdict_files=(f"r1/{FILE}",),
        base="labels/base-1.parquet",
        deltas=(),
        added=1,
        changed=0,
        removed=0,
        built_at=START,
    )

    card = card_text(manifest, diff_rows([], rows), rows, temporal_cutoff=day(1))

    assert card.startswith("# cars, dataset version 1\n")
    assert "1 added, 0 changed, 0 removed, 0 the same" in card
    assert "| `\"<b>/'x'\"` | 1 |" in card
    assert "2026-03-02" in card
