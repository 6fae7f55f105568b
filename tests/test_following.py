from __future__ import annotations

import threading
import time

from retrue.acts.following import Hints, Pace, follow

QUICK = Pace(quiet=0.05, longest=0.5, tick=30.0)


class Looking:
    """Counts looks; ends after some, or does something during one."""

    def __init__(self, hints, *, end_after=None, during=None):
        self.hints, self.looks = hints, 0
        self._end_after, self._during = end_after, during or {}

    def __call__(self):
        self.looks += 1
        self._during.get(self.looks, lambda: None)()
        if self.looks == self._end_after:
            self.hints.end()


def test_it_looks_once_at_the_start_for_what_came_while_nobody_listened():
    hints = Hints()
    looking = Looking(hints, end_after=1)

    follow(hints, looking, QUICK)

    assert looking.looks == 1


def test_a_burst_of_hints_is_one_look():
    hints = Hints()
    burst = {1: lambda: [hints.hint() for _ in range(200)]}
    looking = Looking(hints, end_after=2, during=burst)

    follow(hints, looking, QUICK)

    assert looking.looks == 2


def test_a_hint_that_comes_while_we_look_leads_to_one_more_look():
    hints = Hints()
    looking = Looking(hints, end_after=3, during={1: hints.hint, 2: hints.hint})

    follow(hints, looking, QUICK)

    assert looking.looks == 3


def test_hints_without_end_do_not_hold_up_the_look():
    hints, stop = Hints(), threading.Event()
    looking = Looking(hints, end_after=2)

    def hint_on():
        while not stop.wait(0.01):
            hints.hint()

    sender = threading.Thread(target=hint_on)
    sender.start()
    began = time.monotonic()
    follow(hints, looking, QUICK)
    stop.set()
    sender.join()

    assert 0.4 < time.monotonic() - began < 5


def test_a_burst_that_takes_too_long_is_acted_on_before_it_ends():
    hints = Hints()
    looking = Looking(hints, end_after=3, during={1: lambda: [hints.hint() for _ in range(4)]})
    times = iter([0.0, 100.0, 200.0, 300.0])

    follow(hints, looking, QUICK, clock=lambda: next(times))

    assert looking.looks == 3


def test_without_any_hint_the_tick_looks():
    hints = Hints()
    looking = Looking(hints, end_after=3)

    follow(hints, looking, Pace(quiet=0.01, longest=0.01, tick=0.02))

    assert looking.looks == 3
