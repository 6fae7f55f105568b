"""The file queue among processes and after kills, and simulated people at work on it."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.core.simulate import SimulatedAnnotator
from retrue.errors import QueueError
from retrue.kinds import LabelSchema
from retrue.records import AnnotatorGroup, ProjectKey, QueueTask

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PETS = LabelSchema(kind="choice", classes=("cat", "dog"))
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from retrue.adapters.queue_files import FileQueue

queue, name = FileQueue(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(250):
    queue.answer(f"t{number}", name, '"cat"', now=datetime(2026, 3, 1, tzinfo=UTC))
"""


def task(key: str, *, overlap: int = 1, group: AnnotatorGroup = "crowd") -> QueueTask:
    project = ProjectKey(schema_version=1, guideline_version="1", overlap=overlap, group=group)
    return QueueTask(task_key=key, project=project, display={"x": 1.0, "y": None}, media_uri="m")


def test_two_processes_that_answer_at_once_lose_nothing(tmp_path: Path):
    queue = FileQueue(tmp_path)
    queue.add([task(f"t{number}") for number in range(250)])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("ann", "bob")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"

    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    codes = [(writer.communicate(), writer.returncode)[1] for writer in writers]

    states = queue.answers("").answers
    assert codes == [0, 0]
    assert Counter(answer.annotator for answer in states) == {"ann": 250, "bob": 250}
    assert [int(answer.answer_id) for answer in states] == list(range(1, 501))


def test_a_writer_waits_for_the_one_before(tmp_path: Path):
    queue = FileQueue(tmp_path)
    queue.add([task("t1")])
    with (tmp_path / "lock").open("r+b") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = pool.submit(queue.answer, "t1", "ann", '"cat"', now=NOON)

        done, _ = wait([answer], timeout=0.2)
        fcntl.flock(held, fcntl.LOCK_UN)

        assert not done
        assert answer.result(timeout=10) == "1"


def test_what_one_queue_wrote_another_reads_the_same(tmp_path: Path):
    FileQueue(tmp_path / "q").add([task("t1")])
    FileQueue(tmp_path / "q").answer(
        "t1", "ann", '"Ü\\u2028"', note="a\nb", lead_seconds=2.5, now=NOON
    )

    again = FileQueue(tmp_path / "q")

    assert again.open_tasks("bob", "crowd") == []
    assert again.answers("").answers[0].note == "a\nb"
    assert again.answers("").answers[0].answered_at == NOON
    reopened = replace(task("t1"), display={"x": 1.0, "y": None})
    again.delete("1", now=NOON)
    assert FileQueue(tmp_path / "q").open_tasks("ann", "crowd") == [reopened]


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_line_cut_off_by_a_kill_is_not_seen_and_written_over(
    tmp_path_factory: pytest.TempPathFactory, cut: int
):
    folder = tmp_path_factory.mktemp("queue")
    queue = FileQueue(folder)
    queue.add([task("t1", overlap=3)])
    queue.answer("t1", "ann", '"cat"', now=NOON)
    path = folder / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b"ann", b"eve")[: min(cut, len(whole) - 1)])

    before = [answer.annotator for answer in FileQueue(folder).answers("").answers]
    queue.answer("t1", "bob", '"dog"', now=NOON)

    assert before == ["ann"]
    for reader in (queue, FileQueue(folder)):
        assert [answer.annotator for answer in reader.answers("").answers] == ["ann", "bob"]


def test_a_cursor_is_the_place_in_the_file_and_a_foreign_one_starts_again(tmp_path: Path):
    queue = FileQueue(tmp_path)
    queue.add([task("t1", overlap=2)])
    queue.answer("t1", "ann", '"cat"', now=NOON)
    first = queue.answers("").cursor
    queue.answer("t1", "bob", '"cat"', now=NOON)

    assert int(first) < (tmp_path / "answers.jsonl").stat().st_size
    assert [answer.annotator for answer in queue.answers(first).answers] == ["bob"]
    for foreign in ("7", "999999", "2026-01-01"):
        assert len(queue.answers(foreign).answers) == 2


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("tasks.jsonl", b"{half\n", "tasks.jsonl:2: expected an event"),
        ("tasks.jsonl", b'{"event":"remove","tool_id":1}\n', "tool_id: "),
        ("answers.jsonl", b"\x00\x00\x00\n", "answers.jsonl:1: expected an event"),
        ("answers.jsonl", b'{"answer_id":"x"}\n', "answer_id: "),
    ],
)
def test_a_damaged_line_is_named_every_time_and_nothing_is_written_after_it(
    tmp_path: Path, name: str, line: bytes, says: str
):
    queue = FileQueue(tmp_path)
    queue.add([task("t1")])
    with (tmp_path / name).open("ab") as file:
        file.write(line)
    damaged = (tmp_path / name).read_bytes()

    for _ in range(2):
        with pytest.raises(QueueError, match=says):
            queue.tasks(["t1"])
    with pytest.raises(QueueError, match=says):
        queue.add([task("t2")])

    assert (tmp_path / name).read_bytes() == damaged


