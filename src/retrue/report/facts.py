"""Where things stand, in plain facts: quick enough for `retrue status`, no HTML, no pictures.

Everything is read off the records; the model registry, which is slow to load, is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from retrue.core.answers import Tally, live_answers
from retrue.core.incident import Incident, read_incidents
from retrue.ports import RepoState, RoundRecord
from retrue.reading.ballots import verdicts_about
from retrue.reading.spending import answers_asked, price_of
from retrue.records import Answer, Decision, Round, RoundKind, RoundState, Task, Verdict, short_hash
from retrue.report.next_step import NextStep, next_step
from retrue.report.reading import number, texts, whole
from retrue.report.service import Service, service_of
from retrue.workspace import Workspace

__all__ = ["AlarmBudget", "Facts", "Money", "Progress", "gather_facts"]

RUNNING = ("planned", "open", "collecting")
YEAR = timedelta(days=365)
VERSION = "version"
KINDS = (
    "promotion",
    "gate",
    "drift-check",
    "incident-opened",
    "incident-decided",
    "incident-muted",
    "incident-accepted",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmBudget:
    """What the drift checks of the last 365 days spent of the false alarms allowed."""

    yearly: float  # probability of any false alarm in a year, 0..1
    spent: float  # alpha of the checks, same unit
    checks: int
    alarms: int

    @property
    def left(self) -> float:
        """What is left, 0..yearly."""
        return max(self.yearly - self.spent, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a round has come that is neither closed nor cancelled."""

    round_id: str
    kind: RoundKind
    why: str
    state: RoundState
    planned_at: datetime
    tasks: int
    wanted: int  # answers
    done: int  # answers, at most as many of each task as are wanted
    skipped: int  # of the rest, what people skipped
    seconds: float | None  # median per answer; None: no answer tells
    cost: float  # of all answers wanted, in `currency`
    currency: str

    @property
    def left(self) -> int:
        """Answers still to be given."""
        return self.wanted - self.done - self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What labels have cost, and how much of the caps is used. Caps count answers asked for."""

    currency: str
    price: float  # of one answer, today
    spent: float  # on every answer ever given
    spent_month: float  # this calendar month
    answers: int  # ever given
    asked_today: int
    asked_month: int
    cap_round: int | None  # None: no cap
    cap_day: int | None
    cap_month: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where a workspace stands."""

    project: str
    at: datetime
    service: Service | None  # the champion; None: no model was promoted yet
    incidents: tuple[Incident, ...]  # oldest first
    budget: AlarmBudget
    progress: tuple[Progress, ...]  # oldest first
    money: Money
    version: int  # newest dataset version decided; 0: none
    ready: int  # labelled samples of closed rounds that no version holds yet
    running: int  # the same, of rounds that still run
    repo: RepoState
    next: NextStep


def gather_facts(workspace: Workspace, *, now: datetime) -> Facts:
    """Read where a workspace stands.

    Raises:
        RecordError: A record is damaged.
        RepoError: git cannot say what is recorded.
    """
    rounds = workspace.records.rounds()
    decisions = _decisions(workspace)
    answers = workspace.records.tallies(item.plan.round_id for item in rounds)
    progress = tuple(
        _progress(
            item,
            workspace.records.tasks(item.plan.round_id),
            live_answers(workspace.records.answers(item.plan.round_id)),
        )
        for item in rounds
        if item.state in RUNNING
    )
    service = service_of(workspace, rounds, decisions)
    incidents = tuple(read_incidents(decisions, rounds))
    joined = {
        name for made in _of(decisions, VERSION) for name in texts(made.data, "verdict_files")
    }
    ready, running = _waiting(workspace, rounds, joined)
    repo = workspace.repo.state()
    return Facts(
        project=workspace.config.project,
        at=now,
        service=service,
        incidents=incidents,
        budget=_budget(workspace, _of(decisions, "drift-check"), now),
        progress=progress,
        money=_money(workspace, rounds, answers, now),
        version=max((whole(m.data, "version") or 0 for m in _of(decisions, VERSION)), default=0),
        ready=ready,
        running=running,
        repo=repo,
        next=next_step(
            workspace,
            rounds=rounds,
            decisions=decisions,
            incidents=incidents,
            left={one.round_id: (one.left, one.seconds) for one in progress},
            recorded=sum(tally.live for tally in answers.values()),
            repo=repo,
            now=now,
        ),
    )


def _decisions(workspace: Workspace) -> list[Decision]:
    """What was decided, by time: of versions the newest alone, which joins all the others did."""
    records = workspace.records
    made = [one for kind in KINDS for one in records.decisions(kind)]
    made += _newest_version(records) or records.decisions(VERSION)
    return sorted(made, key=lambda one: (one.at, one.decision_id))


