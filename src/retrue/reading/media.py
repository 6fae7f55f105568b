"""The media of samples, fixed to their bytes; what is gone or broken is left out by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from retrue.config import Config
from retrue.core.represent import picture_fault
from retrue.errors import ObjectGone, StoreError
from retrue.ports import SampleStore
from retrue.reading.windows import Fault, gone
from retrue.records import ObjectRef, Quarantined, Sample, short_hash

__all__ = ["PinnedMedia", "fault_of", "media_reader", "pin_media"]

_READERS = 8  # media read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedMedia:
    """Samples whose media could be read, and those that have none to read."""

    samples: tuple[Sample, ...]  # in the order asked for
    media: Mapping[str, bytes]  # sha256 -> bytes
    lost: Mapping[str, Quarantined]  # sample id -> why it is not among the samples


def fault_of(config: Config) -> Fault | None:
    """What a medium must be: a picture, where our own trainer is to read pictures.

    None: any bytes will do. A team's command may read what we cannot (DICOM, RAW).
    """
    ours = config.data.kind == "image" and config.train.command is None
    return picture_fault if ours else None


def pin_media(
    samples: Sequence[Sample], store: SampleStore, fault: Fault | None = None
) -> PinnedMedia:
    """Fix which bytes the samples' media are.

    A sample that is pinned has `media_version`, `media_sha256` and a revision that tells the bytes;
    one without a medium stays as it is.

    Args:
        samples: Whose media.
        store: Where they are.
        fault: What is wrong with bytes, as `fault_of` tells.

    Raises:
        StoreError: The store refuses, or a medium lies outside the configured roots.
    """
    pinned: list[Sample] = []
    kept: dict[str, bytes] = {}
    lost: dict[str, Quarantined] = {}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="media") as pool:
        read = pool.map(partial(_read_medium, store=store, fault=fault), samples)
        for sample, medium in zip(samples, read, strict=True):
            if medium is None:
                pinned.append(sample)
            elif isinstance(medium, Quarantined):
                lost[sample.sample_id] = medium
            else:
                version, data = medium
                digest = hashlib.sha256(data).hexdigest()
                kept[digest] = data
                pinned.append(
                    replace(
                        sample,
                        media_version=version,
                        media_sha256=digest,
                        revision=short_hash(sample.revision, digest),  # new bytes are new content
                    )
                )
    return PinnedMedia(samples=tuple(pinned), media=kept, lost=lost)


def media_reader(store: SampleStore, kept: Mapping[str, bytes]) -> Callable[[Sample], bytes]:
    """A function that gives a sample's media: kept bytes first, else the store's.

    The function raises StoreError where a sample has no media, or the store's are not those that
    were pinned.
    """

    def read(sample: Sample) -> bytes:
        if sample.media_sha256 is not None and sample.media_sha256 in kept:
            return kept[sample.media_sha256]
        if sample.media_uri is None:
            raise StoreError(f"sample {sample.sample_id}: expected a medium, got none")
        data = store.read(_media_ref(sample.media_uri, sample, store))
        if sample.media_sha256 not in (None, hashlib.sha256(data).hexdigest()):
            raise StoreError(
                f"{sample.media_uri}: expected the bytes that were labelled "
                f"(sha256 {sample.media_sha256}), got others. Restore that version."
            )
        return data

    return read


def _read_medium(
    sample: Sample, *, store: SampleStore, fault: Fault | None
) -> tuple[str, bytes] | Quarantined | None:
    """Version and bytes, or why there are none; None where a sample has no medium."""
    if sample.media_uri is None:
        return None
    try:
        ref = _media_ref(sample.media_uri, sample, store)
        data = store.read(ref)
    except ObjectGone as error:
        version = sample.media_version or sample.object_version
        return gone(sample.media_uri, version, error)
    reason = None if fault is None else fault(data)
    if reason is None:
        return ref.version, data
    return Quarantined(uri=ref.uri, version=ref.version, row=None, reason=reason)


def _media_ref(uri: str, sample: Sample, store: SampleStore) -> ObjectRef:
    """The version that was pinned, or the current one."""
    ref = store.resolve(uri)
    return ref if sample.media_version is None else replace(ref, version=sample.media_version)
