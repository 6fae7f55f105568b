"""Text that should be UTF-8, for a parser that cannot bear anything else.

pyarrow tells of a row of the wrong width by a callback that fails, unseen, on bytes that are no
UTF-8: the whole file is lost. So such bytes become U+FFFF, which Unicode gives to no character and
keeps out of files, and who reads the cells finds it there.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO, cast

__all__ = ["MARK", "MarkedText"]

MARK = "\uffff"
_CHUNK = 1 << 20  # bytes
_LONE = re.compile("[\ud800-\udfff]")  # what is left of a byte that is no UTF-8


class MarkedText(io.RawIOBase):
    """Another file's bytes from its beginning, with `MARK` for what is no UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        """Read `file` from its beginning."""
        super().__init__()
        file.seek(0)
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ready = memoryview(b"")
        self.marked = False  # whether any byte so far was no UTF-8

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Some of the next bytes; 0 at the end."""
        into = memoryview(cast("bytearray", buffer)).cast("B")  # any writable buffer
        while not self._ready:
            chunk = self._file.read(_CHUNK)
            self._ready = memoryview(self._utf8(chunk))
            if not chunk:
                break
        size = min(len(into), len(self._ready))
        into[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _utf8(self, chunk: bytes) -> bytes:
        text = self._decoder.decode(chunk, final=not chunk)
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.marked = True
            return _LONE.sub(MARK, text).encode()