def _newest_version(records: RoundRecord) -> list[Decision]:
    """The decision about the newest version, found by its name; none if none has such a name.

    Each names all files of all versions before it: to read hundreds costs more than all the rest.
    """

    def decided(number: int) -> Decision | None:
        return records.decision(VERSION, short_hash(VERSION, str(number), digits=12))

    there, beyond = 0, 1
    while decided(beyond):
        there, beyond = beyond, 2 * beyond
    while beyond - there > 1:
        middle = (there + beyond) // 2
        there, beyond = (middle, beyond) if decided(middle) else (there, middle)
    newest = decided(there)
    return [newest] if newest else []


def _of(decisions: Sequence[Decision], kind: str) -> list[Decision]:
    return [made for made in decisions if made.kind == kind]


def _budget(workspace: Workspace, checks: Sequence[Decision], now: datetime) -> AlarmBudget:
    recent = [made for made in checks if now - YEAR < made.at <= now]
    return AlarmBudget(
        yearly=workspace.config.drift.false_alarms_per_year,
        spent=sum(number(made.data, "alpha_spent") or 0.0 for made in recent),
        checks=len(recent),
        alarms=sum(made.data.get("alarm") is True for made in recent),
    )


def _progress(item: Round, tasks: Sequence[Task], answers: Sequence[Answer]) -> Progress:
    given = Counter(answer.task_key for answer in answers if answer.status == "answered")
    passed = Counter(answer.task_key for answer in answers if answer.status == "skipped")
    done = {task.task_key: min(given[task.task_key], task.overlap) for task in tasks}
    seconds = [answer.lead_seconds for answer in answers if answer.lead_seconds is not None]
    wanted = sum(task.overlap for task in tasks)
    return Progress(
        round_id=item.plan.round_id,
        kind=item.plan.kind,
        why=item.plan.why,
        state=item.state,
        planned_at=item.plan.planned_at,
        tasks=len(tasks),
        wanted=wanted,
        done=sum(done.values()),
        skipped=sum(
            min(passed[task.task_key], task.overlap - done[task.task_key]) for task in tasks
        ),
        seconds=median(seconds) if seconds else None,
        cost=wanted * item.plan.cost_per_label,
        currency=item.plan.currency,
    )


def _money(
    workspace: Workspace,
    rounds: Sequence[Round],
    answers: Mapping[str, Tally],
    now: datetime,
) -> Money:
    price, currency = price_of(workspace.config)
    caps = workspace.config.select.caps
    month = f"{now.astimezone(UTC):%Y-%m}"
    given = [(answers[item.plan.round_id], item.plan.cost_per_label) for item in rounds]
    asked = [
        (item.plan.planned_at, answers_asked(workspace, item))
        for item in rounds
        if item.state != "cancelled" and _month(item.plan.planned_at) == _month(now)
    ]
    return Money(
        currency=currency,
        price=price,
        spent=sum(cost * tally.given for tally, cost in given),
        spent_month=sum(cost * tally.answered.get(month, 0) for tally, cost in given),
        answers=sum(tally.given for tally, _ in given),
        asked_today=sum(count for at, count in asked if at.date() == now.date()),
        asked_month=sum(count for _, count in asked),
        cap_round=caps.round,
        cap_day=caps.day,
        cap_month=caps.month,
    )


def _month(at: datetime) -> tuple[int, int]:
    return at.year, at.month


def _waiting(workspace: Workspace, rounds: Sequence[Round], joined: set[str]) -> tuple[int, int]:
    """Samples whose newest accepted label no version holds: (in closed rounds, in running ones)."""
    fresh: dict[str, list[Verdict]] = {}  # by round
    for item in rounds:
        name = item.plan.round_id
        news = {
            one for one in workspace.records.verdict_names(name) if f"{name}/{one}" not in joined
        }
        if item.state != "cancelled" and news:
            files = workspace.records.verdict_files(name)
            fresh[name] = [one for file, verdicts in files if file in news for one in verdicts]
    last = verdicts_about(workspace, rounds, {v.sample_id for some in fresh.values() for v in some})
    ready: set[str] = set()
    running: set[str] = set()
    for item in rounds:
        side = running if item.state in RUNNING else ready
        side |= {
            verdict.sample_id
            for verdict in fresh.get(item.plan.round_id, ())
            if verdict.status == "accepted" and last[verdict.sample_id] == verdict
        }
    return len(ready), len(running)
