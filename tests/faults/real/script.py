"""Which fault happens to which request: written down before the run, so a seed replays it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Fault", "Script", "Service", "What"]

Service = Literal["label studio", "s3", "postgresql", "process", "git", "webhook"]
What = Literal[
    "cut before",  # the server never hears of the request
    "cut after",  # the server did the work, the reply is lost
    "time-out",  # the server works at once, the caller gives up before the reply
    "late",  # the server hears of it only after the caller has given up
    "429",  # with Retry-After
    "500",
    "503 burst",  # `times` in a row; on S3 with the body that asks to slow down
    "slow body",  # in pieces, all within the caller's patience
    "cut body",  # ends before its announced length
    "truncated JSON",  # ends early, and its announced length agrees
    "kill before",  # SIGKILL to the working process, instead of the request
    "kill after",  # SIGKILL once the server did the work
    "kill",  # SIGKILL `seconds` after the process began
    "restart",  # PostgreSQL stops at once and starts again
    "away",  # nobody answers here: `times` requests in a row are cut
    "index.lock",  # git left its lock behind
    "hints",  # webhooks come twice, in another order, and some not at all
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    service: Service
    what: What
    on: str = "any"  # a kind of request, as the proxy names them
    at: int = 1  # the n-th of that kind
    times: int = 1  # how many in a row
    seconds: float = 0.0  # when a process is killed; how old a lock is

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.service}: {self.what}"


@dataclass
class Script:
    """What is to happen to one service, and what did.

    Args:
        faults: In the order of preference where two would meet the same request.
        kill: Ends the working process at once.
        restart: Stops the database at once and starts it again.
    """

    faults: Sequence[Fault] = ()
    kill: Callable[[], None] = lambda: None
    restart: Callable[[], None] = lambda: None
    fired: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, kinds: Sequence[str]) -> Fault | None:
        """The fault of the request that comes now, if it has one.

        Args:
            kinds: What the request is, from special to general; "any" is added.
        """
        with self._lock:
            everything = (*kinds, "any")
            self.requests.update(everything)
            for fault in self.faults:
                place = self.requests[fault.on] - fault.at
                if fault.on in everything and 0 <= place < fault.times:
                    self.fired.append(fault)
                    return fault
        return None
