"""Where a workspace stands, in a few lines of plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrue.cli.words import count

if TYPE_CHECKING:
    from retrue.report.facts import Facts, Progress

__all__ = ["lines"]


def lines(facts: Facts) -> list[str]:
    """The model, the traffic, the labels, what is only here, and the one thing to do next."""
    told = [
        f"{facts.project}, {facts.at:%Y-%m-%d %H:%M} UTC",
        "",
        f"Model     {_model(facts)}",
        f"Drift     {_drift(facts)}",
        *(f"Round     {_round(item)}" for item in facts.progress),
        f"Dataset   {_dataset(facts)}",
        f"Labels    {_money(facts)}",
        f"Recorded  {_recorded(facts)}",
        "",
        f"Next: {facts.next.what}",
        f"      {facts.next.why}",
    ]
    return [*told, f"      {facts.next.command}"] if facts.next.command else told


def _model(facts: Facts) -> str:
    service = facts.service
    if service is None:
        return "none in service yet"
    told = f"v{service.version}, since {service.since:%Y-%m-%d}"
    figure = service.accuracy
    if figure is None:
        return f"{told}; {service.metric} not measured yet"
    where = "in service" if service.measured else "at the gate"
    return (
        f"{told}; {service.metric} {where} {figure.value:.1%} "
        f"({figure.low:.1%} to {figure.high:.1%}, {count(figure.n, 'audited item')} of "
        f"{count(service.population.rows, 'row')})"
    )


def _drift(facts: Facts) -> str:
    budget = facts.budget
    spent = f"{budget.spent:.2g} of {budget.yearly:.2g} false alarms a year spent"
    told = f"{count(budget.checks, 'check')}, {count(budget.alarms, 'alarm')}, {spent}"
    live = [item for item in facts.incidents if item.state in ("open", "probing")]
    return "; ".join([told, *(f"incident {item.incident_id} is {item.state}" for item in live)])


def _round(item: Progress) -> str:
    pace = f", {item.skipped} skipped" if item.skipped else ""
    pace += f", {item.seconds:.0f} s each" if item.seconds is not None else ""
    return (
        f"{item.round_id} is {item.state}: {item.done:,} of {count(item.wanted, 'answer')}{pace}, "
        f"{item.cost:.2f} {item.currency} ({item.why})"
    )


def _dataset(facts: Facts) -> str:
    made = f"v{facts.version}" if facts.version else "no version yet"
    waiting = [f"{count(facts.ready, 'label')} ready for the next"] if facts.ready else []
    waiting += [f"{count(facts.running, 'label')} in rounds that run"] if facts.running else []
    return "; ".join([made, *waiting])


def _money(facts: Facts) -> str:
    money = facts.money
    caps = [
        f"{asked:,} of {cap:,} asked {when}"
        for asked, cap, when in (
            (money.asked_today, money.cap_day, "today"),
            (money.asked_month, money.cap_month, "this month"),
        )
        if cap is not None
    ]
    cost = f"{money.spent:.2f} {money.currency} spent, {money.spent_month:.2f} this month"
    return ", ".join([count(money.answers, "answer"), cost, *caps])


def _recorded(facts: Facts) -> str:
    repo = facts.repo
    if repo.unrecorded:
        return f"{count(len(repo.unrecorded), 'file')} only on this machine and not committed"
    if repo.remote is None:
        return "committed; there is no git remote, so all of it is only on this machine"
    if repo.unpushed:
        return f"{count(repo.unpushed, 'commit')} not pushed to {repo.remote} yet"
    return f"all committed and pushed to {repo.remote}"
