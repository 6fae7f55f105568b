"""The round record as files: `rounds/<round>/` and `decisions/<kind>/`, each file written once.

A round's `plan.json` is written last, so a round without one does not exist. Plans and decisions
are JSON for people to read; samples, tasks, answers, verdicts and media are parquet.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, TypeAdapter

from retrue.adapters.records_cache import AskedIndex, ReadOnce, Shelf, Tallies
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
from retrue.core.answers import Tally, tally
from retrue.core.round_state import ROUND_DECISIONS, round_with_state
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
_NUMBERED = re.compile(r"(answers|verdicts)-\d{4,}\.parquet")
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
_VERSION = "version"  # each of these decisions names all files of all versions before it


@dataclass(frozen=True, slots=True, kw_only=True)
class _RoundFolder:
    """What is in a round's folder."""

    names: tuple[str, ...]
    plan: RoundPlan | None  # None: it is not planned yet


_SHELVED_ROUNDS = TypeAdapter(dict[str, tuple[int, _RoundFolder]])
_SHELVED_DECISIONS = TypeAdapter(dict[str, tuple[int, list[_DecisionFile]]])


class FileRoundRecord:
    """Satisfies `retrue.ports.RoundRecord` with the files below one `data` folder.

    A folder without a plan (answers to tasks we never made are kept under `unknown`) holds
    answers, but is no round.
    """

    def __init__(self, data: Path, *, cache: Path | None = None) -> None:
        """Records below `data`.

        Args:
            data: The folder with `rounds` and `decisions`.
            cache: Where to keep what was counted and looked up, so that no process reads the whole
                history for it; None: with this object.
        """
        self._rounds = data / "rounds"
        self._decisions = data / "decisions"
        self._read_version = ReadOnce(partial(read_json, _DECISION))
        self._round_folder = Shelf(
            cache and cache / "rounds.json", _read_round_folder, _SHELVED_ROUNDS
        )
        self._made = Shelf(cache and cache / "decisions.json", _read_decisions, _SHELVED_DECISIONS)
        self._tallies = Tallies(cache)
        self._asked = AskedIndex(cache)

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
        about = self._about_rounds()
        rounds = [
            _round(found, plan, about.get(name, ()))
            for name, found in self._round_folders().items()
            if (plan := found.plan) is not None
        ]
        self._round_folder.save()
        return sorted(rounds, key=lambda found: (found.plan.planned_at, found.plan.round_id))

    def round(self, round_id: str) -> Round:
        """One round.

        Raises:
            RecordError: There is none of this id; the message lists those there are.
        """
        self._require(round_id)
        found = self._round_folder(str(self._folder(round_id)))
        plan = found.plan or read_json(_PLAN, self._folder(round_id) / "plan.json")
        return _round(found, plan, self._about_rounds().get(round_id, ()))

    def samples(self, round_id: str) -> list[Sample]:
        """The samples of a round, in order of drawing."""
        self._require(round_id)
        return read_records(Sample, self._folder(round_id) / "samples.parquet")

    def tasks(
        self, round_id: str, *, about: AbstractSet[str] | None = None, overlap: int = 0
    ) -> list[Task]:
        """The tasks of a round, in order of the plan."""
        self._require(round_id)
        where = None if about is None else {"sample_id": about}
        tasks = read_records(Task, self._folder(round_id) / "tasks.parquet", where)
        return [task for task in tasks if task.overlap >= overlap]

    def rounds_asking(self, sample_ids: Iterable[str]) -> dict[str, set[str]]:
        """Round id -> which of these samples it may ask about; no round that asks is left out."""
        files = {name: self._folder(name) / "tasks.parquet" for name in self._round_ids()}
        return self._asked.find(list(sample_ids), files)

    def append_answers(self, round_id: str, answers: Sequence[Answer]) -> str:
        """Write the next `answers-NNNN` file; returns its name."""
        return self._append(round_id, "answers", Answer, answers)

    def answers(self, round_id: str, *, to: AbstractSet[str] | None = None) -> list[Answer]:
        """Every observed answer, by seq."""
        where = None if to is None else {"task_key": to}
        paths = self._numbered(round_id, "answers")
        observed = [answer for path in paths for answer in read_records(Answer, path, where)]
        return sorted(observed, key=lambda answer: answer.seq)

    def tallies(self, round_ids: Iterable[str]) -> dict[str, Tally]:
        """Counts of the rounds' answers; a round's files are read once for it."""
        with self._tallies as kept:
            return {name: self._tally(name, kept) for name in round_ids}

    def append_verdicts(self, round_id: str, verdicts: Sequence[Verdict]) -> str:
        """Write the next `verdicts-NNNN` file; returns its name."""
        return self._append(round_id, "verdicts", Verdict, verdicts)

    def verdict_files(self, round_id: str) -> list[tuple[str, list[Verdict]]]:
        """(file name, its verdicts), oldest first."""
        return [
            (path.name, read_records(Verdict, path))
            for path in self._numbered(round_id, "verdicts")
        ]

    def _tally(self, round_id: str, kept: Tallies) -> Tally:
        files = self._numbered(round_id, "answers")
        return kept.get(round_id, files, lambda: tally(self.answers(round_id)))

    def verdict_names(self, round_id: str) -> list[str]:
        """The file names alone, oldest first."""
        return [path.name for path in self._numbered(round_id, "verdicts")]

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
        path = self._decision_file(decision.kind, decision.decision_id)
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

    def decision(self, kind: str, decision_id: str) -> Decision | None:
        """One decision; None if it was not made."""
        path = self._decision_file(kind, decision_id)
        return _decision(self._read_version(str(path))) if path.exists() else None

    def decisions(self, kind: str | None = None) -> list[Decision]:
        """Decisions of one kind, or all, ordered by (at, id)."""
        kinds = _names(self._decisions) if kind is None else [_safe("decision kind", kind)]
        made = [_decision(file) for one in kinds for file in self._files_of(one)]
        self._made.save()
        return sorted(made, key=lambda decision: (decision.at, decision.decision_id))

    def _decision_file(self, kind: str, decision_id: str) -> Path:
        folder = self._decisions / _safe("decision kind", kind)
        return folder / f"{_safe('decision id', decision_id)}.json"

    def _folder(self, round_id: str) -> Path:
        return self._rounds / _safe("round id", round_id)

    def _round_ids(self) -> list[str]:
        return sorted(name for name, found in self._round_folders().items() if found.plan)

    def _round_folders(self) -> dict[str, _RoundFolder]:
        return {name: self._round_folder(f"{self._rounds}/{name}") for name in _names(self._rounds)}

    def _files_of(self, kind: str) -> list[_DecisionFile]:
        folder = f"{self._decisions}/{kind}"
        if kind != _VERSION:
            return self._made(folder)
        return [self._read_version(f"{folder}/{name}") for name in _json_names(folder)]

    def _require(self, round_id: str) -> None:
        if not (self._folder(round_id) / "plan.json").exists():
            raise RecordError(
                f"round {round_id}: there is none of this id in {self._rounds}; there are: "
                f"{', '.join(self._round_ids()) or 'no rounds yet'}"
            )

    def _about_rounds(self) -> dict[str, list[Decision]]:
        """Round id -> the decisions that give it its state."""
        found: dict[str, list[Decision]] = {}
        for kind in ROUND_DECISIONS:
            for made in self.decisions(kind):
                found.setdefault(str(made.data.get("round")), []).append(made)
        return found

    def _numbered(self, round_id: str, stem: str) -> list[Path]:
        folder = self._folder(round_id)
        found = (_NUMBERED.fullmatch(name) for name in self._round_folder(str(folder)).names)
        return sorted((folder / one[0] for one in found if one and one[1] == stem), key=_number)

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


