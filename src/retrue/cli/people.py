"""`retrue annotators` and `retrue answers void`: how far people can be trusted, and what then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.core.judge import AnnotatorReport
    from retrue.reading.voiding import VoidReport
    from retrue.workspace import Workspace

__all__ = ["app"]

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
SHOWN = 10  # samples listed before "and more"

app = typer.Typer()
answers = typer.Typer(no_args_is_help=True)
app.add_typer(answers, name="answers")


@answers.callback()
def _group() -> None:
    """Answers on record: void those that must not count."""


@app.command(epilog=examples("retrue annotators", "retrue annotators --json"))
def annotators(ctx: typer.Context, as_json: AsJson = False) -> None:
    """How often each person agrees with the others, and how fast they are; worst first."""
    from retrue.cli import show

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    reports = _rate(workspace, call.now)
    if call.json:
        show.print_json(reports)
        return
    groups = workspace.config.queue.annotators
    columns = ("annotator", "group", "answers", "skill", "95% interval", "seconds", "too fast", "")
    rows = [
        (
            one.annotator,
            groups.group_of(one.annotator),
            one.answers,
            f"{one.skill.mean:.0%}" if one.skill.n else None,
            f"{one.skill.low:.0%} to {one.skill.high:.0%}" if one.skill.n else "not known",
            one.median_seconds,
            one.too_fast,
            "surely below the floor" if one.below_floor else "",
        )
        for one in reports
    ]
    show.print_table(columns, rows)
    for one in reports:
        if one.below_floor:
            typer.echo(
                f"{one.annotator} agrees with the others less than "
                f"{workspace.config.validate_.skill_floor:.0%} of the time. To let these answers "
                f'not count: `retrue answers void --annotator {one.annotator} --reason "..."`'
            )


@answers.command(
    epilog=examples(
        'retrue answers void --annotator bob --reason "misread the guideline" --dry-run',
        'retrue answers void --annotator bob --since 2026-03-01 --until 2026-03-08 --reason "bot"',
    )
)
def void(
    ctx: typer.Context,
    annotator: Annotated[str, typer.Option(help="Whose answers.")],
    reason: Annotated[str, typer.Option(help="In your words; kept with the decision.")],
    since: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="From, UTC. Default: the first.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="Before, UTC. Default: now.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a person's answers stop counting; they stay on record, old versions stay as they are."""
    from retrue.reading.voiding import Void, void_answers
    from retrue.recording import record_progress

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    span = Void(
        annotator=annotator,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else call.now,
        reason=reason,
    )
    report = void_answers(workspace, span, now=call.now, dry_run=dry_run)
    if report.answers and not dry_run:
        record_progress(workspace, f"Void answers of {annotator}", now=call.now)
    call.show(report, _void_lines(report, dry_run=dry_run))


def _rate(workspace: Workspace, now: datetime) -> list[AnnotatorReport]:
    from retrue.core.judge import rate_annotators
    from retrue.reading.ballots import gather

    checks = workspace.config.validate_
    return rate_annotators(
        [one.ballot for one in gather(workspace, now=now).values()],
        workspace.labels.label_schema,
        floor=checks.skill_floor,
        fastest=checks.too_fast_seconds,
    )


def _void_lines(report: VoidReport, *, dry_run: bool) -> Iterator[str]:
    if not report.answers:
        yield f"no answer of {report.void.annotator} in that time counts any more: nothing to do"
        return
    verb = "would be void" if dry_run else "are void"
    yield f"{report.answers:,} answers on {len(report.samples):,} samples {verb}"
    yield from (f"  {name}" for name in report.samples[:SHOWN])
    if len(report.samples) > SHOWN:
        yield f"  and {len(report.samples) - SHOWN:,} more (--json lists all)"
    if report.versions:
        names = ", ".join(f"v{number}" for number in report.versions)
        yield f"they had a part in {names}, which stay as they are"
    if not dry_run:
        yield "Next: `retrue validate` judges the samples anew, `retrue version --force` publishes."
