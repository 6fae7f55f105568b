"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import date, datetime

from retrue.core.accuracy import Estimate

__all__ = [
    "amount",
    "column_name",
    "day",
    "interval",
    "money",
    "pace",
    "percent",
    "plural",
    "points",
]


def percent(share: float) -> str:
    """A share as a percentage, finer near the ends.

    >>> percent(0.914), percent(0.9961), percent(0.043), percent(0.0004), percent(1.0)
    ('91%', '99.6%', '4.3%', '0.04%', '100%')
    """
    value = 100 * share
    if 0 < value < 0.1:
        return f"{value:.2g}%"
    shown = f"{value:.1f}" if value < 10 or value > 99 else f"{value:.0f}"
    return f"{shown.removesuffix('.0')}%"


def interval(estimate: Estimate) -> str:
    """The ends of an interval, in percent.

    >>> interval(Estimate(value=0.91, low=0.868, high=0.941, n=200, effective_n=200.0))
    '87\u201394'
    """
    return f"{100 * estimate.low:.0f}\N{EN DASH}{100 * estimate.high:.0f}"


def points(delta: float) -> str:
    """A difference of shares, in percentage points with its sign.

    >>> points(0.034), points(-0.01)
    ('+3.4', '\u22121.0')
    """
    return f"{100 * delta:+.1f}".replace("-", "\N{MINUS SIGN}")


def day(at: datetime | date | None) -> str:
    """A date; "-" if there is none.

    >>> day(date(2026, 3, 4))
    '4 Mar 2026'
    """
    return "-" if at is None else f"{at.day} {at:%b %Y}"


def amount(count: float) -> str:
    """A count with thin spaces between thousands.

    >>> amount(1234567)
    '1\u202f234\u202f567'
    """
    return f"{count:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def column_name(column: str) -> str:
    """A profile's column; the ones a model wrote are explained.

    >>> column_name("p_max"), column_name("p[cat]"), column_name("age")
    ("p_max: the model's confidence", 'p[cat]: probability of cat', 'age')
    """
    if column.startswith("p["):
        return f"{column}: probability of {column[2:-1]}"
    known = {"p_max": "the model's confidence", "predicted": "what the model says"}
    return f"{column}: {known[column]}" if column in known else column


def money(value: float, currency: str) -> str:
    """An amount of money.

    >>> money(12.5, "EUR")
    '12.50\u202fEUR'
    """
    return f"{value:.2f}\N{NARROW NO-BREAK SPACE}{currency}"


def pace(seconds: float | None) -> str:
    """Seconds per answer.

    >>> pace(4.21), pace(75), pace(None)
    ('4.2 s', '75 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "label"), plural(3, "label"), plural(2, "class", "classes")
    ('1 label', '3 labels', '2 classes')
    """
    return f"{amount(count)} {one if count == 1 else many or one + 's'}"
