"""The demo's story: the whole loop over real handwritten digits, in five weeks.

Everything is what a team would run; only the world around it (the application, the people) is
played. A `Setting` says where: in files on this machine, or on real services.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np

from retrue.cycle import Closing, Opening, open_rounds
from retrue.demo.people import People
from retrue.demo.places import Place
from retrue.demo.project import add_class, write_workspace
from retrue.demo.screen import DemoRun
from retrue.demo.world import NEW_CLASS, Digit, World, log_of, picture_of
from retrue.errors import WorkspaceError
from retrue.records import Sample
from retrue.steps.ingest import ingest_windows
from retrue.wiring import open_workspace
from retrue.workspace import Workspace

__all__ = ["Clock", "Say", "Setting", "open_first_round", "tell_story"]

ROUNDS_OF_ANSWERS = 6  # answers, disputes, answers to those; more would mean a loop

Say = Callable[[str], None]
Close = Callable[[Workspace, datetime], Closing]


class Clock(Protocol):
    """The story's time."""

    def now(self) -> datetime:
        """What time it is."""
        ...

    def wait(self, time: timedelta) -> None:
        """Let time pass, where it is told and not the real one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the story needs from around it."""

    project: Mapping[str, object]  # what `configs/project.yaml` says
    place: Place
    people: People
    clock: Clock
    close: Close  # the closing half of a tick
    close_last_week: Close  # the same, in the last week


def tell_story(root: Path, world: World, setting: Setting, *, say: Say) -> DemoRun:
    """Make a workspace in `root`, an empty folder, and let five weeks pass in it.

    Args:
        root: Where.
        world: What happens.
        setting: Where pictures go, who answers, what time it is.
        say: Told what is going on, in plain words.
    """
    story = _Story(root, world, setting, say)
    story.begin()
    return story.go_on()


def open_first_round(root: Path, world: World, setting: Setting, *, say: Say) -> Opening:
    """The story up to where people are asked for the first time; arguments as `tell_story`."""
    story = _Story(root, world, setting, say)
    story.begin()
    return story.open()


class _Story:
    """Five weeks, one tick after the other."""

    def __init__(self, root: Path, world: World, setting: Setting, say: Say) -> None:
        self._root, self._world, self._say = root, world, say
        self._place, self._people = setting.place, setting.people
        self._clock, self._setting = setting.clock, setting
        write_workspace(root, setting.project)
        self._openings: list[Opening] = []
        self._closings: list[Closing] = []

    def begin(self) -> None:
        """Two windows of digits, and no model yet."""
        self._say("Week 1: 500 digits arrive, nothing to compare them with yet")
        self._draw("incoming", self._world.first)
        ingest_windows(self._workspace(), now=self._clock.now())
        self._clock.wait(timedelta(days=7))
        self._say("Week 2: 500 more; a first batch, drawn by chance, goes to three people")
        self._draw("incoming", self._world.second)

    def go_on(self) -> DemoRun:
        """Labels, a model in service, a shift, and the way back."""
        self._run(self._setting.close)
        self._say("Week 3: the model is in service; a quiet week")
        self._serve(self._world.quiet, "week-3")
        self._run(self._setting.close)
        self._say("Week 4: a shape nobody knows, and turned strokes")
        self._serve(self._world.disturbed, "week-4")
        self._run(self._setting.close)
        self._say(f'Week 5: the class "{NEW_CLASS}" is added to the schema; the aimed round opens')
        add_class(self._root)
        self._run(self._setting.close_last_week)
        return DemoRun(
            root=self._root,
            workspace=self._workspace(),
            openings=tuple(self._openings),
            closings=tuple(self._closings),
        )

    def open(self) -> Opening:
        """The opening half of a tick."""
        opening = open_rounds(self._workspace(), now=self._clock.now())
        self._openings.append(opening)
        for line in _opening_words(opening):
            self._say(f"  {line}")
        return opening

    def _run(self, close: Close) -> None:
        """Nightly ticks until there is nothing left to do; people answer in between."""
        for _ in range(ROUNDS_OF_ANSWERS):
            opening = self.open()
            self._clock.wait(timedelta(hours=6))
            answers = self._people.answer(self._workspace(), now=self._clock.now())
            if opening.idle and not answers:  # the last closing did all there was to do
                break
            if answers:
                self._say(f"  people gave {answers} answers")
            closing = close(self._workspace(), self._clock.now())
            self._closings.append(closing)
            for line in _closing_words(closing):
                self._say(f"  {line}")
            self._clock.wait(timedelta(hours=6))
        self._clock.wait(timedelta(days=3))

    def _serve(self, digits: tuple[Digit, ...], name: str) -> None:
        """The application: takes requests, answers with the champion, logs what it said."""
        self._draw("pictures", digits)
        workspace, now = self._workspace(), self._clock.now()
        champion = workspace.models.champion()
        if champion is None:
            raise WorkspaceError("expected a champion after the first round, found none")
        samples = [_request(digit, self._place, now) for digit in digits]
        scores = workspace.models.score(
            champion, samples, lambda sample: self._place.get(f"pictures/{sample.sample_id}.png")
        )
        log = log_of(
            digits,
            np.asarray(scores.probabilities),
            [label.strip('"') for label in scores.classes],
            model_version=champion.version,
            at=now,
        )
        self._place.put(f"log/{name}.parquet", log, at=now)

    def _draw(self, folder: str, digits: tuple[Digit, ...]) -> None:
        for digit in digits:
            name = f"{folder}/{digit.name}.png"
            self._place.put(name, picture_of(digit), at=self._clock.now())

    def _workspace(self) -> Workspace:
        return open_workspace(self._root)


def _opening_words(opening: Opening) -> list[str]:
    """The opening half in a few words."""
    lines = [
        f"{check.rows} rows checked: {'ALARM, ' + check.reasons[0] if check.alarm else 'quiet'}"
        for check in opening.drift.checks
    ]
    lines += [f"the probe is in: {probe.outcome.reason}" for probe in opening.drift.probes]
    lines += [
        f"{made.plan.kind} round: {sum(made.plan.arms.values())} samples, {made.answers} answers "
        f"asked, {made.cost:.2f} {made.plan.currency}"
        for made in opening.select.planned
    ]
    return lines


def _closing_words(closing: Closing) -> list[str]:
    """The closing half in a few words."""
    lines: list[str] = []
    if closing.validate.disputes:
        lines.append("people disagree about some: those are asked again")
    if closing.version.manifest is not None:
        lines.append(f"dataset {closing.version.why}: {closing.version.manifest.rows:,} labels")
    if closing.train.outcome != "nothing":
        lines.append(f"a model is trained: {closing.train.why}")
    return lines


def _request(digit: Digit, place: Place, now: datetime) -> Sample:
    uri = f"{place.uri}/pictures/{digit.name}.png"
    return Sample(
        sample_id=digit.name,
        revision="",
        window_id="",
        uri=uri,
        object_version="",
        row=None,
        fields="{}",
        media_uri=uri,
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=now,
        multiplicity=1,
    )
