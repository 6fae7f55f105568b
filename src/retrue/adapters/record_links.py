"""Record files of one folder in another: by hard link, never over a different file."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from retrue.errors import RecordError

__all__ = ["link_files", "record_names"]

_FOLDERS = ("data/rounds", "data/decisions")
_SUFFIXES = (".json", ".parquet")


def record_names(root: Path) -> set[str]:
    """The record files below `data/rounds` and `data/decisions`, relative to `root`.

    Files still being written are left out, and so are rounds without a plan: they do not exist yet.
    """
    return {
        f"{folder}/{place}/{name}"
        for folder in _FOLDERS
        for place in _listed(root / folder)
        for name in _whole(root / folder / place, rounds=folder == "data/rounds")
    }


def link_files(names: Iterable[str], source: Path, target: Path, *, spare: Path) -> None:
    """Make each file of `source` a file of `target`.

    Args:
        names: Relative to both folders.
        source: Where the files are.
        target: Where they shall be, too.
        spare: A name on the target's device for a copy under way, where links are not possible.

    Raises:
        RecordError: A file is in both with different content: records are written once.
    """
    # A plan comes last: with it the round exists, and then it has to be whole.
    for name in sorted(names, key=lambda name: (name.endswith("/plan.json"), name)):
        old, new = source / name, target / name
        if new.exists() and not old.samefile(new):
            _refuse_difference(old, new, name)
            new.unlink()  # equal bytes; linked, the next comparison is free
        if not new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            _link(old, new, spare)


def _whole(folder: Path, *, rounds: bool) -> list[str]:
    names = _listed(folder)
    if rounds and "plan.json" not in names:
        return []
    return [n for n in names if n.endswith(_SUFFIXES) and not n.startswith(".")]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - of thousands of folders, and quicker
    except (FileNotFoundError, NotADirectoryError):
        return []


def _refuse_difference(old: Path, new: Path, name: str) -> None:
    if not filecmp.cmp(old, new, shallow=False):
        raise RecordError(
            f"{name}: expected the content that was recorded before, got another. Records are "
            f"written once: compare {old} with {new}, and keep the right one in both places."
        )


def _link(old: Path, new: Path, spare: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # another device, or a file system without links
        shutil.copy2(old, spare)
        spare.replace(new)
