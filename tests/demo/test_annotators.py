"""Simulated people in Label Studio: what they may know, and what they leave behind."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from demo.fake_studio import ADMIN, FakeStudio
from retrue.core.simulate import SimulatedAnnotator, annotator_rng, answer_of
from retrue.demo.accounts import sign_up
from retrue.demo.annotators import StudioPeople
from retrue.errors import QueueError
from world import NOON, World

URL = "http://studio.test"
ANN = SimulatedAnnotator(name="Ann", accuracy=1.0, seconds=2)
BOB = SimulatedAnnotator(name="Bob", accuracy=1.0, seconds=2)
CLEO = SimulatedAnnotator(name="Cleo", accuracy=0.5, seconds=1)
JUDGE = replace(ANN, group="adjudicator")
LEFT, RIGHT = b"a picture of left", b"a picture of right"


def studio(*, tasks: int, overlap: int = 1, title: str = "points crowd 09a3-1") -> FakeStudio:
    """Tasks whose even ones show `left`."""
    made = FakeStudio(media={"/left": LEFT, "/right": RIGHT})
    for number in range(tasks):
        media = "/right" if number % 2 else "/left"
        made.add(title, f"key-{number}", overlap=overlap, media=media)
    return made


def people(server: FakeStudio, *annotators: SimulatedAnnotator) -> StudioPeople:
    names = dict.fromkeys(one.name for one in annotators)
    logins = {f"{name}@example.com": f"secret of {name}" for name in names}
    accounts = sign_up(URL, ADMIN, logins, transport=server.transport)
    return StudioPeople(
        accounts={name: accounts[f"{name}@example.com"] for name in names},
        annotators=annotators,
        seen={hashlib.sha256(LEFT).hexdigest(): "left", hashlib.sha256(RIGHT).hexdigest(): "right"},
        seed="7",
        say=lambda _: None,
    )


def test_every_task_gets_the_answers_it_wants_of_different_people(tmp_path: Path):
    server = studio(tasks=150, overlap=2)

    people(server, ANN, BOB, CLEO).answer(World(tmp_path).workspace(), now=NOON)

    who = [[email for email, _ in server.answers(task)] for task in server.tasks]
    assert all(len(names) == len(set(names)) == 2 for names in who)
    assert any(server.skips(task) for task in server.tasks)  # so that some were asked twice


def test_what_one_skipped_somebody_else_answers(tmp_path: Path):
    server = studio(tasks=200)

    given = people(server, ANN, BOB).answer(World(tmp_path).workspace(), now=NOON)

    skipped = sum(server.skips(task) for task in server.tasks)
    assert skipped > 0
    assert all(len(server.answers(task)) == 1 for task in server.tasks)
    assert given == 200 + skipped


def test_a_task_that_only_one_person_may_answer_is_never_skipped(tmp_path: Path):
    server = studio(tasks=200, title="points adjudicator 0b1c-1")

    people(server, ANN, JUDGE).answer(World(tmp_path).workspace(), now=NOON)

    assert all(len(server.answers(task)) == 1 for task in server.tasks)


def test_a_draft_ends_with_its_answer(tmp_path: Path):
    server = studio(tasks=200)

    people(server, ANN).answer(World(tmp_path).workspace(), now=NOON)

    assert server.drafted
    assert not server.drafts


def test_people_answer_what_the_picture_shows_with_the_skill_and_chance_they_have(tmp_path: Path):
    server, world = studio(tasks=60, overlap=2), World(tmp_path)

    people(server, ANN, CLEO).answer(world.workspace(), now=NOON)

    for number, task in enumerate(server.tasks):
        chosen = dict(server.answers(task))
        truth = "right" if number % 2 else "left"
        assert chosen["Ann@example.com"] == truth
        rng = annotator_rng("7", "Cleo", f"key-{number}")
        label, _ = answer_of(CLEO, truth, world.labels.label_schema, rng=rng)
        assert f'"{chosen["Cleo@example.com"]}"' == label


def test_a_link_to_anything_but_the_picture_is_noticed(tmp_path: Path):
    server = studio(tasks=1)
    server.media["/left"] = b"please log in"

    with pytest.raises(QueueError, match="not the picture"):
        people(server, ANN).answer(World(tmp_path).workspace(), now=NOON)


def test_a_link_to_nothing_is_noticed(tmp_path: Path):
    server = studio(tasks=1)
    del server.media["/left"]

    with pytest.raises(QueueError, match="HTTP 404"):
        people(server, ANN).answer(World(tmp_path).workspace(), now=NOON)


def test_people_leave_the_projects_of_other_groups_alone(tmp_path: Path):
    server = studio(tasks=4, title="points adjudicator 0b1c-1")

    given = people(server, ANN, BOB).answer(World(tmp_path).workspace(), now=NOON)

    assert given == 0


def test_nobody_signs_up_twice_by_the_same_address():
    server = studio(tasks=0)
    people(server, ANN)

    with pytest.raises(QueueError, match=r"Ann@example[.]com could not sign up"):
        people(server, ANN)
