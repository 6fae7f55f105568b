"""Annotators answer in Label Studio.

One project per (schema, guideline, overlap, group), found by a mark in its description and followed
by another when it is full. A task carries our opaque key and what its page shows, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import httpx

from retrue.adapters.label_studio_api import (
    KEY,
    Annotation,
    LabelStudioApi,
    ToolProject,
    ToolTask,
    condition,
    holds_answers,
)
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.adapters.label_studio_config import (
    Page,
    answer_value,
    note_of,
    shown_data,
)
from retrue.adapters.label_studio_media import MediaStorage, attach_media
from retrue.adapters.label_studio_own import OwnProjects
from retrue.adapters.label_studio_page import takes_one
from retrue.config import Labels
from retrue.errors import ServiceUnavailable
from retrue.ports import ObservedAnswers, TaskInQueue
from retrue.records import Answer, Json, ProjectKey, QueueTask

__all__ = ["LabelStudioQueue"]

FULL = 5_000  # tasks; bigger projects slow the tool down
CHUNK = 10_000  # keys in one question
# Answers may be committed later than their time says, or while we read further pages.
LOOK_BACK = timedelta(minutes=5)
LONGEST_SETTLE = 600.0  # seconds
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class LabelStudioQueue:
    """Satisfies `retrue.ports.AnnotationQueue` with plain HTTP."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        project_prefix: str,
        schema_of: Callable[[ProjectKey], Labels | None],
        link: Callable[[str], str],
        storage: Callable[[], MediaStorage] | None = None,
        page: Page = Page(),  # noqa: B008 - frozen
        settle: float = 10.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect when first asked.

        Args:
            url: The server's root.
            token: A personal access token or a legacy token.
            project_prefix: The workspace's name: begins every title, and tells whose projects
                they are where several workspaces share a server.
            schema_of: The question of a project that has to be made; None: of an earlier version,
                whose page is taken from another project of that version.
            link: What a task says of a media uri; raises `QueueError` where nobody could open it.
            storage: What the server signs links to media in S3 with; None: there are no such media.
            page: How samples are shown.
            settle: Seconds without a new task after which an import has come to rest.
            transport: What carries the requests; None: the network.
            sleep: Waits this many seconds.
        """
        client = LabelStudioClient(url, token, transport=transport, sleep=sleep)
        self._api = LabelStudioApi(client)
        self._own = OwnProjects(self._api, project_prefix, schema_of=schema_of, page=page)
        self._link, self._storage = link, storage
        self._page, self._settle, self._sleep = page, settle, sleep
        self._emails: Mapping[int, str] = {}

    # --- tasks ---

    def held(self, task_keys: Iterable[str]) -> int:
        """How many copies of these tasks are there now: one number per project is asked for."""
        keys = sorted(set(task_keys))
        return sum(
            self._held(project.id, chunk)
            for project in self._projects()
            if project.task_number != 0
            for chunk in _chunks(keys)
        )

    def tasks(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """Every copy of these tasks that is in the tool now, lowest tool id first."""
        keys = sorted(set(task_keys))
        found = [
            TaskInQueue(tool_id=str(task.id), task_key=task.key, answered=_is_answered(task))
            for project in self._projects()
            if project.task_number != 0
            for chunk in _chunks(keys)
            for task in self._copies(project.id, chunk)
        ]
        return sorted(found, key=lambda copy: int(copy.tool_id))

    def settled(self, task_keys: Iterable[str]) -> list[TaskInQueue]:
        """As `tasks`, once the number of our tasks has stayed the same for `settle` seconds.

        Raises:
            ServiceUnavailable: It was still changing after ten minutes.
        """
        before, waited = _tasks_in(self._projects()), 0.0
        while waited < LONGEST_SETTLE:
            self._sleep(self._settle)
            waited += self._settle
            now = _tasks_in(self._projects())
            if now == before:
                return self.tasks(task_keys)
            before = now
        raise ServiceUnavailable(
            f"Label Studio was still importing after {waited:g} s ({before} tasks). Wait for it."
        )

    def add(self, tasks: Sequence[QueueTask]) -> int:
        """Import tasks into their projects, making those that are missing or full.

        Returns:
            By how many the tasks of our projects have become more, as the server counts them.
        """
        if not tasks:
            return 0
        by_project: dict[ProjectKey, list[QueueTask]] = {}
        for task in tasks:
            by_project.setdefault(task.project, []).append(task)
        there = self._projects()
        for key, group in by_project.items():
            mine = self._own.of(key, there)
            # In order of the keys: the tool's own numbers must not show the order of the arms.
            self._fill(key, mine, sorted(group, key=lambda task: task.task_key))
        return _tasks_in(self._projects()) - _tasks_in(there)

    def remove(self, tool_ids: Iterable[str]) -> None:
        """Remove tasks without answer or draft: the tool checks that while it deletes.

        On SQLite the number of the last task is given again once it is removed. Whoever adds tasks
        of ours holds the same lease as who looks and removes, and tasks without our key stay.
        """
        ids = sorted({int(tool_id) for tool_id in tool_ids if tool_id.isdecimal()})
        projects = self._projects() if ids else []
        for project in (one for one in projects if one.task_number != 0):
            for start in range(0, len(ids), CHUNK):
                self._api.remove_tasks(project.id, ids[start : start + CHUNK])

    # --- answers ---

    def answers(self, cursor: str) -> ObservedAnswers:
        """Answers of the tasks that changed since a little before `cursor`, the tool's clock.

        A cursor this tool never gave starts from the beginning.
        """
        since = _time(cursor)
        after = None if since is None else since - LOOK_BACK
        projects = self._projects()
        began = self._api.server_time
        newest, found = since, list[Answer]()
        for project in projects:
            one = takes_one(project.label_config)
            for task in self._changed(project, after):
                found += [self._answer(task, given, one=one) for given in task.annotations]
                newest = max(filter(None, (newest, task.updated_at)))
        # What changes while we read may be missed on a page behind us: do not step over it.
        if newest is not None and began is not None:
            newest = max(filter(None, (since, min(newest, began + timedelta(seconds=1)))))
        found.sort(key=lambda answer: (answer.answered_at, int(answer.answer_id)))
        return ObservedAnswers(
            answers=tuple(found), cursor="" if newest is None else newest.strftime(_TIME)
        )

    def count(self) -> int:
        """How many answers our projects hold now, skipped ones too: one request."""
        return sum(project.answers for project in self._projects())

    def answer_ids(self, task_keys: Iterable[str]) -> set[str]:
        """Ids of all answers these tasks hold now."""
        keys = sorted(set(task_keys))
        return {
            str(given.id)
            for project in self._projects()
            if project.answers
            for chunk in _chunks(keys)
            for task in self._api.answered_tasks(project.id, _asked_for(chunk))
            if task.key in chunk
            for given in task.annotations
        }

    # --- projects ---

    def _projects(self) -> list[ToolProject]:
        return self._own.all()

    def _fill(
        self, key: ProjectKey, projects: Sequence[ToolProject], tasks: Sequence[QueueTask]
    ) -> None:
        rest, made = list(tasks), len(projects)
        rooms = [(item.id, FULL - (item.task_number or 0)) for item in projects]
        while rest:
            if not rooms:
                made += 1
                rooms.append((self._own.create(key, made).id, FULL))
            project, room = rooms.pop(0)
            now, rest = rest[: max(room, 0)], rest[max(room, 0) :]
            if now:
                media = [task.media_uri for task in now if task.media_uri is not None]
                data = [self._data(task) for task in now]
                if self._storage is not None:
                    attach_media(self._api, project, map(self._link, media), self._storage)
                self._api.add_tasks(project, data)

    def _data(self, task: QueueTask) -> dict[str, Json]:
        media = None if task.media_uri is None else self._link(task.media_uri)
        return {**shown_data(self._page, task.display, media), KEY: task.task_key}

    # --- looking ---

    def _held(self, project: int, keys: frozenset[str]) -> int:
        """Of one project; looks at each task if the filter had no effect."""
        total, sample = self._api.count_tasks(project, [_one_of(keys)])
        if any(task.key not in keys for task in sample):
            return len(self._copies(project, keys))
        return total

    def _copies(self, project: int, keys: frozenset[str]) -> list[ToolTask]:
        """Our tasks of one project; lists the whole project if the filter had no effect."""
        found = self._api.light_tasks(project, _asked_for(keys))
        if any(task.key not in keys for task in found):
            found = self._api.light_tasks(project, [])
        return [task for task in found if task.key in keys]

    def _changed(self, project: ToolProject, after: datetime | None) -> Iterator[ToolTask]:
        """Tasks that hold answers and changed after a time, each once."""
        news = [] if after is None else [_changed_after(after)]
        if project.answers:
            for task in self._api.answered_tasks(project.id, [holds_answers(), *news]):
                if after is None or task.updated_at is None or task.updated_at > after:
                    yield task

    def _answer(self, task: ToolTask, given: Annotation, *, one: bool) -> Answer:
        return Answer(
            seq=0,
            answer_id=str(given.id),
            revision=given.updated_at.astimezone(UTC).strftime(_TIME),
            # A task somebody else put into our project; its answers are kept all the same.
            task_key=task.key or f"label-studio-task-{task.id}",
            annotator=self._annotator(given.completed_by),
            status="skipped" if given.was_cancelled else "answered",
            value=None if given.was_cancelled else answer_value(given.result, one=one),
            note=note_of(given.result),
            lead_seconds=given.lead_time,
            answered_at=given.updated_at.astimezone(UTC),
            observed_at=given.updated_at.astimezone(UTC),
        )

    def _annotator(self, user: int | None) -> str:
        """The e-mail, which outlives every change of name; a number for who has left."""
        if user is not None and user not in self._emails:
            # Whoever is missing now is not asked for again.
            self._emails = {user: "", **self._api.emails()}
        return self._emails.get(user or 0) or f"user-{user or 'unknown'}"


def _chunks(keys: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK)]


def _one_of(keys: frozenset[str]) -> dict[str, Json]:
    return condition(f"data.{KEY}", "in_list", "List", cast("list[Json]", sorted(keys)))


def _asked_for(keys: frozenset[str]) -> list[dict[str, Json]]:
    """Tasks with one of these keys; the rest is always true and makes the server look."""
    # A field is only filled in where a filter names it.
    return [
        _one_of(keys),
        condition("draft_exists", "in_list", "List", [True, False]),
        condition("annotations_ids", "not_contains", "String", "0"),
    ]


def _tasks_in(projects: Iterable[ToolProject]) -> int:
    return sum(project.task_number or 0 for project in projects)


def _is_answered(task: ToolTask) -> bool:
    # A draft that was not looked for may be there.
    return task.draft_exists is not False or bool(task.annotations_ids)


def _changed_after(time: datetime) -> dict[str, Json]:
    return condition("updated_at", "greater", "Datetime", time.strftime(_TIME))


def _time(cursor: str) -> datetime | None:
    try:
        return datetime.strptime(cursor, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
