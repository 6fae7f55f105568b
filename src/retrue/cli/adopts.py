"""`retrue adopt labels|label-studio|model`: labels and models that exist already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.acts.adopting import AdoptReport
    from retrue.acts.label_files import Unfit

__all__ = ["app"]

SHOWN = 10

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Bring in labels or a model that exist already."""


@app.command(
    epilog=examples(
        "retrue adopt labels history.csv --key image_id --label defect --dry-run",
        "retrue adopt labels outcomes.parquet --declared-random 4f1c",
    )
)
def labels(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or parquet, one answer per line.")],
    key: Annotated[
        str | None, typer.Option(help="Column of the sample's key. Default: the stream's key.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    annotator: Annotated[
        str | None, typer.Option(help="Column that says who answered. Default: nobody knows.")
    ] = None,
    declared_random: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW", help="The file is a random sample of this window, you declare."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Adopt a file of labels as a round of its own; running it twice adds nothing."""
    from retrue.acts.adopting import adopt_labels
    from retrue.acts.label_files import read_label_file
    from retrue.recording import record_progress

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    data = workspace.config.data
    keys = [source.key for source in (data.incoming, data.inference) if source and source.key]
    column = key or next(iter(keys), "sample_id")
    with call.waiting("looking for the samples in the recorded windows"):
        lines, unfit = read_label_file(file, key=column, label=label, annotator=annotator)
        report = adopt_labels(
            workspace,
            lines,
            source=file.name,
            now=call.now,
            unfit=unfit,
            declared_random=declared_random,
            dry_run=dry_run,
        )
        if report.round_id and not dry_run:
            record_progress(workspace, f"Adopt {report.round_id}", now=call.now)
    call.show(report, _lines(report, dry_run=dry_run))


@app.command(
    "label-studio",
    epilog=examples(
        "retrue adopt label-studio 7 --dry-run",
        "retrue adopt label-studio 'Defects 2025' --key part_id --class Scratched=scratch",
        "retrue adopt label-studio https://labels.example.org/projects/7 --from-name defect",
    ),
)
def label_studio(
    ctx: typer.Context,
    project: Annotated[str, typer.Argument(help="The project's id, title or address.")],
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Field of a task's data with the sample's key. Default: the stream's key.",
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Without keys: a field of the hash that names a sample. Default: data.fields.",
        ),
    ] = None,
    from_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The control that asks our question, if several could."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="THEIRS=OURS", help="What a class is called here."),
    ] = None,
    declared_random: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW", help="The answered tasks are a random sample of it, you declare."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over a running Label Studio project; running it again brings only what is new.

    Every answer is kept: skipped ones, several on one task, later changes. Nothing is changed
    in Label Studio.
    """
    from retrue.acts.adopting_label_studio import Wishes, adopt_project
    from retrue.cli import adopt_words
    from retrue.recording import record_progress
    from retrue.wiring import label_studio_projects

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    wishes = Wishes(
        key=key,
        fields=tuple(field or ()),
        from_name=from_name,
        classes=_renamed(classes or ()),
        declared_random=declared_random,
    )
    with call.waiting("reading the project's answers"):
        report = adopt_project(
            workspace,
            label_studio_projects(workspace.config),
            project,
            now=call.now,
            wishes=wishes,
            dry_run=dry_run,
        )
        if not dry_run and (report.round_id or report.changed or report.deleted):
            record_progress(workspace, f"Adopt answers of {report.project}", now=call.now)
    call.show(report, adopt_words.project(report, dry_run=dry_run))


@app.command(
    epilog=examples(
        "retrue adopt model models:/defects_old/3",
        "retrue adopt model models:/defects_old@production --class ok --class scratch",
    )
)
def model(
    ctx: typer.Context,
    uri: Annotated[str, typer.Argument(metavar="NAME_OR_URI", help="models:/name/3, runs:/...")],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Classes in the order of its probabilities. Default: sorted by name."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a model that was trained elsewhere into the registry, as challenger."""
    from retrue.acts.adopting_models import adopt_model

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    with call.waiting("fetching the model"):
        adopted = adopt_model(workspace, uri, classes=tuple(classes or ()), now=call.now)
    lines = [
        f"model {adopted.version} is adopted, as challenger",
        f"Next: `retrue model show {adopted.version}`, `retrue model promote {adopted.version}`",
    ]
    call.show(adopted, lines)


def _lines(report: AdoptReport, *, dry_run: bool) -> Iterator[str]:
    if report.round_id is None:
        yield f"Nothing to adopt in {report.lines:,} lines."
    else:
        verb = "would be adopted" if dry_run else "are adopted"
        yield f"{report.samples:,} samples {verb} in round {report.round_id}"
    if report.probability is not None:
        yield f"  declared random: inclusion probability {report.probability:.4g}"
    elif report.round_id:
        yield "  not declared random: they train, but measure nothing"
    if report.known:
        yield f"  {report.known:,} answers were adopted before"
    if report.disputed:
        yield f"  {report.disputed:,} samples have several labels in the file"
    yield from _unfit("unknown", report.unknown)
    yield from _unfit("bad", report.bad)
    yield from (f"  window cannot be read: {why}" for why in report.unreadable)
    if report.round_id and not dry_run:
        yield "Next: `retrue version` publishes the labels."


def _unfit(name: str, found: Sequence[Unfit]) -> Iterator[str]:
    if found:
        yield f"  {len(found):,} {name} lines, quarantined"
    yield from (f"    line {one.line}: {one.reason}" for one in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"    and {len(found) - SHOWN:,} more (--json lists all)"


def _renamed(pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [pair for pair, (_, _, ours) in zip(pairs, split, strict=True) if not ours]:
        raise typer.BadParameter(f"--class {wrong[0]}: expected THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in split}
