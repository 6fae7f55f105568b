"""The keyboard prompt, key by key, with a recorded screen."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from retrue.adapters.keyboard import keyboard
from retrue.adapters.label_forms import BACKSPACE, ENTER, ESCAPE
from retrue.adapters.label_image import picture
from retrue.adapters.label_terminal import BurstReport, label_burst
from retrue.adapters.queue_embedded import EmbeddedQueue
from retrue.adapters.queue_memory import MemoryQueue
from retrue.config import Guideline, Labels
from retrue.errors import QueueError, StoreError
from retrue.records import Json, ProjectKey, QueueTask

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PETS = Labels(
    kind="choice",
    classes=("cat", "dog"),
    question="Which animal?",
    guideline=Guideline(text="Look at the ears."),
)
MANY = Labels(kind="choice", classes=tuple(f"{a} {b}" for a in "ABCDE" for b in "vwxyz"))
SETS = Labels(kind="choices", classes=("cat", "dog", "owl"), max_choices=2)
TREE = Labels(kind="taxonomy", classes=("animal", "animal/cat", "animal/dog", "car"))
MASS = Labels(kind="number", minimum=0, maximum=10, unit="kg")


class Desk:
    """A queue, a person's keys, and all that was drawn."""

    def __init__(self, tasks: int = 3, *, display: dict[str, Json] | None = None) -> None:
        self.queue = MemoryQueue()
        self.time = NOON
        self.screens: list[str] = []
        self.counts: list[int] = []  # answers in the queue at each key
        project = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
        self.queue.add(
            [
                QueueTask(
                    task_key=f"key-{number}",
                    project=project,
                    display=display or {"colour": f"shade {number}"},
                    media_uri=None,
                )
                for number in range(tasks)
            ]
        )

    def label(
        self,
        labels: Labels,
        *keys: str,
        minutes: float = 15,
        read_media: Callable[[str], bytes] | None = None,
        queue: EmbeddedQueue | None = None,
        size: tuple[int, int] = (90, 30),
    ) -> BurstReport:
        """Press keys, two seconds apart; the input ends after the last."""
        drawn = io.StringIO()
        console = Console(
            file=drawn, force_terminal=True, color_system=None, width=size[0], height=size[1]
        )
        rest: Iterator[str] = iter(keys)

        def read_key() -> str:
            self.screens.append(drawn.getvalue())
            self.counts.append(self.queue.count())
            drawn.seek(0)
            drawn.truncate()
            self.time += timedelta(seconds=2)
            return next(rest, "")

        report = label_burst(
            queue or self.queue,
            labels,
            "ann",
            console=console,
            read_key=read_key,
            now=lambda: self.time,
            minutes=minutes,
            read_media=read_media,
        )
        self.screens.append(drawn.getvalue())
        return report

    @property
    def said(self) -> list[str | None]:
        """The standing values, in the order of answering."""
        last = {answer.answer_id: answer.value for answer in self.queue.answers("").answers}
        return list(last.values())


def test_one_key_answers_and_the_next_question_comes():
    desk = Desk(2)

    report = desk.label(PETS, "2", "1")

    assert desk.said == ['"dog"', '"cat"']
    assert [answer.lead_seconds for answer in desk.queue.answers("").answers] == [2, 2]
    assert (report.answered, report.left, report.ended) == (2, 0, "nothing is left to answer")
    assert "shade 0" in desk.screens[0]
    assert "shade 1" in desk.screens[1]
    assert "1 done · 1 to go · 2.0 s per label · 15 min left" in desk.screens[1]
    assert "2 answered, 0 skipped, 0 left" in desk.screens[-1]


def test_every_answer_is_in_the_queue_before_the_next_key():
    desk = Desk()

    desk.label(PETS, "1", "1")

    assert desk.counts == [0, 1, 2]


@pytest.mark.parametrize(
    ("key", "value"),
    [("c", '"cannot_tell"'), ("C", '"cannot_tell"'), ("0", '"none_of_these"'),
     ("n", '"none_of_these"'), ("N", '"none_of_these"'), ("s", None), ("S", None)],
)  # fmt: skip
def test_the_commands_that_answer_in_small_and_capital(key: str, value: str | None):
    desk = Desk(1)

    report = desk.label(PETS, key)

    assert desk.said == [value]
    assert report.skipped == (value is None)


@pytest.mark.parametrize("key", ["q", "Q", "", "\x03", "\x04"])
def test_quitting_leaves_the_question_open(key: str):
    desk = Desk()

    report = desk.label(PETS, "1", key, "1")

    assert (desk.said, report.left, report.ended) == (['"cat"'], 2, "you quit")


def test_undo_takes_up_the_last_answer_and_a_new_one_replaces_it():
    desk = Desk()

    report = desk.label(PETS, "1", "1", "u", "u", "2", "2")

    states = [(a.answer_id, a.revision, a.value) for a in desk.queue.answers("").answers]
    assert states == [
        ("1", "1", '"cat"'),
        ("2", "1", '"cat"'),
        ("1", "2", '"dog"'),
        ("3", "1", '"dog"'),
    ]
    assert report.answered == 3
    assert 'you said "cat": a new answer replaces it' in desk.screens[3]
    assert "shade 0" in desk.screens[4]


