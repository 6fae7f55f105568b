"""`retrue demo`: the story in a throw-away workspace with no service at all, in about a minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from retrue.cycle import Closing, close_rounds
from retrue.demo.people import DeskPeople
from retrue.demo.places import Folder
from retrue.demo.project import fresh_folder, project_config
from retrue.demo.screen import DemoRun
from retrue.demo.story import Say, Setting, tell_story
from retrue.demo.world import ANNOTATORS, SEED, make_world
from retrue.wiring import quiet_telemetry
from retrue.workspace import Workspace

__all__ = ["run_demo"]


@dataclass(slots=True)
class _ToldClock:
    """Five weeks that end about now; nobody waits for them."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def wait(self, time: timedelta) -> None:
        self.time += time


def run_demo(root: Path, *, now: datetime, say: Say) -> DemoRun:
    """Make a fresh workspace in `root` and let five weeks pass in it.

    Args:
        root: Made anew; an earlier demo there is thrown away, anything else is refused.
        now: The last day of the story.
        say: Told what is going on, in plain words.

    Raises:
        WorkspaceError: `root` holds something that is not a demo.
    """
    quiet_telemetry()
    fresh_folder(root, say=say)
    world = make_world(seed=SEED)
    place = Folder(path=root / "bucket", uri="bucket")
    for name in ("incoming", "log", "pictures"):
        (place.path / name).mkdir(parents=True)
    annotators = {"crowd": ["Ann", "Bob", "Cleo"], "adjudicator": ["Ann"]}

    def close(workspace: Workspace, at: datetime) -> Closing:
        return close_rounds(workspace, now=at)

    setting = Setting(
        project=project_config(place.uri, queue={"annotators": annotators}, store={}),
        place=place,
        people=DeskPeople(annotators=ANNOTATORS, truths=world.truths, seed=str(SEED)),
        clock=_ToldClock(now - timedelta(days=28)),
        close=close,
        close_last_week=close,
    )
    return tell_story(root, world, setting, say=say)
