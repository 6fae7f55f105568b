"""The facts retrue keeps: frozen, plain, and the same in memory, in files and in tests.

Times are aware datetimes in UTC. Labels are canonical JSON text of their kind ('"7"', '["a","b"]',
'3.5'), so that every kind fits one column. Ids are short lower-case hexadecimal text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

__all__ = [
    "AnnotatorGroup",
    "Answer",
    "AnswerStatus",
    "Arm",
    "DatasetRow",
    "Decision",
    "Json",
    "Manifest",
    "ModelVersion",
    "ObjectRef",
    "ProjectKey",
    "Quarantined",
    "QueueTask",
    "Round",
    "RoundKind",
    "RoundPlan",
    "RoundState",
    "Sample",
    "Split",
    "Stream",
    "Task",
    "Verdict",
    "VerdictStatus",
    "Window",
    "canonical_json",
    "short_hash",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Stream = Literal["incoming", "inference"]
Arm = Literal[
    "audit", "random", "active", "novel", "quota", "gold", "relabel", "dispute", "adopted"
]
RoundKind = Literal[
    "bootstrap",
    "incoming",
    "inference",
    "adhoc",
    "probe",
    "gate",
    "dispute",
    "relabel",
    "adopted",
]
RoundState = Literal["planned", "open", "collecting", "closed", "published", "cancelled"]
AnswerStatus = Literal["answered", "skipped", "deleted"]
VerdictStatus = Literal["accepted", "disputed", "unanswerable", "missing"]
AnnotatorGroup = Literal["crowd", "expert", "adjudicator", "program"]
Split = Literal["train", "eval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """One version of one object in a store."""

    uri: str  # s3://bucket/key, file:///path, or a path relative to the workspace
    version: str  # version id or etag; a changed object has another one
    size: int  # bytes
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One ingest's new rows of one stream; its profile is kept beside it in the ledger."""

    window_id: str
    stream: Stream
    objects: tuple[ObjectRef, ...]
    rows: int  # distinct samples that fit the declared fields
    eligible: int  # of these, rows with the configured consent
    duplicates: int  # further rows with a key already seen in this window
    quarantined: int  # rows that did not fit, kept in the quarantine with a reason
    first_time: datetime | None  # None: no time column
    last_time: datetime | None
    model_version: str | None  # inference only: who scored the rows; None: unknown or mixed
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row, or a whole object (`row` None), that did not fit. The raw bytes stay in the store."""

    uri: str
    version: str
    row: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One unit that people label, as it was when it was drawn."""

    sample_id: str
    revision: str  # 128-bit hash of the raw content; same id, new content = new revision
    window_id: str
    uri: str  # the object the row came from
    object_version: str
    row: int | None  # row number in a table object; None: the object is the sample
    fields: str  # canonical JSON object of the cleaned declared fields
    media_uri: str | None  # image, audio, ... by reference
    media_version: str | None
    media_sha256: str | None
    group: str | None  # never split across train and eval
    subject: str | None  # unit of forgetting
    time: datetime | None
    multiplicity: int  # rows of the frame this sample stands for, >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question about one sample in one round. Only `task_key` and display fields are shown."""

    task_key: str  # opaque to annotators
    round_id: str
    sample_id: str
    arm: Arm
    group: AnnotatorGroup  # who is asked
    overlap: int  # answers wanted
    score: float | None  # why it was picked, in the arm's own unit (margin, novelty)
    inclusion_probability: float | None  # None: not estimable
    trigger: str  # plain words: what made us ask
    schema_version: int
    guideline_version: str
    predicted: str | None  # the champion's label before anybody answered
    predicted_probability: float | None
    gold: str | None  # the known answer of a gold task


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One observed state of one answer. A changed answer is another record."""

    seq: int  # ours, rising within a round; orders observations, not clocks
    answer_id: str  # the tool's id
    revision: str  # the tool's mark of this state
    task_key: str
    annotator: str
    status: AnswerStatus
    value: str | None  # JSON text as given; None: skipped or deleted
    note: str
    lead_seconds: float | None
    answered_at: datetime  # the tool's clock
    observed_at: datetime  # ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What validation made of one sample's answers."""

    sample_id: str
    label: str | None  # None: see `status` and `reason`
    confidence: float  # posterior of `label`, 0..1, 4 decimals
    n_answers: int
    status: VerdictStatus
    method: str  # majority, dawid_skene, crowdlab, median, adjudicated, adopted
    reason: str  # plain words when not accepted; "" otherwise
    schema_version: int  # the label is written in this version's names
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """Why a round was opened, over what, and what it may cost. Written once."""

    round_id: str  # f(kind, cause)
    kind: RoundKind
    cause: str  # what makes a rerun find this round: an incident, a window, a person's request
    why: str  # plain words
    population: tuple[Window, ...]  # the frame's windows; empty: no frame
    frame_rows: int  # distinct eligible samples the audit was drawn from
    seed: str
    arms: Mapping[str, int]  # tasks per arm
    schema_version: int
    guideline_version: str
    cost_per_label: float  # in `currency`
    currency: str
    parent: str | None  # a dispute's or relabel's first round
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Something that was decided, by whom, when; appended and never changed."""

    decision_id: str  # f(kind, cause): a rerun writes the same file
    kind: str  # round-opened, drift-check, incident-opened, version, gate, promotion, ...
    at: datetime
    by: str  # "retrue" or a person
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A plan with the state its decisions give it."""

    plan: RoundPlan
    state: RoundState
    opened_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One labelled sample in one dataset version."""

    sample_id: str
    label: str  # canonical JSON under the manifest's schema
    confidence: float
    n_answers: int
    verdict: str  # "<round>/<file>" of the deciding verdict
    arm: Arm
    inclusion_probability: float | None  # over all draws that could have taken it
    multiplicity: int
    round_id: str  # the round that first asked
    window_id: str
    group: str
    split: Split
    schema_version: int  # of the question that was answered
    guideline_version: str
    labelled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one dataset version is."""

    project: str
    version: int
    rows: int
    train: int
    evaluation: int
    digest: str  # sum mod 2^256 of BLAKE2b over rows, 64 hex digits
    content_digest: str  # the same without clocks and tool ids
    schema_version: int
    guideline_version: str
    classes: Mapping[str, int]  # label -> rows
    rounds: tuple[str, ...]
    verdict_files: tuple[str, ...]  # "<round>/<file>", all that this version joins
    base: str  # file of the last compaction point
    deltas: tuple[str, ...]  # in order
    added: int  # against the version before
    changed: int
    removed: int
    built_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One registered model."""

    name: str
    version: str
    run_id: str
    dataset_version: int | None  # None: adopted, trained elsewhere
    dataset_digest: str
    aliases: tuple[str, ...]  # champion, challenger
    created_at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectKey:
    """A project in the annotation tool; its title and id tell annotators nothing else."""

    schema_version: int
    guideline_version: str
    overlap: int
    group: AnnotatorGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTask:
    """What an annotator sees of a task: no arm, score, probability, gold or round kind."""

    task_key: str
    project: ProjectKey
    display: Mapping[str, Json]  # declared display fields
    media_uri: str | None  # as in the sample; the tool's adapter makes what a browser can open


def canonical_json(value: Json) -> str:
    """JSON text that is equal exactly when the values are: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": ["x", None]})
    '{"a":["x",null],"b":1}'

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def short_hash(*parts: str, digits: int = 32) -> str:
    """BLAKE2b of the parts, as `digits` hexadecimal digits; parts cannot run into each other.

    >>> short_hash("a", "bc") == short_hash("ab", "c")
    False
    >>> len(short_hash("a", digits=8))
    8
    """
    text = canonical_json(list(parts))
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:digits]