def test_undo_and_quit_keeps_the_answer():
    desk = Desk()

    report = desk.label(PETS, "1", "u", "q")

    assert (desk.said, report.answered) == (['"cat"'], 1)


def test_there_is_nothing_to_undo_before_the_first_answer():
    desk = Desk()

    desk.label(PETS, "u")

    assert "there is nothing before this" in desk.screens[1]


def test_a_note_goes_with_the_next_answer_only():
    desk = Desk(2)

    desk.label(PETS, "!", *"qé?x", BACKSPACE, ENTER, "1", "!", *"no", ESCAPE, "1")

    assert [answer.note for answer in desk.queue.answers("").answers] == ["qé?", ""]
    assert "note: qé?_" in desk.screens[5].replace("x", "")
    assert "note: qé?" in desk.screens[6]


def test_the_guideline_comes_and_goes():
    desk = Desk(1)

    desk.label(PETS, "?", "?", "q")

    assert ["ears" in screen for screen in desk.screens[:3]] == [False, True, False]
    assert "shade 0" not in desk.screens[1]


def test_a_key_without_meaning_and_a_missing_guideline_are_told():
    desk = Desk(1)

    desk.label(SETS, "x", "?", "\x1b[Z")

    assert "x means nothing here" in desk.screens[1]
    assert "this question has no guideline" in desk.screens[2]
    assert desk.said == []


def test_letters_follow_the_nine_digits_and_leave_the_commands_free():
    desk = Desk(3)
    labels = Labels(kind="choice", classes=tuple(f"class {n}" for n in range(20)))

    desk.label(labels, "9", "a", "l")

    assert desk.said == ['"class 8"', '"class 9"', '"class 19"']


def test_a_class_named_by_a_digit_has_that_digit_as_its_key():
    desk = Desk(3)
    digits = Labels(kind="choice", classes=("seven", *"0123456789"))

    desk.label(digits, "0", "7", "a")

    assert desk.said == ['"0"', '"7"', '"seven"']


def test_many_classes_are_searched_by_typing_and_commands_are_capitals():
    desk = Desk(4)

    report = desk.label(
        MANY, "c", " ", "z", ENTER, "x", "3", "q", "q", BACKSPACE, ESCAPE, "b", "2", "C", "Q"
    )

    assert desk.said == ['"C z"', '"C x"', '"B w"', '"cannot_tell"']
    assert report.ended == "nothing is left to answer"
    assert "> c z_" in desk.screens[3]


def test_a_search_that_finds_nothing_says_so_and_saves_nothing():
    desk = Desk(1)

    desk.label(MANY, "q", "q", ENTER, "1")

    assert "nothing is named like 'qq'" in desk.screens[3]
    assert desk.said == []


def test_several_choices_are_switched_on_and_off_up_to_the_limit():
    desk = Desk(2)

    desk.label(SETS, ENTER, "1", "2", "3", "1", "3", ENTER, "n")

    assert "choose at least one first" in desk.screens[1]
    assert "at most 2: switch one off first" in desk.screens[4]
    assert "[x] cat" in desk.screens[4]
    assert desk.said == ['["dog","owl"]', '["none_of_these"]']


def test_a_path_is_picked_level_by_level_and_an_inner_class_by_itself():
    desk = Desk(3)

    desk.label(TREE, "1", "3", "1", BACKSPACE, "2", "1", "1")

    assert "animal itself" in desk.screens[1]
    assert desk.said == ['"animal/dog"', '"car"', '"animal"']


def test_a_number_is_typed_checked_and_may_be_left_open():
    desk = Desk(2)

    report = desk.label(
        MASS, "1", "2", ENTER, BACKSPACE, ",", "5", ENTER, ENTER, "9", ESCAPE, "n", "c"
    )

    assert "expected a number in 0..10 kg, got 12" in desk.screens[3]
    assert "> 1.5_ kg" in desk.screens[6]
    assert "got nothing" in desk.screens[8]
    assert "type it, or c" in desk.screens[11]
    assert desk.said == ["1.5", None]
    assert desk.queue.answers("").answers[1].note == "cannot_tell"
    assert report.skipped == 1


def test_the_burst_ends_with_the_first_answer_after_its_time():
    desk = Desk()

    report = desk.label(PETS, "x", "x", "1", "1", minutes=0.05)

    assert (report.answered, report.left, report.ended) == (1, 2, "time is up")


def test_a_task_withdrawn_while_on_the_screen_is_told_and_passed_over():
    desk = Desk(2)
    keys = iter(["1", "2", ""])

    def withdrawing() -> str:
        desk.queue.remove(["1"])
        return next(keys)

    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=30, record=True)
    label_burst(desk.queue, PETS, "ann", console=console, read_key=withdrawing, now=lambda: NOON)

    assert "it was withdrawn" in console.export_text()
    assert desk.said == ['"dog"']


