"""Workspaces with a labelled dataset on disk, for what trains on one."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from retrue.adapters.dataset_files import write_dataset
from retrue.adapters.records_files import FileRoundRecord
from retrue.config import Config, Labels
from retrue.core.version_plan import VersionPlan, version_data
from retrue.records import (
    Answer,
    Decision,
    Json,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    Window,
    canonical_json,
    short_hash,
)

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
CHOICE = Labels.model_validate({"kind": "choice", "classes": ["no", "yes"]})


def config_for(kind: str, **train: object) -> Config:
    """The configuration of a project with this kind of data."""
    data = {"kind": kind, "incoming": {"uri": "in"}} | ({"text": "said"} if kind == "text" else {})
    return Config.model_validate({"project": "defects", "data": data, "train": train})


def picture(values: np.ndarray) -> bytes:
    """A grey picture of values 0..1 as PNG."""
    file = io.BytesIO()
    Image.fromarray((values * 255).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def sample_of(
    sample_id: str, fields: Mapping[str, Json] | None = None, media: bytes | None = None
) -> Sample:
    """A sample with these fields or this medium."""
    digest = None if media is None else hashlib.sha256(media).hexdigest()
    return Sample(
        sample_id=sample_id,
        revision=short_hash(sample_id),
        window_id="w1",
        uri="file:///in/a",
        object_version="1",
        row=0,
        fields=canonical_json(dict(fields or {})),
        media_uri=None if media is None else f"file:///in/{sample_id}.png",
        media_version=None if media is None else "1",
        media_sha256=digest,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def labelled(
    root: Path,
    samples: Sequence[Sample],
    labels: Sequence[Json],
    *,
    evaluation: int = 0,
    media: Sequence[bytes] = (),
    annotators: Mapping[str, str] | None = None,
) -> Path:
    """Record a round in which these samples got these labels, and build version 1 of it.

    The first `evaluation` samples are the evaluation rows; `annotators` maps sample ids to who
    answered, where that matters.
    """
    record = FileRoundRecord(root / "data")
    tasks = [
        _task(sample.sample_id, "audit" if place < evaluation else "active")
        for place, sample in enumerate(samples)
    ]
    record.plan_round(_plan(len(samples)), samples, tasks)
    if media:
        record.put_media("r1", {hashlib.sha256(data).hexdigest(): data for data in media})
    if annotators:
        given = enumerate(annotators.items())
        record.append_answers("r1", [_answer(i, sample_id, who) for i, (sample_id, who) in given])
    verdicts = [
        _verdict(sample.sample_id, label, place)
        for place, (sample, label) in enumerate(zip(samples, labels, strict=True))
    ]
    record.append_verdicts("r1", verdicts)
    plan = VersionPlan(
        version=1,
        verdict_files=("r1/verdicts-0001.parquet",),
        schema_version=1,
        guideline_version="1",
        eval_share=1.0,
        temporal_cutoff=None,
        at=NOON,
    )
    data = version_data(plan)
    record.decide(Decision(decision_id="0" * 12, kind="version", at=NOON, by="retrue", data=data))
    write_dataset(
        record,
        root / "data/dataset",
        version=1,
        project="defects",
        migrate=lambda label, *_: label,
    )
    return root


def empty(root: Path) -> Path:
    """A workspace whose dataset has no rows."""
    write_dataset(
        FileRoundRecord(root / "data"),
        root / "data/dataset",
        version=None,
        project="defects",
        migrate=lambda label, *_: label,
    )
    return root


def table_workspace(root: Path, rows: int = 120, seed: int = 0) -> Path:
    """`yes` where x is positive, with a category that agrees mostly; every third row is eval."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=rows)
    samples = [
        sample_of(f"s{i:04d}", {"x": float(numbers[i]), "shop": "ab"[i % 2]}) for i in range(rows)
    ]
    labels: list[Json] = ["yes" if number > 0 else "no" for number in numbers]
    return labelled(root, samples, labels, evaluation=rows // 3)


def _plan(count: int) -> RoundPlan:
    window = Window(
        window_id="w1",
        stream="incoming",
        objects=(),
        rows=count,
        eligible=count,
        duplicates=0,
        quarantined=0,
        first_time=None,
        last_time=None,
        model_version=None,
        recorded_at=NOON,
    )
    return RoundPlan(
        round_id="r1",
        kind="bootstrap",
        cause="r1",
        why="a first look",
        population=(window,),
        frame_rows=count,
        seed="s",
        arms={"audit": count},
        schema_version=1,
        guideline_version="1",
        cost_per_label=0.0,
        currency="EUR",
        parent=None,
        planned_at=NOON,
    )


def _task(sample_id: str, arm: Literal["audit", "active"]) -> Task:
    return Task(
        task_key=f"t/{sample_id}",
        round_id="r1",
        sample_id=sample_id,
        arm=arm,
        group="crowd",
        overlap=1,
        score=None,
        inclusion_probability=0.5 if arm == "audit" else None,
        trigger="a first look",
        schema_version=1,
        guideline_version="1",
        predicted=None,
        predicted_probability=None,
        gold=None,
    )


def _verdict(sample_id: str, label: Json, place: int) -> Verdict:
    return Verdict(
        sample_id=sample_id,
        label=canonical_json(label),
        confidence=0.9,
        n_answers=1,
        status="accepted",
        schema_version=1,
        method="majority",
        reason="",
        decided_at=NOON + timedelta(seconds=place),
    )


def _answer(seq: int, sample_id: str, annotator: str) -> Answer:
    return Answer(
        seq=seq + 1,
        answer_id=f"a{seq}",
        revision="1",
        task_key=f"t/{sample_id}",
        annotator=annotator,
        status="answered",
        value=json.dumps("yes"),
        note="",
        lead_seconds=None,
        answered_at=NOON,
        observed_at=NOON,
    )
