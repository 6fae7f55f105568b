"""Which labeling rounds the state of the loop asks for, and why. Pure: facts in, openings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrue.core.incident import Incident
from retrue.records import Round, RoundKind, Window

__all__ = ["Facts", "Opening", "Waiting", "alarmed_windows", "pending_openings"]

AIMED_AT = ("loss", "new_class")
PROBE_DONE = ("closed", "published")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A round that should be opened."""

    kind: RoundKind
    cause: str
    why: str  # plain words
    windows: tuple[Window, ...]
    budget: int  # samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A round that would be opened if a person did something first."""

    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the loop knows when it asks whether to open a round."""

    rounds: Sequence[Round]
    windows: Sequence[Window]  # by time of recording
    has_champion: bool
    incident: Incident | None  # the current one
    schema_version: int
    outdated: int  # samples whose answers have no meaning in today's schema
    budget: int
    bootstrap: int
    probe_block: int


def pending_openings(facts: Facts) -> tuple[list[Opening], list[Waiting]]:
    """Rounds to open now, and what waits for a person.

    A round that exists is never proposed again: its cause finds it.
    """
    openings: list[Opening] = []
    waiting: list[Waiting] = []
    causes = {(item.plan.kind, item.plan.cause) for item in facts.rounds}
    if not facts.has_champion and not any(kind == "bootstrap" for kind, _ in causes):
        openings += _bootstrap(facts)
    if facts.outdated:
        openings.append(
            Opening(
                kind="relabel",
                cause=f"schema-{facts.schema_version}",
                why=f"{facts.outdated} samples have no label in schema {facts.schema_version}",
                windows=(),
                budget=facts.outdated,
            )
        )
    if facts.incident is not None:
        probe = _probe(facts, facts.incident)
        openings += [probe] if probe else []
        aimed = _aimed(facts, facts.incident)
        if isinstance(aimed, Opening):
            openings.append(aimed)
        elif aimed is not None:
            waiting.append(aimed)
    return [o for o in openings if (o.kind, o.cause) not in causes], waiting


def _bootstrap(facts: Facts) -> list[Opening]:
    incoming = tuple(w for w in facts.windows if w.stream == "incoming") or tuple(facts.windows)
    if not incoming:
        return []
    return [
        Opening(
            kind="bootstrap",
            cause="first",
            why="there is no model yet: a first batch, drawn by chance",
            windows=incoming,
            budget=facts.bootstrap,
        )
    ]


def _probe(facts: Facts, incident: Incident) -> Opening | None:
    """The first block, or the next one when the last has closed without a decision."""
    if incident.state not in ("open", "probing"):
        return None
    states = {item.plan.round_id: item.state for item in facts.rounds}
    if any(states[probe] not in PROBE_DONE for probe in incident.probes):
        return None
    block = len(incident.probes) + 1
    return Opening(
        kind="probe",
        cause=f"{incident.incident_id}/{block}",
        why=f"a random look at what raised the alarm: {incident.reasons[0]}",
        windows=alarmed_windows(facts.windows, incident),
        budget=facts.probe_block,
    )


def _aimed(facts: Facts, incident: Incident) -> Opening | Waiting | None:
    if incident.state != "decided" or incident.outcome not in AIMED_AT or incident.aimed:
        return None
    asked = [i.plan.schema_version for i in facts.rounds if i.plan.round_id in incident.probes]
    if incident.outcome == "new_class" and facts.schema_version <= max(asked, default=0):
        return Waiting(
            why=f"the probe found a class the schema does not have: {incident.why}",
            do="add it to configs/labels.yaml as a migration, then `retrue schema apply`",
        )
    return Opening(
        kind="inference",
        cause=incident.incident_id,
        why=incident.why,
        windows=alarmed_windows(facts.windows, incident),
        budget=facts.budget,
    )


def alarmed_windows(windows: Sequence[Window], incident: Incident) -> tuple[Window, ...]:
    """The alarmed windows, and the one after the first if it has come."""
    streams = {w.stream for w in windows if w.window_id in incident.windows}
    same = [w for w in windows if w.stream in streams]
    first = next((i for i, w in enumerate(same) if w.window_id in incident.windows), None)
    after = same[first + 1 : first + 2] if first is not None else []
    wanted = {*incident.windows, *(w.window_id for w in after)}
    return tuple(w for w in same if w.window_id in wanted)
