"""Webhooks in Label Studio that point to our listener, one per project of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field

from retrue.adapters.hints_webhook import SECRET_HEADER
from retrue.adapters.label_studio_api import LabelStudioApi
from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.records import short_hash

__all__ = ["HooksReport", "LabelStudioHooks"]

ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksReport:
    """Webhooks of our projects after a call."""

    projects: int
    added: int
    removed: int  # those that pointed elsewhere, or carried another secret
    kept: int


class _Hook(BaseModel):
    id: int
    project: int | None = None
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    is_active: bool = True


class LabelStudioHooks:
    """Asks what is there, adds the rest."""

    def __init__(self, client: LabelStudioClient, *, project_prefix: str, secret: str) -> None:
        """Know whose projects and which secret.

        Args:
            client: The server.
            project_prefix: The workspace's name, of which its projects carry a mark.
            secret: What the webhooks carry in their header.
        """
        self._client, self._api = client, LabelStudioApi(client)
        # As LabelStudioQueue marks its projects.
        self._mark = re.compile(rf"\bretrue:{short_hash(project_prefix, digits=8)}:")
        self._secret = secret

    def register(self, url: str, *, dry_run: bool = False) -> HooksReport:
        """One webhook to `url` in every project of ours, with today's secret and no other of ours.

        Args:
            url: Where Label Studio reaches the listener.
            dry_run: Ask and count, change nothing.
        """
        added = removed = kept = 0
        projects = self._projects()
        for project in projects:
            fitting = 0
            for hook in self._ours(project):
                right = hook.url == url and hook.is_active
                if right and hook.headers[SECRET_HEADER] == self._secret and not fitting:
                    fitting = 1
                    continue
                removed += 1
                if not dry_run:
                    self._client.delete(f"/api/webhooks/{hook.id}/")
            kept, added = kept + fitting, added + 1 - fitting
            if not fitting and not dry_run:
                self._add(project, url)
        return HooksReport(projects=len(projects), added=added, removed=removed, kept=kept)

    def unregister(self, *, dry_run: bool = False) -> HooksReport:
        """Remove every webhook of ours from every project of ours."""
        projects = self._projects()
        hooks = [hook for project in projects for hook in self._ours(project)]
        for hook in [] if dry_run else hooks:
            self._client.delete(f"/api/webhooks/{hook.id}/")
        return HooksReport(projects=len(projects), added=0, removed=len(hooks), kept=0)

    def _projects(self) -> list[int]:
        return [one.id for one in self._api.projects() if self._mark.search(one.description or "")]

    def _ours(self, project: int) -> Iterator[_Hook]:
        """Known by our header; a colleague's webhook is left alone."""
        found = self._client.get("/api/webhooks/", list[_Hook], {"project": project})
        yield from (
            hook for hook in found if hook.project == project and SECRET_HEADER in hook.headers
        )

    def _add(self, project: int, url: str) -> None:
        self._client.post(
            "/api/webhooks/",
            _Hook,
            {
                "project": project,
                "url": url,
                "send_payload": False,  # nobody reads it, so it need not travel
                "send_for_all_actions": False,
                "actions": list(ACTIONS),
                "headers": {SECRET_HEADER: self._secret},
                "is_active": True,
            },
            again=False,
        )
