"""Writes the records of a small digits workspace, as the steps would."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from retrue.adapters.dataset_files import write_dataset
from retrue.adapters.queue_memory import MemoryQueue
from retrue.adapters.records_memory import MemoryRoundRecord
from retrue.adapters.repo_memory import MemoryRepo
from retrue.adapters.state_memory import MemoryWorkingState
from retrue.adapters.store_memory import MemoryStore
from retrue.config import Config, Labels
from retrue.core.profile import profile_categories, profile_numbers
from retrue.ports import Cursor, Lease
from retrue.reading.pushing import COMPLETE, push_mark
from retrue.records import (
    Answer,
    Arm,
    Decision,
    Json,
    ModelVersion,
    RoundKind,
    RoundPlan,
    Sample,
    Task,
    Verdict,
    Window,
    canonical_json,
    short_hash,
)
from retrue.workspace import Workspace

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = "<script>alert(1)</script>"
SKILL = {"ana": 0.97, "ben": 0.93, HOSTILE: 0.45}
SECONDS = {"ana": 4.0, "ben": 7.0, HOSTILE: 2.1}
DIGITS = load_digits()


class Models:
    """A registry of nothing but names and evidence."""

    def __init__(self) -> None:
        self.known: list[ModelVersion] = []
        self.files: dict[tuple[str, str], str] = {}

    def champion(self) -> ModelVersion | None:
        return next((model for model in self.known if "champion" in model.aliases), None)

    def versions(self) -> list[ModelVersion]:
        return list(self.known)

    def evidence(self, model: ModelVersion, name: str) -> str | None:
        return self.files.get((model.version, name))


class Nobody:
    """A notifier: the report tells nobody."""


class World:
    """Writes records as the steps would, and tells nothing else."""

    def __init__(self, config: Mapping[str, object] | None = None) -> None:
        self.rng = np.random.default_rng(7)
        self.records, self.state = MemoryRoundRecord(), MemoryWorkingState()
        self.models, self.next_row = Models(), 0
        self.labels = Labels.model_validate(
            {
                "version": 2,
                "kind": "choice",
                "classes": [str(n) for n in range(10)],
                "migrations": [{"to": 2, "op": "add", "target": ["9"]}],
            }
        )
        self.config = Config.model_validate(
            {
                "project": "digits",
                "data": {"kind": "image", "inference": {"uri": "mem://log/"}},
                "select": {"caps": {"day": 300, "month": 2000, "cost_per_label": "0.12 EUR"}},
                "queue": {"annotators": {"expert": ["ana"]}},
                **(config or {}),
            }
        )
        self.queue = MemoryQueue()
        self.repo = MemoryRepo(
            "digits",
            place=Path(tempfile.mkdtemp(prefix="retrue-report-")),
            records=lambda: [d.decision_id for d in self.records.decisions()],
            build=lambda folder: write_dataset(
                self.records,
                folder,
                version=None,
                project="digits",
                migrate=lambda label, _old, _new: label,
            ),
            fit=_never,
            check=lambda _lease: None,
        )

    @property
    def workspace(self) -> Workspace:
        return Workspace(
            root=Path(),
            config=self.config,
            labels=self.labels,
            store=MemoryStore(["mem://"]),
            queue=self.queue,
            records=self.records,
            state=self.state,
            repo=self.repo,
            models=self.models,
            notify=Nobody(),
            holder="test",
        )

    def decide(self, kind: str, cause: str, at: datetime, data: Mapping[str, Json]) -> None:
        name = short_hash(kind, cause, digits=12)
        self.records.decide(Decision(decision_id=name, kind=kind, at=at, by="retrue", data=data))

    def window(self, number: int, at: datetime, *, shifted: bool = False) -> Window:
        rows = 900 + 40 * (number % 4)
        window = Window(
            window_id=f"w{number:02d}",
            stream="inference",
            objects=(),
            rows=rows,
            eligible=rows - 60,
            duplicates=12,
            quarantined=5,
            first_time=at - 7 * DAY,
            last_time=at - HOUR,
            model_version="1",
            recorded_at=at,
        )
        with self.state.lease("x", holder="t", ttl=DAY, now=at) as lease:
            cursor = Cursor(position=at, seen=frozenset())
            self.state.add_window(window, self.profile(shifted=shifted), (), cursor, lease)
        return window

    def profile(self, *, shifted: bool) -> dict[str, object]:
        sure = self.rng.beta(9, 1.4, 900) if not shifted else self.rng.beta(4, 2.2, 900)
        counts = {str(n): 90 + 3 * (n % 3) for n in range(9)}
        if shifted:
            counts |= {"3": 170, "4": 150, "1": 40}
        return {
            "p_max": profile_numbers(sure, center=0.0),
            "predicted": profile_categories(counts),
        }

    def samples(self, count: int, window: Window, round_id: str) -> list[Sample]:
        found: list[Sample] = []
        media: dict[str, bytes] = {}
        for _ in range(count):
            row, self.next_row = self.next_row, self.next_row + 1
            data = png(DIGITS.images[row])
            digest = hashlib.sha256(data).hexdigest()
            media[digest] = data
            found.append(sample(f"s{row:04d}", window.window_id, digest))
        self.records.put_media(round_id, media)
        return found

    def round(
        self,
        kind: RoundKind,
        cause: str,
        why: str,
        at: datetime,
        arms: Mapping[Arm, int],
        windows: Sequence[Window],
        *,
        error: float | None = None,
    ) -> str:
        round_id = f"{kind}-{short_hash(kind, cause, digits=8)}"
        samples = self.samples(sum(arms.values()), windows[-1], round_id)
        order = [arm for arm, count in arms.items() for _ in range(count)]
        rows = sum(window.eligible for window in windows)
        tasks = [
            self.task(round_id, one, arm, why, error, arms["audit"] / rows)
            for one, arm in zip(samples, order, strict=True)
        ]
        plan = RoundPlan(
            round_id=round_id,
            kind=kind,
            cause=cause,
            why=why,
            population=tuple(windows),
            frame_rows=rows,
            seed="s",
            arms=arms,
            schema_version=2,
            guideline_version="1",
            cost_per_label=0.12,
            currency="EUR",
            parent=None,
            planned_at=at,
        )
        self.records.plan_round(plan, samples, tasks)
        return round_id

    def task(
        self, round_id: str, one: Sample, arm: Arm, why: str, error: float | None, chance: float
    ) -> Task:
        truth = digit(one)
        wrong = error is not None and self.rng.random() < error * (2 if arm == "active" else 1)
        said = str((truth + 1 + int(self.rng.integers(0, 8))) % 10) if wrong else str(truth)
        reasons = {
            "active": f"the model hesitates (margin {self.rng.random() / 5:.2f})",
            "novel": f"unlike anything labelled (distance {0.4 + self.rng.random() / 3:.2f})",
            "random": "training, by chance",
        }
        return Task(
            task_key=short_hash(round_id, one.sample_id),
            round_id=round_id,
            sample_id=one.sample_id,
            arm=arm,
            group="crowd",
            overlap=2 if arm == "audit" else 1,
            score=None,
            inclusion_probability=chance if arm == "audit" else None,
            trigger=f"{why}; {reasons.get(arm, 'audit, by chance')}",
            schema_version=2,
            guideline_version="1",
            predicted=None if error is None else canonical_json(said),
            predicted_probability=None
            if error is None
            else round(0.55 + self.rng.random() / 2.3, 2),
            gold=None,
        )

    def open(self, round_id: str, at: datetime) -> None:
        self.decide("round-opened", round_id, at, {"round": round_id})
        with self.state.lease("x", holder="t", ttl=DAY, now=at) as lease:
            self.state.set_value(push_mark(round_id), COMPLETE, lease)

    def answer(self, round_id: str, at: datetime, *, share: float = 1.0) -> None:
        """People answer; the last of the three sees every other task and errs often."""
        answers: list[Answer] = []
        tasks = self.records.tasks(round_id)
        for i, task in enumerate(tasks[: int(share * len(tasks))]):
            names = ["ana", "ben"] if task.overlap > 1 else [["ana", "ben"][i % 2]]
            for name in [*names, HOSTILE] if i % 2 else names:
                right = self.rng.random() < SKILL[name]
                truth = int(task.sample_id[1:])
                value = (int(DIGITS.target[truth]) + (0 if right else 3 + i % 3)) % 10
                seconds = SECONDS[name] * float(self.rng.lognormal(0, 0.3))
                answers.append(
                    answer(task, name, canonical_json(str(value)), len(answers) + 1, at, seconds)
                )
        self.records.append_answers(round_id, answers)

    def judge(self, round_id: str, at: datetime, *, wrong: Sequence[str] = ()) -> None:
        """Write the true label of every sample of a round, but for some."""
        self.records.append_verdicts(
            round_id,
            [
                verdict(one.sample_id, (digit(one) + (one.sample_id in wrong)) % 10, at)
                for one in self.records.samples(round_id)
            ],
        )

    def close(self, round_id: str, at: datetime) -> None:
        self.decide("round-closed", round_id, at, {"round": round_id})

    def version(self, number: int, at: datetime, lease: Lease) -> None:
        files: list[Json] = [
            f"{item.plan.round_id}/{name}"
            for item in self.records.rounds()
            if item.state in ("closed", "published")
            for name, _ in self.records.verdict_files(item.plan.round_id)
        ]
        data: dict[str, Json] = {
            "version": number,
            "verdict_files": files,
            "schema_version": 2,
            "guideline_version": "1",
            "eval_share": 1.0,
            "temporal_cutoff": None,
        }
        self.decide("version", str(number), at, data)
        for item in self.records.rounds():
            name = item.plan.round_id
            if item.state == "closed":
                self.decide("round-published", name, at, {"round": name, "version": number})
        self.repo.build(number, lease=lease)

    def gate(self, number: int, at: datetime, data: Mapping[str, Json]) -> None:
        model = ModelVersion(
            name="digits",
            version=str(number),
            run_id=f"r{number}",
            dataset_version=number,
            dataset_digest="",
            aliases=(),
            created_at=at,
        )
        self.models.known.append(model)
        self.decide(
            "gate",
            f"g{number}",
            at,
            {"fit_key": f"g{number}", "challenger": str(number), "dataset_version": number, **data},
        )

    def promote(self, number: int, at: datetime, why: str) -> None:
        self.models.known = [
            replace(m, aliases=("champion",) if m.version == str(number) else ())
            for m in self.models.known
        ]
        self.decide(
            "promotion",
            f"{number}/{at}",
            at,
            {"model": "digits", "version": str(number), "instead_of": None, "why": why},
        )

    def check(self, window: Window, at: datetime, change: float, *, incident: str | None) -> None:
        alarm = incident is not None
        reason = f"p_max: KS distance {change:.2f} is over its floor 0.10 (p = 2e-09)"
        tests: list[Json] = [
            drift_test("p_max", "outputs", "ks", change, 0.1, reason, alarm=alarm),
            drift_test(
                "predicted",
                "outputs",
                "tv",
                change * 0.7,
                0.1,
                "predicted: mix changed",
                alarm=False,
            ),
            drift_test(
                "domain classifier", "classifier", "auc", 0.5 + change / 5, 0.6, "", alarm=False
            ),
        ]
        self.decide(
            "drift-check",
            window.window_id,
            at,
            {
                "window": window.window_id,
                "champion": "1",
                "reference_windows": ["w00"],
                "alarm": alarm,
                "incident": incident,
                "rows": window.rows,
                "reasons": [reason] if alarm else [],
                "tests": tests,
                "alpha_spent": 0.0008,
                "low_confidence": [0.05, 0.05 + change / 2],
                "note": "",
            },
        )


def _never(folder: Path) -> object:
    raise AssertionError(f"the report trains nothing, not even in {folder}")


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray((255 - pixels * 15.9).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def digit(one: Sample) -> int:
    return int(DIGITS.target[int(one.sample_id[1:])])


def sample(sample_id: str, window_id: str, digest: str | None, fields: str = "{}") -> Sample:
    return Sample(
        sample_id=sample_id,
        revision=short_hash(sample_id),
        window_id=window_id,
        uri=f"mem://log/{sample_id}.png",
        object_version="1",
        row=None,
        fields=fields,
        media_uri=f"mem://log/{sample_id}.png" if digest else None,
        media_version="1" if digest else None,
        media_sha256=digest,
        group=None,
        subject=None,
        time=None,
        multiplicity=1,
    )


def answer(
    task: Task, who: str, value: str, seq: int, at: datetime, seconds: float | None
) -> Answer:
    return Answer(
        seq=seq,
        answer_id=f"{task.task_key}/{who}",
        revision="1",
        task_key=task.task_key,
        annotator=who,
        status="answered",
        value=value,
        note="",
        lead_seconds=seconds,
        answered_at=at + timedelta(minutes=seq),
        observed_at=at + HOUR,
    )


def verdict(sample_id: str, label: int, at: datetime) -> Verdict:
    return Verdict(
        sample_id=sample_id,
        label=canonical_json(str(label)),
        confidence=0.95,
        n_answers=2,
        status="accepted",
        method="dawid_skene",
        reason="",
        schema_version=2,
        decided_at=at,
    )


def drift_test(
    name: str, family: str, statistic: str, value: float, floor: float, reason: str, *, alarm: bool
) -> Json:
    return {
        "name": name,
        "family": family,
        "statistic": statistic,
        "value": value,
        "p_value": 2e-9 if alarm else 0.3,
        "alpha": 1e-4,
        "floor": floor,
        "alarm": alarm,
        "minimum_detectable": 0.09,
        "needed": None,
        "reason": reason,
    }


def accuracy(value: float, low: float, high: float, n: int) -> Json:
    return {"value": value, "low": low, "high": high, "n": n, "effective_n": float(n)}
