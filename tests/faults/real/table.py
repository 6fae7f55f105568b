"""Faults x outcome, as a section of `docs/reliability.md` that this writes and nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.real.bench import Outcome

__all__ = ["section", "write"]

PAGE = Path(__file__).parents[3] / "docs/reliability.md"
BEGIN, END = "<!-- faults: begin (make test-faults) -->", "<!-- faults: end -->"
HEAD = (
    "| fault | runs | injected | killed or run again | tasks lost | copies left | answers lost "
    "| counted twice | same digest | naive: runs | naive: lost or doubled |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def write(outcomes: Sequence[Outcome], page: Path = PAGE) -> None:
    """Put the section of these results in its place on the page, or at its end."""
    text = page.read_text(encoding="utf-8")
    begin, end = text.find(BEGIN), text.find(END)
    before, after = (text.rstrip(), "\n") if begin < 0 else (text[:begin].rstrip(), text[end:])
    after = after.removeprefix(END)
    part = f"{BEGIN}\n\n{section(outcomes)}\n\n{END}"
    page.write_text(f"{before}\n\n{part}{after}", encoding="utf-8")


def section(outcomes: Sequence[Outcome]) -> str:
    """What a series of runs showed.

    Args:
        outcomes: Of all suites; runs that nothing disturbed have seeds below 0.
    """
    rounds, loops, naive = (
        [one for one in outcomes if one.suite == suite and one.seed >= 0]
        for suite in ("rounds", "loops", "naive")
    )
    parts = [
        "## Faults on the real services",
        _what_was_run(rounds, loops, naive),
        "### Push and collect",
        _table(rounds, naive),
        "### Whole loops",
        _table(loops, []),
        _how_to_replay(),
    ]
    return "\n\n".join(parts)


def _what_was_run(
    rounds: Sequence[Outcome], loops: Sequence[Outcome], naive: Sequence[Outcome]
) -> str:
    ours, hurt = [*rounds, *loops], [one for one in naive if damage(one)]
    wrong = ", ".join(f"{one.suite} {one.seed}" for one in ours if not one.fine) or "none"
    return (
        f"{len(rounds)} runs of push and collect ({_seeds(rounds)}) and {len(loops)} whole loops "
        f"({_seeds(loops)}) on SeaweedFS, Label Studio, PostgreSQL, git, DVC and MLflow: "
        f"{total(ours, _fired)} faults met a request or a process, {total(ours, _killed)} "
        f"processes were killed, {total(ours, _retried)} ended with an error and were run again. "
        f"{sum(bool(one.same_digest) for one in ours)} of {len(ours)} ended with the content "
        "digest (loops: with every fact) of an undisturbed run on the same rows. Runs that lost "
        f"or doubled anything, or asked for a person: {wrong}.\n\n"
        f"The same faults on a naive push and collect ({_seeds(naive)}; `tests/faults/naive.py`, "
        f"through the same adapter) harmed {len(hurt)} of {len(naive)} runs: "
        f"{total(naive, lambda one: one.lost_tasks)} tasks lost, "
        f"{total(naive, lambda one: one.copies_left + one.answered_copies)} doubled, "
        f"{total(naive, lambda one: one.lost_answers)} answers lost, "
        f"{total(naive, lambda one: one.doubled_answers)} counted twice."
    )


def _seeds(runs: Sequence[Outcome]) -> str:
    seeds = [one.seed for one in runs]
    return f"seeds {min(seeds)} to {max(seeds)}" if seeds else "no seeds"


def _table(ours: Sequence[Outcome], naive: Sequence[Outcome]) -> str:
    names = sorted({str(f"{f['service']}: {f['what']}") for one in ours for f in one.planned})
    lines = [HEAD]
    lines += [
        _row(name, [o for o in ours if name in o.fired], [o for o in naive if name in o.fired])
        for name in names
    ]
    lines.append(_row("**all runs**", ours, naive))
    return "\n".join(lines)


def _row(name: str, met: Sequence[Outcome], naive: Sequence[Outcome]) -> str:
    times = sum(Counter(one.fired)[name] for one in met) or total(met, _fired)
    cells = [
        name,
        len(met),
        times,
        total(met, _killed) + total(met, _retried),
        total(met, lambda one: one.lost_tasks),
        total(met, lambda one: one.copies_left),
        total(met, lambda one: one.lost_answers),
        total(met, lambda one: one.doubled_answers),
        f"{sum(bool(one.same_digest) for one in met)} of {len(met)}",
        len(naive) or "",
        sum(damage(one) for one in naive) if naive else "",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _how_to_replay() -> str:
    return (
        "A run that met several faults counts in several lines. Everything in a run but the "
        "services' own pace follows from its seed. In the folder `tests`, "
        "`python -m faults.real rounds --seed 17` plays one again, "
        "`python -m faults.real loops --seed 3` a loop; `make test-faults` plays all, and goes on "
        "where it was ended."
    )


def damage(one: Outcome) -> bool:
    """Whether something was lost or is there twice."""
    copies = one.copies_left + one.answered_copies
    return bool(one.lost_tasks + copies + one.lost_answers + one.doubled_answers)


def total(outcomes: Sequence[Outcome], of: Callable[[Outcome], int]) -> int:
    return sum(of(one) for one in outcomes)


def _fired(one: Outcome) -> int:
    return len(one.fired)


def _killed(one: Outcome) -> int:
    return one.killed


def _retried(one: Outcome) -> int:
    return one.retried
