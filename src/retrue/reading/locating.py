"""Finding samples by their keys in the recorded windows."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from retrue.core.arrow import text_list
from retrue.errors import StoreError, WorkspaceError
from retrue.reading.frame import Candidate, fetch
from retrue.reading.windows import read_window
from retrue.records import Window
from retrue.workspace import Workspace

__all__ = ["Located", "find_by_name", "locate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Where some samples are."""

    windows: tuple[Window, ...]  # that hold at least one; the one that was named, in any case
    candidates: Mapping[str, Candidate]  # by sample id
    media: Mapping[str, bytes]  # sha256 -> bytes
    refused: Mapping[str, str]  # sample id -> why it cannot be taken
    unreadable: tuple[str, ...]  # "<window>: <reason>" of windows whose objects are gone


def locate(workspace: Workspace, wanted: AbstractSet[str], *, only: str | None = None) -> Located:
    """Look for samples in the recorded windows, oldest first; each is taken where it is first.

    Args:
        workspace: Where the windows are.
        wanted: Sample ids.
        only: Look in this window alone (its id or the beginning of it); None: in all.

    Raises:
        WorkspaceError: There is no such window.
    """
    left, refused, gone = set(wanted), dict[str, str](), list[str]()
    candidates, media, held = dict[str, Candidate](), dict[str, bytes](), list[Window]()
    for window in _windows(workspace, only):
        if not left:
            break
        try:
            here, without = _scan(workspace, window, left)
            drawn = fetch(workspace, [window], here)
        except StoreError as error:
            gone.append(f"{window.window_id}: {error}")
            continue
        refused |= dict.fromkeys(without, "its row has no consent")
        candidates |= drawn.candidates
        refused |= {key: one.reason for key, one in drawn.lost.items()}
        media |= drawn.media
        left -= here
        if here or only is not None:
            held.append(window)
    return Located(
        windows=tuple(held),
        candidates=candidates,
        media=media,
        refused={key: why for key, why in refused.items() if key not in candidates},
        unreadable=tuple(gone),
    )


def find_by_name(
    workspace: Workspace, names: AbstractSet[str], *, only: str | None = None
) -> dict[str, str]:
    """Name -> sample id, of samples with a file: its uri, or its stem if no other is called so.

    Args:
        workspace: Where the windows are; objects that are gone have no name any more.
        names: Uris and stems.
        only: As `locate` has it.

    Raises:
        WorkspaceError: There is no such window.
    """
    called: dict[str, set[str]] = {}
    for window in _windows(workspace, only):
        with suppress(StoreError):
            for batch in read_window(window, workspace.config, workspace.store):
                files = [] if batch.media is None else text_list(batch.media)
                for uri, sample in zip(files, text_list(batch.sample_id), strict=False):
                    known = set[str]() if uri is None else {uri, PurePosixPath(uri).stem}
                    for name in known & names:
                        called.setdefault(name, set()).add(str(sample))
    return {name: samples.pop() for name, samples in called.items() if len(samples) == 1}


def _windows(workspace: Workspace, only: str | None) -> list[Window]:
    windows = workspace.state.windows()
    if only is None:
        return windows
    found = [window for window in windows if window.window_id.startswith(only)]
    if len(found) != 1:
        raise WorkspaceError(
            f"window {only}: expected one recorded window, found {len(found) or 'none'}. "
            "`retrue ingest` records windows."
        )
    return found


def _scan(
    workspace: Workspace, window: Window, wanted: AbstractSet[str]
) -> tuple[set[str], set[str]]:
    """(wanted ids of this window, wanted ids whose rows have no consent)."""
    here, without = set[str](), set[str]()
    for batch in read_window(window, workspace.config, workspace.store):
        for name, eligible in zip(text_list(batch.sample_id), batch.eligible, strict=True):
            if name is not None and name in wanted:
                (here if eligible else without).add(name)
    return here, without - here
