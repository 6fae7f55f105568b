"""A small table workspace in memory, for what people do between the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from retrue.adapters.dataset_files import write_dataset
from retrue.adapters.models_memory import MemoryModels
from retrue.adapters.notify_webhook import Silent
from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.adapters.repo_memory import MemoryRepo
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.adapters.store_memory import MemoryStore
from retrue.cli.call import Call
from retrue.cli.stage import migrate_under
from retrue.config import Config, Labels
from retrue.ports import FitResult
from retrue.records import Round
from retrue.steps.collect import collect_answers
from retrue.steps.ingest import ingest_windows
from retrue.steps.push import push_tasks
from retrue.steps.select import select_samples
from retrue.steps.validate import judge_answers
from retrue.steps.version import build_version
from retrue.workspace import Workspace

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = "memory://bucket"


def a_config(**changes: object) -> Config:
    """Fields, consent, one adjudicator; a person opens rounds."""
    raw: dict[str, object] = {
        "project": "fruit",
        "data": {
            "kind": "table",
            "incoming": {"uri": f"{ROOT}/in", "key": "id"},
            "fields": {"weight": {"type": "number"}, "color": {"type": "category"}},
            "consent": {"column": "ok"},
        },
        "select": {"budget": 8, "caps": {"cost_per_label": "0.10 EUR"}},
        "round": {"open": "auto"},
        "model": {"promote": "ask"},
        "queue": {"annotators": {"adjudicator": ["judy"]}},
    }
    return Config.model_validate(raw | changes)


def fruit_labels(**changes: object) -> Labels:
    """Apple or pear."""
    return Labels.model_validate({"kind": "choice", "classes": ["apple", "pear"]} | changes)


@dataclass
class SmallWorld:
    """Memory adapters, and what happens in them."""

    folder: Path
    config: Config = field(default_factory=a_config)
    labels: Labels = field(default_factory=fruit_labels)
    store: MemoryStore = field(default_factory=lambda: MemoryStore([ROOT]))
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    records: MemoryRoundRecord = field(default_factory=MemoryRoundRecord)
    state: MemoryWorkingState = field(default_factory=MemoryWorkingState)
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.models = MemoryModels(self.folder, self.config, self.labels)
        self.repo = MemoryRepo(
            self.config.project,
            place=self.folder / "versions",
            records=lambda: [made.decision_id for made in self.records.decisions()],
            build=self._build,
            fit=self._fit,
            check=lambda lease: self.state.check_lease(lease),
        )

    def workspace(self, person: str = "retrue") -> Workspace:
        """What a step takes."""
        return Workspace(
            root=self.folder,
            config=self.config,
            labels=self.labels,
            store=self.store,
            queue=self.queue,
            records=self.records,
            state=self.state,
            repo=self.repo,
            models=self.models,
            notify=Silent(),
            holder="test",
            person=person,
        )

    def sleep(self, hours: float = 1) -> datetime:
        """Let time pass."""
        self.now += timedelta(hours=hours)
        return self.now

    def arrive(self, name: str, rows: int = 12) -> None:
        """A new object: apples weigh a whole number, every sixth row has no consent."""
        lines = ["id,weight,color,ok"]
        lines += [
            f"{name}-{i},{i},{'red' if i % 2 else 'green'},{'false' if i % 6 == 5 else 'true'}"
            for i in range(rows)
        ]
        data = ("\n".join(lines) + "\n").encode()
        self.store.put(f"{ROOT}/in/{name}.csv", data, modified_at=self.now)

    def ingest(self) -> str:
        """Record what is new; returns the window's id."""
        (report,) = ingest_windows(self.workspace(), now=self.sleep())
        assert report.window is not None
        return report.window.window_id

    def bootstrap(self) -> Round:
        """A first round, opened and pushed."""
        self.arrive("a")
        self.ingest()
        select_samples(self.workspace(), now=self.sleep())
        push_tasks(self.workspace(), now=self.sleep())
        return self.records.rounds()[0]

    def answer(
        self,
        label: Callable[[str, str], str | None] = lambda person, _: '"apple"',  # noqa: ARG005
        people: Sequence[str] = ("ann", "bob"),
        limit: int | None = None,
    ) -> None:
        """Everybody answers (person, task key) -> JSON text, at most `limit` answers."""
        left = limit
        for person in people:
            group = self.config.queue.annotators.group_of(person)
            for task in self.queue.open_tasks(person, group):
                if left == 0:
                    return
                left = None if left is None else left - 1
                said = label(person, task.task_key)
                self.queue.answer(task.task_key, person, said, lead_seconds=4.0, now=self.now)

    def come_home(self) -> None:
        """Collect and judge."""
        collect_answers(self.workspace(), now=self.sleep())
        judge_answers(self.workspace(), now=self.sleep())

    def publish(self) -> int:
        """Build the next version."""
        report = build_version(self.workspace(), now=self.sleep())
        assert report.manifest is not None, report.why
        return report.manifest.version

    def call(self, app: Typer, *words: str, person: str = "pat", typed: str = "") -> Result:
        """Run a command of one group as a person."""
        given = WorldCall(
            start=self.folder,
            person=person,
            json=False,
            debug=False,
            now=self.sleep(),
            opened=self.workspace(person),
        )
        return CliRunner().invoke(app, list(words), obj=given, input=typed)

    def _build(self, out: Path) -> object:
        return write_dataset(
            self.records,
            out,
            version=None,
            project=self.config.project,
            migrate=migrate_under(self.labels),
        )

    def _fit(self, _dataset: Path) -> FitResult:
        model = self.folder / f"model-{len(list(self.folder.glob('model-*')))}"
        model.mkdir()
        table = pa.table({"sample_id": ["a-0"], "predicted": ['"apple"']})
        pq.write_table(table, model / "predictions.parquet")
        return FitResult(
            model_dir=model,
            metrics={"accuracy": 0.5},
            plots=(),
            predictions=model / "predictions.parquet",
            predicted=_Always(),
        )


@dataclass(frozen=True, kw_only=True)
class WorldCall(Call):
    """A call whose workspace is in memory."""

    opened: Workspace

    def workspace(self, *, by_person: bool = False) -> Workspace:
        """The world's; decisions carry the person's name."""
        person = self.person if by_person and self.person else "retrue"
        return replace(self.opened, person=person)


class _Always(dict[str, str]):
    """A model that sees apples everywhere."""

    def __missing__(self, sample_id: str) -> str:
        return '"apple"'
