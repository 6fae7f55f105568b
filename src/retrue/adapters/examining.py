"""What a look at one thing outside found: ok, ok but mind it, or wrong and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from retrue.errors import RetrueError

__all__ = ["KNOWN", "Check", "clock_check", "date_of", "examined", "version_check"]

DATE_SECONDS = 1.0  # an HTTP Date has whole seconds
NOTICEABLE = 30.0  # seconds of skew
HARMFUL = 300.0  # seconds of skew; S3 refuses requests at 900, tokens and links end early before

# From the first version up to, and without, the last one: what the suites of this version ran with.
KNOWN: Mapping[str, tuple[str, str]] = {
    "Label Studio": ("1.20", "2.0"),
    "MLflow": ("3.0", "4.0"),
    "Prefect": ("3.4", "4.0"),
    "PostgreSQL": ("13", "19"),
    "SQLite": ("3.35", "4.0"),
    "DVC": ("3.50", "4.0"),
    "git": ("2.25", "3.0"),
    "SQLAlchemy": ("2.0.40", "2.1"),  # 2.1: schedules of a Prefect server never fire
    "FastAPI": ("0.100", "0.155"),  # 0.155: Prefect fails at its first flow
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str  # ok: what was found; else what is wrong and what to do
    warn: bool = False  # ok, but mind it


def examined(name: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """What a look found, up to where it failed; an error of ours says what to do."""
    try:
        yield from look()
    except RetrueError as error:
        yield Check(name=name, ok=False, detail=str(error))


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """The Date of a reply; None where it sends none that can be read."""
    try:
        return parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def clock_check(name: str, theirs: datetime | None, ours: datetime) -> Check:
    """Whether a server's clock and ours agree.

    Args:
        name: Whose clock.
        theirs: From the Date of a reply, whole seconds; None: it sent none.
        ours: When the reply came.
    """
    name = f"{name} clock"
    if theirs is None:
        return Check(name=name, ok=True, warn=True, detail="it sends no time to compare with")
    skew = (theirs - ours).total_seconds()
    if -1 - DATE_SECONDS <= skew <= 1:
        return Check(name=name, ok=True, detail="agrees with ours, to the second")
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    advice = (
        "Set this machine's clock (`timedatectl set-ntp true`), or the server's: S3 refuses "
        "requests at 900 s, and links and tokens end early."
    )
    if abs(skew) < NOTICEABLE:
        return Check(name=name, ok=True, detail=found)
    ok = abs(skew) < HARMFUL
    return Check(name=name, ok=ok, warn=ok, detail=f"{found}. {advice}")


def version_check(name: str, found: str) -> Check:
    """Whether a version is one that is known to work; another one is no error.

    >>> version_check("Prefect", "3.8.8").detail
    '3.8.8'
    >>> version_check("SQLAlchemy", "2.1.0").warn
    True
    """
    first, end = KNOWN[name]
    if _numbers(first) <= _numbers(found) < _numbers(end):
        return Check(name=f"{name} version", ok=True, detail=found)
    detail = f"{found}: known to work are {first} up to below {end}. Mind the first runs."
    return Check(name=f"{name} version", ok=True, warn=True, detail=detail)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
