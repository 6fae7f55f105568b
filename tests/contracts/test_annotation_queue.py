"""What every AnnotationQueue must do, whatever people answer in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from retrue.adapters.queue_embedded import EmbeddedQueue
from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_memory import MemoryQueue
from retrue.config import Labels
from retrue.ports import AnnotationQueue
from retrue.records import Answer, ProjectKey, QueueTask
from services.label_studio import LabelStudioServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CROWD = ProjectKey(schema_version=1, guideline_version="1", overlap=2, group="crowd")


class People(Protocol):
    """What people do in the tool; each adapter brings its own."""

    def answer(self, task_key: str, annotator: str, value: str, *, tool_id: str | None) -> str: ...
    def skip(self, task_key: str, annotator: str) -> str: ...
    def edit(self, answer_id: str, value: str) -> None: ...
    def delete(self, answer_id: str) -> None: ...


class EmbeddedPeople:
    def __init__(self, queue: EmbeddedQueue) -> None:
        self._queue = queue

    def answer(
        self, task_key: str, annotator: str, value: str, *, tool_id: str | None = None
    ) -> str:
        return self._queue.answer(
            task_key, annotator, value, note="é", lead_seconds=1.5, now=NOON, tool_id=tool_id
        )

    def skip(self, task_key: str, annotator: str) -> str:
        return self._queue.answer(task_key, annotator, None, now=NOON)

    def edit(self, answer_id: str, value: str) -> None:
        self._queue.change(answer_id, value, now=NOON)

    def delete(self, answer_id: str) -> None:
        self._queue.delete(answer_id, now=NOON)


@dataclass(frozen=True)
class Bench:
    queue: AnnotationQueue
    people: People
    odd: str = '{"odd": ["ß", 1.50]}'  # an answer outside every schema, as this tool can hold it
    ids_rise: bool = True  # a new task never gets the tool id of a removed one


def embedded(queue: EmbeddedQueue) -> Bench:
    return Bench(queue, EmbeddedPeople(queue))


def label_studio(server: LabelStudioServer, folder: Path) -> Bench:
    from retrue.adapters.queue_label_studio import LabelStudioQueue
    from services.label_studio_people import LabelStudioPeople

    queue = LabelStudioQueue(
        server.url,
        server.token,
        project_prefix=str(folder),  # another workspace for every test
        schema_of=lambda _: Labels(kind="choice", classes=("cat", "dog")),
        link=lambda uri: uri,
        settle=0.2,
    )
    # On SQLite an import numbers its tasks from the highest there is.
    return Bench(
        queue, LabelStudioPeople(server, queue), ids_rise=False, odd='"Übergröße \u2028 🦉"'
    )


BENCHES: dict[str, Callable[[pytest.FixtureRequest, Path], Bench]] = {
    "files": lambda _, folder: embedded(FileQueue(folder / "queue")),
    "memory": lambda _, __: embedded(MemoryQueue()),
    "label_studio_on_postgresql": lambda request, folder: label_studio(
        request.getfixturevalue("label_studio_on_postgresql"), folder
    ),
    "label_studio_on_sqlite": lambda request, folder: label_studio(
        request.getfixturevalue("label_studio_on_sqlite"), folder
    ),
}
REAL = {"label_studio_on_postgresql", "label_studio_on_sqlite"}


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.service if name in REAL else ())
        for name in sorted(BENCHES)
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return BENCHES[request.param](request, tmp_path)


def task(key: str, **display: str) -> QueueTask:
    return QueueTask(task_key=key, project=CROWD, display=display, media_uri=None)


def last_states(answers: tuple[Answer, ...]) -> dict[str, Answer]:
    return {answer.answer_id: answer for answer in answers}


def test_an_empty_queue_holds_nothing(bench: Bench):
    assert bench.queue.held(["t1"]) == 0
    assert bench.queue.tasks(["t1"]) == []
    assert bench.queue.settled(["t1"]) == []
    assert bench.queue.answers("").answers == ()
    assert bench.queue.count() == 0
    assert bench.queue.answer_ids(["t1"]) == set()


def test_added_tasks_are_found_by_their_keys_and_by_no_others(bench: Bench):
    more = bench.queue.add([task("t1", text="Übergröße \u2028 🦉"), task("t2"), task("t3")])

    assert (more, bench.queue.add([])) == (3, 0)
    there = bench.queue.tasks(iter(["t3", "t1", "t1", "absent"]))

    assert [(copy.task_key, copy.answered) for copy in there] == [("t1", False), ("t3", False)]
    assert bench.queue.held(iter(["t3", "t1", "t1", "absent"])) == 2
    assert bench.queue.held([]) == 0


def test_a_retried_add_makes_copies_with_higher_tool_ids(bench: Bench):
    bench.queue.add([task("t1"), task("t2")])
    first = {copy.task_key: copy.tool_id for copy in bench.queue.tasks(["t1", "t2"])}

    more = bench.queue.add([task("t1"), task("t2")])

    assert more == 2
    copies = bench.queue.settled(["t1", "t2"])
    assert [copy.task_key for copy in copies].count("t1") == 2
    assert len({copy.tool_id for copy in copies}) == 4
    assert bench.queue.held(["t1", "t2"]) == 4
    assert bench.queue.held(["t1"]) == 2
    assert [int(copy.tool_id) for copy in copies] == sorted(int(copy.tool_id) for copy in copies)
    assert next(copy.tool_id for copy in copies if copy.task_key == "t1") == first["t1"]


def test_removing_takes_only_copies_without_an_answer(bench: Bench):
    bench.queue.add([task("t1"), task("t1"), task("t2")])
    low, high, other = (copy.tool_id for copy in bench.queue.tasks(["t1", "t2"]))
    bench.people.answer("t1", "ann", '"cat"', tool_id=high)
    bench.people.skip("t2", "ann")

    bench.queue.remove([low, high, other, "987654321"])

    left = bench.queue.tasks(["t1", "t2"])
    assert [(copy.tool_id, copy.answered) for copy in left] == [(high, True), (other, True)]


def test_tool_ids_are_not_given_twice(bench: Bench):
    if not bench.ids_rise:
        pytest.skip("this tool gives them twice")
    bench.queue.add([task("t1")])
    (gone,) = bench.queue.tasks(["t1"])
    bench.queue.remove([gone.tool_id])

    bench.queue.add([task("t1")])

    (back,) = bench.queue.tasks(["t1"])
    assert int(back.tool_id) > int(gone.tool_id)


def test_an_answer_is_told_as_it_was_given(bench: Bench):
    bench.queue.add([task("t1")])
    answer_id = bench.people.answer("t1", "ann@example.com", bench.odd, tool_id=None)

    (answer,) = bench.queue.answers("").answers

    assert (answer.answer_id, answer.task_key) == (answer_id, "t1")
    assert answer.annotator == "ann@example.com"
    assert (answer.status, answer.value) == ("answered", bench.odd)
    assert answer.note == "é"
    assert answer.lead_seconds == 1.5
    assert answer.answered_at.utcoffset() is not None


def test_a_skip_is_an_answer_without_a_value(bench: Bench):
    bench.queue.add([task("t1")])
    bench.people.skip("t1", "ann")

    (answer,) = bench.queue.answers("").answers

    assert (answer.status, answer.value) == ("skipped", None)
    assert bench.queue.count() == 1


def test_a_cursor_misses_nothing_though_it_may_repeat(bench: Bench):
    bench.queue.add([task("t1"), task("t2")])
    seen: dict[str, Answer] = {}
    cursor, given = "", set[str]()
    for key, annotator in (("t1", "ann"), ("t1", "bob"), ("t2", "ann"), ("t2", "bob")):
        given.add(bench.people.answer(key, annotator, '"cat"', tool_id=None))
        observed = bench.queue.answers(cursor)
        seen |= last_states(observed.answers)
        cursor = observed.cursor

        assert seen.keys() == given

    assert bench.queue.answers(cursor).cursor == cursor
    assert len(last_states(bench.queue.answers("").answers)) == 4


def test_a_late_edit_is_seen_after_the_cursor_as_another_revision(bench: Bench):
    bench.queue.add([task("t1")])
    answer_id = bench.people.answer("t1", "ann", '"cat"', tool_id=None)
    before = bench.queue.answers("")
    bench.people.edit(answer_id, '"dog"')

    after = last_states(bench.queue.answers(before.cursor).answers)

    assert after[answer_id].value == '"dog"'
    assert after[answer_id].revision != before.answers[0].revision
    assert bench.queue.count() == 1


def test_a_deleted_answer_is_missed_by_count_and_ids_and_never_told_as_standing(bench: Bench):
    bench.queue.add([task("t1")])
    gone = bench.people.answer("t1", "ann", '"cat"', tool_id=None)
    stays = bench.people.answer("t1", "bob", '"dog"', tool_id=None)
    bench.people.delete(gone)

    told = last_states(bench.queue.answers("").answers)

    assert bench.queue.count() == 1
    assert bench.queue.answer_ids(["t1"]) == {stays}
    assert gone not in told or told[gone].status == "deleted"


def test_a_copy_whose_answers_are_all_deleted_can_be_removed(bench: Bench):
    bench.queue.add([task("t1")])
    bench.people.delete(bench.people.answer("t1", "ann", '"cat"', tool_id=None))
    (copy,) = bench.queue.tasks(["t1"])

    bench.queue.remove([copy.tool_id])

    assert not copy.answered
    assert bench.queue.tasks(["t1"]) == []


def test_answer_ids_are_those_of_the_tasks_asked_for(bench: Bench):
    bench.queue.add([task("t1"), task("t1"), task("t2")])
    low, high, _ = (copy.tool_id for copy in bench.queue.tasks(["t1", "t2"]))
    on_both = {
        bench.people.answer("t1", "ann", '"cat"', tool_id=low),
        bench.people.answer("t1", "bob", '"cat"', tool_id=high),
    }
    bench.people.answer("t2", "ann", '"cat"', tool_id=None)

    assert bench.queue.answer_ids(iter(["t1", "absent"])) == on_both
