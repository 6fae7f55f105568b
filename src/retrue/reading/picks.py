"""Filling a round's arms from what was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from retrue.core.embed import near_duplicates, nearest
from retrue.core.pick import margins, novelty_scores, pick_margin_diverse, pick_novel, pick_quota
from retrue.core.represent import represent
from retrue.errors import StoreError
from retrue.reading.frame import Drawn, Frame
from retrue.reading.media import media_reader
from retrue.records import Arm, Sample, canonical_json, short_hash
from retrue.workspace import Workspace

__all__ = ["KNOWN", "Picked", "pick_arms"]

KNOWN = 5_000  # labelled samples that picks are held against: the newest; older ones may come again


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """One sample and why it was taken."""

    sample_id: str
    arm: Arm
    score: float | None
    drawn: int  # size of the random draw it came with; 0: not drawn by chance from the frame
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Candidates of the arms that choose, with the rows they are compared on."""

    names: tuple[str, ...]
    rows: np.ndarray  # (n, d)
    known: np.ndarray  # (m, d), labelled or already taken
    spread: float | None  # cosine between picks above which they are too alike; None: any

    def at(self, places: Sequence[int]) -> _Pool:
        names = tuple(self.names[place] for place in places)
        return replace(self, names=names, rows=self.rows[list(places)])

    def without(self, picked: Sequence[Picked]) -> _Pool:
        gone = {one.sample_id for one in picked}
        return self.at([i for i, name in enumerate(self.names) if name not in gone])


def pick_arms(
    workspace: Workspace,
    frame: Frame,
    drawn: Drawn,
    *,
    round_id: str,
    sizes: Mapping[Arm, int],
    asked: AbstractSet[str],
) -> list[Picked]:
    """Audit and random as drawn, then quotas, active and novel from the rest.

    What one arm cannot fill (no outputs, nothing unlike the rest) goes to chance, so that the
    budget is spent and nothing is picked for a bad reason.

    Args:
        workspace: Its records hold what was labelled.
        frame: `frame.audit` is this round's audit.
        drawn: The frame's rows, with the outputs that active and quotas go by.
        round_id: Names the chance in spreading picks.
        sizes: Samples per arm; audit and random are what the frame has.
        asked: Samples that were labelled or are in flight.
    """
    picked = [_by_chance(n, "audit", len(frame.audit), "audit, by chance") for n in frame.audit]
    picked += [_by_chance(name, "random", 0, "training, by chance") for name in frame.random]
    want = sizes["quota"] + sizes["active"] + sizes["novel"]
    if not want:
        return picked
    pool = _pool(workspace, frame, drawn, picked, asked)
    seed = short_hash(workspace.config.select.seed, round_id, "picks")
    rng = np.random.default_rng(int(seed, 16))
    chosen = _quota(workspace, drawn, pool, sizes["quota"], rng)
    active = sizes["active"] + sizes["quota"] - len(chosen)
    chosen += _active(drawn, pool.without(chosen), active, rng)
    chosen += _novel(pool.without(chosen), sizes["novel"], rng)
    taken = {one.sample_id for one in (*picked, *chosen)}
    spare = [name for name in frame.pool if name not in taken][: want - len(chosen)]
    return [
        *picked,
        *chosen,
        *(_by_chance(name, "random", 0, "fills up by chance") for name in spare),
    ]


def _by_chance(name: str, arm: Arm, drawn: int, reason: str) -> Picked:
    return Picked(sample_id=name, arm=arm, score=None, drawn=drawn, reason=reason)


# --- the arms that choose --------------------------------------------------------------------


def _quota(
    workspace: Workspace, drawn: Drawn, pool: _Pool, budget: int, rng: np.random.Generator
) -> list[Picked]:
    """For each class its reserve of samples that the model takes for it."""
    pool, probabilities = _told(drawn, pool)
    if not pool.names or not budget:
        return []
    quotas = {canonical_json(name): n for name, n in workspace.config.select.quotas.items()}
    said = [str(drawn.candidates[name].predicted) for name in pool.names]
    unsure = margins(probabilities)
    picks = pick_quota(said, quotas, unsure, pool.rows, rng=rng, near_duplicate=pool.spread)
    return [
        Picked(
            sample_id=pool.names[i],
            arm="quota",
            score=round(score, 6),
            drawn=0,
            reason=f"may be {said[i]}, of which too few are labelled",
        )
        for i, score in zip(map(int, picks.indices), map(float, picks.scores), strict=True)
    ][:budget]


def _active(drawn: Drawn, pool: _Pool, budget: int, rng: np.random.Generator) -> list[Picked]:
    """Where the model is least sure, spread over different-looking samples."""
    pool, probabilities = _told(drawn, pool)
    if not pool.names or not budget:
        return []
    picks = pick_margin_diverse(
        probabilities, pool.rows, budget, rng=rng, near_duplicate=pool.spread
    )
    return [
        Picked(
            sample_id=pool.names[i],
            arm="active",
            score=round(score, 6),
            drawn=0,
            reason=f"the model hesitates (margin {score:.2f})",
        )
        for i, score in zip(map(int, picks.indices), map(float, picks.scores), strict=True)
    ]


