"""What the fit stage trains on: the dataset's rows with their samples, media and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrue.adapters.dataset_files import read_rows
from retrue.adapters.records_files import FileRoundRecord
from retrue.adapters.trainer_sklearn import usable
from retrue.config import Config
from retrue.errors import TrainingError
from retrue.ports import RoundRecord
from retrue.records import DatasetRow, Sample

__all__ = ["FitData", "Places", "read_fit_data"]

PROGRAM_WEIGHT = 0.3  # a label that only programs gave counts for this much of a person's
Weights: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitData:
    """A dataset with what its rows are about; every sequence has length n, by sample id."""

    rows: Sequence[DatasetRow]
    samples: Sequence[Sample]
    media: Sequence[bytes] | None
    weights: Weights

    def at(self, places: Places) -> FitData:
        """The rows at these places, in their order."""
        chosen = [int(place) for place in places]
        return FitData(
            rows=[self.rows[place] for place in chosen],
            samples=[self.samples[place] for place in chosen],
            media=None if self.media is None else [self.media[place] for place in chosen],
            weights=self.weights[chosen],
        )

    @property
    def labels(self) -> list[str]:
        """Canonical JSON, length n."""
        return [row.label for row in self.rows]

    @property
    def training(self) -> Places:
        """Places of the rows a model may learn from, oldest label first."""
        learnt = usable(self.labels)
        places = [i for i, row in enumerate(self.rows) if row.split == "train" and learnt[i]]
        places.sort(key=lambda i: (self.rows[i].labelled_at, self.rows[i].sample_id))
        return np.array(places, dtype=np.int64)

    @property
    def evaluation(self) -> Places:
        """Places of the evaluation rows."""
        places = [i for i, row in enumerate(self.rows) if row.split == "eval"]
        return np.array(places, dtype=np.int64)


def read_fit_data(root: Path, config: Config) -> FitData:
    """Join the workspace's dataset with the samples, media and answers of its rounds.

    Raises:
        TrainingError: Samples or media of labelled rows are missing.
        RecordError: The dataset or the records are damaged.
    """
    rows = read_rows(root / "data/dataset")
    records = FileRoundRecord(root / "data")
    samples: dict[str, Sample] = {}
    media: dict[str, bytes] = {}
    programs: set[str] = set()
    for round_id in sorted({row.round_id for row in rows}):
        wanted = {row.sample_id for row in rows if row.round_id == round_id}
        samples |= {s.sample_id: s for s in records.samples(round_id) if s.sample_id in wanted}
        media |= records.media(round_id)
        programs |= _labelled_by_programs(records, round_id, config)
    lost = [row.sample_id for row in rows if row.sample_id not in samples]
    if lost:
        raise TrainingError(
            f"data/rounds: expected the samples of all {len(rows)} rows, {len(lost)} are missing, "
            f"the first is {lost[0]}. Get the records with `dvc pull`."
        )
    ordered = [samples[row.sample_id] for row in rows]
    share = [PROGRAM_WEIGHT if row.sample_id in programs else 1.0 for row in rows]
    return FitData(
        rows=rows,
        samples=ordered,
        media=_media(ordered, media, config),
        weights=np.array([row.confidence for row in rows]) * np.array(share),
    )


def _media(
    samples: Sequence[Sample], media: dict[str, bytes], config: Config
) -> list[bytes] | None:
    if config.data.kind in ("table", "text"):
        return None
    found = [media.get(sample.media_sha256 or "") for sample in samples]
    if config.data.kind == "other" and not any(found):
        return None
    lost = [s.sample_id for s, data in zip(samples, found, strict=True) if data is None]
    if lost:
        raise TrainingError(
            f"data/rounds: expected the media of all {len(samples)} samples, {len(lost)} are "
            f"missing, the first is {lost[0]}. Set data.keep_media: true before a round is opened."
        )
    return [data for data in found if data is not None]


def _labelled_by_programs(records: RoundRecord, round_id: str, config: Config) -> set[str]:
    """Samples that programs answered and no person did."""
    annotators = config.queue.annotators
    if not annotators.program:
        return set()
    tasks = {task.task_key: task for task in records.tasks(round_id)}
    people: dict[bool, set[str]] = {True: set(), False: set()}
    for answer in records.answers(round_id):
        if answer.status == "answered" and answer.task_key in tasks:
            program = annotators.group_of(answer.annotator) == "program"
            people[program].add(tasks[answer.task_key].sample_id)
    return people[True] - people[False]
