"""Which rows are for training and which for evaluation; recorded once, never changed.

Rules, in this order, for each sample when it is first labelled:

1. Content that is known already (same `media_sha256`, or same `revision`) takes the split that
   content has, so no model is evaluated on bytes it was trained on. If its media say one thing and
   its revision another, it bridges the two and becomes eval, which stays out of training.
2. Else its group's split, if the group was seen before.
3. Else eval, if this first label comes from an audit draw, the group's hash is under the eval
   share and, with a temporal cutoff, the sample is not older than the cutoff; otherwise train.

A new group takes over the split of its first sample. Only rule 1 can therefore part a group: when
a later sample of a train group is a copy of an eval sample, or the other way round. Of labels
given at the very same time audit ones count first, because audit is drawn first and blind to
scores: evaluation would lose its hard items if any other pick could pull a group to train.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from retrue.records import Sample, Split, short_hash

__all__ = ["FirstLabel", "Splits", "group_of"]

_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLabel:
    """The first accepted label of one revision of a sample."""

    sample: Sample
    at: datetime
    audit: bool  # an audit draw had asked for it
    place: tuple[datetime, str]  # planning time and id of its round: breaks ties in `at`


class Splits:
    """Splits of all samples labelled so far."""

    def __init__(self, recorded: Mapping[str, Split]) -> None:
        """Start empty.

        Args:
            recorded: Sample id -> split that was recorded while samples stood in the records that
                have been forgotten since; these are kept as they are.
        """
        self._recorded = recorded
        self._samples: dict[tuple[str, str], Split] = {}
        self._groups: dict[str, Split] = {}
        self._content: dict[tuple[str, str], Split] = {}

    def of(self, sample: Sample) -> Split:
        """The split of a sample that was added."""
        return self._samples[_key(sample)]

    def add(
        self, labels: Iterable[FirstLabel], *, eval_share: float, cutoff: datetime | None
    ) -> None:
        """Record the splits of samples that have none yet.

        Args:
            labels: In any order; known samples are passed over.
            eval_share: Share of audited groups kept for evaluation, 0..1.
            cutoff: Older samples are for training; None: time plays no part.
        """
        new = (label for label in labels if _key(label.sample) not in self._samples)
        for label in sorted(new, key=_first):
            split = self._split(label, eval_share, cutoff)
            self._samples[_key(label.sample)] = split
            self._groups.setdefault(group_of(label.sample), split)
            for key in _content(label.sample):
                self._content.setdefault(key, split)

    def _split(self, label: FirstLabel, eval_share: float, cutoff: datetime | None) -> Split:
        sample = label.sample
        if sample.sample_id in self._recorded:
            return self._recorded[sample.sample_id]
        known = {self._content[key] for key in _content(sample) if key in self._content}
        if known:
            return "eval" if "eval" in known else "train"
        group = group_of(sample)
        if group in self._groups:
            return self._groups[group]
        recent = cutoff is None or (sample.time or label.at) >= cutoff
        return "eval" if label.audit and recent and _under(group, eval_share) else "train"


def group_of(sample: Sample) -> str:
    """The sample's group; alone in its own where none is declared."""
    return sample.group or sample.sample_id


def _key(sample: Sample) -> tuple[str, str]:
    return sample.sample_id, sample.revision


def _content(sample: Sample) -> list[tuple[str, str]]:
    keys = [("revision", sample.revision)]
    if sample.media_sha256 is not None:
        keys.append(("media", sample.media_sha256))
    return keys


def _first(label: FirstLabel) -> tuple[datetime, bool, tuple[datetime, str], str]:
    return label.at, not label.audit, label.place, label.sample.sample_id


def _under(group: str, share: float) -> bool:
    return int(short_hash("split", group, digits=_DIGITS), 16) < share * 16**_DIGITS
