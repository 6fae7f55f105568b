"""`retrue model ...`: what is known of each model, and who is champion."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from retrue.cli.call import AsJson, DryRun, call_of, examples

if TYPE_CHECKING:
    from retrue.acts.model_evidence import ModelDiff, ModelFacts

__all__ = ["app"]

GATE_REFUSED = 4  # exit code

Name = Annotated[str, typer.Argument(metavar="MODEL", help="A version (3, v3) or an alias.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Models: list, show, diff, promote, rollback."""


@app.command("list", epilog=examples("retrue model list", "retrue model list --json"))
def list_all(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All models, oldest first."""
    from retrue.acts.model_evidence import model_facts
    from retrue.cli import show

    call = call_of(ctx, as_json=as_json)
    found = model_facts(call.workspace())
    if call.json:
        show.print_json(found)
        return
    columns = ("model", "aliases", "trained", "dataset", "gate", "why")
    rows = [
        (
            one.model.version,
            ", ".join(one.model.aliases),
            one.model.created_at,
            f"v{one.model.dataset_version}" if one.model.dataset_version else "adopted",
            one.outcome or "never",
            one.why,
        )
        for one in found
    ]
    show.print_table(columns, rows)


@app.command("show", epilog=examples("retrue model show 3", "retrue model show champion"))
def show_one(ctx: typer.Context, model: Name, as_json: AsJson = False) -> None:
    """One model: its data, its figures, the gate's evidence, its promotions."""
    from retrue.acts.model_evidence import model_facts

    call = call_of(ctx, as_json=as_json)
    (found,) = model_facts(call.workspace(), model)
    call.show(found, _facts_lines(found))


@app.command(epilog=examples("retrue model diff 2 3", "retrue model diff champion challenger"))
def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    as_json: AsJson = False,
) -> None:
    """Two models side by side: figures, data, and the test that compared them."""
    from retrue.acts.model_evidence import diff_models

    call = call_of(ctx, as_json=as_json)
    found = diff_models(call.workspace(), a, b)
    call.show(found, _diff_lines(found))


@app.command(
    epilog=examples(
        "retrue model promote 3",
        'retrue model promote 3 --yes --force-reason "the old one reads a column that is gone"',
    )
)
def promote(
    ctx: typer.Context,
    model: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force_reason: Annotated[
        str | None, typer.Option(help="Promote against the gate; the reason is recorded.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion, with its evidence; exit code 4 if the gate refuses."""
    from retrue.acts.model_evidence import model_facts, promote_by_hand, refusal
    from retrue.recording import record_progress

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    (facts,) = model_facts(workspace, model)
    against = refusal(workspace, facts)
    if not call.json:
        for line in _facts_lines(facts):
            typer.echo(line)
    if against and not force_reason:
        typer.echo(
            f"The gate refuses: {against.rstrip('.')}. To promote all the same, give "
            "--force-reason.",
            err=True,
        )
        raise typer.Exit(GATE_REFUSED)
    version = facts.model.version
    done = {"model": version, "against_the_gate": against, "forced": force_reason}
    if dry_run:
        call.show(done, [f"model {version} would be the champion"])
        return
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"Make model {version} the champion?", abort=True)
    with call.waiting("recording the traffic it will be watched against"):
        promote_by_hand(workspace, facts, force_reason=force_reason, now=call.now)
        record_progress(workspace, f"Promote model {version}", now=call.now)
    call.show(done, [f"model {version} is the champion"])


@app.command(epilog=examples("retrue model rollback", "retrue model rollback --yes"))
def rollback(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the champion before this one the champion again."""
    from retrue.recording import record_progress
    from retrue.steps.train import rollback as roll_back

    call = call_of(ctx, as_json=as_json)
    workspace = call.workspace(by_person=True)
    champion = workspace.models.champion()
    name = champion.version if champion else "none"
    if dry_run:
        call.show({"champion": name}, [f"champion {name} would give way to the one before it"])
        return
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"Take model {name} out of service?", abort=True)
    model = roll_back(workspace, now=call.now)
    if model is None:
        typer.echo(f"champion {name}: there is none before it on record", err=True)
        raise typer.Exit(1)
    record_progress(workspace, f"Roll back to model {model.version}", now=call.now)
    call.show(model, [f"model {model.version} is the champion again, instead of {name}"])


def _facts_lines(facts: ModelFacts) -> Iterator[str]:
    from retrue.report.reading import estimate, number, part, whole

    model = facts.model
    data = f"dataset v{model.dataset_version}" if model.dataset_version else "trained elsewhere"
    aliases = f" ({', '.join(model.aliases)})" if model.aliases else ""
    yield f"model {model.version}{aliases}: {data}, {model.created_at:%Y-%m-%d %H:%M}"
    yield from (f"  {name}: {value:.4g}" for name, value in sorted(model.metrics.items()))
    if facts.outcome:
        yield f"  gate: {facts.outcome}: {facts.why}"
    accuracy = estimate(part(facts.gate, "accuracy"))
    if accuracy is not None:
        yield (
            f"  on {accuracy.n} evaluation items: {accuracy.value:.1%} "
            f"(95% interval {accuracy.low:.1%} to {accuracy.high:.1%})"
        )
    result = part(facts.gate, "result")
    if result is not None:
        smallest = number(result, "minimum_detectable")
        delta, p = number(result, "delta"), number(result, "p_value")
        if delta is not None and p is not None:
            yield f"  against model {facts.gate.get('champion')}: {delta:+.1%}, p {p:.2g}"
        if smallest is not None:
            yield f"  smallest gain this test could see: {smallest:.1%}"
        needed = whole(result, "labels_needed")
        if needed is not None:
            yield f"  about {needed} audited items would decide"
    yield from (f"  promoted {at:%Y-%m-%d} by {by}: {why}" for at, by, why in facts.promotions)


def _diff_lines(found: ModelDiff) -> Iterator[str]:
    a, b = found.a.model, found.b.model
    yield f"model {a.version} -> model {b.version}"
    for name, left, right in found.metrics:
        shown = ["-" if value is None else f"{value:.4g}" for value in (left, right)]
        yield f"  {name}: {shown[0]} -> {shown[1]}"
    if found.data is not None:
        counts = ", ".join(f"{number:,} {what}" for what, number in found.data.items())
        yield f"  data v{a.dataset_version} -> v{b.dataset_version}: {counts}"
    if found.gate is None:
        yield "  no gate compared the two"
    else:
        yield f"  gate: {found.gate['outcome']}: {found.gate['why']}"
