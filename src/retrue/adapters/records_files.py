"""The round record as files: `rounds/<round>/` and `decisions/<kind>/`, each file written once.

A round's `plan.json` is written last, so a round without one does not exist. Plans and decisions
are JSON for people to read; samples, tasks, answers, verdicts and media are parquet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, TypeAdapter

from retrue.adapters.tables_arrow import Record
from retrue.adapters.whole_files import (
    create_file,
    damaged,
    parquet_bytes,
    read_json,
    read_parquet,
    read_records,
    records_bytes,
    replace_file,
)
from retrue.core.round_state import round_with_state
from retrue.errors import RecordError
from retrue.records import Answer, Decision, Json, Round, RoundPlan, Sample, Task, Verdict

__all__ = ["FileRoundRecord"]

RecordT = TypeVar("RecordT", bound=Record)

_PLAN = TypeAdapter(RoundPlan)
_MEDIA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("content", pa.large_binary(), nullable=False),
    ]
)
_MEDIA_PER_GROUP = 64  # images in memory at once while writing
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _DecisionFile(BaseModel):
    """A decision as it stands in its file."""

    model_config = ConfigDict(extra="forbid")

    decision_id: str
    kind: str
    at: AwareDatetime
    by: str
    data: dict[str, JsonValue]


_DECISION = TypeAdapter(_DecisionFile)


class FileRoundRecord:
    """Satisfies `retrue.ports.RoundRecord` with the files below one `data` folder.

    A folder without a plan (answers to tasks we never made are kept under `unknown`) holds
    answers, but is no round.
    """

    def __init__(self, data: Path) -> None:
        self._rounds = data / "rounds"
        self._decisions = data / "decisions"

    def plan_round(self, plan: RoundPlan, samples: Sequence[Sample], tasks: Sequence[Task]) -> None:
        """Write a round's plan, samples and tasks; a round that is already there stays as it is.

        Raises:
            RecordError: A file could not be written; the round then does not exist yet.
        """
        folder = self._folder(plan.round_id)
        if (folder / "plan.json").exists():
            return
        replace_file(folder / "samples.parquet", records_bytes(Sample, samples))
        replace_file(folder / "tasks.parquet", records_bytes(Task, tasks))
        text = _PLAN.dump_json(plan, indent=2)
        create_file(folder / "plan.json", lambda file: file.write(text + b"\n"))

    def rounds(self) -> list[Round]:
        """All rounds with their states, by (planned_at, id)."""
        decisions = self.decisions()
        rounds = [self._read_round(round_id, decisions) for round_id in self._round_ids()]
        return sorted(rounds, key=lambda found: (found.plan.planned_at, found.plan.round_id))

    def round(self, round_id: str) -> Round:
        """One round.

        Raises:
            RecordError: There is none of this id; the message lists those there are.
        """
        self._require(round_id)
        return self._read_round(round_id, self.decisions())

    def samples(self, round_id: str) -> list[Sample]:
        """The samples of a round, in order of drawing."""
        self._require(round_id)
        return read_records(Sample, self._folder(round_id) / "samples.parquet")

    def tasks(self, round_id: str) -> list[Task]:
        """The tasks of a round, in order of the plan."""
        self._require(round_id)
        return read_records(Task, self._folder(round_id) / "tasks.parquet")

    def append_answers(self, round_id: str, answers: Sequence[Answer]) -> str:
        """Write the next `answers-NNNN` file; returns its name."""
        return self._append(round_id, "answers", Answer, answers)

    def answers(self, round_id: str) -> list[Answer]:
        """Every observed answer, by seq."""
        paths = self._numbered(round_id, "answers")
        observed = [answer for path in paths for answer in read_records(Answer, path)]
        return sorted(observed, key=lambda answer: answer.seq)

    def append_verdicts(self, round_id: str, verdicts: Sequence[Verdict]) -> str:
        """Write the next `verdicts-NNNN` file; returns its name."""
        return self._append(round_id, "verdicts", Verdict, verdicts)

    def verdict_files(self, round_id: str) -> list[tuple[str, list[Verdict]]]:
        """(file name, its verdicts), oldest first."""
        return [
            (path.name, read_records(Verdict, path))
            for path in self._numbered(round_id, "verdicts")
        ]

    def put_media(self, round_id: str, media: Mapping[str, bytes]) -> None:
        """Keep a round's media (sha256 -> bytes), so that a rebuild needs no store.

        Before the round is planned a second call replaces the first, which a cut run left behind.

        Raises:
            RecordError: The round is planned and its media are others, or writing failed.
        """
        path = self._folder(round_id) / "media.parquet"
        if path.exists() and path.with_name("plan.json").exists():
            if not media.items() <= self.media(round_id).items():
                raise RecordError(f"{path}: the round's media are recorded already, and differ")
            return
        hashes = sorted(media)
        content: dict[str, list[str] | list[bytes]] = {
            "sha256": hashes,
            "content": [media[name] for name in hashes],
        }
        table = pa.Table.from_pydict(content, schema=_MEDIA)
        replace_file(path, parquet_bytes(table, row_group_size=_MEDIA_PER_GROUP))

    def media(self, round_id: str) -> dict[str, bytes]:
        """What `put_media` kept, by sha256."""
        path = self._folder(round_id) / "media.parquet"
        if not path.exists():
            return {}
        table = read_parquet(path)
        if not table.schema.equals(_MEDIA):
            raise damaged(path, f"the columns {table.column_names}")
        hashes = cast("list[str]", table.column("sha256").to_pylist())
        return dict(
            zip(hashes, cast("list[bytes]", table.column("content").to_pylist()), strict=True)
        )

    def decide(self, decision: Decision) -> bool:
        """Append a decision; False if this decision was already made (it stays as it was)."""
        folder = self._decisions / _safe("decision kind", decision.kind)
        path = folder / f"{_safe('decision id', decision.decision_id)}.json"
        text = json.dumps(
            {
                "decision_id": decision.decision_id,
                "kind": decision.kind,
                "at": decision.at.isoformat(),
                "by": decision.by,
                "data": dict(decision.data),
            },
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
        return create_file(path, lambda file: file.write(text.encode() + b"\n"))

    def decisions(self, kind: str | None = None) -> list[Decision]:
        """Decisions of one kind, or all, ordered by (at, id)."""
        folder = "*" if kind is None else _safe("decision kind", kind)
        paths = self._decisions.glob(f"{folder}/[!.]*.json")
        made = [_read_decision(path) for path in paths]
        return sorted(made, key=lambda decision: (decision.at, decision.decision_id))

    def _folder(self, round_id: str) -> Path:
        return self._rounds / _safe("round id", round_id)

    def _round_ids(self) -> list[str]:
        return sorted(path.parent.name for path in self._rounds.glob("*/plan.json"))

    def _require(self, round_id: str) -> None:
        if not (self._folder(round_id) / "plan.json").exists():
            raise RecordError(
                f"round {round_id}: there is none of this id in {self._rounds}; there are: "
                f"{', '.join(self._round_ids()) or 'no rounds yet'}"
            )

    def _read_round(self, round_id: str, decisions: Sequence[Decision]) -> Round:
        path = self._folder(round_id) / "plan.json"
        answered = bool(self._numbered(round_id, "answers"))
        return round_with_state(read_json(_PLAN, path), decisions, answered=answered)

    def _numbered(self, round_id: str, stem: str) -> list[Path]:
        pattern = re.compile(rf"{stem}-\d{{4,}}\.parquet")
        paths = self._folder(round_id).glob(f"{stem}-*.parquet")
        return sorted((path for path in paths if pattern.fullmatch(path.name)), key=_number)

    def _append(
        self, round_id: str, stem: str, record: type[RecordT], rows: Sequence[RecordT]
    ) -> str:
        if not rows:
            raise ValueError(f"{stem}: expected at least one, got none")
        number = max((_number(path) for path in self._numbered(round_id, stem)), default=0) + 1
        write = records_bytes(record, rows)
        while (
            True
        ):  # a writer that lost its lease may take the number first; nothing is overwritten
            path = self._folder(round_id) / f"{stem}-{number:04d}.parquet"
            if create_file(path, write):
                return path.name
            number += 1


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _read_decision(path: Path) -> Decision:
    file = read_json(_DECISION, path)
    data = cast("dict[str, Json]", file.data)  # JsonValue is pydantic's name for the same type
    return Decision(decision_id=file.decision_id, kind=file.kind, at=file.at, by=file.by, data=data)


def _safe(what: str, name: str) -> str:
    """A name that cannot lead out of its folder."""
    if not _SAFE_NAME.fullmatch(name):
        raise RecordError(
            f"{what}: expected letters, digits, '.', '_' and '-' (at most 100), got {name!r}"
        )
    return name
