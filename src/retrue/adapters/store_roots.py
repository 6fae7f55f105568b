"""The law of all stores: no name leads out of the configured roots."""

from __future__ import annotations

from collections.abc import Sequence

from retrue.errors import ObjectGone, StoreError

__all__ = ["changed_error", "inside", "is_hidden", "outside_error"]


def inside(uri: str, roots: Sequence[str]) -> bool:
    """Whether a name is one of the roots or lies below one, without any `..` on its way.

    >>> inside("s3://b/cam/1.png", ["s3://b/cam"]), inside("s3://b/camera/1.png", ["s3://b/cam"])
    (True, False)
    >>> inside("s3://b/cam/../key", ["s3://b/cam"])
    False
    """
    if ".." in uri.split("/") or "\\" in uri or "\x00" in uri:
        return False
    tops = [root.rstrip("/") for root in roots]
    return any(uri.rstrip("/") == top or uri.startswith(f"{top}/") for top in tops)


def is_hidden(path: str) -> bool:
    """Whether a path below the root is some writer's own: `_SUCCESS`, `.part-0.crc`, `_tmp/...`.

    >>> is_hidden("day=1/_SUCCESS"), is_hidden("day=1/a.parquet")
    (True, False)
    """
    return any(part.startswith((".", "_")) for part in path.split("/"))


def outside_error(uri: str, roots: Sequence[str]) -> StoreError:
    """What to say about a name that leads out."""
    return StoreError(f"{uri}: expected a name below {', '.join(roots)}, got one outside")


def changed_error(uri: str, expected: str, got: str) -> ObjectGone:
    """What to say about an object that is not what it was."""
    return ObjectGone(
        f"{uri}: expected version {expected}, got {got}. It changed since it was listed: run the "
        "step again for new rows, restore the old object for a window that was recorded before."
    )
