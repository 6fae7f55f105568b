"""Fetching ahead: the next blocks of some objects come in threads, in bounded memory.

An object of up to 12 MB is one block; a larger one is cut into blocks of about 8 MB, so that the
row groups of a large parquet file come in parallel too. At most 64 MB are on their way or waiting,
and the last 4 blocks that were read are kept, because columns are not read in strict order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from threading import Lock

from retrue.records import ObjectRef

__all__ = ["THREADS", "Ahead", "Fetch", "is_one_block"]

THREADS = 8
_BLOCK = 8 << 20  # bytes
_BYTES = 64 << 20  # fetched or being fetched, and not read yet
_BLOCKS = 4 * THREADS  # the same, of small objects
_KEPT = 4  # blocks of the object in hand that were read and may be read again

Fetch = Callable[[ObjectRef, int, int], bytes]  # bytes from start to stop of one version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    place: int  # of its object in the plan
    start: int
    stop: int


class Ahead:
    """Serves ranges of the planned objects; everything else is asked for directly."""

    def __init__(self, fetch: Fetch, refs: Sequence[ObjectRef], pool: Executor) -> None:
        """Begin to fetch.

        Args:
            fetch: Brings one range; called in the threads of `pool`.
            refs: The objects, about in the order in which they will be read.
            pool: Its number of threads is how many requests run at once.
        """
        self._fetch, self._refs, self._pool = fetch, refs, pool
        self._places = {(ref.uri, ref.version): place for place, ref in enumerate(refs)}
        self._plan = self._planned()
        self._next = next(self._plan, None)
        self._coming: dict[_Block, Future[bytes]] = {}  # in the order of the plan
        self._kept: dict[_Block, bytes] = {}  # the oldest first
        self._lock = Lock()  # a decoder may read from several threads
        self._more()

    def read(self, ref: ObjectRef, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of one version.

        Raises:
            StoreError: As `fetch` does, for the object that is being read.
        """
        place = self._places.get((ref.uri, ref.version))
        if place is not None:
            with self._lock:
                blocks = list(_blocks(place, ref.size, start, stop))
                parts = [self._part(block, start, stop) for block in blocks]
            if None not in parts:
                return b"".join(part for part in parts if part is not None)
        # Read before and let go since, or never planned.
        return self._fetch(ref, start, stop)

    def _part(self, block: _Block, start: int, stop: int) -> bytes | None:
        whole = self._taken(block)
        if whole is None or (start <= block.start and block.stop <= stop):
            return whole
        return whole[max(start - block.start, 0) : min(stop, block.stop) - block.start]

    def _taken(self, block: _Block) -> bytes | None:
        """The block, once it is here; None: it was let go, or is not planned yet."""
        for passed in [one for one in self._coming if one.place < block.place]:
            self._coming.pop(passed).cancel()
        self._kept = {one: data for one, data in self._kept.items() if one.place >= block.place}
        if block not in self._kept and (future := self._coming.pop(block, None)) is not None:
            self._kept[block] = future.result()
            for oldest in [*self._kept][:-_KEPT]:
                del self._kept[oldest]
        self._more()
        return self._kept.get(block)

    def _more(self) -> None:
        """Ask for the next blocks, as many as may wait."""
        waiting = sum(one.stop - one.start for one in self._coming)
        while (block := self._next) is not None and len(self._coming) < _BLOCKS:
            waiting += block.stop - block.start
            if self._coming and waiting > _BYTES:
                return
            self._coming[block] = self._pool.submit(
                self._fetch, self._refs[block.place], block.start, block.stop
            )
            self._next = next(self._plan, None)

    def _planned(self) -> Iterator[_Block]:
        for place, ref in enumerate(self._refs):
            blocks = list(_blocks(place, ref.size, 0, ref.size))
            # A parquet file is read from its end, where it says what is where.
            last = blocks[-1:] if ref.uri.endswith((".parquet", ".pq")) else []
            yield from last
            yield from blocks[: len(blocks) - len(last)]


def is_one_block(size: int) -> bool:
    """Whether an object of so many bytes is fetched as a whole.

    >>> is_one_block(8 << 20), is_one_block(16 << 20)
    (True, False)
    """
    return _blocks_in(size) == 1


def _blocks_in(size: int) -> int:
    return max(1, round(size / _BLOCK))


def _blocks(place: int, size: int, start: int, stop: int) -> Iterator[_Block]:
    """The blocks of an object that hold any byte from `start` to `stop`.

    >>> [(b.start, b.stop) for b in _blocks(0, 20 << 20, 0, 1)]
    [(0, 10485760)]
    """
    width = -(-size // _blocks_in(size))
    for number in range(start // width if width else 0, -(-stop // width) if width else 0):
        yield _Block(place=place, start=number * width, stop=min(size, (number + 1) * width))
