"""Reading ahead: the same bytes, in bounded memory, with errors where they belong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrue.adapters.s3_ahead import Ahead
from retrue.errors import StoreError
from retrue.records import ObjectRef

MB = 1 << 20


def an_object(name: str, size: int) -> ObjectRef:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return ObjectRef(uri=f"s3://b/{name}", version='"1"', size=size, modified_at=at)


def content(ref: ObjectRef, start: int, stop: int) -> bytes:
    """Every byte tells its object and its place."""
    return bytes((len(ref.uri) * 31 + place * 7) % 251 for place in range(start, stop))


class Fetched:
    """Brings zeros, and counts."""

    def __init__(self) -> None:
        self.bytes = 0
        self.requests = 0
        self._lock = threading.Lock()

    def __call__(self, ref: ObjectRef, start: int, stop: int) -> bytes:
        with self._lock:
            assert stop <= ref.size
            self.bytes += stop - start
            self.requests += 1
        return bytes(stop - start)


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 299), st.integers(1, 300))),
)
def test_any_reads_in_any_order_give_the_bytes_that_are_there(
    sizes: list[int], reads: list[tuple[int, int, int]]
):
    refs = [an_object("x" * place, size) for place, size in enumerate(sizes, start=1)]
    with ThreadPoolExecutor(2) as pool:
        ahead = Ahead(content, refs, pool)

        for place, start, length in reads:
            ref = refs[place % len(refs)]
            stop = min(start + length, ref.size)
            if start < stop:
                assert ahead.read(ref, start, stop) == content(ref, start, stop)


def test_a_large_object_is_fetched_in_parallel_blocks_each_once_and_never_far_ahead():
    ref, fetched = an_object("large.bin", 200 * MB), Fetched()
    with ThreadPoolExecutor(8) as pool:
        ahead = Ahead(fetched, [ref], pool)

        furthest = 0
        for start in range(0, ref.size, MB):
            ahead.read(ref, start, start + MB)
            furthest = max(furthest, fetched.bytes - start)

    assert (fetched.bytes, fetched.requests) == (200 * MB, 25)
    assert furthest <= (64 + 8 + 1) * MB


def test_small_objects_come_whole_each_by_one_request():
    refs, fetched = [an_object(f"{n}.parquet", 8 * MB + 1) for n in range(20)], Fetched()
    with ThreadPoolExecutor(8) as pool:
        ahead = Ahead(fetched, refs, pool)

        for ref in refs:
            ahead.read(ref, ref.size - 64_000, ref.size)  # what is where
            for start in range(4, 8 * MB, 2 * MB):
                ahead.read(ref, start, start + 2 * MB - 4)

    assert fetched.requests == 20


def test_an_object_nobody_reads_does_not_stop_the_others():
    refs, fetched = [an_object(f"{n}.bin", 60 * MB) for n in range(4)], Fetched()
    with ThreadPoolExecutor(8) as pool:
        ahead = Ahead(fetched, refs, pool)

        data = ahead.read(refs[2], 0, 10)
        last = ahead.read(refs[3], 59 * MB, 60 * MB)

    assert (len(data), len(last)) == (10, MB)


def test_an_error_comes_where_its_object_is_read():
    refs = [an_object("good.bin", 10), an_object("gone.bin", 10), an_object("fine.bin", 10)]

    def fetch(ref: ObjectRef, start: int, stop: int) -> bytes:
        if ref.uri.endswith("gone.bin"):
            raise StoreError(f"{ref.uri}: gone")
        return bytes(stop - start)

    with ThreadPoolExecutor(2) as pool:
        ahead = Ahead(fetch, refs, pool)

        assert ahead.read(refs[0], 0, 10) == bytes(10)
        with pytest.raises(StoreError, match=r"gone\.bin"):
            ahead.read(refs[1], 0, 10)
        assert ahead.read(refs[2], 0, 10) == bytes(10)
