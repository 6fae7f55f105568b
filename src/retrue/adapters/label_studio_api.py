"""The few calls we make of Label Studio, in its own words, as typed as it lets us."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import cast

from pydantic import BaseModel, Field

from retrue.adapters.label_studio_client import LabelStudioClient, NotFound
from retrue.errors import QueueError, ServiceUnavailable
from retrue.records import Json

__all__ = [
    "KEY",
    "Annotation",
    "LabelStudioApi",
    "ToolProject",
    "ToolStorage",
    "ToolTask",
    "condition",
    "holds_answers",
]

KEY = "retrue_key"  # name of our key in a task's data
PROJECTS = 100  # a page of them; the server gives no more
LISTINGS = 5  # of all projects, until two agree
PAGE = 500  # tasks with their answers
LIGHT_PAGE = 5_000  # tasks with a few fields only: 0.3 s per thousand
LONGEST_QUERY = 1_500  # characters; servers refuse long addresses
LOOKUP = "lookup"  # title of a view that lives for one question


class ToolProject(BaseModel):
    """A project, and how much is in it."""

    id: int
    title: str = ""
    description: str | None = None
    label_config: str = ""
    expert_instruction: str | None = None
    task_number: int | None = None
    total_annotations_number: int | None = None  # without skipped ones
    skipped_annotations_number: int | None = None

    @property
    def answers(self) -> int:
        """Answers it holds, skipped ones too."""
        return (self.total_annotations_number or 0) + (self.skipped_annotations_number or 0)


class Annotation(BaseModel):
    """One person's answer; `result` is checked by nobody on the server."""

    id: int
    result: list[dict[str, object]] = Field(default_factory=list[dict[str, object]])
    completed_by: int | None = None
    was_cancelled: bool = False
    updated_at: datetime
    lead_time: float | None = None


class ToolTask(BaseModel):
    """A task; fields that were not asked for keep their defaults."""

    id: int
    data: dict[str, object] = Field(default_factory=dict[str, object])
    updated_at: datetime | None = None
    # Not its counters: an answer given while an import ends is missing in them for good.
    annotations_ids: str = ""  # also where the server did not look
    draft_exists: bool | None = None  # None: the server did not look
    annotations: list[Annotation] = Field(default_factory=list[Annotation])

    @property
    def key(self) -> str:
        """Our key; "" for a task that is not ours."""
        key = self.data.get(KEY)
        return key if isinstance(key, str) else ""


class ToolStorage(BaseModel):
    """A source storage of a project: what it can open links to. Its keys are never told."""

    id: int
    bucket: str | None = None
    description: str | None = None


class _Projects(BaseModel):
    count: int
    results: list[ToolProject]


class _Tasks(BaseModel):
    total: int
    tasks: list[ToolTask]


class _Id(BaseModel):
    id: int


class _User(BaseModel):
    id: int
    email: str = ""


class _Done(BaseModel):
    """A reply whose content nobody may depend on."""


def condition(field: str, operator: str, kind: str, value: Json) -> dict[str, Json]:
    """One condition of a data manager's filter."""
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def holds_answers() -> dict[str, Json]:
    """Tasks that hold answers, skips too: asked of the answers themselves.

    The server's counters `total_annotations` and `cancelled_annotations` are not to be believed.
    """
    return condition("annotations_ids", "greater", "Number", 0)


