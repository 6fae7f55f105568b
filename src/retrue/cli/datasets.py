"""`retrue dataset ...`: versions, from a plain clone after `dvc pull`; no ledger, no services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retrue.cli.call import AsJson, call_of, examples

__all__ = ["app"]

Version = Annotated[str, typer.Argument(metavar="VERSION", help='"v2", "2" or "latest".')]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Dataset versions: what changed, who labelled it, why was it picked, which model ate it."""


@app.command("list", epilog=examples("retrue dataset list", "retrue dataset list --json"))
def list_all(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All versions, oldest first."""
    from retrue.cli import show
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, _, repo, _ = open_dataset_repo(call.folder)
    manifests = repo.versions()
    if call.json:
        show.print_json(manifests)
        return
    columns = ("version", "built", "rows", "train", "eval", "added", "changed", "removed", "schema")
    rows = [
        (
            f"v{one.version}",
            one.built_at,
            one.rows,
            one.train,
            one.evaluation,
            one.added,
            one.changed,
            one.removed,
            one.schema_version,
        )
        for one in manifests
    ]
    show.print_table(columns, rows)


@app.command("show", epilog=examples("retrue dataset show latest", "retrue dataset show v2"))
def show_one(ctx: typer.Context, version: Version = "latest", as_json: AsJson = False) -> None:
    """One version: its classes, rounds and digest."""
    from retrue.cli import dataset_words
    from retrue.dataset import open_dataset

    call = call_of(ctx, as_json=as_json)
    manifest = open_dataset(version, start=call.folder).manifest
    call.show(manifest, dataset_words.manifest(manifest))


@app.command(epilog=examples("retrue dataset diff v1 v2", "retrue dataset diff v1 latest --json"))
def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    as_json: AsJson = False,
) -> None:
    """What B has that A has not: rows added, changed, removed."""
    from retrue.cli import dataset_words
    from retrue.core.build import diff_rows
    from retrue.dataset import version_number
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, _, repo, _ = open_dataset_repo(call.folder)
    newest = max((one.version for one in repo.versions()), default=None)
    old, new = version_number(a, newest=newest), version_number(b, newest=newest)
    found = diff_rows(repo.rows(old), repo.rows(new))
    call.show(found, dataset_words.diff(old, new, found))


@app.command(epilog=examples("retrue dataset blame 0017", "retrue dataset blame 0017 --json"))
def blame(
    ctx: typer.Context,
    sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="The sample's id (its key).")],
    as_json: AsJson = False,
) -> None:
    """One sample: why it was picked, who said what when, what was ruled, who learned from it."""
    from retrue.cli import dataset_words
    from retrue.reading.blame import blame as find
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, _, repo, records = open_dataset_repo(call.folder)
    found = find(repo, records, sample)
    call.show(found, dataset_words.blame(found))


@app.command(epilog=examples("retrue dataset lineage 3", "retrue dataset lineage v3 --json"))
def lineage(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's version.")],
    as_json: AsJson = False,
) -> None:
    """What a model was made of: version, rounds, people, money."""
    from retrue.cli import dataset_words
    from retrue.reading.blame import lineage as find
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, _, repo, records = open_dataset_repo(call.folder)
    found = find(repo, records, model)
    call.show(found, dataset_words.lineage(found))


@app.command(epilog=examples("retrue dataset checkout v2 ./v2"))
def checkout(
    ctx: typer.Context,
    version: Version,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or absent folder.")],
    as_json: AsJson = False,
) -> None:
    """Write a version's files into a folder."""
    from retrue.dataset import version_number
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, _, repo, _ = open_dataset_repo(call.folder)
    newest = max((one.version for one in repo.versions()), default=None)
    number = version_number(version, newest=newest)
    place = repo.checkout(number, folder)
    call.show({"version": number, "folder": place}, [f"v{number} is in {place}"])


@app.command(
    epilog=examples(
        "retrue dataset export latest labels.csv", "retrue dataset export v2 v2.parquet"
    )
)
def export(
    ctx: typer.Context,
    version: Version,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv, .jsonl or .parquet")],
    as_json: AsJson = False,
) -> None:
    """Write a version's rows, with the fields of their samples, as one table."""
    from retrue.dataset import open_dataset
    from retrue.dataset_export import export_dataset

    call = call_of(ctx, as_json=as_json)
    dataset = open_dataset(version, start=call.folder)
    rows = export_dataset(dataset, file)
    number = dataset.manifest.version
    call.show(
        {"version": number, "file": file, "rows": rows}, [f"v{number}: {rows:,} rows in {file}"]
    )


@app.command(epilog=examples("retrue dataset verify", "retrue dataset verify --stored"))
def verify(
    ctx: typer.Context,
    stored: Annotated[
        bool, typer.Option("--stored", help="Only the stored rows; do not build them anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every version's digest again, from rows and records; exit code 1 if one differs."""
    from retrue.cli import dataset_words
    from retrue.cli.stage import migrate_under
    from retrue.reading.blame import verify_versions
    from retrue.wiring import open_dataset_repo

    call = call_of(ctx, as_json=as_json)
    _, labels, repo, records = open_dataset_repo(call.folder)
    with call.waiting("computing digests"):
        checks = list(
            verify_versions(repo, None if stored else records, migrate=migrate_under(labels))
        )
    call.show(checks, dataset_words.verify(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
