"""One key at a time from a real terminal."""

from __future__ import annotations

import codecs
import os
import select
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TextIO

from retrue.errors import QueueError

__all__ = ["keyboard"]

SEQUENCE_SECONDS = 0.05  # a terminal sends the rest of a special key at once; a person does not


@contextmanager
def keyboard(stdin: TextIO) -> Generator[Callable[[], str]]:
    r"""Keys without Enter and without echo, for a block; the terminal is put back after it.

    A call of what is given waits for a key: one character, "\r" for Enter, an escape sequence
    ("\x1b[A") for a special key, "" for the end of input and for Ctrl-C.

    Raises:
        QueueError: There is no terminal to press keys at.
    """
    if not stdin.isatty():
        raise QueueError(
            "label: expected a terminal with a person at it, got a pipe or a file. "
            "Run `retrue label` in a terminal, or let people answer in Label Studio "
            "(queue.use: label_studio)."
        )
    handle = stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle)
        yield lambda: _key(handle)
    finally:
        with suppress(termios.error):  # the terminal was closed: nothing to put back
            termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _key(handle: int) -> str:
    try:
        first = os.read(handle, 1)
        if first == b"\x1b":
            return _sequence(handle)
        if first == b"\n":
            return "\r"
        if first == b"\x08":
            return "\x7f"
        return _character(handle, first)
    except (KeyboardInterrupt, OSError):  # OSError: the terminal was closed
        return ""


def _sequence(handle: int) -> str:
    ready, _, _ = select.select([handle], [], [], SEQUENCE_SECONDS)
    return "\x1b" + (os.read(handle, 16).decode("ascii", "replace") if ready else "")


def _character(handle: int, first: bytes) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(first)
    while first and not text:
        first = os.read(handle, 1)
        text = decoder.decode(first, final=not first)
    return text
