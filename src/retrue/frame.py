"""Drawing from a frame: one pass over windows for chance and shortlists, a second for the rows.

The audit comes first and from every eligible row; exclusions (labelled, in flight) apply to the
other arms only. Both passes are streams: memory grows with the budget, not with the traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from retrue.core.arrow import text_list
from retrue.core.clean import CleanBatch
from retrue.core.draw import BottomK
from retrue.core.pick import Shortlist, margins
from retrue.records import Sample, Window, canonical_json
from retrue.windows import pin_media, read_window, samples_of
from retrue.workspace import Workspace

__all__ = ["Candidate", "Drawn", "Frame", "Wanted", "draw_frame", "fetch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many of each a draw should bring."""

    audit: int
    audit_key: str  # names the draw: blocks of one probe share it
    random: int  # training arm by chance
    pool: int  # further rows by chance, to look for novelty in
    shortlist: int  # rows the model is least sure about


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one pass found. Ids are in order of drawing, or of the score."""

    rows: int  # distinct eligible samples
    audit: tuple[str, ...]
    random: tuple[str, ...]
    pool: tuple[str, ...]
    unsure: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A fetched row with what the logged model said of it."""

    sample: Sample
    predicted: str | None  # canonical JSON; None: the window has no outputs
    probabilities: np.ndarray | None  # (n_classes,) in the window's class order


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Fetched rows by sample id, and the media that was read on the way."""

    candidates: Mapping[str, Candidate]
    media: Mapping[str, bytes]  # sha256 -> bytes


def draw_frame(
    workspace: Workspace,
    windows: Sequence[Window],
    wanted: Wanted,
    *,
    round_id: str,
    excluded: AbstractSet[str],
) -> Frame:
    """Stream the windows once: audit and random draws, a pool, and the least sure rows.

    Args:
        workspace: Where the windows are.
        windows: The population.
        wanted: How many of each.
        round_id: Names the random draws of this round.
        excluded: Samples the arms other than audit must leave out.
    """
    seed = workspace.config.select.seed
    audit = BottomK(wanted.audit, seed=seed, round_id=wanted.audit_key)
    # One draw for both: the first are the arm, the rest the pool.
    chance = BottomK(wanted.random + wanted.pool + wanted.audit, seed=seed, round_id=round_id)
    unsure = Shortlist(wanted.shortlist + wanted.audit, seed=seed, round_id=round_id)
    seen: set[str] = set()
    for batch in _batches(workspace, windows):
        ids = np.array(text_list(batch.sample_id), dtype=object)
        ok = batch.eligible & batch.first & _new(ids, seen, several=len(windows) > 1)
        audit.add(ids[ok].tolist())
        free = ok & np.array([name not in excluded for name in ids], dtype=bool)
        chance.add(ids[free].tolist())
        if batch.probabilities is not None and batch.probabilities.shape[1] > 1:
            sure = np.round(margins(batch.probabilities[free]), 9)
            unsure.add(ids[free].tolist(), sure)
    drawn = audit.drawn()
    others = [name for name in chance.drawn() if name not in set(drawn)]
    return Frame(
        rows=audit.seen,
        audit=tuple(drawn),
        random=tuple(others[: wanted.random]),
        pool=tuple(others[wanted.random : wanted.random + wanted.pool]),
        unsure=tuple(name for name in unsure.ids() if name not in set(drawn)),
    )


def fetch(workspace: Workspace, windows: Sequence[Window], ids: Iterable[str]) -> Drawn:
    """Stream the windows again and bring the rows of some samples, with their multiplicity."""
    wanted = set(ids)
    found: dict[str, Candidate] = {}
    times: Counter[str] = Counter()
    for window, batch in _labelled_batches(workspace, windows):
        names = text_list(batch.sample_id)
        rows = np.array([i for i, name in enumerate(names) if name in wanted], dtype=np.int64)
        if not len(rows):
            continue
        samples = samples_of(batch, rows, window.window_id, multiplicity=[1] * len(rows))
        for row, sample in zip(rows.tolist(), samples, strict=True):
            times[sample.sample_id] += 1
            found.setdefault(sample.sample_id, _candidate(batch, row, sample))
    counted = [replace(one.sample, multiplicity=times[name]) for name, one in found.items()]
    pinned, media = pin_media(counted, workspace.store)
    return Drawn(
        candidates={one.sample_id: replace(found[one.sample_id], sample=one) for one in pinned},
        media=media,
    )


def _batches(workspace: Workspace, windows: Sequence[Window]) -> Iterable[CleanBatch]:
    return (batch for _, batch in _labelled_batches(workspace, windows))


def _labelled_batches(
    workspace: Workspace, windows: Sequence[Window]
) -> Iterable[tuple[Window, CleanBatch]]:
    for window in windows:
        for batch in read_window(window, workspace.config, workspace.store):
            yield window, batch


def _new(ids: np.ndarray, seen: set[str], *, several: bool) -> np.ndarray:
    """Not seen in an earlier window; within one window `first` already tells."""
    if not several:
        return np.ones(len(ids), dtype=bool)
    new = np.array([name not in seen for name in ids], dtype=bool)
    seen.update(ids.tolist())
    return new


def _candidate(batch: CleanBatch, row: int, sample: Sample) -> Candidate:
    if batch.probabilities is None or not batch.classes:
        return Candidate(sample=sample, predicted=None, probabilities=None)
    probabilities = np.asarray(batch.probabilities[row], dtype=float)
    best = batch.classes[int(probabilities.argmax())]
    return Candidate(sample=sample, predicted=canonical_json(best), probabilities=probabilities)
