"""Incidents: one for a shift, however many nights it lasts. Read off the decisions, never stored.

open -> probing -> decided; or muted by a person. A decided incident stays current, so that the same
shift opens no second one, until another champion is promoted or its quiet time ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from retrue.records import Decision, Round

__all__ = ["Incident", "IncidentState", "current_incident", "read_incidents"]

IncidentState = Literal["open", "probing", "decided", "muted", "accepted"]
QUIET = timedelta(days=30)  # how long a decision about a shift holds without a new champion


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A shift that was noticed, and what became of it."""

    incident_id: str
    champion: str  # model version that was watched
    windows: tuple[str, ...]  # alarmed windows, first one first
    reasons: tuple[str, ...]  # plain words, strongest first
    state: IncidentState
    outcome: str | None  # harmless, loss, new_class, undecided; None: not decided yet
    why: str  # of the outcome, plain words
    opened_at: datetime
    quiet_until: datetime | None  # None: not decided or muted yet
    probes: tuple[str, ...]  # probe rounds, in order
    aimed: str | None  # the labeling round it opened

    def is_current(self, *, champion: str, now: datetime) -> bool:
        """Whether a further alarm belongs to this incident instead of opening another."""
        quiet = self.quiet_until is None or now < self.quiet_until
        return self.champion == champion and quiet


def read_incidents(decisions: Sequence[Decision], rounds: Sequence[Round]) -> list[Incident]:
    """All incidents, oldest first.

    Args:
        decisions: All decisions, by time.
        rounds: All rounds; a probe's or aimed round's cause starts with the incident's id.
    """
    by_kind: dict[str, list[Decision]] = {}
    for made in decisions:
        by_kind.setdefault(made.kind, []).append(made)
    return [_incident(opened, by_kind, rounds) for opened in by_kind.get("incident-opened", [])]


def current_incident(
    incidents: Sequence[Incident], *, champion: str, now: datetime
) -> Incident | None:
    """The incident that alarms of this champion belong to now; None: the next alarm opens one."""
    return next(
        (item for item in reversed(incidents) if item.is_current(champion=champion, now=now)), None
    )


def _incident(
    opened: Decision, by_kind: Mapping[str, Sequence[Decision]], rounds: Sequence[Round]
) -> Incident:
    name = _text(opened, "incident")
    checks = [d for d in by_kind.get("drift-check", []) if d.data.get("incident") == name]
    decided = _about(name, by_kind.get("incident-decided", []))
    word = _about(name, by_kind.get("incident-muted", []), by_kind.get("incident-accepted", []))
    mine = [
        item.plan
        for item in rounds
        if item.plan.cause.split("/")[0] == name and item.state != "cancelled"
    ]
    probes = tuple(plan.round_id for plan in mine if plan.kind == "probe")
    state: IncidentState = "probing" if probes else "open"
    state = "decided" if decided else state
    if word is not None:  # a person's last word goes before what the probe showed
        state = "muted" if word.kind == "incident-muted" else "accepted"
    windows = (_text(opened, "window"), *(_text(check, "window") for check in checks))
    return Incident(
        incident_id=name,
        champion=_text(opened, "champion"),
        windows=tuple(dict.fromkeys(windows)),
        reasons=tuple(cast("list[str]", opened.data["reasons"])),
        state=state,
        outcome=_text(decided, "outcome") if decided else None,
        why=_text(decided, "why") if decided else "",
        opened_at=opened.at,
        quiet_until=_quiet_until(decided, word),
        probes=probes,
        aimed=next((plan.round_id for plan in mine if plan.kind == "inference"), None),
    )


def _quiet_until(decided: Decision | None, word: Decision | None) -> datetime | None:
    if word is not None and word.kind == "incident-muted":
        return datetime.fromisoformat(_text(word, "until"))
    last = word or decided
    return last.at + QUIET if last is not None else None


def _about(incident: str, *decisions: Sequence[Decision]) -> Decision | None:
    """The last of these decisions about an incident."""
    mine = [one for made in decisions for one in made if one.data.get("incident") == incident]
    return max(mine, key=lambda one: one.at, default=None)


def _text(decision: Decision, name: str) -> str:
    return str(decision.data[name])
