"""A whole workspace in memory: a small table, three people, a model that learns in no time.

A sample is a point (x, y) and its label the side x lies on. A shift moves the points and their
border alike, so a model that learnt the old border is wrong until it sees new labels.
"""

from __future__ import annotations

import io
import json
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from retrue.adapters.dataset_files import read_rows, write_dataset
from retrue.adapters.model_files import ModelSpec, model_inputs, predict, save_estimator, write_spec
from retrue.adapters.models_memory import MemoryModels
from retrue.adapters.notify_webhook import Silent
from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.queue_simulated import simulate_answers
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.adapters.repo_memory import MemoryRepo
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.adapters.store_memory import MemoryStore
from retrue.cli.stage import migrate_under
from retrue.config import Config, Labels
from retrue.core.simulate import SimulatedAnnotator
from retrue.ports import FitResult, Lease
from retrue.workspace import Workspace

PortT = TypeVar("PortT")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUCKET = "memory://bucket"
PEOPLE = (
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=3.0),
    SimulatedAnnotator(name="bob", accuracy=0.95, seconds=3.0),
    SimulatedAnnotator(name="cleo", accuracy=0.9, seconds=2.0),
    SimulatedAnnotator(name="ann", accuracy=1.0, seconds=4.0, group="adjudicator"),
)

EXPERTS = tuple(replace(person, accuracy=1.0) for person in PEOPLE)  # who never disagree

SPEC = ModelSpec(
    trainer="sklearn",
    data_kind="table",
    label_kind="choice",
    classes=('"left"', '"right"'),
    features={"x": "number", "y": "number"},
    text=None,
    side=None,
    constant={},
)


def a_config(**changes: object) -> Config:
    """A table of two numbers, labelled by chance first; everything opens by itself."""
    raw: dict[str, object] = {
        "project": "points",
        "data": {
            "kind": "table",
            "incoming": {"uri": f"{BUCKET}/in", "key": "id"},
            "inference": {"uri": f"{BUCKET}/log", "key": "id", "probabilities": "p_*"},
            "fields": {"x": {"type": "number"}, "y": {"type": "number"}},
        },
        "select": {"budget": 30, "bootstrap": 60, "caps": {"cost_per_label": "0.10 EUR"}},
        "queue": {"annotators": {"adjudicator": ["ann"]}},
        "round": {"open": "auto"},
        "model": {"promote": "auto"},
        "drift": {"probe": {"labels": 20, "max": 40}},
    }
    return Config.model_validate(raw | changes)


def some_labels(**changes: object) -> Labels:
    """Left or right."""
    return Labels.model_validate({"kind": "choice", "classes": ["left", "right"]} | changes)


