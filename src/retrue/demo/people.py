"""Who answers in the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

from retrue.adapters.queue_files import FileQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.core.simulate import SimulatedAnnotator
from retrue.errors import WorkspaceError
from retrue.records import QueueTask
from retrue.workspace import Workspace

__all__ = ["DeskPeople", "People"]


class People(Protocol):
    """They answer what is open to them."""

    def answer(self, workspace: Workspace, *, now: datetime) -> int:
        """Answer everything they are asked; returns how many answers were given.

        Args:
            workspace: Whose questions.
            now: The time of the answers, where the queue lets us say so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPeople:
    """Simulated annotators at the queue in files."""

    annotators: tuple[SimulatedAnnotator, ...]
    truths: Mapping[str, str]  # by picture name
    seed: str

    def answer(self, workspace: Workspace, *, now: datetime) -> int:
        """As the protocol says."""
        if not isinstance(workspace.queue, FileQueue):
            raise WorkspaceError("queue.use: expected `files`, where these people sit")
        schema = workspace.labels.label_schema
        return simulate_answers(
            workspace.queue,
            self.annotators,
            self._truth,
            lambda _: schema,
            seed=self.seed,
            now=now,
        )

    def _truth(self, task: QueueTask) -> str:
        return self.truths[PurePosixPath(str(task.media_uri)).stem]
