"""Cutting any port before or after its k-th call, whichever port that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from retrue.errors import ServiceUnavailable

PortT = TypeVar("PortT")


class Killed(BaseException):
    """The process died here: no handler of the program may catch it."""


@dataclass
class Cuts:
    """Counts every call of every wrapped port, and cuts at one of them.

    Args:
        at: The call to cut, from 1; 0 cuts none and only counts.
        when: before: the port never hears of the call. after: it did the work and nobody knows.
        how: kill: the process dies. cut: the caller sees a transient error.
    """

    at: int = 0
    when: Literal["before", "after"] = "before"
    how: Literal["kill", "cut"] = "kill"
    calls: list[str] = field(default_factory=list)
    leases: list[object] = field(default_factory=list)  # kept, or Python would give them back

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        mine = len(self.calls) == self.at
        if mine and self.when == "before":
            raise self._fault(name)
        result = call()
        if mine:
            raise self._fault(name)
        return result

    def _fault(self, name: str) -> BaseException:
        if self.how == "kill":
            return Killed(name)
        return ServiceUnavailable(f"{name}: the connection was cut")


def cut(port: PortT, cuts: Cuts) -> PortT:
    """The same port with every public call counted; a stand-in for the port's type."""
    return cast("PortT", _Cut(port, cuts))


class _Cut:
    def __init__(self, port: object, cuts: Cuts) -> None:
        self._port, self._cuts = port, cuts

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if name.startswith("_") or not callable(member):
            return member
        label = f"{type(self._port).__name__}.{name}"
        if name == "lease":
            return self._lease(label, member)

        def called(*args: Any, **kwargs: Any) -> Any:
            return self._cuts.around(label, lambda: member(*args, **kwargs))

        return called

    def _lease(self, label: str, member: Callable[..., Any]) -> Callable[..., Any]:
        """Taking a lease is one call, giving it back another; a dead process gives nothing back."""

        @contextmanager
        def held(*args: Any, **kwargs: Any) -> Iterator[Any]:
            manager = member(*args, **kwargs)
            self._cuts.leases.append(manager)
            lease = self._cuts.around(f"{label}.enter", manager.__enter__)
            try:
                yield lease
            except Killed:
                raise
            except BaseException as error:
                manager.__exit__(type(error), error, error.__traceback__)
                raise
            else:
                self._cuts.around(f"{label}.exit", lambda: manager.__exit__(None, None, None))

        return held
