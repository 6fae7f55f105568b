"""When a lease is granted and when a write is refused; what every working state has in common."""

from __future__ import annotations

from datetime import datetime, timedelta

from retrue.errors import LeaseHeld, LeaseLost
from retrue.ports import Lease

__all__ = ["FREE", "check", "grant"]

FREE = ""  # the holder of a lease that was given back


def grant(newest: Lease | None, *, name: str, holder: str, ttl: timedelta, now: datetime) -> Lease:
    """The next lease of this name, with a token above every earlier one.

    A holder who asks again gets a new lease at once, so a run that was cut off can be repeated
    without waiting. A holder's name must therefore belong to one run only (`host:pid`, a flow run).

    Args:
        newest: The last lease granted under this name, by `FREE` if it was given back.
        name: What is locked.
        holder: Who asks, not empty.
        ttl: How long the lease lasts, > 0.
        now: Aware time.

    Raises:
        LeaseHeld: Somebody else's lease has not expired.
        ValueError: `holder` is empty, `ttl` is not positive or `now` has no time zone.

    >>> from datetime import UTC
    >>> noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    >>> grant(None, name="write", holder="a:1", ttl=timedelta(minutes=5), now=noon).token
    1
    """
    if holder == FREE or ttl <= timedelta(0) or now.tzinfo is None:
        msg = f"lease {name}: expected a holder, ttl > 0 and an aware time, got {holder!r}, {ttl}"
        raise ValueError(msg)
    if newest and newest.holder not in (FREE, holder) and newest.expires_at > now:
        until = f"{newest.expires_at:%Y-%m-%d %H:%M:%S %Z}"
        msg = (
            f"lease {name}: expected it free, held by {newest.holder} until {until}; wait for "
            "that run to end and run again (if it died, the lease is free at that time)"
        )
        raise LeaseHeld(msg)
    token = newest.token + 1 if newest else 1
    return Lease(name=name, holder=holder, token=token, expires_at=now + ttl)


def check(lease: Lease, newest: Lease | None) -> None:
    """Refuse a lease that is no longer the newest, or that was given back.

    Raises:
        LeaseLost: The message says who came after.
    """
    if newest is None or (newest.token, newest.holder) != (lease.token, lease.holder):
        after = newest.holder if newest and newest.holder else "nobody; it was given back"
        msg = (
            f"lease {lease.name}: expected {lease.holder} with token {lease.token}, the holder is "
            f"now {after}; nothing was written, run the step again"
        )
        raise LeaseLost(msg)