class LabelStudioApi:
    """Projects, tasks, views and people of one server."""

    def __init__(self, client: LabelStudioClient) -> None:
        """Speak through a client."""
        self._client = client

    @property
    def server_time(self) -> datetime | None:
        """The server's clock at its last reply, whole seconds; None if it did not say."""
        return self._client.server_time

    def projects(self) -> list[ToolProject]:
        """Every project the token's user sees; one that is made meanwhile may be missing.

        Raises:
            ServiceUnavailable: Several pages of them, that shift whenever they are read.
        """
        found = self._projects()
        for _ in range(LISTINGS):
            if len(found) <= PROJECTS:  # one page is one look
                return list(found.values())
            before, found = found.keys(), self._projects()
            if before == found.keys():
                return list(found.values())
        raise ServiceUnavailable(
            f"Label Studio's {len(found)} projects changed whenever they were listed. Try again."
        )

    def _projects(self) -> dict[int, ToolProject]:
        """By number, oldest first.

        A page is counted before it is read: if a project is made between the two, the last of the
        page is left out. That must be the new one.
        """
        found: dict[int, ToolProject] = {}
        counters = "task_number,total_annotations_number,skipped_annotations_number"
        names = f"id,title,description,label_config,expert_instruction,{counters}"
        page, wanted = 1, 1
        while len(found) < wanted:
            params = {"page": page, "page_size": PROJECTS, "ordering": "id", "include": names}
            try:
                reply = self._client.get("/api/projects/", _Projects, params)
            except NotFound:
                if page == 1:
                    raise
                break  # one was deleted while we looked, so there is no such page
            found |= {project.id: project for project in reply.results}
            page, wanted = page + 1, reply.count
        return found

    def create_project(self, settings: Mapping[str, Json]) -> ToolProject:
        """A new project; not tried twice."""
        return self._client.post("/api/projects/", ToolProject, dict(settings), again=False)

    def storages(self, project: int) -> list[ToolStorage]:
        """The S3 source storages of a project."""
        return self._client.get("/api/storages/s3/", list[ToolStorage], {"project": project})

    def create_storage(self, settings: Mapping[str, Json]) -> None:
        """A new S3 source storage; the server looks whether it can open the bucket."""
        self._client.post("/api/storages/s3/", _Done, dict(settings), again=False)

    def change_storage(self, storage: int, settings: Mapping[str, Json]) -> None:
        """Other settings for a source storage."""
        self._client.patch(f"/api/storages/s3/{storage}", _Done, dict(settings))

    def add_tasks(self, project: int, data: Sequence[dict[str, Json]]) -> None:
        """Import tasks; not tried twice, and what the reply says is not believed."""
        body: list[Json] = [{"data": item} for item in data]
        path = f"/api/projects/{project}/import"
        self._client.post(path, _Done, body, {"return_task_ids": "false"}, again=False)

    def remove_tasks(self, project: int, tool_ids: Sequence[int]) -> None:
        """Delete those of these tasks that are ours and hold neither answer nor draft by then."""
        ids = cast("list[Json]", list(tool_ids))
        if not ids:
            raise ValueError("tool_ids: expected some, got none, which would mean all")
        conditions: list[Json] = [
            condition("id", "in_list", "List", ids),
            condition(f"data.{KEY}", "empty", "String", value=False),
            # Asked of the answers, too; in a project without any task it is a 500.
            condition("annotations_ids", "empty", "String", value=True),
            condition("draft_exists", "equal", "Boolean", value=False),
        ]
        body: Json = {
            "filters": {"conjunction": "and", "items": conditions},
            "selectedItems": {"all": False, "included": ids},
        }
        params: dict[str, str | int] = {"id": "delete_tasks", "project": project}
        self._client.post("/api/dm/actions/", _Done, body, params, again=True)

    def count_tasks(
        self, project: int, conditions: Sequence[dict[str, Json]]
    ) -> tuple[int, list[ToolTask]]:
        """How many tasks match, and one of them."""
        with self._lookup(project, conditions) as view:
            reply = self._page(project, {**view, "include": "id,data"}, size=1)
        return reply.total, reply.tasks

    def light_tasks(self, project: int, conditions: Sequence[dict[str, Json]]) -> list[ToolTask]:
        """All tasks that match, by number: id, data, and whether something is in them."""
        names = "id,data,annotations_ids,draft_exists"
        return self._all(project, conditions, {"include": names}, size=LIGHT_PAGE)

    def answered_tasks(self, project: int, conditions: Sequence[dict[str, Json]]) -> list[ToolTask]:
        """All tasks that match, by number, with their answers."""
        # The list of fields to include is applied to the annotations inside, too.
        inside = "result,completed_by,was_cancelled,lead_time"
        names = f"id,data,updated_at,annotations,{inside}"
        return self._all(project, conditions, {"fields": "all", "include": names}, size=PAGE)

    def emails(self) -> dict[int, str]:
        """User id -> e-mail, of everybody in the organisation."""
        return {user.id: user.email for user in self._client.get("/api/users/", list[_User])}

    @contextmanager
    def _lookup(
        self, project: int, conditions: Sequence[dict[str, Json]]
    ) -> Generator[dict[str, str | int]]:
        """The conditions as parameters; long ones as a view that lives as long as the question."""
        filters: Json = {"conjunction": "and", "items": cast("list[Json]", list(conditions))}
        short = json.dumps({"filters": filters})
        if not conditions:
            yield {}
        elif len(short) < LONGEST_QUERY:
            yield {"query": short}
        else:
            body: Json = {"project": project, "data": {"title": LOOKUP, "filters": filters}}
            view = self._client.post("/api/dm/views/", _Id, body, again=True)
            try:
                yield {"view": view.id}
            finally:
                self._client.delete(f"/api/dm/views/{view.id}/")

    def _all(
        self,
        project: int,
        conditions: Sequence[dict[str, Json]],
        fields: Mapping[str, str],
        *,
        size: int,
    ) -> list[ToolTask]:
        """Page after page, each behind the last number that was seen, until one is empty.

        Pages by number would shift when a task comes or goes. And a page is counted before it is
        read: when a task begins to match between the two, the last of the page is left out, which
        the next page then begins with.

        Raises:
            ServiceUnavailable: The project went away meanwhile.
            QueueError: The server does not look at what it is asked for.
        """
        found: list[ToolTask] = []
        while True:
            last = found[-1].id if found else 0
            behind = condition("id", "greater", "Number", last)
            try:
                with self._lookup(project, [*conditions, behind]) as view:
                    tasks = self._page(project, {**fields, **view}, size=size).tasks
            except NotFound as error:
                raise ServiceUnavailable(
                    f"Label Studio's project {project} went away while it was read. Run it again."
                ) from error
            if not tasks:
                return found
            found += sorted(tasks, key=lambda task: task.id)
            if found[-len(tasks)].id <= last:
                raise QueueError(
                    f"Label Studio's project {project}: expected tasks behind number {last}, got "
                    "others. retrue was tried with 1.23; is it another version?"
                )

    def _page(self, project: int, params: Mapping[str, str | int], *, size: int) -> _Tasks:
        where = {"project": project, "page": 1, "page_size": size, "resolve_uri": "false"}
        return self._client.get("/api/tasks/", _Tasks, {**params, **where})