def test_a_queue_whose_files_were_taken_away_starts_anew(tmp_path: Path):
    queue = FileQueue(tmp_path)
    queue.add([task("t1"), task("t2")])
    (tmp_path / "tasks.jsonl").unlink()

    queue.add([task("t3")])

    assert [copy.tool_id for copy in queue.tasks(["t1", "t2", "t3"])] == ["1"]


def test_what_is_not_json_is_refused_before_anything_is_written(tmp_path: Path):
    queue = FileQueue(tmp_path)

    with pytest.raises(QueueError, match="JSON"):
        queue.add([task("t1"), replace(task("t2"), display={"x": float("nan")})])
    with pytest.raises(QueueError, match="UTF-8"):
        queue.add([replace(task("t2"), display={"x": "\ud800"})])

    assert queue.tasks(["t1", "t2"]) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(QueueError, match="could not be written"):
        FileQueue(tmp_path / "file" / "queue").add([task("t1")])


def test_a_lines_value_is_kept_as_it_was_given(tmp_path: Path):
    queue = FileQueue(tmp_path)
    queue.add([task("t1")])
    queue.answer("t1", "ann", "not json at all", now=NOON)

    line = json.loads((tmp_path / "answers.jsonl").read_text())

    assert line["value"] == "not json at all"
    assert line["answered_at"] == "2026-03-01T12:00:00+00:00"


def test_open_tasks_are_those_of_ones_group_that_want_further_people():
    queue = MemoryQueue()
    queue.add([task("a", overlap=2), task("b"), task("c", group="expert"), task("a", overlap=2)])
    queue.answer("a", "ann", '"cat"', now=NOON)
    queue.answer("a", "ann", '"dog"', now=NOON)
    queue.answer("b", "ann", None, now=NOON)

    assert [item.task_key for item in queue.open_tasks("ann", "crowd")] == []
    assert [item.task_key for item in queue.open_tasks("bob", "crowd")] == ["a", "b"]
    assert [item.task_key for item in queue.open_tasks("bob", "expert")] == ["c"]
    queue.answer("a", "bob", '"cat"', now=NOON)
    assert [item.task_key for item in queue.open_tasks("eve", "crowd")] == ["b"]
    assert queue.places("a") == 0


def test_a_deleted_answer_is_told_to_nobody_as_in_a_real_tool():
    queue = MemoryQueue()
    queue.add([task("a", overlap=2)])
    queue.answer("a", "ann", '"cat"', now=NOON)
    cursor = queue.answers("").cursor
    queue.change("1", '"dog"', now=NOON)
    queue.answer("a", "bob", '"cat"', now=NOON)

    queue.delete("1", now=NOON)

    assert [answer.annotator for answer in queue.answers(cursor).answers] == ["bob"]
    assert [item.task_key for item in queue.open_tasks("ann", "crowd")] == ["a"]


def test_a_task_that_was_withdrawn_takes_no_answer():
    queue = MemoryQueue()
    queue.add([task("a")])
    queue.remove(["1"])

    with pytest.raises(QueueError, match="withdrawn"):
        queue.answer("a", "ann", '"cat"', now=NOON)
    with pytest.raises(QueueError, match="none of this id"):
        queue.change("1", '"cat"', now=NOON)


PEOPLE = [SimulatedAnnotator(name=name, accuracy=0.9, seconds=3) for name in ("ann", "bob", "eve")]


def simulate(queue: MemoryQueue | FileQueue, limit: int | None = None) -> int:
    return simulate_answers(
        queue, PEOPLE, lambda _: "cat", lambda _: PETS, seed="s", now=NOON, limit=limit
    )


def everything(queue: MemoryQueue | FileQueue) -> set[tuple[object, ...]]:
    return {
        (item.task_key, item.annotator, item.value, item.note, item.lead_seconds)
        for item in queue.answers("").answers
    }


def test_simulated_people_fill_every_place_with_distinct_people_and_share_the_work():
    queue = MemoryQueue()
    queue.add([task(f"t{number}", overlap=2) for number in range(300)])
    queue.add([task("x", group="expert"), task("many", overlap=9)])

    given_answers = simulate(queue)

    pairs = [(item.task_key, item.annotator) for item in queue.answers("").answers]
    assert given_answers == len(pairs) == len(set(pairs)) == 300 * 2 + 3
    assert min(Counter(name for _, name in pairs).values()) > 170  # of 201 expected
    assert queue.places("x") == 1
    assert simulate(queue) == 0


def test_a_simulation_cut_off_anywhere_and_run_again_says_the_same(tmp_path: Path):
    tasks = [task(f"t{number}", overlap=2) for number in range(20)]
    whole, cut = MemoryQueue(), FileQueue(tmp_path)
    whole.add(tasks)
    cut.add(tasks[::-1])

    assert simulate(whole) == 40
    assert [simulate(cut, limit=7), simulate(cut, limit=0), simulate(cut)] == [7, 0, 33]

    assert everything(cut) == everything(whole)
