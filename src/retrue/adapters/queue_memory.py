"""The annotation queue in memory: for tests, simulations and dry runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrue.adapters.queue_embedded import EmbeddedQueue, Event, QueueState

__all__ = ["MemoryQueue"]


class MemoryQueue(EmbeddedQueue):
    """Satisfies `retrue.ports.AnnotationQueue`; forgets everything with the process."""

    def __init__(self) -> None:
        self._state = QueueState()
        self._events = 0

    def _now(self) -> QueueState:
        return self._state

    def _append(self, decide: Callable[[QueueState], Sequence[Event]]) -> None:
        for event in decide(self._state):
            self._events += 1
            self._state.apply(event, self._events)
