"""Drawing from a frame: one pass over windows for chance and shortlists, a second for the rows.

The audit comes first and from every eligible row; exclusions (labelled, in flight) apply to the
other arms only. Both passes are streams: memory grows with the budget, and by 8 bytes for each
distinct id where several windows have to be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np

from retrue.core.arrow import take_values, text_list
from retrue.core.clean import CleanBatch
from retrue.core.draw import BottomK
from retrue.core.pick import Shortlist, margins
from retrue.core.seen import SeenIds
from retrue.reading.media import fault_of, media_reader, pin_media
from retrue.reading.scoring import in_names_of, is_logged_by, score_samples
from retrue.reading.windows import read_window, samples_of
from retrue.records import ModelVersion, Quarantined, Sample, Window, canonical_json
from retrue.workspace import Workspace

__all__ = ["Candidate", "Drawn", "Frame", "Wanted", "draw_frame", "fetch", "with_outputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many of each a draw should bring."""

    audit: int
    audit_key: str  # names the draw: blocks of one probe share it
    random: int  # training arm by chance
    pool: int  # further rows by chance: looked at for novelty, scored where no log tells
    shortlist: int  # rows the model is least sure about, by the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one pass found. Ids are in order of drawing, or of the score."""

    rows: int  # distinct eligible samples
    audit: tuple[str, ...]
    random: tuple[str, ...]
    pool: tuple[str, ...]
    unsure: tuple[str, ...]
    lost: tuple[Quarantined, ...] = ()  # objects that are gone, with all their rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A fetched row with what a model said of it."""

    sample: Sample
    predicted: str | None  # canonical JSON; None: nobody has said
    probabilities: np.ndarray | None  # (n_classes,) in that model's own order of classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Fetched rows by sample id, and the media that was read on the way."""

    candidates: Mapping[str, Candidate]
    media: Mapping[str, bytes]  # sha256 -> bytes
    # Sample id -> why its medium cannot be read: no candidate.
    lost: Mapping[str, Quarantined] = field(default_factory=dict[str, Quarantined])


def draw_frame(
    workspace: Workspace,
    windows: Sequence[Window],
    wanted: Wanted,
    *,
    round_id: str,
    excluded: AbstractSet[str],
    model: ModelVersion | None = None,
    unreadable: AbstractSet[str] = frozenset(),
) -> Frame:
    """Stream the windows once: audit and random draws, a pool, and the least sure rows.

    Args:
        workspace: Where the windows are.
        windows: The population.
        wanted: How many of each.
        round_id: Names the random draws of this round.
        excluded: Samples the arms other than audit must leave out.
        model: Only what this model logged makes a row unsure; None: any log does.
        unreadable: Samples nobody could look at: they are not in the frame.
    """
    lost: list[Quarantined] = []
    seed = workspace.config.select.seed
    audit = BottomK(wanted.audit, seed=seed, round_id=wanted.audit_key)
    # One draw for both: the first are the arm, the rest the pool.
    chance = BottomK(wanted.random + wanted.pool + wanted.audit, seed=seed, round_id=round_id)
    spare = wanted.audit if wanted.shortlist else 0  # the audit may take any of them
    unsure = Shortlist(wanted.shortlist + spare, seed=seed, round_id=round_id)
    seen = SeenIds() if len(windows) > 1 else None  # within one window `first` already tells
    for window, batch in _batches(workspace, windows, lost):
        ids = np.array(text_list(batch.sample_id), dtype=object)
        ok = _in_frame(batch, seen)
        if unreadable:
            ok &= np.array([name not in unreadable for name in ids], dtype=bool)
        audit.add(ids[ok].tolist())
        free = ok & np.array([name not in excluded for name in ids], dtype=bool)
        chance.add(ids[free].tolist())
        told = _outputs(batch, window, workspace, model)
        if told is not None and told.shape[1] > 1:
            unsure.add(ids[free].tolist(), np.round(margins(told[free]), 9))
    drawn = audit.drawn()
    taken = set(drawn)
    others = [name for name in chance.drawn() if name not in taken]
    return Frame(
        rows=audit.seen,
        audit=tuple(drawn),
        random=tuple(others[: wanted.random]),
        pool=tuple(others[wanted.random : wanted.random + wanted.pool]),
        unsure=tuple(name for name in unsure.ids() if name not in taken)[: wanted.shortlist],
        lost=tuple(lost),
    )


