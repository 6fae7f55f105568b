"""`retrue stage`: what the stages of `dvc.yaml` call. Pure: files in, files out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from retrue.cli.call import call_of, examples

if TYPE_CHECKING:
    from retrue.config import Labels

__all__ = ["app", "migrate_under"]

app = typer.Typer()
stages = typer.Typer(no_args_is_help=True)
app.add_typer(stages, name="stage", hidden=True)


@stages.callback()
def _stage() -> None:
    """The two stages of dvc.yaml; `dvc repro` calls them."""


@stages.command(epilog=examples("retrue stage build", "dvc repro build"))
def build(ctx: typer.Context) -> None:
    """Join the records into the newest version that was decided."""
    from retrue.adapters.dataset_files import write_dataset
    from retrue.adapters.records_files import FileRoundRecord
    from retrue.config import load_config, load_labels
    from retrue.wiring import find_root

    root = find_root(call_of(ctx).folder)
    config = load_config(root)
    manifest = write_dataset(
        FileRoundRecord(root / "data"),
        root / "data/dataset",
        version=None,
        project=config.project,
        migrate=migrate_under(load_labels(root, config)),
    )
    if manifest.version == 0:
        typer.echo("build: no version was decided yet, so the dataset is empty.")
    else:
        typer.echo(f"build: v{manifest.version} with {manifest.rows} rows, {manifest.digest}")


@stages.command(epilog=examples("retrue stage fit", "dvc repro fit"))
def fit(ctx: typer.Context) -> None:
    """Train on data/dataset: model, predictions, metrics, plots."""
    from retrue.adapters.fit_stage import run_fit
    from retrue.config import load_config, load_labels
    from retrue.wiring import find_root

    root = find_root(call_of(ctx).folder)
    config = load_config(root)
    typer.echo(run_fit(root, config, load_labels(root, config), out=root))


def migrate_under(labels: Labels) -> Callable[[str, int, int], str | None]:
    """How `write_dataset` reads an old label: (label, its schema version, wanted) -> label.

    A version of the past is built under the schema it was decided under. That schema's classes
    are today's and those that later migrations took away.
    """
    known: dict[int, Labels] = {labels.version: labels}

    def migrate(label: str, version: int, wanted: int) -> str | None:
        if wanted not in known:
            later = [step for step in labels.migrations if step.to > wanted]
            gone = [name for step in later for name in step.source]
            known[wanted] = labels.model_copy(
                update={
                    "version": wanted,
                    "classes": tuple(dict.fromkeys([*labels.classes, *gone])),
                    "migrations": tuple(s for s in labels.migrations if s.to <= wanted),
                }
            )
        return known[wanted].migrate(label, version)

    return migrate
