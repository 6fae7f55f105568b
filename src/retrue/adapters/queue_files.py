"""The annotation queue in two append-only files: `tasks.jsonl` and `answers.jsonl`.

A line is an event and is never changed. A line without its end was cut off by a kill: readers
do not see it and the next writer writes over it. Writers take turns by a lock on `lock`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from retrue.adapters.queue_embedded import (
    Added,
    EmbeddedQueue,
    Event,
    QueueState,
    Removed,
    Saved,
)
from retrue.errors import QueueError
from retrue.records import Answer, AnswerStatus, Json, ProjectKey, QueueTask, canonical_json

__all__ = ["FileQueue"]

ToolId = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _AddLine(_Line):
    event: Literal["add"]
    tool_id: ToolId
    task_key: str
    project: ProjectKey
    display: dict[str, JsonValue]
    media_uri: str | None


class _RemoveLine(_Line):
    event: Literal["remove"]
    tool_id: ToolId


class _AnswerLine(_Line):
    answer_id: ToolId
    revision: ToolId
    tool_id: ToolId
    task_key: str
    annotator: str
    status: AnswerStatus
    value: str | None  # JSON text as given
    note: str
    lead_seconds: float | None
    answered_at: AwareDatetime


_TASK_LINES: TypeAdapter[_AddLine | _RemoveLine] = TypeAdapter(
    Annotated[_AddLine | _RemoveLine, Field(discriminator="event")]
)


class FileQueue(EmbeddedQueue):
    """Satisfies `retrue.ports.AnnotationQueue` for people and programs on one machine."""

    def __init__(self, folder: Path) -> None:
        """A queue in `folder`, which is made with the first task."""
        self._folder = folder
        self._tasks = _Log(folder / "tasks.jsonl")
        self._answers = _Log(folder / "answers.jsonl")
        self._state = QueueState()
        self._turn = threading.RLock()

    def _now(self) -> QueueState:
        with self._turn, self._lock(fcntl.LOCK_SH):
            return self._refreshed()

    def _append(self, decide: Callable[[QueueState], Sequence[Event]]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        with self._turn, self._lock(fcntl.LOCK_EX):
            events = decide(self._refreshed())
            self._tasks.append([_line(event) for event in events if not isinstance(event, Saved)])
            self._answers.append([_line(event) for event in events if isinstance(event, Saved)])

    @contextmanager
    def _lock(self, kind: int) -> Generator[None]:
        """Readers together or one writer alone: else a cut-off line could be read half replaced."""
        create = os.O_RDWR | os.O_CREAT if kind == fcntl.LOCK_EX else os.O_RDONLY
        try:
            lock = os.open(self._folder / "lock", create, 0o666)
        except FileNotFoundError:
            yield  # nobody ever wrote here
            return
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        try:
            fcntl.flock(lock, kind)
            yield
        finally:
            os.close(lock)  # gives the lock back, as does a kill

    def _refreshed(self) -> QueueState:
        if self._tasks.replaced() or self._answers.replaced():
            self._forget()
        try:
            for event, end in self._news():
                self._state.apply(event, end)
        except QueueError:
            # Half of the news is in: the next call must say the same, not go on after it.
            self._forget()
            raise
        return self._state

    def _forget(self) -> None:
        self._state = QueueState()
        self._tasks.rewind()
        self._answers.rewind()

    def _news(self) -> Iterator[tuple[Event, int]]:
        for log, read in ((self._tasks, _task_event), (self._answers, _answer_event)):
            for line, end in log.news():
                try:
                    event = read(line)
                except ValidationError as error:
                    raise log.damaged(error) from error
                yield event, end


class _Log:
    """One append-only file of lines, read once and then only where it grew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rewind()

    def rewind(self) -> None:
        """Read from the start again."""
        self._end = 0  # bytes of whole lines read so far
        self._lines = 0
        self._inode = 0  # 0: not seen yet

    def replaced(self) -> bool:
        """Whether what was read is no longer what is there."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return self._end > 0
        return self._inode not in (0, there.st_ino) or there.st_size < self._end

    def news(self) -> Iterator[tuple[bytes, int]]:
        """The whole lines that are new, each with the position after it."""
        try:
            with self._path.open("rb") as file:
                self._inode = os.fstat(file.fileno()).st_ino
                file.seek(self._end)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # cut off, or being written this moment
                    self._end += len(line)
                    self._lines += 1
                    yield line, self._end
        except FileNotFoundError:
            return
        except OSError as error:
            raise QueueError(f"{self._path}: could not be read ({error.strerror})") from error

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines after the last whole one and flush them to the disk; call `news` before."""
        if not lines:
            return
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            with os.fdopen(handle, "r+b") as file:
                file.truncate(self._end)  # what a killed writer left
                file.seek(self._end)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
            if self._end == 0:
                _flush_folder(self._path.parent)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def damaged(self, error: ValidationError) -> QueueError:
        """The error for the line read last."""
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return QueueError(
            f"{self._path}:{self._lines}: expected an event of the queue, "
            f"got: {where + ': ' if where else ''}{first['msg']}. "
            "Put the line right or take it out; the lines around it are untouched."
        )


def _task_event(line: bytes) -> Added | Removed:
    found = _TASK_LINES.validate_json(line)
    if isinstance(found, _RemoveLine):
        return Removed(tool_id=int(found.tool_id))
    return Added(
        tool_id=int(found.tool_id),
        task=QueueTask(
            task_key=found.task_key,
            project=found.project,
            display=found.display,
            media_uri=found.media_uri,
        ),
    )


def _answer_event(line: bytes) -> Saved:
    found = _AnswerLine.model_validate_json(line)
    at = found.answered_at.astimezone(UTC)
    return Saved(
        tool_id=int(found.tool_id),
        answer=Answer(
            seq=0,
            answer_id=found.answer_id,
            revision=found.revision,
            task_key=found.task_key,
            annotator=found.annotator,
            status=found.status,
            value=found.value,
            note=found.note,
            lead_seconds=found.lead_seconds,
            answered_at=at,
            observed_at=at,
        ),
    )


def _line(event: Event) -> bytes:
    fields = _saved_fields(event) if isinstance(event, Saved) else _task_fields(event)
    try:
        return (canonical_json(fields) + "\n").encode()
    except ValueError as error:  # NaN, or half a character
        raise QueueError(f"the queue takes JSON in UTF-8 only: {error}, in {fields!r}") from error


def _task_fields(event: Added | Removed) -> dict[str, Json]:
    if isinstance(event, Removed):
        return {"event": "remove", "tool_id": str(event.tool_id)}
    task = event.task
    return {
        "event": "add",
        "tool_id": str(event.tool_id),
        "task_key": task.task_key,
        "project": asdict(task.project),
        "display": dict(task.display),
        "media_uri": task.media_uri,
    }


def _saved_fields(event: Saved) -> dict[str, Json]:
    answer = event.answer
    return {
        "answer_id": answer.answer_id,
        "revision": answer.revision,
        "tool_id": str(event.tool_id),
        "task_key": answer.task_key,
        "annotator": answer.annotator,
        "status": answer.status,
        "value": answer.value,
        "note": answer.note,
        "lead_seconds": answer.lead_seconds,
        "answered_at": answer.answered_at.astimezone(UTC).isoformat(),
    }


def _unwritable(path: Path, error: OSError) -> QueueError:
    return QueueError(
        f"{path}: could not be written ({error.strerror or error}). "
        "Check free space and permissions, then run the same command again."
    )


def _flush_folder(folder: Path) -> None:
    # Without this a power cut can forget a new file although its content is on the disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
