"""drift: has the traffic moved away from what the champion was audited on, and does it hurt?

Every check spends from a yearly false-alarm budget and must pass a floor as well. An alarm opens
an incident, or joins the one there is; an incident buys a small random probe, and only what the
probe shows decides whether more labels are worth it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import cast

from retrue.core.drift import DriftSettings, FeatureDrift, check_drift, explain
from retrue.core.incident import current_incident, read_incidents
from retrue.core.profile import NumberProfile, Profile, quantiles, share_below
from retrue.core.window_json import window_to_json
from retrue.reading.probing import ProbeReport, decide_probes
from retrue.reading.reference import (
    Reference,
    is_output,
    load_reference,
    record_reference,
    score_windows,
)
from retrue.reading.scoring import is_logged_by
from retrue.records import Decision, Json, ModelVersion, Quarantined, Window, short_hash
from retrue.workspace import Workspace

__all__ = ["DriftReport", "ProbeReport", "WindowCheck", "check_windows", "close_incident"]

TELL_WITHIN = timedelta(days=7)  # an older incident is no news
SHOWN_CLASSES = 3  # more are counted, not listed


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCheck:
    """What one window looked like beside the reference."""

    window_id: str
    rows: int
    alarm: bool
    reasons: tuple[str, ...]  # plain words, strongest first
    tests: tuple[FeatureDrift, ...]
    alpha_spent: float  # of the yearly budget
    low_confidence: tuple[float, float] | None  # share of unsure rows: reference, window
    incident: str | None  # opened or joined
    note: str  # what was not tested, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What one call did."""

    checks: tuple[WindowCheck, ...]
    probes: tuple[ProbeReport, ...]
    why: str  # when nothing was checked
    skipped: tuple[Quarantined, ...] = ()  # objects and media that could not be read


def check_windows(workspace: Workspace, *, now: datetime, dry_run: bool = False) -> DriftReport:
    """Check every new window against the champion's reference; decide probes that are in.

    Raises:
        LeaseHeld: Another process is checking.
    """
    champion = workspace.models.champion()
    if champion is None:
        return DriftReport(checks=(), probes=(), why="no champion yet: nothing to compare with")
    with workspace.lease("drift", now=now) as lease:
        # A champion may have been promoted before any window was audited.
        skipped: list[Quarantined] = []
        reference = (
            load_reference(workspace, champion)
            if dry_run
            else record_reference(workspace, champion, lost=skipped)
        )
        if reference is None:
            return DriftReport(
                checks=(),
                probes=(),
                why=f"champion {champion.version} has no reference traffic: audit a window first",
                skipped=tuple(skipped),
            )
        probes = decide_probes(workspace, champion, now, lease, dry_run=dry_run)
        windows = _unchecked(workspace, champion, reference)
        checks = [
            check
            for window in windows
            if (check := _check(workspace, champion, reference, window, now, skipped, dry_run))
        ]
        if not dry_run:
            _tell(workspace, now)
    why = "" if checks else "no new window since the last check"
    if unread := {check.window_id for check in checks} ^ {one.window_id for one in windows}:
        why = (
            f"not checked, for nothing of it can be read: window {', '.join(sorted(unread))}. "
            "It is checked when its objects are put back"
        )
    return DriftReport(
        checks=tuple(checks), probes=tuple(probes), why=why, skipped=tuple(dict.fromkeys(skipped))
    )


def close_incident(
    workspace: Workspace, incident_id: str, *, now: datetime, until: datetime | None
) -> Decision:
    """A person's word on an incident: muted until a date, or accepted as the new normal.

    Each can be said once; a muted incident may still be accepted, and the last word counts.
    """
    data: dict[str, Json] = {"incident": incident_id, "until": until.isoformat() if until else None}
    kind = "incident-muted" if until else "incident-accepted"
    return workspace.decide(kind, incident_id, now=now, data=data)


# --- windows ---------------------------------------------------------------------------------


def _unchecked(workspace: Workspace, champion: ModelVersion, reference: Reference) -> list[Window]:
    """Windows this champion was not checked on; those older than its service do not count."""
    stream = "inference" if workspace.config.data.inference else "incoming"
    checked = {
        str(made.data["window"])
        for made in workspace.records.decisions("drift-check")
        if made.data["champion"] == champion.version
    }
    promotions = workspace.records.decisions("promotion")
    since = [made.at for made in promotions if made.data["version"] == champion.version]
    return [
        window
        for window in workspace.state.windows(stream)
        if window.window_id not in checked
        and window.window_id not in reference.windows
        and (not since or window.recorded_at > since[-1])
    ]


def _check(
    workspace: Workspace,
    champion: ModelVersion,
    reference: Reference,
    window: Window,
    now: datetime,
    skipped: list[Quarantined],
    dry_run: bool,
) -> WindowCheck | None:
    """One window's check, kept on record; None: nothing of it can be read any more."""
    lost: list[Quarantined] = []
    made = _with_outputs(workspace, champion, window, lost)
    skipped += lost
    if made is None:
        return None
    profile, note = made
    whole: Profile = {**reference.outputs, **reference.features}
    outputs = {name for name in whole if is_output(name)}
    drift = workspace.config.drift
    settings = DriftSettings(
        false_alarms_per_year=drift.false_alarms_per_year,
        floor_number=drift.floor,
        floor_category=drift.floor,
        floor_classifier=drift.floor_classifier,
        checks_per_year=drift.checks_per_year,
    )
    tests = check_drift(whole, profile, outputs=outputs, settings=settings)
    low = _low_confidence(reference.outputs, profile)
    alarm = any(test.alarm for test in tests)
    reasons = _reasons(tests, low, drift.floor)
    incident = _incident_of(workspace, champion, window, reasons, now, dry_run) if alarm else None
    check = WindowCheck(
        window_id=window.window_id,
        rows=window.rows,
        alarm=alarm,
        reasons=tuple(reasons),
        tests=tests,
        alpha_spent=sum(test.alpha for test in tests if test.statistic != "none"),
        low_confidence=low,
        incident=incident,
        note=note,
    )
    if not dry_run:
        data = _as_data(check, champion, reference)
        data["window_record"] = window_to_json(window)  # so that a lost ledger can be rebuilt
        workspace.decide(
            "drift-check", f"{champion.version}/{window.window_id}", now=now, data=data
        )
    return check