def test_tasks_of_another_schema_version_are_not_shown_but_counted():
    desk = Desk(1)

    report = desk.label(PETS.model_copy(update={"version": 2}), "1")

    assert (report.answered, report.outdated) == (0, 1)
    assert "1 open tasks ask another version" in desk.screens[-1]


def test_the_screen_tells_nothing_but_the_question_and_the_display_fields():
    desk = Desk(1)

    desk.label(PETS, "q")

    for telling in ("key-0", "crowd", "overlap", "arm", "score", "gold", "round"):
        assert telling not in desk.screens[0]


def test_data_cannot_steer_the_terminal_or_use_markup():
    desk = Desk(1, display={"a": "\x1b[2Jgone\x07", "b": "[bold]x[/bold]", "c": [1, None]})

    desk.label(PETS, "q")

    assert "\x1b[2J" not in desk.screens[0]
    assert "\x07" not in desk.screens[0]
    assert "[bold]x[/bold]" in desk.screens[0]
    assert "[1,null]" in desk.screens[0]


def test_a_long_text_scrolls_and_the_keys_stay_on_the_screen():
    desk = Desk(1, display={"text": "\n".join(f"line {number}." for number in range(60))})

    desk.label(PETS, " ", *["\x1b[6~"] * 9, "\x1b[A", "\x1b[5~", "q", size=(80, 20))

    assert "line 0." in desk.screens[0]
    assert "more lines (Space)" in desk.screens[0]
    assert "line 10." in desk.screens[1]
    assert "line 0." not in desk.screens[1]
    assert "line 59." in desk.screens[10]
    assert all("quit" in screen and "cat" in screen for screen in desk.screens[:-1])


def photo(width: int, height: int, mode: str = "RGB") -> bytes:
    image = Image.new("L", (width, height), 0)
    image.paste(255, (0, 0, width, height // 2))
    with io.BytesIO() as file:
        image.convert(mode).save(file, "TIFF")
        return file.getvalue()


def with_media() -> EmbeddedQueue:
    queue = MemoryQueue()
    project = ProjectKey(schema_version=1, guideline_version="1", overlap=1, group="crowd")
    queue.add([QueueTask(task_key="k", project=project, display={}, media_uri="s3://b/k.png")])
    return queue


def test_a_picture_is_drawn_and_a_missing_one_is_explained():
    def refuse(uri: str) -> bytes:
        raise StoreError(f"gone: {uri}")

    def drawn(_: str) -> bytes:
        return photo(8, 8)

    def document(_: str) -> bytes:
        return b"%PDF"

    shown: list[str] = []
    for read in (drawn, document, refuse, None):
        desk = Desk()
        desk.label(PETS, "q", read_media=read, queue=with_media())
        shown.append(desk.screens[0])

    assert "████" in shown[0]
    assert "no picture a terminal can show: s3://b/k.png" in shown[1]
    assert "gone: s3://b/k.png" in shown[2]
    assert "s3://b/k.png" in shown[3]


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "I;16", "I"])
def test_pictures_of_every_depth_are_scaled_with_their_proportions(mode: str):
    text = picture(photo(40, 20, mode), width=30, height=30, colour=False)

    assert text is not None
    lines = text.plain.split("\n")
    # 40 x 20 pixels on 30 columns: 15 pixel rows, made even, two to a line.
    assert (len(lines), {len(line) for line in lines}) == (8, {30})
    assert lines[0].strip("█") == ""
    assert lines[-1].strip() == ""


def test_a_tiny_picture_is_enlarged_with_hard_pixels_in_colour():
    text = picture(photo(1, 2), width=100, height=100, colour=True)

    assert text is not None
    assert {str(span.style) for span in text.spans} == {"#ffffff on #ffffff", "#000000 on #000000"}


def test_a_picture_too_large_to_open_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    assert picture(photo(15, 10), width=10, height=10, colour=True) is None
    assert picture(photo(50, 10), width=10, height=10, colour=True) is None


def test_a_pipe_instead_of_a_terminal_is_refused_with_what_to_do(tmp_path: Path):
    with pytest.raises(QueueError, match=r"Run `retrue label` in a terminal, without redirecting"):
        label_burst(
            MemoryQueue(), PETS, "ann",
            console=Console(file=io.StringIO()), read_key=lambda: "q", now=lambda: NOON,
        )  # fmt: skip
    (tmp_path / "keys").write_text("q")
    with (
        (tmp_path / "keys").open() as piped,
        pytest.raises(QueueError, match="got a pipe or a file"),
        keyboard(piped),
    ):
        pass


def test_a_real_terminal_gives_characters_special_keys_and_the_end():
    person, terminal = pty.openpty()
    with open(terminal, closefd=False) as stdin, keyboard(stdin) as read_key:
        keys: list[str] = []
        for typed in ("a", "ß", "\r", "\x7f", "\x08", "\x1b[6~", "\x1b"):
            os.write(person, typed.encode())
            keys.append(read_key())
        os.close(person)
        keys.append(read_key())
    os.close(terminal)

    assert keys == ["a", "ß", ENTER, BACKSPACE, BACKSPACE, "\x1b[6~", ESCAPE, ""]