def _names(folder: Path | str) -> list[str]:
    """What is in a folder, without files still being written; nothing if there is no folder."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - cheap
    except (FileNotFoundError, NotADirectoryError):
        return []


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _round(found: _RoundFolder, plan: RoundPlan, decisions: Sequence[Decision]) -> Round:
    answered = any(_NUMBERED.fullmatch(name) and name[0] == "a" for name in found.names)
    return round_with_state(plan, decisions, answered=answered)


def _read_round_folder(folder: str) -> _RoundFolder:
    names = _names(folder)
    planned = "plan.json" in names
    plan = read_json(_PLAN, Path(folder, "plan.json")) if planned else None
    return _RoundFolder(names=tuple(names), plan=plan)


def _read_decisions(folder: str) -> list[_DecisionFile]:
    return [read_json(_DECISION, Path(folder, name)) for name in _json_names(folder)]


def _json_names(folder: str) -> list[str]:
    return [name for name in _names(folder) if name.endswith(".json")]


def _decision(file: _DecisionFile) -> Decision:
    data = cast("dict[str, Json]", file.data)  # JsonValue is pydantic's name for the same type
    return Decision(decision_id=file.decision_id, kind=file.kind, at=file.at, by=file.by, data=data)


def _safe(what: str, name: str) -> str:
    """A name that cannot lead out of its folder."""
    if not _SAFE_NAME.fullmatch(name):
        raise RecordError(
            f"{what}: expected letters, digits, '.', '_' and '-' (at most 100), got {name!r}"
        )
    return name
