"""Which labeling rounds the state of the loop asks for, and why. Pure: facts in, openings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrue.core.incident import Incident
from retrue.records import Round, RoundKind, Window

__all__ = ["Facts", "Opening", "Waiting", "alarmed_windows", "pending_openings"]

AIMED_AT = ("loss", "new_class")
PROBE_DONE = ("closed", "published")
UNFINISHED = ("planned", "open", "collecting")


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
    outdated: int  # samples without meaning in today's schema that were not asked again in it
    budget: int
    bootstrap: int
    probe_block: int
    probe_max: int  # samples an incident's probe may draw in all


def pending_openings(facts: Facts) -> tuple[list[Opening], list[Waiting]]:
    """Rounds to open now, and what waits for a person.

    A round that exists is never proposed again: its cause finds it. One that a person cancelled is
    not opened behind their back: it waits.
    """
    wanted = [_bootstrap(facts), _relabel(facts)]
    if facts.incident is not None:
        wanted += [_probe(facts, facts.incident), _aimed(facts, facts.incident)]
    known = {(item.plan.kind, item.plan.cause): item for item in facts.rounds}
    openings: list[Opening] = []
    waiting: list[Waiting] = []
    for one in wanted:
        if isinstance(one, Waiting):
            waiting.append(one)
        elif one is not None and (one.kind, one.cause) not in known:
            openings.append(one)
        elif one is not None and known[one.kind, one.cause].state == "cancelled":
            waiting.append(_cancelled(one, known[one.kind, one.cause].plan.round_id))
    return openings, waiting


def _cancelled(opening: Opening, round_id: str) -> Waiting:
    by_kind: dict[RoundKind, str] = {
        "probe": "close the incident with `retrue drift accept` or `retrue drift mute`",
        "relabel": "raise the schema version to ask again; until then they have no label",
    }
    return Waiting(
        why=f"round {round_id} was cancelled: {opening.why}",
        do=by_kind.get(opening.kind, "ask for another with `retrue round open`"),
    )


def _bootstrap(facts: Facts) -> Opening | None:
    incoming = tuple(w for w in facts.windows if w.stream == "incoming") or tuple(facts.windows)
    if facts.has_champion or not incoming:
        return None
    return Opening(
        kind="bootstrap",
        cause="first",
        why="there is no model yet: a first batch, drawn by chance",
        windows=incoming,
        budget=facts.bootstrap,
    )


def _relabel(facts: Facts) -> Opening | None:
    """The first batch of what a schema outdated, and a next one where caps cut the last short."""
    cause = f"schema-{facts.schema_version}"
    before = [
        item
        for item in facts.rounds
        if item.plan.kind == "relabel" and item.plan.cause.split("/")[0] == cause
    ]
    if not facts.outdated or any(item.state in UNFINISHED for item in before):
        return None
    cancelled = [item.plan.cause for item in before if item.state == "cancelled"]
    return Opening(
        kind="relabel",
        cause=cancelled[-1] if cancelled else f"{cause}/{len(before) + 1}",
        why=f"{facts.outdated} samples have no label in schema {facts.schema_version}",
        windows=(),
        budget=facts.outdated,
    )


def _probe(facts: Facts, incident: Incident) -> Opening | Waiting | None:
    """The first block, or the next one when the last has closed without a decision.

    All blocks are drawn from the first one's windows: they are one draw without replacement, read
    in its order.
    """
    if incident.state not in ("open", "probing"):
        return None
    probes = [item for item in facts.rounds if item.plan.round_id in incident.probes]
    drawn = sum(item.plan.arms.get("audit", 0) for item in probes)
    windows = alarmed_windows(facts.windows, incident)
    if probes:
        windows = probes[0].plan.population
        if drawn >= min(facts.probe_max, probes[0].plan.frame_rows):
            return None
    if any(item.state not in PROBE_DONE for item in probes):
        return None
    if not windows:
        return _no_windows(incident)
    return Opening(
        kind="probe",
        cause=f"{incident.incident_id}/{len(probes) + 1}",
        why=f"a random look at what raised the alarm: {incident.reasons[0]}",
        windows=windows,
        budget=min(facts.probe_block, facts.probe_max - drawn),
    )


def _no_windows(incident: Incident) -> Waiting:
    return Waiting(
        why=f"the windows of incident {incident.incident_id} are not in the ledger",
        do="`retrue ledger rebuild`",
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
    windows = alarmed_windows(facts.windows, incident)
    if not windows:
        return _no_windows(incident)
    return Opening(
        kind="inference",
        cause=incident.incident_id,
        why=incident.why,
        windows=windows,
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
