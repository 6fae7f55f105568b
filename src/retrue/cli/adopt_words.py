"""What `retrue adopt label-studio` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrue.acts.adopting_label_studio import ProjectReport, UnfitAnswer

__all__ = ["project"]

SHOWN = 10


def project(report: ProjectReport, *, dry_run: bool) -> Iterator[str]:
    """What came of it, what did not fit, and what to do next."""
    yield f"{report.title!r} ({report.project}): {report.answers:,} answers by {report.control!r}"
    yield from _adopted(report, dry_run=dry_run)
    told = {
        f"{report.known:,} answers were adopted before": report.known,
        f"{report.changed:,} of those adopted before have changed": report.changed,
        f"{report.deleted:,} of those adopted before are gone": report.deleted,
        f"{report.disputed:,} samples have several labels": report.disputed,
        f"classes nobody could pick there: {', '.join(report.missing_classes)}": (
            report.missing_classes
        ),
        f"classes labels.yaml does not know: {', '.join(report.unknown_classes)} "
        "(name ours with --class THEIRS=OURS, or add them)": report.unknown_classes,
    }
    yield from (f"  {line}" for line, worth in told.items() if worth)
    yield from _unfit("kept as given, but no label here", report.outside)
    yield from _unfit("left there, to be tried again", report.unmatched)
    yield from (f"  window cannot be read: {why}" for why in report.unreadable)
    if report.unanswered:
        yield f"  {report.unanswered:,} tasks have no answer yet; run this again to bring theirs"
    if not dry_run:
        yield from _next(report)


def _adopted(report: ProjectReport, *, dry_run: bool) -> Iterator[str]:
    if report.round_id is None:
        yield "  no new answer"
        return
    verb = "would be adopted" if dry_run else "are adopted"
    skipped = f", {report.skipped:,} of them skipped" if report.skipped else ""
    yield (
        f"  {report.new:,} answers of {report.annotators:,} people on {report.samples:,} samples "
        f"{verb} in round {report.round_id}{skipped}"
    )
    if report.probability is not None:
        yield f"  declared random: inclusion probability {report.probability:.4g}"
    else:
        yield "  not declared random: they train, but measure nothing"


def _next(report: ProjectReport) -> Iterator[str]:
    if report.changed or report.deleted:
        yield "Next: `retrue validate` judges what changed, `retrue version --force` publishes it."
    elif report.round_id:
        yield "Next: `retrue validate`, then `retrue version` publishes the labels."


def _unfit(what: str, found: Sequence[UnfitAnswer]) -> Iterator[str]:
    if found:
        yield f"  {len(found):,} answers {what}"
    for one in found[:SHOWN]:
        yield f"    task {one.task}, answer {one.answer} ({one.annotator}): {one.reason}"
    if len(found) > SHOWN:
        yield f"    and {len(found) - SHOWN:,} more (--json lists all)"