def _novel(pool: _Pool, budget: int, rng: np.random.Generator) -> list[Picked]:
    """What is least like anything labelled or already taken."""
    if not pool.names or not len(pool.known) or not budget:
        return []
    novelty = novelty_scores(pool.rows, pool.known)
    picks = pick_novel(novelty, pool.rows, budget, rng=rng, near_duplicate=pool.spread)
    return [
        Picked(
            sample_id=pool.names[i],
            arm="novel",
            score=round(score, 6),
            drawn=0,
            reason=f"unlike anything labelled (distance {score:.2f})",
        )
        for i, score in zip(map(int, picks.indices), map(float, picks.scores), strict=True)
    ]


def _told(drawn: Drawn, pool: _Pool) -> tuple[_Pool, np.ndarray]:
    """The candidates a model spoke of, least sure first, and its probabilities, (n, c)."""
    chances = {i: drawn.candidates[name].probabilities for i, name in enumerate(pool.names)}
    told = {i: row for i, row in chances.items() if row is not None}
    # Windows of models with other classes have rows of other lengths: no margin minds zeros.
    wide = np.zeros((len(told), max((len(row) for row in told.values()), default=0) + 1))
    for line, row in zip(wide, told.values(), strict=True):
        line[: len(row)] = row
    order = np.argsort(margins(wide), kind="stable") if told else np.empty(0, dtype=np.intp)
    places = list(told)
    return pool.at([places[i] for i in order]), wide[order]


# --- what they are compared on ---------------------------------------------------------------


def _pool(
    workspace: Workspace,
    frame: Frame,
    drawn: Drawn,
    picked: Sequence[Picked],
    asked: AbstractSet[str],
) -> _Pool:
    """Unsure and random candidates, without near-duplicates of what is labelled or taken."""
    data = workspace.config.data
    names = [n for n in dict.fromkeys([*frame.unsure, *frame.pool]) if n in drawn.candidates]
    new = [drawn.candidates[name].sample for name in names]
    new += [drawn.candidates[one.sample_id].sample for one in picked]
    labelled = _labelled(workspace, asked)
    known = [sample for samples in labelled.values() for sample in samples]
    media = _media(workspace, drawn, new, labelled) if data.kind == "image" else None
    table = represent([*new, *known], media, kind=data.kind, text=data.text)
    pool = _Pool(
        names=tuple(names),
        rows=table[: len(names)],
        known=table[len(names) :],
        spread=workspace.config.select.near_duplicate if data.kind in ("image", "text") else None,
    )
    copies = _copies(pool, workspace.config.select.near_duplicate)
    return pool.at(np.flatnonzero(~copies).tolist())


def _copies(pool: _Pool, near: float) -> np.ndarray:
    """Which candidates are nearly the same as something known, shape (n,).

    The cosine of two table rows tells their direction from the mean and not how far apart they
    are; of two columns, forty labelled rows point everywhere. So cells are compared: 0.98 allows
    them 0.02 standard deviations, in quadratic mean.
    """
    if pool.spread is not None:
        return near_duplicates(pool.rows, pool.known, threshold=pool.spread)
    if not pool.names or not len(pool.known) or not (pool.rows.any() or pool.known.any()):
        return np.zeros(len(pool.names), dtype=bool)  # without any fields all rows look the same
    squared, _ = nearest(pool.rows, pool.known)
    return squared <= pool.rows.shape[1] * (1 - near) ** 2


def _labelled(
    workspace: Workspace, asked: AbstractSet[str], most: int = KNOWN
) -> dict[str, list[Sample]]:
    """The newest samples that were asked about, by round; at most `most`."""
    found: dict[str, list[Sample]] = {}
    met: set[str] = set()
    for item in reversed(workspace.records.rounds()):
        if len(met) >= most:
            break
        round_id = item.plan.round_id
        new = [s for s in workspace.records.samples(round_id) if s.sample_id in asked - met]
        found[round_id] = sorted(new, key=lambda sample: sample.sample_id)[: most - len(met)]
        met |= {sample.sample_id for sample in found[round_id]}
    return found


def _media(
    workspace: Workspace,
    drawn: Drawn,
    new: Sequence[Sample],
    labelled: Mapping[str, Sequence[Sample]],
) -> Iterator[bytes]:
    """The bytes of candidates, then of what was labelled, one round's in memory at a time."""
    read = media_reader(workspace.store, drawn.media)
    yield from (read(sample) for sample in new)
    for round_id, samples in labelled.items():
        kept = workspace.records.media(round_id)
        read = media_reader(workspace.store, kept)
        for sample in samples:
            try:
                yield read(sample)
            except StoreError:  # gone since it was labelled: nothing can be compared with it
                yield b""