@dataclass
class World:
    """The memory adapters, the truth, and people who answer; `workspace()` is what steps take."""

    folder: Path
    config: Config = field(default_factory=a_config)
    labels: Labels = field(default_factory=some_labels)
    store: MemoryStore = field(default_factory=lambda: MemoryStore([BUCKET]))
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    records: MemoryRoundRecord = field(default_factory=MemoryRoundRecord)
    state: MemoryWorkingState = field(default_factory=MemoryWorkingState)
    truths: dict[str, str] = field(default_factory=dict)
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.models = MemoryModels(self.folder, self.config, self.labels)
        self.repo = MemoryRepo(
            self.config.project,
            place=self.folder / "versions",
            records=self._record_names,
            build=self._build,
            fit=self._fit,
            check=self._check,
        )

    def workspace(
        self, wrap: Callable[[PortT], PortT] = lambda port: port, *, holder: str = "test"
    ) -> Workspace:
        """What a step takes; `wrap` may put something around every port."""
        return Workspace(
            root=self.folder,
            config=self.config,
            labels=self.labels,
            store=wrap(self.store),
            queue=wrap(self.queue),
            records=wrap(self.records),
            state=wrap(self.state),
            repo=wrap(self.repo),
            models=wrap(self.models),
            notify=Silent(),
            holder=holder,
        )

    def photograph(self) -> bytes:
        """Everything as it is now; `develop` makes worlds of it that know nothing of each other."""
        return pickle.dumps(self)

    @staticmethod
    def develop(picture: bytes, folder: Path) -> World:
        """The world of a photograph, with a folder of its own."""
        world: World = pickle.loads(picture)  # noqa: S301 - our own, made a moment ago
        world.folder = folder
        world.repo._place = folder / "versions"
        return world

    def sleep(self, **time: float) -> datetime:
        """Let time pass."""
        self.now += timedelta(**time)
        return self.now

    def arrive(self, name: str, rows: int, *, shift: float = 0.0, stream: str = "in") -> list[str]:
        """New rows in the bucket, `shift` to the right of where they used to be; returns ids."""
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x = rng.normal(size=rows)
        ids = [f"{name}-{i:04d}" for i in range(rows)]
        self.truths |= {i: "right" if v > 0 else "left" for i, v in zip(ids, x, strict=True)}
        table = {"id": ids, "x": x + shift, "y": rng.normal(size=rows)}
        if stream == "log":
            right = 1 / (1 + np.exp(-3 * (x + shift)))
            table |= {"p_left": 1 - right, "p_right": right}
        data = io.BytesIO()
        pd.DataFrame(table).to_parquet(data, index=False)
        self.store.put(f"{BUCKET}/{stream}/{name}.parquet", data.getvalue(), modified_at=self.now)
        return ids

    def people_answer(
        self,
        people: Sequence[SimulatedAnnotator] = PEOPLE,
        *,
        limit: int | None = None,
    ) -> int:
        """Everybody answers what is open."""
        homes = self.homes()
        return simulate_answers(
            self.queue,
            people,
            lambda task: json.dumps(self.truths[homes[task.task_key]]),
            lambda _: self.labels.label_schema,
            seed="people",
            now=self.now,
            limit=limit,
        )

    def homes(self) -> dict[str, str]:
        """Task key -> the sample it asks about."""
        return {
            task.task_key: task.sample_id
            for item in self.records.rounds()
            for task in self.records.tasks(item.plan.round_id)
        }

    def _check(self, lease: Lease) -> None:
        self.state.check_lease(lease)

    def _record_names(self) -> list[str]:
        names = [f"decision/{made.kind}/{made.decision_id}" for made in self.records.decisions()]
        for item in self.records.rounds():
            name = item.plan.round_id
            names += [f"{name}/plan", f"{name}/answers/{len(self.records.answers(name))}"]
            names += [f"{name}/{file}" for file, _ in self.records.verdict_files(name)]
        return names

    def _build(self, out: Path) -> object:
        return write_dataset(
            self.records,
            out,
            version=None,
            project=self.config.project,
            migrate=migrate_under(self.labels),
        )

    def _fit(self, dataset: Path) -> FitResult:
        rows = read_rows(dataset)
        known = {
            sample.sample_id: sample
            for item in self.records.rounds()
            for sample in self.records.samples(item.plan.round_id)
        }
        inputs = model_inputs(SPEC, [known[row.sample_id] for row in rows], None)
        train = np.array([row.split == "train" for row in rows])
        said = np.array([json.loads(row.label) for row in rows])
        model = LogisticRegression().fit(inputs[train], said[train])
        folder = self.folder / f"model-{len(rows)}-{zlib.crc32(repr(rows).encode())}"
        save_estimator(folder, model)
        write_spec(folder, SPEC)
        found = predict(model, SPEC, inputs).predicted
        return fitted(folder, {row.sample_id: p for row, p in zip(rows, found, strict=True)})


def fitted(folder: Path, predicted: Mapping[str, str]) -> FitResult:
    """What a fit returns that wrote a model into a folder."""
    return FitResult(
        model_dir=folder,
        metrics={"accuracy": 1.0},
        plots=(),
        predictions=folder / "predictions.parquet",
        predicted=predicted,
    )
