"""The label schema through time: what was applied, what labels.yaml says now, and what leads there.

A schema is applied once per version, as a decision; from then on that version's meaning is fixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retrue.config import Labels, Migration
from retrue.errors import ConfigError
from retrue.ports import RoundRecord
from retrue.reading.ballots import last_verdicts
from retrue.records import Decision, Json, canonical_json, short_hash
from retrue.workspace import Workspace

__all__ = [
    "LabelMove",
    "RecordedSchema",
    "SchemaPlan",
    "apply_schema",
    "plan_schema",
    "recorded_schema",
    "schema_problems",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSchema:
    """The newest schema that was applied."""

    version: int  # >= 1
    kind: str
    classes: tuple[str, ...]
    digest: str  # of everything that gives labels their meaning
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMove:
    """What becomes of one old label."""

    version: int  # schema version the label was given under
    old: str  # canonical JSON
    new: str | None  # canonical JSON; None: a person must answer again
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaPlan:
    """What applying labels.yaml would do."""

    recorded: int | None  # version in force; None: none was applied yet
    version: int  # of labels.yaml
    problems: tuple[str, ...]  # why it cannot be applied; empty: it can
    moves: tuple[LabelMove, ...]  # labels that change, most samples first
    kept: int  # samples whose label stays as it is

    @property
    def pending(self) -> bool:
        """Whether labels.yaml is ahead of what was applied."""
        return self.recorded is None or self.recorded < self.version

    @property
    def ask_again(self) -> int:
        """Samples a person must answer again."""
        return sum(move.samples for move in self.moves if move.new is None)


def recorded_schema(records: RoundRecord) -> RecordedSchema | None:
    """The newest schema that was applied; None: none yet."""
    made = records.decisions("schema")
    if not made:
        return None
    last = max(made, key=lambda decision: cast("int", decision.data["version"]))
    return RecordedSchema(
        version=cast("int", last.data["version"]),
        kind=str(last.data["kind"]),
        classes=tuple(cast("list[str]", last.data["classes"])),
        digest=str(last.data["digest"]),
        at=last.at,
    )


def schema_problems(workspace: Workspace) -> list[str]:
    """Why labels.yaml contradicts what was applied, in plain words; empty: it does not."""
    recorded, labels = recorded_schema(workspace.records), workspace.labels
    if recorded is None:
        return []
    if labels.version < recorded.version:
        return [
            f"version: expected at least {recorded.version}, which was applied on "
            f"{recorded.at:%Y-%m-%d}, got {labels.version}. Versions never go back: "
            f"write the old classes as version {recorded.version + 1} with migrations."
        ]
    if labels.version == recorded.version:
        if schema_digest(labels) == recorded.digest:
            return []
        return [
            f"version: {labels.version} was applied on {recorded.at:%Y-%m-%d} with classes "
            f"{', '.join(recorded.classes)}; it has changed since. Raise it to "
            f"{labels.version + 1} and say in `migrations` what became of each class."
        ]
    if labels.kind != recorded.kind:
        return [
            f"kind: expected {recorded.kind}, got {labels.kind}. Labels of one kind have no "
            "meaning in another: start another workspace."
        ]
    return _gaps(recorded, labels)


def plan_schema(workspace: Workspace) -> SchemaPlan:
    """What labels.yaml does to the labels there are; changes nothing."""
    labels, recorded = workspace.labels, recorded_schema(workspace.records)
    problems = schema_problems(workspace)
    found: Counter[tuple[int, str, str | None]] = Counter()
    for verdict in last_verdicts(workspace).values():
        if verdict.label is not None and verdict.schema_version <= labels.version:
            new = labels.migrate(verdict.label, verdict.schema_version)
            found[verdict.schema_version, verdict.label, new] += 1
    moves = [
        LabelMove(version=version, old=old, new=new, samples=samples)
        for (version, old, new), samples in found.items()
        if old != new
    ]
    return SchemaPlan(
        recorded=recorded.version if recorded else None,
        version=labels.version,
        problems=tuple(problems),
        moves=tuple(sorted(moves, key=lambda move: (-move.samples, move.old))),
        kept=sum(samples for (_, old, new), samples in found.items() if old == new),
    )


def apply_schema(workspace: Workspace, *, now: datetime) -> Decision:
    """Fix the meaning of labels.yaml's version; the first one, or one already applied, is fine too.

    Raises:
        ConfigError: It contradicts what was applied; the message lists every problem.
    """
    problems = schema_problems(workspace)
    labels, recorded = workspace.labels, recorded_schema(workspace.records)
    if problems:
        raise ConfigError("\n  ".join([f"{workspace.config.labels.file}:", *problems]))
    before = recorded.classes if recorded else ()
    new = _steps(labels, after=recorded.version) if recorded else []
    return workspace.decide(
        "schema",
        str(labels.version),
        now=now,
        data={
            "version": labels.version,
            "kind": labels.kind,
            "classes": list(labels.classes),
            "added": [name for name in labels.classes if name not in before],
            "removed": [name for name in before if name not in labels.classes],
            "migrations": [_as_data(step) for step in new],
            "digest": schema_digest(labels),
        },
    )


def schema_digest(labels: Labels) -> str:
    """Changes whenever a stored label would mean something else, or could not be given any more."""
    return short_hash(
        labels.kind,
        canonical_json([*sorted(labels.classes)]),
        canonical_json([labels.minimum, labels.maximum, labels.max_choices]),
        labels.separator if labels.kind == "taxonomy" else "",
        labels.unit,
        canonical_json([_as_data(step) for step in labels.migrations]),
    )


def _as_data(step: Migration) -> dict[str, Json]:
    return {
        "to": step.to,
        "op": step.op,
        "source": list(step.source),
        "target": list(step.target),
    }


def _steps(labels: Labels, *, after: int) -> list[Migration]:
    return [step for step in labels.migrations if step.to > after]


def _gaps(recorded: RecordedSchema, labels: Labels) -> list[str]:
    """Where the migrations do not lead from the recorded classes to today's."""
    classes = list(recorded.classes)
    problems: list[str] = []
    for step in _steps(labels, after=recorded.version):
        problems += [
            f"migrations: {step.op} to version {step.to} names {source!r}, which is none "
            f"of the classes before it: {', '.join(classes)}"
            for source in step.source
            if not any(_stands_for(source, name, labels) for name in classes)
        ]
        classes = _moved(classes, step, labels)
    problems += [
        f"classes: {name!r} is new. Add `{{to: {labels.version}, op: add, target: [{name}]}}` to "
        "`migrations`, or name it as the target of a rename, merge or split."
        for name in labels.classes
        if name not in classes
    ]
    problems += [
        f"classes: {name!r} is gone. Say in `migrations` what became of it: rename, merge, split "
        "or drop."
        for name in dict.fromkeys(classes)
        if name not in labels.classes
    ]
    return problems


def _stands_for(source: str, name: str, labels: Labels) -> bool:
    below = labels.kind == "taxonomy" and name.startswith(source + labels.separator)
    return name == source or below


def _moved(classes: Sequence[str], step: Migration, labels: Labels) -> list[str]:
    """The classes after one migration."""
    moved: list[str] = []
    for name in classes:
        place = next((i for i, s in enumerate(step.source) if _stands_for(s, name, labels)), None)
        if place is None:
            moved.append(name)
        elif step.op in ("rename", "merge") and step.target:
            target = step.target[0 if step.op == "merge" else place]
            moved.append(target + name.removeprefix(step.source[place]))
    if step.op in ("split", "add"):
        moved += step.target
    return list(dict.fromkeys(moved))
