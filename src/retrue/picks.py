"""Filling a round's arms from what was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from retrue.core.embed import near_duplicates
from retrue.core.pick import margins, novelty_scores, pick_margin_diverse, pick_novel
from retrue.core.represent import represent
from retrue.frame import Candidate, Drawn, Frame
from retrue.ports import Media
from retrue.records import Arm, Sample, short_hash
from retrue.windows import media_reader
from retrue.workspace import Workspace

__all__ = ["Picked", "pick_arms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """One sample and why it was taken."""

    sample_id: str
    arm: Arm
    score: float | None
    drawn: int  # size of the random draw it came with; 0: not drawn by chance from the frame
    reason: str


def pick_arms(
    workspace: Workspace,
    frame: Frame,
    drawn: Drawn,
    *,
    audit: Sequence[str],
    sizes: Mapping[Arm, int],
    asked: AbstractSet[str],
) -> list[Picked]:
    """Audit and random as drawn, then active and novel from the rest, without near-duplicates.

    What one arm cannot fill (no outputs, nothing unlike the rest) goes to chance, so that the
    budget is spent and nothing is picked for a bad reason.
    """
    picked = [
        Picked(sample_id=name, arm="audit", score=None, drawn=len(audit), reason="audit, by chance")
        for name in audit
    ]
    picked += [
        Picked(sample_id=name, arm="random", score=None, drawn=0, reason="training, by chance")
        for name in frame.random
    ]
    want = sizes["active"] + sizes["novel"]
    if not want:
        return picked
    pool = [
        name for name in dict.fromkeys([*frame.unsure, *frame.pool]) if name in drawn.candidates
    ]
    known = _labelled(workspace, asked)
    reader = media_reader(workspace.store, {**_kept(workspace), **drawn.media})
    rows = [drawn.candidates[name].sample for name in pool]
    taken = [drawn.candidates[one.sample_id].sample for one in picked]
    table = _represent(workspace, [*rows, *taken, *known], reader)
    candidates, others = table[: len(rows)], table[len(rows) :]
    fresh = np.ones(len(rows), dtype=bool)
    if len(others):
        near = workspace.config.select.near_duplicate
        fresh = ~near_duplicates(candidates, others, threshold=near)
    rest = [name for name, keep in zip(pool, fresh, strict=True) if keep]
    candidates = candidates[fresh]
    rng = np.random.default_rng(int(short_hash(workspace.config.select.seed, *audit[:1]), 16))
    active = _active(drawn, rest, candidates, sizes["active"], rng)
    gone = {one.sample_id for one in active}
    left = [i for i, name in enumerate(rest) if name not in gone]
    novel = _novel([rest[i] for i in left], candidates[left], others, sizes["novel"], rng)
    picked += active + novel
    chosen = {one.sample_id for one in picked}
    spare = [name for name in frame.pool if name not in chosen][: want - len(active) - len(novel)]
    return picked + [
        Picked(sample_id=name, arm="random", score=None, drawn=0, reason="fills up by chance")
        for name in spare
    ]


def _active(
    drawn: Drawn, names: Sequence[str], rows: np.ndarray, budget: int, rng: np.random.Generator
) -> list[Picked]:
    """Where the model is least sure, spread over different-looking samples."""
    scored: list[int] = [
        i for i, name in enumerate(names) if _probabilities(drawn, name) is not None
    ]
    if not scored or not budget:
        return []
    by_row = [_probabilities(drawn, names[i]) for i in scored]
    probabilities = np.stack([row for row in by_row if row is not None])
    sure = margins(probabilities)
    order = np.argsort(sure, kind="stable")
    scored = [scored[i] for i in order]
    picks = pick_margin_diverse(probabilities[order], rows[scored], budget, rng=rng)
    return [
        Picked(
            sample_id=names[scored[i]],
            arm="active",
            score=round(score, 6),
            drawn=0,
            reason=f"the model hesitates (margin {score:.2f})",
        )
        for i, score in zip(map(int, picks.indices), map(float, picks.scores), strict=True)
    ]


def _novel(
    names: Sequence[str],
    rows: np.ndarray,
    known: np.ndarray,
    budget: int,
    rng: np.random.Generator,
) -> list[Picked]:
    """What is least like anything labelled or already taken."""
    if not len(names) or not len(known) or not budget:
        return []
    novelty = novelty_scores(rows, known)
    picks = pick_novel(novelty, rows, budget, rng=rng)
    return [
        Picked(
            sample_id=names[i],
            arm="novel",
            score=round(score, 6),
            drawn=0,
            reason=f"unlike anything labelled (distance {score:.2f})",
        )
        for i, score in zip(map(int, picks.indices), map(float, picks.scores), strict=True)
    ]


def _probabilities(drawn: Drawn, name: str) -> np.ndarray | None:
    candidate: Candidate = drawn.candidates[name]
    return candidate.probabilities


def _labelled(workspace: Workspace, asked: AbstractSet[str]) -> list[Sample]:
    """Samples of earlier rounds: what is known already."""
    samples = {
        sample.sample_id: sample
        for item in workspace.records.rounds()
        for sample in workspace.records.samples(item.plan.round_id)
    }
    return [sample for name, sample in sorted(samples.items()) if name in asked]


def _kept(workspace: Workspace) -> dict[str, bytes]:
    return {
        digest: data
        for item in workspace.records.rounds()
        for digest, data in workspace.records.media(item.plan.round_id).items()
    }


def _represent(workspace: Workspace, samples: Sequence[Sample], reader: Media) -> np.ndarray:
    data = workspace.config.data
    media = [reader(sample) for sample in samples] if data.kind == "image" else None
    return represent(samples, media, kind=data.kind, text=data.text)
