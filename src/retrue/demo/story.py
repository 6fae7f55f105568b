"""`retrue demo`: the whole loop over real handwritten digits, in a throw-away workspace.

Five weeks in about a minute. Everything is what a team would run; only the world around it (the
application, the people) is played by `demo_world`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from retrue.cycle import Closing, Opening, close_rounds, open_rounds
from retrue.demo.screen import DemoRun
from retrue.demo.world import ANNOTATORS, NEW_CLASS, Digit, World, make_world, write_log
from retrue.demo.world import write_pictures as draw
from retrue.errors import WorkspaceError
from retrue.records import QueueTask, Sample
from retrue.steps.ingest import ingest_windows
from retrue.wiring import open_workspace, quiet_telemetry
from retrue.workspace import Workspace

__all__ = ["DemoRun", "run_demo"]

MARK = ".retrue-demo"  # only a folder with this file in it is ever thrown away
SEED = 7
FIRST_CLASSES = tuple(str(digit) for digit in range(9))
ROUNDS_OF_ANSWERS = 6  # answers, disputes, answers to those; more would mean a loop

PROJECT = {
    "version": 1,
    "project": "digits",
    "data": {
        "kind": "image",
        "incoming": {"uri": "bucket/incoming", "key": "image_id"},
        "inference": {
            "uri": "bucket/log",
            "key": "image_id",
            "time": "taken_at",
            "media": "path",
            "media_root": "bucket/pictures",
            "probabilities": "p_*",
            "model_version": "model_version",
        },
    },
    "labels": {"answers_per_item": {"train": 1, "audit": 2}},
    "queue": {"annotators": {"crowd": ["Ann", "Bob", "Cleo"], "adjudicator": ["Ann"]}},
    "drift": {"probe": {"labels": 40, "max": 120}},
    "select": {
        "budget": 200,
        "bootstrap": 600,
        "bootstrap_audit": 0.5,
        "shares": {"audit": 0.2, "random": 0.1, "active": 0.5, "novel": 0.2},
        "caps": {"month": 3000, "cost_per_label": "0.03 EUR"},
    },
    "validate": {"min_confidence": 0.8},
    "round": {"open": "auto"},
    "model": {"promote": "auto"},
}
LABELS: dict[str, object] = {
    "version": 1,
    "kind": "choice",
    "question": "Which digit is this?",
    "classes": list(FIRST_CLASSES),
    "guideline": {
        "version": "1",
        "text": "Pick the digit you see. If it is none of them, say so: `none_of_these`.",
    },
}


Say = Callable[[str], None]


def run_demo(root: Path, *, now: datetime, say: Say) -> DemoRun:
    """Make a fresh workspace in `root` and let five weeks pass in it.

    Args:
        root: Made anew; an earlier demo there is thrown away, anything else is refused.
        now: The last day of the story.
        say: Told what is going on, in plain words.

    Raises:
        WorkspaceError: `root` holds something that is not a demo.
    """
    quiet_telemetry()
    _fresh_folder(root)
    world = make_world(seed=SEED)
    _write_workspace(root, PROJECT, LABELS)
    story = _Story(root, world, now - timedelta(days=28), say)
    return story.tell()


class _Story:
    """Five weeks, one tick after the other."""

    def __init__(self, root: Path, world: World, start: datetime, say: Say) -> None:
        self._root, self._world, self._now, self._say = root, world, start, say
        self._bucket = root / "bucket"
        for name in ("incoming", "log", "pictures"):
            (self._bucket / name).mkdir(parents=True)
        self._openings: list[Opening] = []
        self._closings: list[Closing] = []

    def tell(self) -> DemoRun:
        world = self._world
        self._say("Week 1: 500 digits arrive, nothing to compare them with yet")
        draw(self._bucket / "incoming", world.first, at=self._now)
        ingest_windows(self._open(), now=self._now)
        self._sleep()
        self._say("Week 2: 500 more; a first batch, drawn by chance, goes to three people")
        draw(self._bucket / "incoming", world.second, at=self._now)
        self._run()
        self._say("Week 3: the model is in service; a quiet week")
        self._serve(world.quiet, "week-3")
        self._run()
        self._say("Week 4: a shape nobody knows, and turned strokes")
        self._serve(world.disturbed, "week-4")
        self._run()
        self._say(f'Week 5: the class "{NEW_CLASS}" is added to the schema; the aimed round opens')
        self._add_class()
        self._run()
        return DemoRun(
            root=self._root,
            workspace=self._open(),
            openings=tuple(self._openings),
            closings=tuple(self._closings),
        )

    def _open(self) -> Workspace:
        return open_workspace(self._root)

    def _sleep(self, hours: float = 24 * 7) -> None:
        self._now += timedelta(hours=hours)

    def _run(self) -> None:
        """Nightly ticks until there is nothing left to do; people answer in between."""
        for _ in range(ROUNDS_OF_ANSWERS):
            workspace = self._open()
            opening = open_rounds(workspace, now=self._now)
            self._openings.append(opening)
            self._sleep(hours=6)
            answers = self._people_answer(workspace)
            closing = close_rounds(workspace, now=self._now)
            self._closings.append(closing)
            for line in _told(opening, answers, closing):
                self._say(f"  {line}")
            self._sleep(hours=6)
            if opening.idle and closing.idle and not answers:
                break
        self._sleep(hours=24 * 3)

    def _people_answer(self, workspace: Workspace) -> int:
        from retrue.adapters.queue_files import FileQueue
        from retrue.adapters.queue_simulated import simulate_answers

        if not isinstance(workspace.queue, FileQueue):
            raise WorkspaceError("the demo plays people in the embedded queue only")
        schema = workspace.labels.label_schema
        return simulate_answers(
            workspace.queue,
            ANNOTATORS,
            self._truth,
            lambda _: schema,
            seed=str(SEED),
            now=self._now,
        )

    def _truth(self, task: QueueTask) -> str:
        return self._world.truths[Path(str(task.media_uri)).stem]

    def _serve(self, digits: tuple[Digit, ...], name: str) -> None:
        """The application: takes requests, answers with the champion, logs what it said."""
        draw(self._bucket / "pictures", digits, at=self._now)
        workspace = self._open()
        champion = workspace.models.champion()
        if champion is None:
            raise WorkspaceError("expected a champion after the first round, found none")
        samples = [_request(digit, self._bucket / "pictures", self._now) for digit in digits]
        scores = workspace.models.score(
            champion, samples, lambda sample: Path(str(sample.media_uri)).read_bytes()
        )
        write_log(
            self._bucket / "log" / f"{name}.parquet",
            digits,
            np.asarray(scores.probabilities),
            [label.strip('"') for label in scores.classes],
            model_version=champion.version,
            at=self._now,
        )

    def _add_class(self) -> None:
        """What a person does when the probe found a class the schema does not have."""
        labels = {
            **LABELS,
            "version": 2,
            "classes": [*FIRST_CLASSES, NEW_CLASS],
            "migrations": [{"to": 2, "op": "add", "target": [NEW_CLASS]}],
        }
        _write_yaml(self._root / "configs" / "labels.yaml", labels)


def _told(opening: Opening, answers: int, closing: Closing) -> list[str]:
    """One tick in a few words."""
    lines = [
        f"{check.rows} rows checked: {'ALARM, ' + check.reasons[0] if check.alarm else 'quiet'}"
        for check in opening.drift.checks
    ]
    lines += [f"the probe is in: {probe.outcome.reason}" for probe in opening.drift.probes]
    lines += [
        f"{made.plan.kind} round: {sum(made.plan.arms.values())} samples, {made.answers} answers "
        f"asked, {made.cost:.2f} {made.plan.currency}"
        for made in opening.select.planned
    ]
    if answers:
        lines.append(f"people gave {answers} answers")
    if closing.validate.disputes:
        lines.append("people disagree about some: those are asked again")
    if closing.version.manifest is not None:
        lines.append(f"dataset {closing.version.why}: {closing.version.manifest.rows:,} labels")
    if closing.train.outcome != "nothing":
        lines.append(f"a model is trained: {closing.train.why}")
    return lines


def _request(digit: Digit, folder: Path, now: datetime) -> Sample:
    return Sample(
        sample_id=digit.name,
        revision="",
        window_id="",
        uri=str(folder / f"{digit.name}.png"),
        object_version="",
        row=None,
        fields="{}",
        media_uri=str(folder / f"{digit.name}.png"),
        media_version=None,
        media_sha256=None,
        group=None,
        subject=None,
        time=now,
        multiplicity=1,
    )


def _fresh_folder(root: Path) -> None:
    if root.exists() and any(root.iterdir()):
        if not (root / MARK).exists():
            raise WorkspaceError(
                f"{root}: expected an empty folder or an earlier demo, found other files. "
                "Name another folder with --dir."
            )
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).touch()


def _write_workspace(root: Path, project: object, labels: object) -> None:
    from retrue.adapters.git import Git
    from retrue.initialising import make_workspace

    # A repository of its own, wherever the folder is: the demo must not write into another one.
    git = Git(root)
    git("init", "-b", "main")
    make_workspace(root, project="digits")
    _write_yaml(root / "configs" / "project.yaml", project)
    _write_yaml(root / "configs" / "labels.yaml", labels)
    nobody = ["-c", "user.name=retrue", "-c", "user.email=retrue@localhost"]
    git(*nobody, "commit", "-a", "-m", "The demo's question")


def _write_yaml(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")
