"""version: turn verdicts into the next dataset version.

The decision comes first and names every verdict file the version joins; `build` is then a pure
function of the records, so a cut anywhere is finished by running the step again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrue.core.version_plan import VersionPlan, version_data, version_plans
from retrue.records import Manifest, Round
from retrue.workspace import Workspace

__all__ = ["VersionReport", "build_version"]

RIDERS = ("probe", "dispute", "gate")  # their labels join the next version, they start none


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionReport:
    """What one call did; `manifest` is None when there was nothing to publish."""

    manifest: Manifest | None
    why: str


def build_version(
    workspace: Workspace, *, now: datetime, dry_run: bool = False, force: bool = False
) -> VersionReport:
    """Build, commit and tag the next version if closed rounds wait for one.

    Args:
        workspace: Where.
        now: Written into the version's decision.
        dry_run: Say what would be joined, change nothing.
        force: Publish late or changed answers even if no round waits.

    Raises:
        RepoError: git or DVC refused; run the step again after mending what the message names.
        LeaseHeld: Another process is building.
    """
    with workspace.lease("version", now=now) as lease:
        plan = _unfinished(workspace)
        if plan is None:
            waiting, late = _waiting(workspace)
            if not waiting and not (force and late):
                return VersionReport(manifest=None, why=_nothing(late))
            why = f"joins rounds {', '.join(waiting)}" if waiting else f"{len(late)} late files"
            if dry_run:
                return VersionReport(manifest=None, why=f"would build the next version: {why}")
            plan = _decide(workspace, now)
        _publish(workspace, plan, now)
        manifest = workspace.repo.build(plan.version, lease=lease)
        return VersionReport(manifest=manifest, why=f"v{plan.version} is tagged")


def _plans(workspace: Workspace) -> list[VersionPlan]:
    return version_plans(workspace.records.decisions("version"))


def _unfinished(workspace: Workspace) -> VersionPlan | None:
    """A version that was decided and has no tag yet: an earlier build was cut off."""
    tagged = {manifest.version for manifest in workspace.repo.versions()}
    return next((plan for plan in _plans(workspace) if plan.version not in tagged), None)


def _joined(workspace: Workspace) -> set[str]:
    return {name for plan in _plans(workspace) for name in plan.verdict_files}


def _waiting(workspace: Workspace) -> tuple[list[str], list[str]]:
    """(closed rounds no version has published, verdict files no version has joined)."""
    rounds = workspace.records.rounds()
    closed = [item.plan for item in rounds if item.state == "closed"]
    under_way = {item.plan.kind for item in rounds if item.state in ("open", "collecting")}
    # Labels asked again after a change of schema go with the round the change was made for.
    riders = (*RIDERS, "relabel") if under_way - set(RIDERS) - {"relabel"} else RIDERS
    waiting = [plan.round_id for plan in closed if plan.kind not in riders]
    late = sorted(set(_all_files(workspace, rounds)) - _joined(workspace))
    return waiting, late


def _all_files(workspace: Workspace, rounds: list[Round]) -> list[str]:
    return [
        f"{item.plan.round_id}/{name}"
        for item in rounds
        if item.state in ("closed", "published")
        for name, _ in workspace.records.verdict_files(item.plan.round_id)
    ]


def _decide(workspace: Workspace, now: datetime) -> VersionPlan:
    number = max((plan.version for plan in _plans(workspace)), default=0) + 1
    plan = VersionPlan(
        version=number,
        verdict_files=tuple(_all_files(workspace, workspace.records.rounds())),
        schema_version=workspace.labels.version,
        guideline_version=workspace.labels.guideline.version,
        eval_share=workspace.config.select.eval_share,
        temporal_cutoff=None,
        at=now,
    )
    workspace.decide("version", str(number), now=now, data=version_data(plan))
    return plan


def _publish(workspace: Workspace, plan: VersionPlan, now: datetime) -> None:
    """Every round that was closed when the version was decided is now published."""
    for item in workspace.records.rounds():
        round_id = item.plan.round_id
        if item.state == "closed" and item.closed_at is not None and item.closed_at <= plan.at:
            workspace.decide(
                "round-published",
                round_id,
                now=now,
                data={"round": round_id, "version": plan.version},
            )


def _nothing(late: list[str]) -> str:
    if late:
        return (
            f"no closed round waits; {len(late)} newer verdict files join the next version "
            "(`retrue version --force` publishes them now)"
        )
    return "no closed round waits for a version"
