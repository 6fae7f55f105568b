"""Projects of ours in Label Studio: known by a mark in their description, whatever they are called.

The mark holds a hash of the workspace's name, then one of (schema, guideline, overlap, group).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import get_args

from retrue.adapters.label_studio_api import LabelStudioApi, ToolProject
from retrue.adapters.label_studio_config import Page, build_page, guideline_html
from retrue.config import Labels
from retrue.errors import QueueError
from retrue.records import AnnotatorGroup, ProjectKey, short_hash

__all__ = ["OwnProjects"]

TITLE = 50  # characters
MOST_ANSWERS = 20  # of one task, as the configuration allows


class OwnProjects:
    """Finds them and makes them."""

    def __init__(
        self,
        api: LabelStudioApi,
        prefix: str,
        *,
        schema_of: Callable[[ProjectKey], Labels | None],
        page: Page,
    ) -> None:
        """As `LabelStudioQueue` says of its arguments."""
        self._api, self._prefix = api, prefix
        self._schema_of, self._page = schema_of, page

    def all(self) -> list[ToolProject]:
        """Every project of this workspace, with its counters: one request per hundred."""
        mine = self._mark(None)
        return [item for item in self._api.projects() if _mark_of(item).startswith(mine)]

    def of(self, key: ProjectKey, projects: Iterable[ToolProject]) -> list[ToolProject]:
        """Those of `projects` that ask tasks of this key."""
        mark = self._mark(key)
        return [project for project in projects if _mark_of(project) == mark]

    def create(self, key: ProjectKey, number: int) -> ToolProject:
        """Make one.

        Args:
            key: What its tasks have in common; neither title nor order tell it.
            number: How many of this key there are then.

        Raises:
            QueueError: It is of an earlier version, and no project of that version is left.
        """
        mark = self._mark(key)
        page, guideline = self._question(key)
        end = f" {key.group} {mark[-4:]}-{number}"
        return self._api.create_project(
            {
                "title": self._prefix[: TITLE - len(end)] + end,
                "description": f"Made by retrue, which finds it by this mark: {mark}",
                "label_config": page,
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

    def _question(self, key: ProjectKey) -> tuple[str, str]:
        """Page and guideline; those of an earlier version are copied from another project."""
        labels = self._schema_of(key)
        if labels is not None:
            return build_page(labels, self._page), guideline_html(labels.guideline.text)
        marks = {
            self._mark(replace(key, overlap=overlap, group=group))
            for overlap in range(1, MOST_ANSWERS + 1)
            for group in get_args(AnnotatorGroup)
        }
        for project in self.all():
            if _mark_of(project) in marks:
                return project.label_config, project.expert_instruction or ""
        raise QueueError(
            f"tasks ask by schema {key.schema_version} and guideline {key.guideline_version}. That "
            "is not what labels.yaml says now, and Label Studio has no project of that version to "
            "take the page from. Cancel their round and open it anew, or put the earlier "
            "labels.yaml back until it is pushed."
        )

    def _mark(self, key: ProjectKey | None) -> str:
        """What stands in a project's description; of no key: how all of ours begin."""
        begin = f"retrue:{short_hash(self._prefix, digits=8)}:"
        if key is None:
            return begin
        parts = (str(key.schema_version), key.guideline_version, str(key.overlap), key.group)
        return begin + short_hash(*parts, digits=12)


def _mark_of(project: ToolProject) -> str:
    found = re.search(r"retrue:[0-9a-f]{8}:[0-9a-f]{12}\b", project.description or "")
    return found[0] if found else ""
