"""`retrue round ...`: ask for rounds, approve them, look at them, end them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrue.cli.call import AsJson, Call, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.acts.adjudicating import Dispute
    from retrue.acts.closing import EndReport
    from retrue.reading.round_view import RoundView
    from retrue.workspace import Workspace

__all__ = ["app"]

Kind = Literal["incoming", "inference", "adhoc", "gate"]
RoundId = Annotated[str, typer.Argument(metavar="ROUND", help="As `retrue round list` names it.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Labeling rounds: open, list, show, approve, adjudicate, close, cancel."""


@app.command(
    "open",
    epilog=examples(
        'retrue round open adhoc --why "camera 3 was moved" --budget 60 --dry-run',
        'retrue round open inference --why "spot check" --window 4f1c',
    ),
)
def open_one(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="The occasion.")],
    why: Annotated[str, typer.Option(help="In your words; kept with the round.")],
    budget: Annotated[
        int | None, typer.Option(min=1, help="Samples. Default: select.budget.")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(help="Window id or its beginning; may repeat. Default: the newest unsampled."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Plan a round you ask for; --dry-run shows the picks and the cost."""
    from retrue.acts.requesting import requested_opening
    from retrue.cli import words
    from retrue.recording import record_progress
    from retrue.steps.select import request_round

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    opening = requested_opening(
        workspace, kind, why=why, budget=budget, windows=tuple(window or ())
    )
    with call.waiting("drawing and scoring samples"):
        report = request_round(workspace, opening, now=call.now, dry_run=dry_run)
        names = [item.plan.round_id for item in report.planned]
        if names and not dry_run:
            record_progress(workspace, f"Plan {', '.join(names)}", now=call.now)
    call.show(report, words.select(report, dry_run=dry_run))


@app.command("list", epilog=examples("retrue round list", "retrue round list --json"))
def list_all(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All rounds, oldest first."""
    from retrue.cli import show
    from retrue.reading.round_view import view_round

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    views = [view_round(workspace, item) for item in workspace.records.rounds()]
    if call.json:
        show.print_json(views)
        return
    columns = ("round", "state", "planned", "answers", "disputed", "cost", "why")
    rows = [
        (
            view.plan.round_id,
            view.state,
            view.plan.planned_at,
            f"{view.given}/{view.wanted}",
            len(view.disputed),
            f"{view.cost:.2f} {view.plan.currency}",
            view.plan.why,
        )
        for view in views
    ]
    show.print_table(columns, rows)


@app.command("show", epilog=examples("retrue round show bootstrap-1a2b3c4d"))
def show_one(ctx: typer.Context, round_id: RoundId, as_json: AsJson = False) -> None:
    """One round: why it was opened, how far it is, who answered, its cost, its disputes."""
    from retrue.reading.round_view import view_round

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace()
    view = view_round(workspace, workspace.records.round(round_id))
    call.show(view, _round_lines(view))


@app.command(epilog=examples("retrue round approve inference-1a2b3c4d"))
def approve(
    ctx: typer.Context, round_id: RoundId, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Let a planned round go ahead: its tasks will be pushed."""
    from retrue.acts.requesting import approve_round
    from retrue.reading.round_view import view_round
    from retrue.recording import record_progress

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    if not dry_run:
        approve_round(workspace, round_id, now=call.now)
        record_progress(workspace, f"Open {round_id}", now=call.now)
    view = view_round(workspace, workspace.records.round(round_id))
    what = f"asks for {view.wanted:,} answers, {view.cost:.2f} {view.plan.currency}"
    lines = [f"round {round_id} {'would be opened' if dry_run else 'is open'}: {what}"]
    call.show(view, [*lines, "Next: `retrue push` puts the tasks into the queue."])


@app.command(
    epilog=examples(
        "retrue round adjudicate bootstrap-1a2b3c4d",
        "retrue --person ada round adjudicate bootstrap-1a2b3c4d --sample 17 --label scratch",
    )
)
def adjudicate(
    ctx: typer.Context,
    round_id: RoundId,
    sample: Annotated[str | None, typer.Option(help="One sample. Default: all, in turn.")] = None,
    label: Annotated[str | None, typer.Option(help="Its label: a class, or JSON text.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide disputed samples as an adjudicator; your word is final."""
    from retrue.acts.adjudicating import adjudicate as decide
    from retrue.acts.adjudicating import disputes

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    if (sample is None) != (label is None):
        raise typer.BadParameter("--sample and --label go together")
    done: list[str] = []
    if sample is not None and label is not None:
        decide(workspace, sample, label, person=workspace.person, now=call.now)
        done.append(sample)
    else:
        for dispute in disputes(workspace, round_id, now=call.now):
            answer = _ask(dispute)
            if answer:
                name = dispute.sample_id
                decide(workspace, name, answer, person=workspace.person, now=call.now)
                done.append(name)
    lines = [
        f"{len(done)} decided",
        *(["Next: `retrue collect`, `retrue validate`"] if done else []),
    ]
    call.show({"round": round_id, "decided": done}, lines)


@app.command(
    epilog=examples(
        "retrue round close bootstrap-1a2b3c4d --dry-run",
        "retrue round close bootstrap-1a2b3c4d --accept-missing",
    )
)
def close(
    ctx: typer.Context,
    round_id: RoundId,
    accept_missing: Annotated[
        bool,
        typer.Option(
            "--accept-missing",
            help="Close without all audit answers: accuracy becomes provisional.",
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Close a round before its time; training tasks nobody answered are let go."""
    from retrue.acts.closing import close_round
    from retrue.steps.validate import judge_answers

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    if not dry_run:
        judge_answers(workspace, now=call.now)  # what came home may settle it
    report = close_round(
        workspace, round_id, now=call.now, accept_missing=accept_missing, dry_run=dry_run
    )
    if not dry_run:
        judge_answers(workspace, now=call.now)
        _record(workspace, call, f"Close {round_id}")
    lines = _end_lines(report, "would be closed" if dry_run else "is closed")
    if report.audit_missing:
        lines.append(
            f"{report.audit_missing} audit samples have no verdict: accuracy is provisional, with "
            "bounds that assume the worst of each."
        )
    call.show(report, lines)


@app.command(
    epilog=examples('retrue round cancel adhoc-1a2b3c4d --why "wrong camera"', "retrue round list")
)
def cancel(
    ctx: typer.Context,
    round_id: RoundId,
    why: Annotated[str, typer.Option(help="In your words; kept with the round.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Cancel a round: unanswered tasks are withdrawn, and none of its answers count."""
    from retrue.acts.closing import cancel_round

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    report = cancel_round(workspace, round_id, why=why, now=call.now, dry_run=dry_run)
    if not dry_run:
        _record(workspace, call, f"Cancel {round_id}")
    lines = _end_lines(report, "would be cancelled" if dry_run else "is cancelled")
    if report.answers:
        lines.append(f"{report.answers} answers stay on record and do not count.")
    call.show(report, lines)


def _record(workspace: Workspace, call: Call, message: str) -> None:
    from retrue.recording import record_progress

    record_progress(workspace, message, now=call.now)


def _end_lines(report: EndReport, what: str) -> list[str]:
    return [f"round {report.round_id} {what}: {report.withdrawn} unanswered tasks withdrawn"]


def _round_lines(view: RoundView) -> Iterator[str]:
    plan = view.plan
    yield f"{plan.round_id} is {view.state}: {plan.why}"
    if plan.population:
        names = ", ".join(window.window_id for window in plan.population)
        yield f"drawn from {plan.frame_rows:,} eligible rows of window {names}"
    if plan.parent:
        yield f"came of {plan.parent}"
    yield (
        f"{view.given:,} of {view.wanted:,} answers; {view.cost:.2f} {plan.currency} in all, "
        f"{view.spent:.2f} spent (schema {plan.schema_version}, guideline {plan.guideline_version})"
    )
    for arm in view.arms:
        yield (
            f"  {arm.arm}: {arm.samples} samples, {arm.accepted} accepted, "
            f"{arm.disputed} disputed, {arm.waiting} without a verdict"
        )
    for person in view.people:
        pace = f", {person.median_seconds:.1f} s each" if person.median_seconds else ""
        yield f"  {person.annotator}: {person.answered} answers, {person.skipped} skipped{pace}"
    for name, why in view.disputed:
        yield f"  disputed: {name}: {why}"
    if view.disputed:
        yield f"Next: `retrue round adjudicate {plan.round_id}`"
    yield from (f"  went on in {name}" for name in view.children)


def _ask(dispute: Dispute) -> str:
    """Show a disputed sample on the terminal and read the word on it; "" passes it over."""
    typer.echo(f"\n{dispute.sample_id}: {dispute.reason}")
    for name, value in dispute.fields.items():
        typer.echo(f"  {name}: {value}")
    if dispute.media_uri:
        typer.echo(f"  {dispute.media_uri}")
    for person, said in dispute.said:
        typer.echo(f"  {person} says {said}")
    answer: str = typer.prompt("label (Enter passes)", default="", show_default=False)
    return answer
