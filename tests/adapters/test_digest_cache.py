"""Media are hashed once for each version, also by different processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrue.adapters.digest_cache import DigestCache
from retrue.adapters.store_any import AnyStore
from retrue.adapters.store_memory import MemoryStore
from retrue.errors import WorkspaceError
from retrue.ports import Look
from retrue.records import ObjectRef

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class CountingStore(MemoryStore):
    hashed = 0

    def digests(self, refs: Sequence[ObjectRef], *, look: Look | None = None) -> list[str]:
        self.hashed += len(refs)
        return super().digests(refs, look=look)


@pytest.fixture
def far() -> CountingStore:
    return CountingStore(["mem://raw"])


def test_a_version_is_hashed_once_and_a_new_one_again(far: CountingStore, tmp_path: Path):
    refs = [far.put(f"mem://raw/{n}.png", bytes([n]), modified_at=NOON) for n in range(3)]
    for _ in range(3):  # three processes
        found = AnyStore({"mem": far}, DigestCache(tmp_path / "d.sqlite")).digests(refs)
    assert far.hashed == 3
    changed = far.put("mem://raw/1.png", b"new", modified_at=NOON)

    store = AnyStore({"mem": far}, DigestCache(tmp_path / "d.sqlite"))
    again = store.digests([refs[0], changed, refs[2]])

    assert far.hashed == 4
    assert again == [found[0], hashlib.sha256(b"new").hexdigest(), found[2]]


def test_what_is_to_be_seen_is_read_and_its_digest_is_kept(far: CountingStore, tmp_path: Path):
    refs = [far.put(f"mem://raw/{n}.png", bytes([n]), modified_at=NOON) for n in range(2)]
    store = AnyStore({"mem": far}, DigestCache(tmp_path / "d.sqlite"))
    store.digests(refs[:1])
    seen: dict[ObjectRef, bytes] = {}

    found = store.digests(refs, look=seen.__setitem__)

    assert seen == {refs[0]: b"\x00", refs[1]: b"\x01"}
    assert store.digests(refs) == found
    assert far.hashed == 3  # one alone, then both; the last time none


def test_a_cache_that_was_deleted_is_made_again(far: CountingStore, tmp_path: Path):
    ref = far.put("mem://raw/1.png", b"1", modified_at=NOON)
    store = AnyStore({"mem": far}, DigestCache(tmp_path / "d.sqlite"))
    before = store.digests([ref])
    (tmp_path / "d.sqlite").unlink()

    assert store.digests([ref]) == before


def test_a_damaged_cache_says_that_it_may_be_deleted(far: CountingStore, tmp_path: Path):
    ref = far.put("mem://raw/1.png", b"1", modified_at=NOON)
    (tmp_path / "d.sqlite").write_bytes(b"no database at all" * 100)

    with pytest.raises(WorkspaceError, match=r"d\.sqlite: .*delete it"):
        AnyStore({"mem": far}, DigestCache(tmp_path / "d.sqlite")).digests([ref])
