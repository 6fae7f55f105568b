"""The demo's last screen: what happened, in plain words, every number read from the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrue.core.accuracy import Estimate
from retrue.cycle import Closing, Opening
from retrue.reading.spending import answers_asked, price_of
from retrue.records import Round
from retrue.steps.drift import ProbeReport, WindowCheck
from retrue.steps.train import TrainReport
from retrue.workspace import Workspace

__all__ = ["DemoRun", "Line", "a_sample_to_blame", "last_screen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """Where the demo is, and what every tick did."""

    root: Path
    workspace: Workspace
    openings: tuple[Opening, ...]
    closings: tuple[Closing, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the screen: what, and what came of it."""

    what: str
    told: str


def last_screen(run: DemoRun) -> list[Line]:
    """The story in seven lines."""
    checks = [check for opening in run.openings for check in opening.drift.checks]
    probes = [probe for opening in run.openings for probe in opening.drift.probes]
    trained = [c.train for c in run.closings if c.train.outcome != "nothing"]
    rounds = run.workspace.records.rounds()
    lines = [_first(run, rounds, trained[0]), *_weeks(checks)]
    lines += [_probe(rounds, probe) for probe in probes if probe.decided]
    lines += [_aimed(run, rounds)]
    lines += [_gate(report) for report in trained if report.result is not None]
    return [*lines, _labels(run, rounds)]


def a_sample_to_blame(run: DemoRun) -> str:
    """A sample with a story: people disagreed about it, and somebody decided."""
    disputes = [r for r in run.workspace.records.rounds() if r.plan.kind == "dispute"]
    return run.workspace.records.tasks(disputes[-1].plan.round_id)[0].sample_id


def _first(run: DemoRun, rounds: Sequence[Round], report: TrainReport) -> Line:
    plan = next(item.plan for item in rounds if item.plan.kind == "bootstrap")
    manifest = run.workspace.repo.versions()[0]
    told = "no accuracy yet"
    if report.accuracy is not None:
        told = (
            f"accuracy {_interval(report.accuracy)} on windows 1-{len(plan.population)}, "
            f"{report.accuracy.n:,} audited of {plan.frame_rows:,}"
        )
    return Line(f"First model v1, {manifest.train:,} labels", told)


def _weeks(checks: Sequence[WindowCheck]) -> list[Line]:
    lines: list[Line] = []
    for week, check in enumerate(checks, start=3):  # windows 1 and 2 are the reference
        what = f"Window {week}, {check.rows} rows"
        told = f"ALARM: {'; '.join(check.reasons[:3])}" if check.alarm else "quiet, no alarm"
        lines.append(Line(what, told))
    return lines


def _probe(rounds: Sequence[Round], probe: ProbeReport) -> Line:
    found = probe.outcome
    cost = sum(sum(r.plan.arms.values()) for r in rounds if r.plan.kind == "probe")
    said: list[str] = []
    if found.loss_found:
        said.append(f"real loss ({-100 * found.loss:.0f} points)")
    if found.new_class_found:
        said.append(f'new class ({found.none_count} of {found.n} "none of these")')
    return Line(f"Probe, {cost} labels", " + ".join(said) or found.outcome)


def _aimed(run: DemoRun, rounds: Sequence[Round]) -> Line:
    plan = next(item.plan for item in rounds if item.plan.kind == "inference")
    arms = plan.arms
    aimed = arms.get("active", 0) + arms.get("novel", 0)
    told = f"audit {arms.get('audit', 0)}, random {arms.get('random', 0)}, aimed {aimed}"
    asked_again = sum(
        sum(item.plan.arms.values()) for item in rounds if item.plan.parent == plan.round_id
    )
    worst = run.closings[-1].validate.annotators[0]
    if worst.below_floor:
        skill = worst.skill
        told += (
            f"; annotator {worst.annotator} {skill.mean:.0%} right "
            f"({100 * skill.low:.0f}-{100 * skill.high:.0f})"
        )
    return Line(f"Round 2, {sum(arms.values())} labels", f"{told}: {asked_again} answers re-asked")


def _gate(report: TrainReport) -> Line:
    result = report.result
    if result is None or report.challenger is None or report.champion is None:
        return Line("Model", report.why)
    verdict = {"promoted": "PROMOTED", "waiting": "WAITS FOR A PERSON"}.get(
        report.outcome, report.outcome.upper()
    )
    return Line(
        f"Model v{report.challenger.version} vs v{report.champion.version}, same {result.n} items",
        f"{100 * result.delta:+.1f} points ({100 * result.low:+.1f} to {100 * result.high:+.1f})  "
        f"{verdict}; could have seen >= {100 * result.minimum_detectable:.1f} points",
    )


def _labels(run: DemoRun, rounds: Sequence[Round]) -> Line:
    repo = run.workspace.repo
    manifests = repo.versions()
    first, last = manifests[0], manifests[-1]
    before = {row.sample_id: row.label for row in repo.rows(first.version)}
    after = {row.sample_id: row.label for row in repo.rows(last.version)}
    added = sum(name not in before for name in after)
    corrected = sum(after.get(name, label) != label for name, label in before.items())
    new = sorted(label.strip('"') for label in set(last.classes) - set(first.classes))
    price, currency = price_of(run.workspace.config)
    cost = price * sum(answers_asked(run.workspace, item) for item in rounds)
    classes = f", {len(new)} class added ({', '.join(new)})" if new else ""
    return Line(
        f"Labels v{first.version} -> v{last.version}",
        f"+{added} added, {corrected} corrected{classes}   cost {cost:.2f} {currency}",
    )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} ({100 * estimate.low:.0f}-{100 * estimate.high:.0f})"
