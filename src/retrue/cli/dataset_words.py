"""Dataset versions in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from retrue.report.reading import plain_label

if TYPE_CHECKING:
    from retrue.core.build import Diff
    from retrue.reading.blame import Blame, Lineage, VersionCheck
    from retrue.records import DatasetRow, Manifest

__all__ = ["blame", "diff", "lineage", "manifest", "verify"]

SHOWN = 10


def manifest(one: Manifest) -> Iterator[str]:
    """One version."""
    yield (
        f"{one.project} v{one.version}, built {one.built_at:%Y-%m-%d %H:%M}: {one.rows:,} rows "
        f"({one.train:,} train, {one.evaluation:,} eval)"
    )
    yield f"  {one.added:,} added, {one.changed:,} changed, {one.removed:,} removed"
    yield f"  schema {one.schema_version}, guideline {one.guideline_version}"
    yield from (f"  {plain_label(name)}: {rows:,}" for name, rows in one.classes.items())
    yield f"  rounds {', '.join(one.rounds)}"
    yield f"  digest {one.digest}"


def diff(old: int, new: int, found: Diff) -> Iterator[str]:
    """What changed between two versions."""
    yield (
        f"v{old} -> v{new}: {len(found.added):,} added, {len(found.changed):,} changed, "
        f"{len(found.removed):,} removed, {found.same:,} the same"
    )
    yield from _by(found.added, "added")
    for before, after in found.changed[:SHOWN]:
        yield f"  {after.sample_id}: {_change(before, after)}"
    if len(found.changed) > SHOWN:
        yield f"  and {len(found.changed) - SHOWN:,} more (--json lists all)"
    yield from _by(found.removed, "removed")


def blame(found: Blame) -> Iterator[str]:
    """Everything on record about one sample."""
    yield found.sample_id
    for pick in found.picks:
        facts = [f"arm {pick.arm}"]
        facts += [f"score {pick.score:.3g}"] if pick.score is not None else []
        known = pick.probability is not None
        facts += [f"inclusion probability {pick.probability:.4g}" if known else "no probability"]
        yield f"picked {pick.planned_at:%Y-%m-%d} in {pick.round_id} ({', '.join(facts)})"
        yield f"  because {pick.trigger}"
        if pick.predicted is not None:
            yield f"  the model said {plain_label(pick.predicted)}"
    for round_id, answer in found.answers:
        said = plain_label(answer.value) if answer.status == "answered" else answer.status
        note = f' "{answer.note}"' if answer.note else ""
        yield f"{answer.answered_at:%Y-%m-%d %H:%M} {answer.annotator}: {said}{note} ({round_id})"
    for file, one in found.verdicts:
        what = plain_label(one.label) if one.label is not None else one.reason
        yield (
            f"{one.decided_at:%Y-%m-%d %H:%M} verdict: {one.status}: {what} "
            f"({one.method or 'no method'}, confidence {one.confidence:.2f}, {file})"
        )
    for one in found.versions:
        yield f"in v{one.version} as {plain_label(one.label)} ({one.split})"
    if not found.versions:
        yield "in no dataset version"
    if found.models:
        yield f"trained on by model {', '.join(found.models)}"


def lineage(found: Lineage) -> Iterator[str]:
    """What a model was made of."""
    one = found.manifest
    yield f"model {found.model}: trained on {one.train:,} rows of v{one.version}, {one.digest}"
    yield f"  gate: {found.outcome}: {found.why}"
    if found.promoted_at:
        yield f"  promoted {found.promoted_at:%Y-%m-%d %H:%M}"
    for share in found.rounds:
        yield (
            f"  {share.round_id}: {share.trained_on:,} train, {share.tested_on:,} eval, "
            f"{share.answers:,} answers by {', '.join(share.annotators) or 'nobody'}, "
            f"{share.cost:.2f} {share.currency}: {share.why}"
        )


def verify(checks: Sequence[VersionCheck]) -> Iterator[str]:
    """Whether versions are what their manifests say."""
    for check in checks:
        stored = "stored rows match" if check.stored else "STORED ROWS DIFFER"
        built = {
            True: ", rebuilt to the same digest",
            False: ", REBUILDS TO ANOTHER DIGEST",
            None: "",
        }[check.rebuilt]
        yield f"v{check.version}: {stored}{built} ({check.rows:,} rows, {check.digest[:12]})"
    if not checks:
        yield "there is no dataset version yet"


def _by(rows: Iterable[DatasetRow], what: str) -> Iterator[str]:
    counts = Counter((row.arm, row.label) for row in rows)
    for (arm, label), number in sorted(counts.items()):
        yield f"  {number:,} {what}: {plain_label(label)} ({arm})"


def _change(before: DatasetRow, after: DatasetRow) -> str:
    if before.label != after.label:
        return f"{plain_label(before.label)} -> {plain_label(after.label)}"
    return f"{plain_label(after.label)}, confidence {before.confidence} -> {after.confidence}"
