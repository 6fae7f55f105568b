"""Bytes that are somewhere else, as a file: what is read is fetched, and no more."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import cast

__all__ = ["RangedFile"]


class RangedFile(io.RawIOBase):
    """A seekable file whose reads are ranges."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        """Read by `fetch(start, stop)`, which gives exactly these bytes of `size`."""
        super().__init__()
        self._fetch, self._size, self._at = fetch, size, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Begin the next read elsewhere."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fetch what fits into the buffer."""
        into = memoryview(cast("bytearray", buffer)).cast("B")  # any writable buffer
        stop = min(self._at + len(into), self._size)
        if stop <= self._at:
            return 0
        data = self._fetch(self._at, stop)
        into[: len(data)] = data
        self._at += len(data)
        return len(data)
