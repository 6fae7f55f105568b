"""The card of a dataset version: one page for a person who finds the files without us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from retrue.core.build import Diff
from retrue.records import DatasetRow, Manifest

__all__ = ["card_text"]

_MOST = 20  # labels and rounds listed; the manifest has them all


def card_text(
    manifest: Manifest,
    diff: Diff,
    rows: Sequence[DatasetRow],
    *,
    temporal_cutoff: datetime | None = None,
) -> str:
    """The card as Markdown.

    Args:
        manifest: Of the version; version 0 means that none was decided yet.
        diff: Against the version before.
        rows: The version's rows.
        temporal_cutoff: Of the version, if it has one.
    """
    if manifest.version == 0:
        return (
            f"# {manifest.project}: no dataset yet\n\n"
            "No version was decided, so there are no rows. The first one comes with "
            "`retrue version`, after a round was labelled.\n"
        )
    parts = [
        f"# {manifest.project}, dataset version {manifest.version}",
        f"Decided {manifest.built_at:%Y-%m-%d %H:%M} UTC; label schema {manifest.schema_version}, "
        f"guideline {_code(manifest.guideline_version)}.",
        f"**{manifest.rows} labelled samples**: {manifest.train} to train on, "
        f"{manifest.evaluation} for evaluation only. {_cutoff(temporal_cutoff)}",
        f"Against the version before: {len(diff.added)} added, {len(diff.changed)} changed, "
        f"{len(diff.removed)} removed, {diff.same} the same.",
        _table("Label", manifest.classes),
        _table("Why it was picked", Counter(row.arm for row in rows)),
        _table("Round", Counter(row.round_id for row in rows)),
        "Picked samples (every arm but `audit` and `random`) are not a picture of the traffic: "
        "average only rows with an inclusion probability, each weighted by its inverse times its "
        "multiplicity.",
        f"Digest `{manifest.digest}` over every column of every row; `retrue dataset verify` "
        "computes it again from the records.",
    ]
    return "\n\n".join(parts) + "\n"


def _cutoff(cutoff: datetime | None) -> str:
    if cutoff is None:
        return "Evaluation rows were drawn by chance (audit)."
    return (
        f"Evaluation rows were drawn by chance (audit) and are from {cutoff.isoformat()} or later."
    )


def _table(head: str, counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"| {head} | Rows |", "|---|---:|"]
    lines += _lines((_code(name), count) for name, count in ranked[:_MOST])
    if len(ranked) > _MOST:
        rest = sum(count for _, count in ranked[_MOST:])
        lines += _lines([(f"{len(ranked) - _MOST} more", rest)])
    return "\n".join(lines)


def _lines(cells: Iterable[tuple[str, int]]) -> list[str]:
    return [f"| {name} | {count} |" for name, count in cells]


def _code(text: str) -> str:
    """Text from data, so that it cannot become Markdown or HTML of ours."""
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain}`"
