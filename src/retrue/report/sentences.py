"""The report's sentences: each section begins with the one that a reader would ask for."""

from __future__ import annotations

from datetime import datetime

from retrue.report.facts import Facts
from retrue.report.learning import Gate
from retrue.report.service import Population, Service
from retrue.report.story import Story
from retrue.report.wording import amount, day, interval, money, percent, plural, points

__all__ = [
    "backup",
    "drift_line",
    "headline",
    "labels_line",
    "measured_line",
    "model_line",
    "people_line",
    "picks_line",
    "version_line",
]


def headline(facts: Facts) -> str:
    """What is in service and how good it is."""
    service = facts.service
    if service is None:
        return _before_the_first(facts)
    said = f"Model v{service.version} is in service since {day(service.since)}"
    found = service.accuracy
    if found is None:
        return f"{said}; how often it is right was not measured yet."
    right = f"{percent(found.value)} ({interval(found)})"
    about = _traffic(service.population)
    if service.metric == "accuracy":
        return f"{said}; it is right on {right} of {about}."
    return f"{said}; its {service.metric} is {right} on {about}."


def measured_line(service: Service) -> str:
    """What the headline's figure rests on: how many, drawn when, from which population."""
    found, population = service.accuracy, service.population
    if found is None:
        return "It was promoted without evaluation items: the next audit will tell."
    when = "after its promotion" if service.measured else "before its promotion, at the gate"
    rows = f" out of {amount(population.rows)} rows" if population.rows else ""
    windows = f" in {plural(len(population.windows), 'window')}" if population.windows else ""
    outside = (
        f" {percent(population.outside)} of the rows lie outside: no consent, or they did not fit."
        if population.outside
        else ""
    )
    worst = (
        f" {plural(found.missing, 'sample')} without a label yet: the interval is the worst case."
        if found.missing
        else ""
    )
    return (
        f"Measured on {plural(found.n, 'sample')} drawn by chance{rows}{windows}, {when}; "
        f"95% interval in brackets.{outside}{worst}"
    )


def drift_line(story: Story) -> str:
    """Whether the traffic still looks as it did."""
    if not story.checks:
        return "No window was checked for drift yet"
    last = story.checks[-1]
    if last.alarm:
        since = next(c.at for c in story.checks if c.alarm and c.incident == last.incident)
        return f"The traffic changed on {day(since)} and has not changed back"
    alarms = sum(check.alarm for check in story.checks)
    if alarms:
        return f"The traffic looks as it should, after {plural(alarms, 'alarm')}"
    return f"The traffic looks as it did in all {plural(len(story.checks), 'window')} checked"


def picks_line(story: Story) -> str:
    """What the newest round asks about."""
    picks = story.picks
    if picks is None:
        return "Nothing was picked for labeling yet"
    judged = sum(arm.judged for arm in picks.arms)
    surprised = sum(arm.surprised for arm in picks.arms)
    total = sum(arm.total for arm in picks.arms)
    if not judged:
        return f"The newest round asks about {plural(total, 'sample')}"
    return f"People corrected the model on {surprised} of {judged} samples in the newest round"


def people_line(story: Story) -> str:
    """Whether the people can be trusted."""
    if not story.people:
        return "Nobody has answered yet"
    named = sum(person.named for person in story.people)
    if named:
        return (
            f"{plural(len(story.people), 'person', 'people')} answered; talk with {named} of them"
        )
    return f"{plural(len(story.people), 'person', 'people')} answered, and nobody stands out"


def model_line(story: Story) -> str:
    """What the last gate said."""
    gate = story.gate
    if gate is None:
        return "One model so far, nothing to compare it with" if story.models else "No model yet"
    return _gate_line(gate)


def version_line(story: Story) -> str:
    """What the newest version brought."""
    if not story.versions:
        return "No dataset version yet"
    last = story.versions[-1]
    changes = [
        f"{amount(count)} {what}"
        for count, what in (
            (last.added, "added"),
            (last.corrected, "corrected"),
            (last.removed, "removed"),
        )
        if count
    ]
    said = f"Dataset v{last.version} holds {plural(last.rows, 'labelled sample')}"
    return f"{said}: {', '.join(changes)}" if changes else said


def labels_line(facts: Facts) -> str:
    """What labels have cost."""
    spent = facts.money
    if not spent.answers:
        return "No answer was given yet"
    return f"{plural(spent.answers, 'answer')} for {money(spent.spent, spent.currency)} so far"


def backup(facts: Facts) -> tuple[str, str]:
    """What is only on this machine: (short, long)."""
    repo = facts.repo
    files, commits = len(repo.unrecorded), repo.unpushed
    if repo.remote is None:
        return "everything", "There is no git remote: a lost disk loses the records."
    if not files and not commits:
        return "nothing", "Every record is on the remote."
    return plural(files + commits, "item"), (
        f"{plural(commits, 'commit')} not pushed, {plural(files, 'file')} not recorded."
    )


def _before_the_first(facts: Facts) -> str:
    if not facts.progress:
        return "No model is in service yet, and no round is running."
    first = facts.progress[-1]
    doing = {"planned": "is planned", "open": "is open"}.get(first.state, "is being answered")
    samples = plural(first.tasks, "sample")
    return f"No model is in service yet; a {first.kind} round of {samples} {doing}."


def _traffic(population: Population) -> str:
    first, last = population.first, population.last
    if first is None or last is None:
        return "the traffic it was measured on"
    return f"the traffic from {_span(first, last)}"


def _span(first: datetime, last: datetime) -> str:
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day(last)}" if first.day != last.day else day(last)
    return (
        f"{first.day} {first:%b} to {day(last)}"
        if first.year == last.year
        else (f"{day(first)} to {day(last)}")
    )


def _gate_line(gate: Gate) -> str:
    challenger, champion = f"v{gate.challenger}", f"v{gate.champion}"
    if gate.outcome in ("promoted", "waiting"):
        done = "replaced" if gate.outcome == "promoted" else "may replace"
        return f"Model {challenger} {done} {champion}: {points(gate.delta)} points"
    if gate.outcome == "rejected":
        return f"Model {challenger} was rejected: {champion} stays in service"
    return f"Model {challenger} was held: the difference to {champion} cannot be told from chance"