def _with_outputs(
    workspace: Workspace, champion: ModelVersion, window: Window, lost: list[Quarantined]
) -> tuple[Profile, str] | None:
    """The window's profile with outputs of the champion: as logged, else scored now.

    What cannot be read is added to `lost`; None: that is all of it.
    """
    profile = workspace.state.profile(window.window_id)
    features = {name: column for name, column in profile.items() if not is_output(name)}
    logged = len(features) < len(profile)
    if logged and is_logged_by(window, champion, workspace.config):
        return profile, ""
    if not window.rows:
        return features, "the window has no rows"
    scored = score_windows(workspace, champion, [window], lost=lost)
    if lost and not scored:
        return None
    why = (
        f"logged by model {window.model_version or 'unknown'}"
        if logged
        else "the window has no outputs"
    )
    note = f"rescored by champion {champion.version}: {why}"
    if lost:
        note += f"; left out, for it cannot be read: {len(lost)}, the first {lost[0].uri}"
    return {**features, **scored}, note


def _reasons(
    tests: Sequence[FeatureDrift], low: tuple[float, float] | None, floor: float
) -> list[str]:
    """Why, in plain words: what a person grasps first comes first, single classes last."""
    alarms = [test for test in tests if test.alarm]
    classes = [test for test in alarms if test.name.startswith("p[")]
    lines = explain([test for test in alarms if test not in classes]) if alarms else []
    if alarms and low is not None and low[1] - low[0] >= floor:
        lines.insert(0, f"{low[1] - low[0]:+.0%} low confidence ({low[0]:.0%} -> {low[1]:.0%})")
    if len(classes) > SHOWN_CLASSES:
        lines.append(f"the probabilities of {len(classes)} classes moved")
    elif classes:
        lines += explain(classes)
    return [line for line in lines if line != "no drift"]


def _low_confidence(reference: Profile, window: Profile) -> tuple[float, float] | None:
    """Share of rows less sure than the reference's least sure tenth, in both."""
    old, new = reference.get("p_max"), window.get("p_max")
    if not isinstance(old, NumberProfile) or not isinstance(new, NumberProfile):
        return None
    if not old.present or not new.present:
        return None
    bar = float(quantiles(old, [0.1])[0])
    return share_below(old, bar), share_below(new, bar)


def _incident_of(
    workspace: Workspace,
    champion: ModelVersion,
    window: Window,
    reasons: Sequence[str],
    now: datetime,
    dry_run: bool,
) -> str | None:
    """The incident this alarm belongs to; opens one if there is none."""
    incidents = read_incidents(workspace.records.decisions(), workspace.records.rounds())
    current = current_incident(incidents, champion=champion.version, now=now)
    if current is not None:
        return current.incident_id
    if dry_run:
        return None
    name = short_hash("incident", champion.version, window.window_id, digits=8)
    shown = list(reasons[:5])
    workspace.decide(
        "incident-opened",
        name,
        now=now,
        data={
            "incident": name,
            "champion": champion.version,
            "window": window.window_id,
            "reasons": list[Json](shown),
        },
    )
    return name


def _tell(workspace: Workspace, now: datetime) -> None:
    """One message per incident; where nobody took it, the next check tells it again."""
    told = {str(made.data["incident"]) for made in workspace.records.decisions("incident-told")}
    for made in workspace.records.decisions("incident-opened"):
        name = str(made.data["incident"])
        if name in told or now - made.at > TELL_WITHIN:
            continue
        title = f"{workspace.config.project}: drift in window {made.data['window']}"
        reasons = cast("list[str]", made.data["reasons"])
        if workspace.notify.send(title, "\n".join([*reasons, f"`retrue drift show {name}`"])):
            workspace.decide("incident-told", name, now=now, data={"incident": name})


def _as_data(check: WindowCheck, champion: ModelVersion, reference: Reference) -> dict[str, Json]:
    tests = [_plain(asdict(test)) for test in check.tests]
    return {
        "window": check.window_id,
        "champion": champion.version,
        "reference_windows": list[Json](reference.windows),
        "rows": check.rows,
        "alarm": check.alarm,
        "incident": check.incident,
        "reasons": list[Json](check.reasons),
        "tests": list[Json](tests),
        "alpha_spent": check.alpha_spent,
        "low_confidence": list[Json](check.low_confidence) if check.low_confidence else None,
        "note": check.note,
    }


def _plain(values: Mapping[str, object]) -> dict[str, Json]:
    """As JSON, which has no infinity: what no number of rows can show is null."""
    return {
        name: None if isinstance(value, float) and math.isinf(value) else cast("Json", value)
        for name, value in values.items()
    }
