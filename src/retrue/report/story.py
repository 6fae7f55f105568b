"""Everything the report tells: where things stand, and how they came to be so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrue.reading.ballots import gather
from retrue.report.facts import Facts, gather_facts
from retrue.report.history import Day, VersionChange, gather_days, gather_versions
from retrue.report.learning import (
    Gate,
    ModelPoint,
    Prefixes,
    gather_models,
    last_gate,
    prefixes,
)
from retrue.report.people import Person, gather_people
from retrue.report.picked import RoundPicks, gather_picks
from retrue.report.shift import Check, Histogram, read_checks, strongest_histogram
from retrue.report.thumbnails import Looks
from retrue.workspace import Workspace

__all__ = ["Story", "gather_story"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The report's content, in the order it is told."""

    facts: Facts
    checks: tuple[Check, ...]  # drift checks, oldest first
    histogram: Histogram | None  # of the strongest change; None: its profiles are not here
    picks: RoundPicks | None  # None: no round yet
    people: tuple[Person, ...]  # least trusted first
    models: tuple[ModelPoint, ...]  # oldest first
    prefixes: Prefixes | None
    gate: Gate | None  # None: no comparison yet
    versions: tuple[VersionChange, ...]  # oldest first
    days: tuple[Day, ...]  # oldest first


def gather_story(workspace: Workspace, *, now: datetime) -> Story:
    """Read all the report tells.

    Raises:
        RecordError: A record is damaged.
        RepoError: A version's files are on no remote we can reach.
        ModelError: The registry's evidence cannot be read.
    """
    rounds = workspace.records.rounds()
    decisions = workspace.records.decisions()
    asked = gather(workspace, now=now)
    looks = Looks(workspace)
    manifests = workspace.repo.versions()
    # The registry is slow to wake, and empty until the first gate.
    met = any(made.kind in ("gate", "drift-check", "promotion") for made in decisions)
    models = workspace.models.versions() if met else []
    checks = read_checks(decisions)
    return Story(
        facts=gather_facts(workspace, now=now),
        checks=checks,
        histogram=strongest_histogram(workspace, checks),
        picks=gather_picks(workspace, rounds, asked, looks),
        people=gather_people(workspace, asked),
        models=gather_models(decisions, manifests),
        prefixes=prefixes(workspace, models),
        gate=last_gate(workspace, decisions, models, looks),
        versions=gather_versions(workspace, manifests, asked, looks),
        days=gather_days(workspace, rounds),
    )
