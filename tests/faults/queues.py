"""Annotation tools that behave as badly as real ones do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrue.adapters.queue_memory import MemoryQueue
from retrue.errors import ServiceUnavailable
from retrue.ports import TaskInQueue
from retrue.records import QueueTask

__all__ = ["LateAdds", "LateImport"]


class LateAdds(MemoryQueue):
    """Takes tasks in, and the reply does not come: the first `times` adds commit and time out."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def add(self, tasks: Sequence[QueueTask]) -> int:
        grown = super().add(tasks)
        if self._times:
            self._times -= 1
            raise ServiceUnavailable("add: no reply in 60 s")
        return grown


class LateImport(MemoryQueue):
    """The first import is cut and goes on in the tool: each ask finds a few tasks more."""

    def __init__(self, *, each_ask: int) -> None:
        super().__init__()
        self._each_ask = each_ask
        self._importing: list[QueueTask] = []
        self._cut = False

    def add(self, tasks: Sequence[QueueTask]) -> int:
        if self._cut:
            return super().add(tasks)
        self._cut, self._importing = True, list(tasks)
        raise ServiceUnavailable("add: the connection was cut, the import goes on")

    def tasks(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        wanted = list(task_keys)
        now, self._importing = self._importing[: self._each_ask], self._importing[self._each_ask :]
        if now:
            super().add(now)
        return super().tasks(wanted)

    def settled(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        wanted = list(task_keys)
        while self._importing:
            self.tasks(wanted)
        return super().tasks(wanted)
