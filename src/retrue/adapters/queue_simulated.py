"""Simulated annotators at work on the embedded queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

from retrue.adapters.queue_embedded import EmbeddedQueue
from retrue.core.simulate import SimulatedAnnotator, annotator_rng, answer_of, lead_of
from retrue.kinds import LabelSchema
from retrue.records import QueueTask, short_hash

__all__ = ["simulate_answers"]


def simulate_answers(
    queue: EmbeddedQueue,
    annotators: Sequence[SimulatedAnnotator],
    truth: Callable[[QueueTask], str],
    schema_of: Callable[[QueueTask], LabelSchema],
    *,
    seed: str,
    now: datetime,
    limit: int | None = None,
) -> int:
    """Answer the open tasks, each by as many distinct people of its group as it wants.

    Who answers which task is dealt by hash: evenly, and the same however often this is cut off
    and run again, or in whatever order the tasks came in.

    Args:
        queue: Where people answer.
        annotators: Who is there; a task whose group lacks people stays open.
        truth: What the sample really is.
        schema_of: What was asked about it.
        seed: Names the simulation.
        now: Written as `answered_at`.
        limit: At most this many answers; None: all.

    Returns:
        How many answers were given.
    """
    given = 0
    for task, willing in _open(queue, annotators):
        dealt = sorted(willing, key=lambda person: short_hash(seed, task.task_key, person.name))
        for person in dealt[: queue.places(task.task_key)]:
            if given == limit:
                return given
            rng = annotator_rng(seed, person.name, task.task_key)
            value, note = answer_of(person, truth(task), schema_of(task), rng=rng)
            queue.answer(
                task.task_key,
                person.name,
                value,
                note=note,
                lead_seconds=lead_of(person, rng=rng),
                now=now,
            )
            given += 1
    return given


def _open(
    queue: EmbeddedQueue, annotators: Sequence[SimulatedAnnotator]
) -> list[tuple[QueueTask, list[SimulatedAnnotator]]]:
    """Every task open to somebody, with who may answer it."""
    tasks: dict[str, QueueTask] = {}
    willing: defaultdict[str, list[SimulatedAnnotator]] = defaultdict(list)
    for person in annotators:
        for task in queue.open_tasks(person.name, person.group):
            tasks[task.task_key] = task
            willing[task.task_key].append(person)
    return [(task, willing[key]) for key, task in tasks.items()]
