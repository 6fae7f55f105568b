"""Samples, windows, rounds and decisions made by hand, for tests of what is read off them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image

from retrue.records import (
    Decision,
    Json,
    Round,
    RoundKind,
    RoundPlan,
    RoundState,
    Sample,
    Stream,
    Window,
)

NIGHT = datetime(2026, 3, 2, tzinfo=UTC)
BLANK = Sample(
    sample_id="a",
    revision="r",
    window_id="w",
    uri="u",
    object_version="1",
    row=0,
    fields="{}",
    media_uri=None,
    media_version=None,
    media_sha256=None,
    group=None,
    subject=None,
    time=None,
    multiplicity=1,
)


def on(day: float) -> datetime:
    return NIGHT + timedelta(days=day)


def a_window(name: str, stream: Stream = "inference", *, day: float = 0) -> Window:
    return Window(
        window_id=name,
        stream=stream,
        objects=(),
        rows=100,
        eligible=100,
        duplicates=0,
        quarantined=0,
        first_time=None,
        last_time=None,
        model_version="1",
        recorded_at=on(day),
    )


def a_round(
    round_id: str,
    kind: RoundKind,
    cause: str,
    state: RoundState = "closed",
    *,
    audit: int = 20,
    frame_rows: int = 1000,
    windows: tuple[Window, ...] = (),
    schema_version: int = 1,
) -> Round:
    plan = RoundPlan(
        round_id=round_id,
        kind=kind,
        cause=cause,
        why="a test",
        population=windows,
        frame_rows=frame_rows,
        seed="s",
        arms={"audit": audit},
        schema_version=schema_version,
        guideline_version="1",
        cost_per_label=0.1,
        currency="EUR",
        parent=None,
        planned_at=NIGHT,
    )
    return Round(plan=plan, state=state, opened_at=None, closed_at=None)


def a_decision(kind: str, *, day: float = 0, **data: Json) -> Decision:
    return Decision(decision_id=f"{kind}-{day}", kind=kind, at=on(day), by="pat", data=data)


def opened(incident: str = "inc", *, champion: str = "1", day: float = 0) -> Decision:
    reasons: list[Json] = ["x moved"]
    return a_decision(
        "incident-opened",
        day=day,
        incident=incident,
        champion=champion,
        window="w1",
        reasons=reasons,
    )


def decided(outcome: str, *, day: float = 1) -> Decision:
    data: Mapping[str, Json] = {"incident": "inc", "outcome": outcome, "why": "so it seems"}
    return a_decision("incident-decided", day=day, **data)


def a_picture(grey: np.ndarray, form: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(data, form)
    return data.getvalue()
