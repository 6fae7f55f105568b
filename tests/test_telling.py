"""People hear of an incident once, however many ticks see it, and sooner or later they do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from retrue.cycle import close_rounds, open_rounds
from retrue.steps.drift import check_windows
from retrue.steps.ingest import ingest_windows
from world import EXPERTS, World


@dataclass
class Channel:
    """Takes messages, except the first few."""

    refuses: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def send(self, title: str, text: str) -> bool:
        self.asked.append((title, text))
        return len(self.asked) > self.refuses


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A model in service, and a shift that the next check finds."""
    world = World(tmp_path)
    world.arrive("a", 300)
    open_rounds(world.workspace(), now=world.sleep(hours=1))
    world.people_answer(EXPERTS)
    assert close_rounds(world.workspace(), now=world.sleep(hours=1)).train.outcome == "first"
    return world


def night(world: World, name: str, channel: Channel) -> None:
    world.arrive(name, 300, shift=3.0, stream="log")
    ingest_windows(world.workspace(), now=world.sleep(hours=23))
    tick(world, channel)


def tick(world: World, channel: Channel, *, dry_run: bool = False) -> None:
    workspace = replace(world.workspace(), notify=channel)
    check_windows(workspace, now=world.sleep(hours=1), dry_run=dry_run)


def test_an_incident_that_three_ticks_see_is_told_once(world: World):
    channel = Channel()

    for name in ("mon", "tue", "wed"):
        night(world, name, channel)
        tick(world, channel)

    ((title, text),) = channel.asked
    (incident,) = world.records.decisions("incident-opened")
    assert str(incident.data["window"]) in title
    assert f"retrue drift show {incident.data['incident']}" in text


def test_what_nobody_took_is_told_by_the_next_tick_and_the_step_does_its_work(world: World):
    channel = Channel(refuses=2)

    night(world, "mon", channel)
    tick(world, channel)
    tick(world, channel)
    tick(world, channel)

    assert len(channel.asked) == 3
    assert len(world.records.decisions("incident-opened")) == 1


def test_a_run_cut_off_before_it_told_leaves_it_to_the_next(world: World):
    class Cut(Channel):
        def send(self, title: str, text: str) -> bool:
            raise KeyboardInterrupt(title, text)

    with pytest.raises(KeyboardInterrupt):
        night(world, "mon", Cut())
    channel = Channel()
    tick(world, channel)

    assert len(channel.asked) == 1


def test_what_is_a_week_old_is_no_news_and_a_dry_run_tells_nothing(world: World):
    silent = Channel(refuses=99)
    night(world, "mon", silent)
    channel = Channel()

    tick(world, channel, dry_run=True)
    world.sleep(hours=24 * 8)
    tick(world, channel)

    assert channel.asked == []
