"""Looking whenever somebody hints, and now and then anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

__all__ = ["Hints", "Pace", "follow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How soon a hint is acted on, in seconds."""

    quiet: float = 2.0  # without a further hint: one look for a burst of them
    longest: float = 20.0  # after the first hint, however many follow
    tick: float = 600.0  # without any hint: what was not hinted at is found all the same


class Hints:
    """What came in: hints, and the word to end. Safe to call from threads and signal handlers."""

    def __init__(self) -> None:
        self._said: SimpleQueue[bool] = SimpleQueue()  # False: the end

    def hint(self) -> None:
        """Somebody says there may be something new."""
        self._said.put(True)

    def end(self) -> None:
        """Look no more."""
        self._said.put(False)

    def wait(self, seconds: float) -> bool | None:
        """The next thing said: True for a hint, False for the end; None: nothing in that time."""
        try:
            return self._said.get(timeout=seconds)
        except Empty:
            return None


def follow(
    hints: Hints,
    look: Callable[[], None],
    pace: Pace,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look at once, after every burst of hints, and at every tick, until the end is said.

    Hints that come while we look lead to one more look, so none is lost; several lead to one, so
    copies and changed order do no harm.

    Args:
        hints: What came in.
        look: Goes and looks; must not raise what the next look may make good.
        pace: How soon.
        clock: Seconds, rising.
    """
    going = True
    while going:
        look()
        going = _burst_is_over(hints, pace, clock)


def _burst_is_over(hints: Hints, pace: Pace, clock: Callable[[], float]) -> bool:
    """Wait until it is time to look; False: the end was said."""
    said, latest = hints.wait(pace.tick), None
    while said:
        now = clock()
        latest = now + pace.longest if latest is None else latest
        if now >= latest:
            return True
        said = hints.wait(min(pace.quiet, latest - now))
    return said is not False
