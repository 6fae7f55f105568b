"""What other programs say, cut to what fits into one of our sentences."""

from __future__ import annotations

__all__ = ["in_short"]

LONGEST = 160  # characters


def in_short(said: object) -> str:
    r"""The first line of a text that is not ours, without its full stop.

    >>> in_short("  Connection refused. \n Is it running?")
    'Connection refused'
    >>> len(in_short("x" * 999))
    160
    """
    first = next((line for line in str(said).splitlines() if line.strip()), "")
    words = " ".join(first.split()).rstrip(".")
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"
