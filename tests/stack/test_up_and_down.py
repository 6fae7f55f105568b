"""A stack's life on small services; `test_real_stack.py` lives it on the real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any

import psutil
import pytest

from retrue.errors import LeaseHeld, ServiceUnavailable, StackError
from retrue.stack import ServiceStatus, Stack, down, exists, folder_of, reset, status, up
from retrue.stack.catalogue import Catalogue
from retrue.stack.loopback import HOST, free_ports
from retrue.stack.service import Launch, answers
from retrue.stack.state import locked
from stack.small_stack import SMALL, Clerk, Page, catalogue


class World:
    """One workspace's folder, and what the stack said."""

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, list[str]()

    def up(
        self,
        catalogue: Catalogue = SMALL,
        only: Sequence[str] = (),
        ports: Mapping[str, int] | None = None,
    ) -> Stack:
        say = self.said.append
        return up(self.root, say=say, only=only, ports=ports, catalogue=catalogue)

    def down(self) -> list[str]:
        return down(self.root, say=self.said.append, catalogue=SMALL)

    def reset(self) -> bool:
        return reset(self.root, say=self.said.append, catalogue=SMALL)

    def status(self) -> dict[str, ServiceStatus]:
        return {one.name: one for one in status(self.root, catalogue=SMALL)}

    @property
    def states(self) -> dict[str, str]:
        return {name: one.state for name, one in self.status().items()}

    def pid(self, service: str) -> int:
        return self.state()["processes"][service]["pid"]

    @property
    def folder(self) -> Path:
        return folder_of(self.root)

    def state(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what the stack remembers."""
        state = self.state()
        change(state)
        (self.folder / "state.json").write_text(json.dumps(state))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    if (made.folder / "state.json").exists():
        made.down()


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process that is not ours."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_a_stack_starts_works_and_stops(world: World):
    assert world.states == {"page": "stopped", "clerk": "stopped"}

    stack = world.up()

    assert world.states == {"page": "running", "clerk": "running"}
    assert stack.links == {"page": stack.environment["PAGE_URL"]}
    assert all(one.fine and one.memory_mb is not None for one in world.status().values())
    pids = [world.pid("page"), world.pid("clerk")]
    assert all(os.getsid(pid) == pid for pid in pids)  # the terminal's end is not theirs

    assert sorted(world.down()) == ["clerk", "page"]

    assert world.states == {"page": "stopped", "clerk": "stopped"}
    assert not any(is_alive(pid) for pid in pids)
    assert world.down() == []


def test_what_it_writes_is_for_this_user_alone_and_a_shell_reads_the_env_file(world: World):
    stack = world.up()

    asked = f"set -a; . {stack.env_file}; set +a; printenv PAGE_URL PAGE_PASSWORD"
    told = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True)

    assert told.stdout.split() == [*stack.environment.values()]
    assert mode(world.folder) == 0o700
    assert mode(stack.env_file) == mode(world.folder / "state.json") == 0o600
    assert stack.environment["PAGE_PASSWORD"] not in repr(stack)


def test_a_second_start_finds_what_runs(world: World):
    first = world.up()
    pids = [world.pid("page"), world.pid("clerk")]

    second = world.up()

    assert second == first
    assert [world.pid("page"), world.pid("clerk")] == pids


def test_what_was_killed_is_started_again_at_its_old_place(world: World):
    first = world.up()
    page, clerk = world.pid("page"), world.pid("clerk")
    child = int((world.folder / "clerk" / "there").read_text())
    for pid in (page, clerk):
        psutil.Process(pid).kill()
        wait_for(lambda pid=pid: not is_alive(pid))
    gone = world.status()

    second = world.up()

    assert [gone["page"].state, gone["clerk"].state] == ["stopped", "stopped"]
    assert not gone["page"].fine  # it should run
    assert "it ended, and nobody stopped it" in gone["page"].detail
    assert "Run `retrue stack up`" in gone["page"].detail
    assert second.environment == first.environment  # port and password too
    assert world.states == {"page": "running", "clerk": "running"}
    assert world.pid("page") != page
    assert not is_alive(child)  # what the killed one left behind


def test_a_number_that_is_now_a_strangers_is_never_touched(world: World, stranger: psutil.Process):
    world.up()
    world.down()
    world.rewrite(lambda state: state.update(processes={"page": recorded(stranger)}))

    found = world.status()["page"]
    assert world.down() == []

    assert found.state == "stopped"
    assert stranger.is_running()


def test_a_process_that_was_not_noted_any_more_is_still_found(world: World):
    world.up()
    pid = world.pid("page")
    world.rewrite(lambda state: state.update(processes={}))  # killed right after starting it

    world.up()

    assert not is_alive(pid)
    assert world.states == {"page": "running", "clerk": "running"}


def test_the_process_that_answers_must_be_ours(world: World):
    url = world.up().environment["PAGE_URL"]
    os.kill(world.pid("page"), signal.SIGKILL)
    again = (sys.executable, "-m", "http.server", "--bind", HOST, url.rpartition(":")[2])
    where = world.folder / "page"
    with subprocess.Popen(again, cwd=where, stderr=subprocess.DEVNULL) as pretender:
        wait_for(lambda: answers(f"{url}/who") is not None)  # it even knows the password

        found = world.status()["page"]
        moved = world.up()

        pretender.kill()

    assert (found.state, found.pid) == ("strange", None)
    assert "is taken by process" in found.detail
    assert "not ours. Run `retrue stack up`: it takes another." in found.detail
    assert moved.environment["PAGE_URL"] != url
    assert any("is somebody else's now" in line for line in world.said)


def test_what_a_killed_server_left_behind_is_not_called_a_strangers(world: World):
    family = catalogue(page=Family)
    url = world.up(family, only=["page"]).environment["PAGE_URL"]
    os.kill(world.pid("page"), signal.SIGKILL)
    wait_for(lambda: not is_alive(world.pid("page")))

    (found, _) = status(world.root, catalogue=family)
    again = world.up(family, only=["page"])

    assert found.state == "strange"
    assert "its main process ended and left process" in found.detail
    assert found.detail.endswith("Run `retrue stack up`.")
    assert again.environment["PAGE_URL"] == url


class Family(Page):
    """Its main process has a child that listens."""

    def launch(self) -> Launch:
        port = str(self.site.ports["http"])
        serve = f"{sys.executable} -m http.server --bind {HOST} {port}"
        return Launch(command=("sh", "-c", f"{serve} & wait"))


def test_a_port_of_ones_choice_is_kept_and_a_strangers_is_refused(world: World):
    free, *_ = free_ports(1)
    with closing(create_server((HOST, 0))) as theirs:
        taken = theirs.getsockname()[1]
        with pytest.raises(
            StackError, match=f"page: port {taken} is taken by process {os.getpid()}"
        ):
            world.up(ports={"page": taken})

    stack = world.up(ports={"page": free})
    world.down()
    again = world.up()

    assert stack.environment["PAGE_URL"] == f"http://{HOST}:{free}"
    assert again.environment == stack.environment


@pytest.mark.parametrize("act", ["up", "down", "reset", "status"])
def test_a_folder_with_somebody_elses_files_is_refused(world: World, act: str):
    theirs = world.folder / "thesis.tex"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("all of it")

    with pytest.raises(StackError, match="They are not ours"):
        getattr(world, act)()

    assert [path.name for path in world.folder.iterdir()] == ["thesis.tex"]


def test_a_folder_that_is_a_link_is_refused(world: World, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    world.folder.parent.mkdir()
    world.folder.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StackError, match="expected a folder of this user"):
        world.reset()


def test_resetting_throws_away_what_is_ours_and_its_credentials(world: World):
    before = world.up().environment["PAGE_PASSWORD"]
    beside = world.root / ".retrue" / "ledger.sqlite"
    beside.touch()

    assert world.reset()

    assert not world.folder.exists()
    assert beside.exists()
    assert not world.reset()
    assert not exists(world.root)
    assert world.up().environment["PAGE_PASSWORD"] != before


def test_one_command_at_a_time_changes_a_stack(world: World):
    world.up()

    with locked(world.folder), pytest.raises(LeaseHeld, match=f"process {os.getpid()}"):
        world.down()

    assert world.states["page"] == "running"


def test_some_services_come_with_those_they_need(world: World):
    world.up(only=["clerk"])
    both = world.states
    world.down()

    world.up(only=["page"])

    assert both == {"page": "running", "clerk": "running"}
    assert world.states == {"page": "running", "clerk": "stopped"}
    assert all(one.fine for one in world.status().values())
    with pytest.raises(StackError, match="clerc: expected some of page, clerk"):
        world.up(only=["clerc"])


def test_other_settings_start_a_service_again(world: World):
    world.up()
    page, clerk = world.pid("page"), world.pid("clerk")

    world.up(catalogue(settings="new"))

    assert world.pid("page") != page
    assert world.pid("clerk") == clerk


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(Page):
    """Ends at once, and tells its password to the log."""

    def launch(self) -> Launch:
        password = self.site.credential("password")
        return Launch(command=("sh", "-c", f"echo no room for {password}; exit 3"))


def test_a_service_that_ends_is_told_with_its_last_words_and_without_secrets(world: World):
    with pytest.raises(StackError) as told:
        world.up(catalogue(page=Broken))

    assert "page: it ended before it was ready" in str(told.value)
    assert "no room for ***" in str(told.value)
    assert "clerk" not in str(told.value)  # it was not started: the page is what is wrong
    assert world.states == {"page": "stopped", "clerk": "stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaf(Page):
    """Somebody else answers for it: it does not listen itself."""

    ready_seconds = 0.5

    def launch(self) -> Launch:
        return Launch(command=("sleep", "1000"))

    def is_ready(self) -> bool:
        return True


def test_a_service_is_ready_only_if_its_own_process_has_the_port(world: World):
    with pytest.raises(ServiceUnavailable, match="page: process"):
        world.up(catalogue(page=Deaf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(Clerk):
    """Never ready."""

    ready_seconds = 0.3

    def is_ready(self) -> bool:
        return False


def test_a_service_that_takes_too_long_goes_on_starting(world: World):
    with pytest.raises(ServiceUnavailable, match="run it again to wait longer"):
        world.up(catalogue(clerk=Slow))
    pid = world.pid("clerk")

    world.up()

    assert world.pid("clerk") == pid


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def recorded(process: psutil.Process) -> dict[str, object]:
    return {"pid": process.pid, "since": process.create_time(), "settings": ""}


def wait_for(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)
