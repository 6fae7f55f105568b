"""Gathering what was ever asked and said about a sample, whichever round it was in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.config import Labels
from retrue.reading.ballots import Asked, gather, last_verdicts
from retrue.records import (
    AnnotatorGroup,
    Answer,
    AnswerStatus,
    Arm,
    RoundPlan,
    Sample,
    Task,
    Verdict,
)
from world import NOON, World, a_config, some_labels


class Records:
    """A record of small rounds about one sample."""

    def __init__(self, folder: Path, *, labels: Labels | None = None, **config: object) -> None:
        self.record = MemoryRoundRecord()
        self.world = World(
            folder,
            config=a_config(**config),
            labels=labels or some_labels(),
            records=self.record,
        )
        self.seq = 0

    def ask(
        self,
        name: str,
        arm: Arm = "random",
        *,
        overlap: int = 1,
        group: AnnotatorGroup = "crowd",
        opened: bool = True,
        schema: int = 1,
        predicted: str | None = None,
    ) -> None:
        """A round with one task, `name` for both."""
        at = NOON + timedelta(hours=len(self.record.rounds()))
        plan = RoundPlan(
            round_id=name,
            kind="adhoc",
            cause=name,
            why="",
            population=(),
            frame_rows=0,
            seed="s",
            arms={arm: 1},
            schema_version=schema,
            guideline_version="1",
            cost_per_label=0.0,
            currency="EUR",
            parent=None,
            planned_at=at,
        )
        task = Task(
            task_key=name,
            round_id=name,
            sample_id="a",
            arm=arm,
            group=group,
            overlap=overlap,
            score=None,
            inclusion_probability=None,
            trigger="",
            schema_version=schema,
            guideline_version="1",
            predicted=predicted,
            predicted_probability=0.9 if predicted else None,
            gold=None,
        )
        self.record.plan_round(plan, [a_sample()], [task])
        if opened:
            self.decide("round-opened", name)

    def decide(self, kind: str, name: str, **data: str | None) -> None:
        self.world.workspace().decide(kind, name, now=NOON, data={"round": name, **data})

    def say(
        self,
        task: str,
        person: str,
        label: str | None,
        *,
        status: AnswerStatus = "answered",
        answer_id: str = "",
        note: str = "",
        days: float = 0,
    ) -> None:
        self.seq += 1
        answer = Answer(
            seq=self.seq,
            answer_id=answer_id or str(self.seq),
            revision=str(self.seq),
            task_key=task,
            annotator=person,
            status=status,
            value=label if label is None or label.startswith("{") else json.dumps(label),
            note=note,
            lead_seconds=2.0,
            answered_at=NOON,
            observed_at=NOON + timedelta(days=days),
        )
        self.record.append_answers(task, [answer])

    def gathered(self, **time: float) -> Asked:
        return gather(self.world.workspace(), now=NOON + timedelta(**time))["a"]


def a_sample() -> Sample:
    return Sample(
        sample_id="a",
        revision="r",
        window_id="w",
        uri="memory://bucket/in/a",
        object_version="1",
        row=0,
        fields="{}",
        media_uri=None,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def votes(asked: Asked) -> list[tuple[str, str | None]]:
    return [(vote.annotator, vote.label) for vote in asked.ballot.votes]


def test_what_several_rounds_asked_about_a_sample_is_one_ballot(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", predicted='"left"')
    made.ask("two", "audit", overlap=2, predicted='"right"')
    made.say("one", "ann", "left")
    made.say("two", "bob", "right")

    asked = made.gathered()

    assert (asked.rounds, asked.task_keys) == (("one", "two"), ("one", "two"))
    assert votes(asked) == [("ann", '"left"'), ("bob", '"right"')]
    assert asked.ballot.people_only
    assert asked.ballot.predicted == '"left"'  # before anybody answered
    assert not asked.ballot.complete
    assert not asked.disputed


def test_the_same_persons_later_word_supersedes_the_earlier_one(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", "audit", overlap=2)
    made.ask("two")
    made.say("one", "ann", "left")
    made.say("one", "bob", "left")
    made.say("two", "ann", "right")

    assert votes(made.gathered()) == [("bob", '"left"'), ("ann", '"right"')]


def test_two_answers_of_one_person_do_not_complete_a_task_for_two(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", "audit", overlap=2)
    made.say("one", "ann", "left", answer_id="1")
    made.say("one", "ann", "left", answer_id="2")

    alone = made.gathered()
    made.say("one", "bob", "left")

    assert (len(alone.ballot.votes), alone.ballot.complete) == (1, False)
    assert made.gathered().ballot.complete


def test_a_task_that_wants_no_further_answer_is_complete_as_it_is(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one")
    made.ask("two", "audit", overlap=0)
    made.say("one", "ann", "left")

    assert made.gathered().ballot.complete


def test_a_round_that_waits_for_approval_holds_nobody_up(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one")
    made.say("one", "ann", "left")
    made.ask("two", opened=False)

    waiting = made.gathered()
    made.decide("round-opened", "two")

    assert waiting.ballot.complete
    assert waiting.rounds == ("one", "two")
    assert not made.gathered().ballot.complete


def test_a_sample_that_only_a_planned_round_holds_waits(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", opened=False)

    assert not made.gathered(days=99).ballot.complete
    assert not made.gathered(days=99).ballot.overdue


def test_a_cancelled_round_never_happened(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one")
    made.say("one", "ann", "left")
    made.ask("two")
    made.say("two", "bob", "right")
    made.decide("round-cancelled", "two", why="a mistake")

    asked = made.gathered()

    assert (asked.rounds, votes(asked)) == (("one",), [("ann", '"left"')])


def test_a_deleted_answer_leaves_the_question_open_and_a_skip_tells_why(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", overlap=2)
    made.say("one", "ann", "left", answer_id="1")
    made.say("one", "ann", None, answer_id="1", status="deleted")
    made.say("one", "bob", None, status="skipped", note="too dark")

    (vote,) = made.gathered().ballot.votes

    assert (vote.annotator, vote.label, vote.problem) == ("bob", None, "bob skipped it: too dark")
    assert not made.gathered().ballot.complete


def test_a_voided_answer_does_not_count_and_is_not_asked_for_again(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one")
    made.say("one", "ann", "left")
    void = {"annotator": "ann", "since": None, "until": (NOON + timedelta(1)).isoformat()}
    made.decide("answers-voided", "ann", reason="asleep", **void)

    asked = made.gathered()

    assert (votes(asked), asked.ballot.complete) == ([], True)


@pytest.mark.parametrize(
    ("arm", "days", "overdue"),
    [("random", 13, False), ("random", 15, True), ("audit", 15, False), ("gold", 15, False)],
)
def test_only_training_tasks_become_overdue(arm: Arm, days: int, overdue: bool, tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one", arm)

    assert made.gathered(days=days).ballot.overdue is overdue


def test_an_answer_carries_the_role_its_person_was_asked_in(tmp_path: Path):
    made = Records(tmp_path, queue={"annotators": {"expert": ["eve"]}})
    made.ask("one", "audit", overlap=2)
    made.say("one", "ann", "left")
    made.say("one", "eve", "right")
    made.ask("two", "dispute", group="adjudicator")
    made.say("two", "judy", "right")

    asked = made.gathered()

    assert asked.disputed
    assert [vote.group for vote in asked.ballot.votes] == ["crowd", "crowd", "adjudicator"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [("up", "ann: label: expected one of left, right"), ("{", "ann: expected JSON, got '{'")],
)
def test_an_answer_that_is_no_label_is_a_vote_with_a_problem(
    said: str, problem: str, tmp_path: Path
):
    made = Records(tmp_path)
    made.ask("one")
    made.say("one", "ann", said)

    (vote,) = made.gathered().ballot.votes

    assert vote.label is None
    assert vote.problem.startswith(problem)


def test_old_answers_are_read_in_todays_names_or_asked_again(tmp_path: Path):
    labels = some_labels(
        classes=["west", "right"],
        version=3,
        migrations=[
            {"to": 2, "op": "rename", "source": ["left"], "target": ["west"]},
            {"to": 3, "op": "drop", "source": ["both"]},
        ],
    )
    made = Records(tmp_path, labels=labels)
    made.ask("one")
    made.say("one", "ann", "left")
    made.say("one", "bob", "both")

    asked = made.gathered()

    assert votes(asked) == [("ann", '"west"'), ("bob", None)]
    assert asked.ballot.votes[1].problem == "the schema changed (version 1 -> 3): ask again"
    assert asked.outdated


def test_the_last_verdict_counts_whichever_round_it_is_in(tmp_path: Path):
    made = Records(tmp_path)
    made.ask("one")
    made.ask("two")
    early = Verdict(
        sample_id="a",
        label='"left"',
        confidence=1.0,
        n_answers=1,
        status="accepted",
        method="majority",
        reason="",
        schema_version=1,
        decided_at=NOON,
    )
    late = replace(early, label='"right"', decided_at=NOON + timedelta(hours=1))
    made.record.append_verdicts("one", [early])
    made.record.append_verdicts("one", [late])
    made.record.append_verdicts("two", [replace(early, decided_at=NOON - timedelta(hours=1))])

    assert last_verdicts(made.world.workspace())["a"] == late
    assert made.gathered().verdict == late


def test_nothing_was_ever_asked(tmp_path: Path):
    assert gather(Records(tmp_path).world.workspace(), now=NOON) == {}


def test_a_change_after_the_grace_time_stays_on_record_and_counts_no_more(tmp_path: Path):
    made = Records(tmp_path, round={"grace_days": 30})
    made.ask("one")
    made.say("one", "ann", "left", answer_id="1")
    made.decide("round-closed", "one")

    made.say("one", "ann", "right", answer_id="1", days=29)
    within = votes(made.gathered(days=31))
    made.say("one", "ann", "left", answer_id="1", days=31)
    after = votes(made.gathered(days=32))

    assert within == [("ann", '"right"')]
    assert after == within
    assert len(made.record.answers("one")) == 3
