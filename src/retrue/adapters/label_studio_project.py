"""Reads a Label Studio project that another team made: its page, tasks and answers.

Nothing is changed there. Pages shift while people work, so counts are compared, and an answer
counts as deleted only when the server says so of this very answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import BaseModel

from retrue.adapters.label_studio_api import (
    Annotation,
    LabelStudioApi,
    ToolProject,
    ToolTask,
    holds_answers,
)
from retrue.adapters.label_studio_client import LabelStudioClient, NotFound
from retrue.errors import ConfigError, ServiceUnavailable

__all__ = ["Control", "ForeignAnswer", "ForeignProject", "ForeignTask", "LabelStudioProjects"]

TRIES = 3  # readings before we give up on a project that changes too fast
_OURS = re.compile(r"\bretrue:[0-9a-f]{8}:")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One question of a labeling page."""

    name: str
    tag: str  # Choices, Taxonomy, Number, RectangleLabels, ...
    several: bool  # several options may be picked
    options: tuple[tuple[str, ...], ...]  # paths, as answers say them; () if the tasks bring them


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAnswer:
    """One annotation: a person's answer, skipped or not."""

    answer_id: str
    revision: str  # when it was last changed, by the server's clock
    annotator: str  # e-mail; "user-7" of who has left
    skipped: bool
    result: Sequence[Mapping[str, object]]  # as given; the server checks nothing
    note: str  # what was typed into text areas
    lead_seconds: float | None
    answered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTask:
    """A task with its answers, oldest first."""

    number: int
    data: Mapping[str, object]
    answers: tuple[ForeignAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProject:
    """A project and what it asks."""

    number: int
    title: str
    address: str  # what gives the answers' ids their meaning
    tasks: int  # all, answered or not
    answers: int  # skipped ones too
    controls: tuple[Control, ...]  # in order of the page


class _Given(BaseModel):
    id: int


class LabelStudioProjects:
    """The projects of one server, for reading."""

    def __init__(self, client: LabelStudioClient, url: str) -> None:
        """Read through a client of the server at `url`."""
        self._client, self._url = client, url.rstrip("/")
        self._api = LabelStudioApi(client)
        self._emails: Mapping[int, str] = {}

    def find(self, wanted: str) -> ForeignProject:
        """The project of this id, URL or title.

        Raises:
            ConfigError: There is none, several have the title, it is on another server, it was made
                by retrue, or its page cannot be read.
        """
        number, projects = self._number(wanted), self._api.projects()
        found = [one for one in projects if one.id == number]
        found = found or [one for one in projects if one.title == wanted]
        if len(found) != 1:
            among = ", ".join(f"{one.id} {one.title!r}" for one in found or projects[:20])
            raise ConfigError(
                f"project {wanted!r}: expected one at {self._url}, found {len(found) or 'none'}. "
                f"There are: {among or 'none that this token sees'}. Name it by its id."
            )
        project = found[0]
        if _OURS.search(project.description or ""):
            raise ConfigError(
                f"project {project.id} {project.title!r} was made by retrue: "
                "`retrue collect` brings its answers."
            )
        return ForeignProject(
            number=project.id,
            title=project.title,
            address=f"{self._url}/projects/{project.id}",
            tasks=project.task_number or 0,
            answers=project.answers,
            controls=_controls(project),
        )

    def tasks(self, project: ForeignProject) -> list[ForeignTask]:
        """Every task with an answer, by number; predictions and drafts are no answers.

        Raises:
            ServiceUnavailable: Pages shifted under us each time; try again when it is calmer.
        """
        read: list[ForeignTask] = []
        before = project.answers
        for _ in range(TRIES):
            read = [self._task(one) for one in self._answered(project.number)]
            after = self._count(project.number)
            # More may come while we read; fewer than were there all along means we missed some.
            if sum(len(task.answers) for task in read) >= min(before, after):
                return read
            before = after
        raise ServiceUnavailable(
            f"{project.address}: expected {before} answers, read "
            f"{sum(len(task.answers) for task in read)}. Try again when people rest."
        )

    def deleted(self, answer_ids: Iterable[str]) -> set[str]:
        """Those of these answers that are no longer there; each is asked for by itself."""
        return {name for name in answer_ids if not self._is_there(name)}

    def _is_there(self, answer_id: str) -> bool:
        try:
            self._client.get(f"/api/annotations/{answer_id}/", _Given)
        except NotFound:
            return False
        return True

    def _number(self, wanted: str) -> int | None:
        """The id that a number or an address names; None: it must be a title."""
        if wanted.isdecimal():
            return int(wanted)
        if not wanted.startswith(("http://", "https://")):
            return None
        here, there = urlsplit(self._url), urlsplit(wanted)
        path = there.path.removeprefix(here.path)
        found = re.match(r"/projects/(\d+)(/|$)", path)
        if here.netloc != there.netloc or found is None:
            raise ConfigError(
                f"project {wanted}: expected an address like {self._url}/projects/7, of the server "
                "that LABEL_STUDIO_URL or queue.url names."
            )
        return int(found[1])

    def _count(self, project: int) -> int:
        return sum(one.answers for one in self._api.projects() if one.id == project)

    def _answered(self, project: int) -> list[ToolTask]:
        tasks = self._api.answered_tasks(project, [holds_answers()])
        # A filter that had no effect brings tasks without answers.
        return [task for task in tasks if task.annotations]

    def _task(self, task: ToolTask) -> ForeignTask:
        answers = sorted(task.annotations, key=lambda one: (one.updated_at, one.id))
        return ForeignTask(
            number=task.id, data=task.data, answers=tuple(self._answer(one) for one in answers)
        )

    def _answer(self, given: Annotation) -> ForeignAnswer:
        changed = given.updated_at.astimezone(UTC)
        return ForeignAnswer(
            answer_id=str(given.id),
            revision=changed.strftime(_TIME),
            annotator=self._annotator(given.completed_by),
            skipped=given.was_cancelled,
            result=given.result,
            note="\n".join(_typed(given.result)),
            lead_seconds=given.lead_time,
            answered_at=changed,
        )

    def _annotator(self, user: int | None) -> str:
        if user is not None and user not in self._emails:
            # Whoever is missing now is not asked for again.
            self._emails = {user: "", **self._api.emails()}
        return self._emails.get(user or 0) or f"user-{user or 'unknown'}"


def _typed(result: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """What was written into text areas."""
    for part in result:
        value = part.get("value")
        if part.get("type") == "textarea" and isinstance(value, dict):
            text = cast("dict[str, object]", value).get("text")
            lines = cast("list[object]", text) if isinstance(text, list) else [text]
            yield from (str(line) for line in lines if line)


def _controls(project: ToolProject) -> tuple[Control, ...]:
    """Every tag with a name that asks about something shown."""
    try:
        view = fromstring(project.label_config, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise ConfigError(
            f"project {project.id} {project.title!r}: expected a labeling page in XML, got: {error}"
        ) from error
    return tuple(
        Control(
            name=element.get("name", ""),
            tag=element.tag,
            several=element.get("choice") == "multiple",
            options=tuple(_options(element, ())),
        )
        for element in view.iter()
        if element.get("name") and element.get("toName")
    )


def _options(element: Element, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for choice in element.findall("Choice"):
        path = (*above, choice.get("alias") or choice.get("value") or "")
        yield path
        yield from _options(choice, path)