def fetch(
    workspace: Workspace,
    windows: Sequence[Window],
    ids: Iterable[str],
    *,
    model: ModelVersion | None = None,
) -> Drawn:
    """Stream the windows again and bring the rows of some samples, with their multiplicity.

    Args:
        workspace: Where the windows are.
        windows: The population.
        ids: Samples; rows without consent are passed over, and do not count as copies.
        model: Only what this model logged is a candidate's output; None: any log is.
    """
    wanted = set(ids)
    found: dict[str, Candidate] = {}
    times: Counter[str] = Counter()
    for window, batch in _batches(workspace, windows, []):
        names = text_list(batch.sample_id)
        rows = np.array(
            [i for i, name in enumerate(names) if name in wanted and batch.eligible[i]],
            dtype=np.int64,
        )
        if not len(rows):
            continue
        told = _outputs(batch, window, workspace, model)
        samples = samples_of(batch, rows, window.window_id, multiplicity=[1] * len(rows))
        for row, sample in zip(rows.tolist(), samples, strict=True):
            times[sample.sample_id] += 1
            if sample.sample_id not in found:
                chances = None if told is None else np.asarray(told[row], dtype=float)
                found[sample.sample_id] = _candidate(sample, chances, batch.classes)
    counted = [replace(one.sample, multiplicity=times[name]) for name, one in found.items()]
    pinned = pin_media(counted, workspace.store, fault_of(workspace.config))
    return Drawn(
        candidates={
            one.sample_id: replace(found[one.sample_id], sample=one) for one in pinned.samples
        },
        media=pinned.media,
        lost=pinned.lost,
    )


def with_outputs(workspace: Workspace, drawn: Drawn, model: ModelVersion | None) -> Drawn:
    """Every candidate with the model's outputs, in today's names: as it logged them, else asked."""
    if model is None:
        return drawn
    told = [one for one in drawn.candidates.values() if one.predicted is not None]
    names = in_names_of(workspace, model, [str(one.predicted) for one in told])
    known = {
        one.sample.sample_id: replace(one, predicted=name)
        for one, name in zip(told, names, strict=True)
    }
    silent = [one for name, one in drawn.candidates.items() if name not in known]
    if silent:
        samples = [one.sample for one in silent]
        read = media_reader(workspace.store, drawn.media)
        scores, predicted = score_samples(workspace, model, samples, read)
        for i, (one, label) in enumerate(zip(silent, predicted, strict=True)):
            chances = scores.probabilities[i] if scores.probabilities.shape[1] else None
            known[one.sample.sample_id] = replace(one, predicted=label, probabilities=chances)
    return replace(drawn, candidates={name: known[name] for name in drawn.candidates})


def _batches(
    workspace: Workspace, windows: Sequence[Window], lost: list[Quarantined]
) -> Iterator[tuple[Window, CleanBatch]]:
    for window in windows:
        for batch in read_window(window, workspace.config, workspace.store, lost=lost):
            yield window, batch


def _in_frame(batch: CleanBatch, seen: SeenIds | None) -> np.ndarray:
    """Eligible rows whose id was not met before, shape (n,)."""
    own = batch.eligible & batch.first
    if seen is not None:
        rows = np.flatnonzero(own)
        own[rows] = seen.add(take_values(batch.sample_id, rows))
    return own


def _outputs(
    batch: CleanBatch, window: Window, workspace: Workspace, model: ModelVersion | None
) -> np.ndarray | None:
    """The probabilities logged with a batch; None: there are none, or they are another model's."""
    if batch.probabilities is None or not batch.classes:
        return None
    ours = model is None or is_logged_by(window, model, workspace.config)
    return batch.probabilities if ours else None


def _candidate(sample: Sample, chances: np.ndarray | None, classes: Sequence[str]) -> Candidate:
    if chances is None:
        return Candidate(sample=sample, predicted=None, probabilities=None)
    best = canonical_json(classes[int(chances.argmax())])
    return Candidate(sample=sample, predicted=best, probabilities=chances)
