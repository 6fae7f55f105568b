"""What every run has: a place behind proxies, a working process that is started again, a result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from faults.real import http_proxy, tcp_proxy
from faults.real.places import Patience, Place
from faults.real.plans import Plan
from faults.real.script import Fault, Script
from faults.real.stack import Stack, place_of, restart
from faults.real.work import AGAIN, BLOCKED, listen, work
from retrue.workspace import LEASE_TTL
from services.postgresql import PostgresServer

__all__ = ["Bench", "Outcome", "Workers", "proxied"]

ATTEMPTS = 40  # of one phase
ATTEMPT_SECONDS = 600.0
BLOCKED_SECONDS = 0.5  # before who found the door shut tries it again
TERMINALS = 3  # more of them than one fault can make
LATER = LEASE_TTL + timedelta(minutes=1)  # what a dead process's leases make the next one wait
FIRST = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Outcome:
    """What a run left, against what it should; a line of the results."""

    suite: str
    seed: int
    world: int
    planned: list[dict[str, object]]
    fired: list[str] = field(default_factory=list)  # names of the faults that met a request
    attempts: int = 0  # of all phases
    killed: int = 0
    retried: int = 0  # attempts that ended with "run it again"
    why_retried: list[str] = field(default_factory=list)  # what they said
    terminal: list[str] = field(default_factory=list)  # "a person must act", and nobody did
    stuck: str = ""  # the phase that never ended
    tasks: int = 0
    lost_tasks: int = 0
    copies_left: int = 0  # copies without an answer
    answered_copies: int = 0  # copies that people answered: kept, by contract
    answers: int = 0
    lost_answers: int = 0
    doubled_answers: int = 0
    digest: str = ""
    facts: dict[str, object] = field(default_factory=dict)  # of a whole loop: what it left
    same_digest: bool | None = None  # None: nothing to compare with
    wrong: list[str] = field(default_factory=list)  # which tasks and answers
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        count = self.lost_tasks + self.copies_left + self.lost_answers + self.doubled_answers
        return not (count or self.stuck or self.terminal or self.same_digest is False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What runs of one lane share."""

    stack: Stack
    database: PostgresServer
    folder: Path

    def planned(self, world: int) -> Path:
        """The records of a world's first round, planned once by runs that nothing disturbs."""
        kept = self.folder / f"planned-{world}"
        if not kept.exists():
            calm = Plan(seed=-1 - world, world=world, faults=(), people_hurry=False)
            outcome = Outcome("planning", calm.seed, world, [])
            with (
                tempfile.TemporaryDirectory(dir=self.folder) as folder,
                proxied(self, calm, outcome, Path(folder), f"plan{world}") as (place, workers),
            ):
                workers.until_done("ingest", "select")
                with suppress(OSError):  # another lane was faster: its records are the same
                    (place.root / "data").rename(kept)
        return kept


@dataclass
class Workers:
    """Starts the working process, again and again until a phase is done."""

    place: Place
    outcome: Outcome
    kills: Sequence[Fault]
    now: datetime = FIRST
    pid: int | None = None
    rest: Callable[[], None] = lambda: None  # hours pass: what was under way has ended

    def kill(self) -> None:
        """End the process that works now, as `kill -9` does."""
        pid, self.pid = self.pid, None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def until_done(self, *acts: str) -> bool:
        """Run some acts until all of them ended well; False: never."""
        for _ in range(ATTEMPTS):
            self.now += timedelta(minutes=1)
            code, said = self._once(acts)
            if code == 0:
                return True
            if code == AGAIN:
                self.outcome.retried += 1
                self.outcome.why_retried.append(f"{acts[0]}: {said[:300]}")
            elif code in (BLOCKED, -signal.SIGKILL):
                self.outcome.killed += code == -signal.SIGKILL
                self.now += LATER
                time.sleep(BLOCKED_SECONDS if code == BLOCKED else 0)
            else:
                self.outcome.terminal.append(said.strip()[-1500:])
            if len(self.outcome.terminal) > TERMINALS:
                break
        self.outcome.stuck = f"{acts}: {said.strip()[-1500:]}"
        return False

    @contextmanager
    def listening(self, port: int, secret: str) -> Generator[None]:
        """A process that follows hints, beside what the block does; another one if it dies."""
        over = threading.Event()

        def keep() -> None:
            while not over.is_set():
                self.now += LATER
                self._run(listen, port, secret)

        thread = threading.Thread(target=keep)
        thread.start()
        try:
            yield
        finally:
            over.set()
            pid = self.pid
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            thread.join()

    def _once(self, acts: Sequence[str]) -> tuple[int, str]:
        return self._run(work, acts)

    def _run(self, target: Callable[..., None], *arguments: object) -> tuple[int, str]:
        said = self.place.root.with_name(f"{self.place.root.name}-said")
        said.unlink(missing_ok=True)
        self.outcome.attempts += 1
        number = self.outcome.attempts
        context = multiprocessing.get_context("forkserver")
        holder = f"{self.place.name}/{number}"
        process = context.Process(
            target=target, args=(self.place, *arguments, holder, self.now, said)
        )
        process.start()
        self.pid = process.pid
        timers = [
            threading.Timer(fault.seconds, self._kill_for, (fault,))
            for fault in self.kills
            if fault.at == number
        ]
        for timer in timers:
            timer.start()
        process.join(ATTEMPT_SECONDS)
        self.pid = None
        for timer in timers:
            timer.cancel()
        if process.exitcode is None:
            process.kill()
            process.join()
            return -1, f"{arguments}: no end within {ATTEMPT_SECONDS} s"
        return process.exitcode, said.read_text(encoding="utf-8") if said.exists() else ""

    def _kill_for(self, fault: Fault) -> None:
        if self.pid is not None:
            self.outcome.fired.append(fault.name)
            self.kill()


@contextmanager
def proxied(
    bench: Bench, plan: Plan, outcome: Outcome, root: Path, name: str, *, whole: bool = False
) -> Generator[tuple[Place, Workers]]:
    """A run's place behind its proxies, and who works there."""
    of = {
        service: tuple(fault for fault in plan.faults if fault.service == service)
        for service in ("label studio", "s3", "postgresql", "process")
    }
    scripts = {service: Script(faults) for service, faults in of.items()}
    tool, store, ledger = (scripts[name] for name in ("label studio", "s3", "postgresql"))
    with (
        http_proxy.running(
            bench.stack.label_studio_place, tool, http_proxy.label_studio_kinds
        ) as tool_proxy,
        http_proxy.running(
            bench.stack.s3_place, store, http_proxy.s3_kinds, xml=True
        ) as store_proxy,
        tcp_proxy.running(place_of(bench.database.url), ledger) as ledger_proxy,
    ):
        host, port = place_of(bench.database.url)
        place = Place(
            name=name,
            world=plan.world,
            root=root,
            label_studio=tool_proxy.address,
            token=bench.stack.token,
            s3=store_proxy.address,
            s3_env=bench.stack.s3_env,
            ledger=bench.database.url.replace(f"{host}:{port}", f"127.0.0.1:{ledger_proxy.port}"),
            patience=Patience(),
            whole=whole,
        )
        workers = Workers(place, outcome, of["process"])
        for script in scripts.values():
            script.kill = workers.kill
        workers.rest = tool_proxy.rest
        ledger.restart = lambda: restart(bench.database)
        yield place, workers
        outcome.fired += [fault.name for script in scripts.values() for fault in script.fired]
