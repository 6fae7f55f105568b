"""Annotators answer in Label Studio.

One project per (schema, guideline, overlap, group), found by a mark in its description and followed
by another when it is full. A task carries our opaque key and what its page shows, nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx

from retrue.adapters.label_studio_api import (
    KEY,
    Annotation,
    LabelStudioApi,
    ToolProject,
    ToolTask,
    asked_for,
    condition,
)
from retrue.adapters.label_studio_client import LabelStudioClient, NotFound
from retrue.adapters.label_studio_config import (
    Page,
    answer_value,
    build_page,
    guideline_html,
    note_of,
    shown_data,
    takes_one,
)
from retrue.config import Labels
from retrue.errors import ServiceUnavailable
from retrue.ports import ObservedAnswers, TaskInQueue
from retrue.records import Answer, Json, ProjectKey, QueueTask, short_hash

__all__ = ["LabelStudioQueue"]

FULL = 5_000  # tasks; bigger projects slow the tool down
CHUNK = 5_000  # keys in one question
# Answers may be committed later than their time says, or while we read further pages.
LOOK_BACK = timedelta(minutes=5)
TITLE = 50  # characters
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
        schema_of: Callable[[ProjectKey], Labels],
        link: Callable[[str], str],
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
            schema_of: The question of a project that has to be made.
            link: A URL that a browser can open for a media uri; made when a task is added.
            page: How samples are shown.
            settle: Seconds without a new task after which an import has come to rest.
            transport: What carries the requests; None: the network.
            sleep: Waits this many seconds.
        """
        client = LabelStudioClient(url, token, transport=transport, sleep=sleep)
        self._api = LabelStudioApi(client)
        self._prefix, self._schema_of, self._link = project_prefix, schema_of, link
        self._page, self._settle, self._sleep = page, settle, sleep
        self._emails: Mapping[int, str] = {}

    # --- tasks ---

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
        before, waited = self._count_tasks(), 0.0
        while waited < LONGEST_SETTLE:
            self._sleep(self._settle)
            waited += self._settle
            now = self._count_tasks()
            if now == before:
                return self.tasks(task_keys)
            before = now
        raise ServiceUnavailable(
            f"Label Studio was still importing after {waited:g} s ({before} tasks). Wait for it."
        )

    def add(self, tasks: Sequence[QueueTask]) -> None:
        """Import tasks into their projects, making those that are missing or full."""
        by_project: dict[ProjectKey, list[QueueTask]] = {}
        for task in tasks:
            by_project.setdefault(task.project, []).append(task)
        there = self._projects() if tasks else []
        for key, group in by_project.items():
            mark = self._mark(key)
            mine = [project for project in there if _mark_of(project) == mark]
            # In order of the keys: the tool's own numbers must not show the order of the arms.
            self._fill(key, mine, sorted(group, key=lambda task: task.task_key))

    def remove(self, tool_ids: Iterable[str]) -> None:
        """Remove tasks without answer or draft: the tool checks that while it deletes."""
        ids = sorted({int(tool_id) for tool_id in tool_ids if tool_id.isdecimal()})
        for project in self._projects() if ids else []:
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
            for task in self._api.answered_tasks(project.id, asked_for(chunk))[1]
            if task.key in chunk
            for given in task.annotations
        }

    # --- projects ---

    def _projects(self) -> list[ToolProject]:
        mine = self._mark(None)
        return [item for item in self._api.projects() if _mark_of(item).startswith(mine)]

    def _mark(self, key: ProjectKey | None) -> str:
        """What stands in a project's description; of no key: how all of ours begin."""
        begin = f"retrue:{short_hash(self._prefix, digits=8)}:"
        if key is None:
            return begin
        parts = (str(key.schema_version), key.guideline_version, str(key.overlap), key.group)
        return begin + short_hash(*parts, digits=12)

    def _create(self, key: ProjectKey, number: int) -> ToolProject:
        labels, mark = self._schema_of(key), self._mark(key)
        guideline = guideline_html(labels.guideline.text)
        end = f" {key.group} {mark[-4:]}-{number}"
        return self._api.create_project(
            {
                "title": self._prefix[: TITLE - len(end)] + end,
                "description": f"Made by retrue, which finds it by this mark: {mark}",
                "label_config": build_page(labels, self._page),
                "expert_instruction": guideline,
                "show_instruction": bool(guideline),
                "maximum_annotations": key.overlap,
                "sampling": "Uniform sampling",
                "show_skip_button": True,
                "enable_empty_annotation": False,
                "show_collab_predictions": False,
                "evaluate_predictions_automatically": False,
            }
        )

    def _fill(
        self, key: ProjectKey, projects: Sequence[ToolProject], tasks: Sequence[QueueTask]
    ) -> None:
        rest, made = list(tasks), len(projects)
        rooms = [(item.id, FULL - (item.task_number or 0)) for item in projects]
        while rest:
            if not rooms:
                made += 1
                rooms.append((self._create(key, made).id, FULL))
            project, room = rooms.pop(0)
            now, rest = rest[: max(room, 0)], rest[max(room, 0) :]
            if now:
                self._api.add_tasks(project, [self._data(task) for task in now])

    def _data(self, task: QueueTask) -> dict[str, Json]:
        media = None if task.media_uri is None else self._link(task.media_uri)
        return {**shown_data(self._page, task.display, media), KEY: task.task_key}

    # --- looking ---

    def _copies(self, project: int, keys: frozenset[str]) -> list[ToolTask]:
        """Our tasks of one project; lists the whole project if the filter had no effect."""
        found = self._complete(project, asked_for(keys))
        if any(task.key not in keys for task in found):
            found = self._complete(project, [])
        return [task for task in found if task.key in keys]

    def _complete(
        self, project: int, conditions: Sequence[dict[str, Json]], *, tries: int = 2
    ) -> list[ToolTask]:
        """All that match, counted: pages that shift while we read them are read again."""
        total = 0
        for _ in range(tries):
            try:
                total, found = self._api.light_tasks(project, conditions)
            except NotFound:  # a page, or the project, went away while we looked
                continue
            if len(found) == total:
                return found
        raise ServiceUnavailable(
            f"Label Studio's project {project} changes while it is read (expected {total} tasks). "
            "Try again when it rests."
        )

    def _changed(self, project: ToolProject, after: datetime | None) -> Iterable[ToolTask]:
        """Tasks that hold answers and changed after a time, each once."""
        found: dict[int, ToolTask] = {}
        news = [] if after is None else [_changed_after(after)]
        for counter, holds in (
            ("total_annotations", project.total_annotations_number),
            ("cancelled_annotations", project.skipped_annotations_number),
        ):
            if holds:
                answered = condition(counter, "greater", "Number", 0)
                for task in self._api.answered_tasks(project.id, [answered, *news])[1]:
                    if after is None or task.updated_at is None or task.updated_at > after:
                        found[task.id] = task
        return found.values()

    def _count_tasks(self) -> int:
        return sum(project.task_number or 0 for project in self._projects())

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


def _mark_of(project: ToolProject) -> str:
    found = re.search(r"retrue:[0-9a-f]{8}:[0-9a-f]{12}\b", project.description or "")
    return found[0] if found else ""


def _is_answered(task: ToolTask) -> bool:
    # A draft that was not looked for may be there.
    drafts = task.draft_exists is not False
    return drafts or task.total_annotations + task.cancelled_annotations > 0


def _changed_after(time: datetime) -> dict[str, Json]:
    return condition("updated_at", "greater", "Datetime", time.strftime(_TIME))


def _time(cursor: str) -> datetime | None:
    try:
        return datetime.strptime(cursor, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
