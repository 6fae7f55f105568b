"""Each step's report in plain words: what happened, the numbers, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrue.core.accuracy import Estimate
    from retrue.core.gate import PairedResult
    from retrue.records import Quarantined
    from retrue.steps.collect import CollectReport
    from retrue.steps.drift import DriftReport, ProbeReport, WindowCheck
    from retrue.steps.ingest import IngestReport
    from retrue.steps.push import PushReport
    from retrue.steps.select import PlannedRound, SelectReport
    from retrue.steps.train import TrainReport
    from retrue.steps.validate import RoundVerdicts, ValidateReport
    from retrue.steps.version import VersionReport

__all__ = ["collect", "count", "drift", "ingest", "push", "select", "train", "validate", "version"]

SHOWN = 5  # reasons, files or people listed before "and more"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(1200, "row"), count(2, "copy")
    ('1 row', '1,200 rows', '2 copies')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def ingest(reports: Sequence[IngestReport], *, dry_run: bool) -> list[str]:
    """What is new in the store."""
    lines = [line for report in reports for line in _stream(report)]
    if dry_run:
        return [*lines, "Dry run: nothing was written."]
    if any(report.window is not None for report in reports):
        lines.append("Next: `retrue drift` checks the new windows.")
    return lines


def _stream(report: IngestReport) -> list[str]:
    window = report.window
    if window is None:
        return [f"{report.stream}: nothing new ({count(report.skipped, 'object')} read before)"]
    lines = [
        f"{report.stream}: window {window.window_id} with {count(window.rows, 'row')} of "
        f"{count(len(window.objects), 'object')}: {window.eligible:,} eligible, "
        f"{window.duplicates:,} duplicates, {window.quarantined:,} quarantined"
    ]
    for item in report.quarantined[:SHOWN]:
        place = item.uri if item.row is None else f"{item.uri} row {item.row}"
        lines.append(f"  quarantined: {place}: {item.reason}")
    lines += [f"  unreadable: {item.uri}: {item.reason}" for item in report.unreadable[:SHOWN]]
    return lines + _more(max(window.quarantined, len(report.unreadable)))


def drift(report: DriftReport) -> list[str]:
    """What the checks and probes said."""
    lines = [line for check in report.checks for line in _check(check)]
    lines += [line for probe in report.probes for line in _probe(probe)]
    if report.why:
        lines.append(report.why)
    lines += _skipped(report.skipped)
    if any(check.alarm for check in report.checks):
        lines.append("Next: `retrue select` plans a small random probe: does the shift hurt?")
    return lines


def _check(check: WindowCheck) -> list[str]:
    tested = sum(test.statistic != "none" for test in check.tests)
    result = f"DRIFT, incident {check.incident or '(dry run)'}" if check.alarm else "no drift"
    lines = [
        f"window {check.window_id}: {result} ({count(check.rows, 'row')}, "
        f"{count(tested, 'test')}, spent {check.alpha_spent:.2g} of the false-alarm budget)"
    ]
    lines += [f"  {reason}" for reason in check.reasons[:SHOWN]] + _more(len(check.reasons))
    return [*lines, f"  note: {check.note}"] if check.note else lines


def _probe(probe: ProbeReport) -> list[str]:
    end = "" if probe.decided else " (another block of labels is needed)"
    outcome = probe.outcome
    return [f"incident {probe.incident_id}: {outcome.outcome}: {outcome.reason}{end}"]


def select(report: SelectReport, *, dry_run: bool, empty: bool = False) -> list[str]:
    """Which rounds were planned, and what holds others back; `empty`: no window is recorded."""
    lines = [line for item in report.planned for line in _planned(item, dry_run=dry_run)]
    for item in report.waiting:
        lines += [f"waiting: {item.why}", f"  to go on: {item.do}"]
    if any(item.opened for item in report.planned):
        lines.append("Next: `retrue push` puts the tasks into the queue.")
    if empty:
        lines.append("There is no data yet: `retrue ingest` records what is in the store.")
    return lines or ["No round is due."]


def _planned(item: PlannedRound, *, dry_run: bool) -> list[str]:
    plan = item.plan
    arms = ", ".join(f"{number} {arm}" for arm, number in sorted(plan.arms.items()))
    state = "would be planned" if dry_run else "is open" if item.opened else "is planned"
    lines = [
        f"round {plan.round_id} {state}: {plan.why}",
        f"  {count(sum(plan.arms.values()), 'sample')} ({arms}) of "
        f"{count(plan.frame_rows, 'eligible row')}, {count(item.answers, 'answer')}, "
        f"{item.cost:.2f} {plan.currency}",
    ]
    lines += [f"  for example {task.sample_id}: {task.trigger}" for task in item.examples[:2]]
    lines += _skipped(item.skipped)
    if not dry_run and not item.opened:
        lines.append(f"  Next: `retrue round approve {plan.round_id}`")
    return lines


def push(
    reports: Sequence[PushReport], tool: str, *, dry_run: bool, planned: Sequence[str] = ()
) -> list[str]:
    """What was put into the queue.

    Args:
        reports: Of the rounds that are open.
        tool: Where people answer.
        dry_run: Nothing was put there.
        planned: Rounds that wait for a person's word.
    """
    waits = [f"{name} waits for a person: `retrue round approve {name}`" for name in planned]
    if not reports:
        return ["No round is open: nothing to push.", *waits]
    added = "would be added" if dry_run else "added"
    lines = [
        f"round {report.round_id}: {count(report.tasks, 'task')}, {report.added:,} {added}"
        + (f", {count(report.copies_removed, 'copy')} removed" if report.copies_removed else "")
        for report in reports
    ]
    return [*lines, *waits] if dry_run else [*lines, *waits, f"Next: people answer, {tool}."]


def collect(report: CollectReport, *, commit: str = "") -> list[str]:
    """What came home."""
    lines = [
        f"{count(report.new, 'new answer')}, {report.changed:,} changed, {report.deleted:,} deleted"
        + (f", in {', '.join(report.rounds)}" if report.rounds else "")
    ]
    if report.unknown:
        lines.append(
            f"{count(report.unknown, 'answer')} to tasks that are not ours, kept in "
            "data/rounds/unknown"
        )
    if commit:
        lines.append(f"Recorded as {commit[:12]}.")
    return [*lines, "Next: `retrue validate` judges the answers."] if report.rounds else lines


def validate(report: ValidateReport) -> list[str]:
    """Where the rounds stand, and whom to talk to."""
    lines = [line for item in report.rounds for line in _verdicts(item)]
    if not lines:
        lines = ["No round is open."]
    lines.append(f"{count(report.written, 'verdict')} new or changed")
    lines += [f"disagreements are asked again in round {name}" for name in report.disputes]
    for person in [one for one in report.annotators if one.below_floor][:SHOWN]:
        lines.append(
            f"{person.annotator} is surely under the skill floor "
            f"({count(person.answers, 'answer')}): look at `retrue annotators`"
        )
    if report.disputes:
        lines.append("Next: `retrue push` asks them.")
    elif any(item.closed for item in report.rounds):
        lines.append("Next: `retrue version` publishes the labels.")
    return lines


def _verdicts(item: RoundVerdicts) -> list[str]:
    state = "closed" if item.closed else f"waits for {count(item.waiting, 'sample')}"
    if not item.closed and not item.waiting:
        state = "all samples are judged"
    return [
        f"round {item.round_id}: {state} ({item.accepted:,} accepted, {item.disputed:,} disputed, "
        f"{item.unanswerable:,} without a label)"
    ]


def version(report: VersionReport) -> list[str]:
    """What was published."""
    made = report.manifest
    if made is None:
        return [f"No new version: {report.why}."]
    return [
        f"dataset v{made.version}: {count(made.rows, 'row')} ({made.train:,} train, "
        f"{made.evaluation:,} eval), {made.added:,} added, {made.changed:,} changed, "
        f"{made.removed:,} removed",
        f"digest {made.digest}",
        "Next: `retrue train` fits a challenger on it.",
    ]


def train(report: TrainReport) -> list[str]:
    """What the gate said."""
    challenger = report.challenger
    if challenger is None:
        return [f"Nothing trained: {report.why}."]
    lines = [f"model {challenger.version}: {report.outcome}: {report.why}"]
    if report.accuracy is not None:
        lines.append(f"  on the evaluation items: {_interval(report.accuracy)}")
    if report.result is not None:
        lines += _paired(report.result)
    if report.outcome == "waiting":
        lines.append(f"Next: `retrue model promote {challenger.version}`")
    return lines


def _interval(estimate: Estimate) -> str:
    return (
        f"{estimate.value:.1%} (95% interval {estimate.low:.1%} to {estimate.high:.1%}, "
        f"{count(estimate.n, 'item')})"
    )


def _paired(result: PairedResult) -> list[str]:
    lines = [
        f"  against the champion: {result.delta:+.1%} ({result.low:+.1%} to {result.high:+.1%}), "
        f"p {result.p_value:.2g} against {result.alpha:.2g}",
        f"  smallest gain this test could see: {result.minimum_detectable:.1%}",
    ]
    if result.labels_needed is not None:
        lines.append(f"  about {count(result.labels_needed, 'audited item')} would decide")
    return lines


def _skipped(items: Sequence[Quarantined]) -> list[str]:
    """What could not be read, by name, and what to do about it."""
    if not items:
        return []
    return [
        f"  {count(len(items), 'object')} could not be read and were left out:",
        *(f"    {item.uri}: {item.reason}" for item in items[:SHOWN]),
        *_more(len(items)),
        "    To count them again put them back as they were; a corrected object is a new one, and "
        "the next `retrue ingest` finds it.",
    ]


def _more(number: int) -> list[str]:
    return [f"  and {number - SHOWN} more"] if number > SHOWN else []
