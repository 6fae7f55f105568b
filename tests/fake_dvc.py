"""DVC's part of the work done in this process, in milliseconds; git stays real."""

from __future__ import annotations

import configparser
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from retrue.adapters.dataset_files import write_dataset
from retrue.adapters.process import Finished, run_process
from retrue.adapters.records_files import FileRoundRecord

__all__ = ["FakeDvc"]


class FakeDvc:
    """A runner: keeps whole folders by hash, in the cache and remote the settings name."""

    def __call__(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stdin: str = "",
    ) -> Finished:
        if args[0] == "git":
            return run_process(args, cwd=cwd, env=env, timeout=timeout, stdin=stdin)
        if args[2] == "dvc":  # python -m dvc --wait-for-lock ...
            calls = [list(args[4:])]
        else:  # several in one process
            calls = [call[1:] for call in cast("list[list[str]]", json.loads(args[-1]))]
        for call in calls:
            self._one(_Project(cwd), call[0], call[1:])
        return Finished(code=0, out="", err="")

    def _one(self, project: _Project, command: str, rest: Sequence[str]) -> None:
        if command == "add":
            for path in rest:
                project.track(path)
        elif command == "push":
            project.push(rest[2:])
        elif command == "pull":
            project.pull()
        elif rest == ["build"]:
            project.build()
        else:
            project.fit()


class _Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = configparser.ConfigParser(interpolation=None)
        settings.read([folder / ".dvc/config", folder / ".dvc/config.local"])
        self.cache = Path(settings["cache"]["dir"])
        self.remote = Path(settings["'remote \"retrue\"'"]["url"])

    def keep(self, path: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for file in sorted((self.folder / path).rglob("*")):
            if file.is_file():
                digest.update(file.relative_to(self.folder / path).as_posix().encode())
                digest.update(file.read_bytes())
        name = f"{digest.hexdigest()}.dir"
        shutil.copytree(self.folder / path, self.cache / name, dirs_exist_ok=True)
        return name

    def track(self, path: str) -> None:
        text = f"outs:\n- md5: {self.keep(path)}\n  path: {Path(path).name}\n"
        (self.folder / f"{path}.dvc").write_text(text)

    def push(self, targets: Sequence[str]) -> None:
        for target in targets:
            if target.endswith(".dvc"):
                self.copy(_md5s((self.folder / target).read_text()))
            if target == "build":
                self.copy(_md5s(json.dumps(self.lock()["build"])))

    def copy(self, names: Sequence[str]) -> None:
        for name in names:
            shutil.copytree(self.cache / name, self.remote / name, dirs_exist_ok=True)

    def pull(self) -> None:
        for pointer in self.folder.glob("*.dvc"):
            if pointer.is_file():
                (name,) = _md5s(pointer.read_text())
                if not (self.cache / name).exists():
                    shutil.copytree(self.remote / name, self.cache / name)
                shutil.copytree(self.cache / name, pointer.with_suffix(""))

    def build(self) -> None:
        for path in ("data/rounds", "data/decisions"):
            self.track(path)
        write_dataset(
            FileRoundRecord(self.folder / "data"),
            self.folder / "data/dataset",
            version=None,
            project="defects",
            migrate=lambda label, _old, _new: label,
        )
        self.save({"build": [{"path": "data/dataset", "md5": self.keep("data/dataset")}]})

    def fit(self) -> None:
        (self.folder / "model").mkdir(exist_ok=True)
        (self.folder / "plots").mkdir(exist_ok=True)
        table = pa.table({"sample_id": ["r1-0"], "predicted": ['"ok"']})
        pq.write_table(table, self.folder / "predictions.parquet")
        (self.folder / "metrics.json").write_text('{"accuracy": 0.9}')
        self.save({"fit": [{"path": "model", "md5": self.keep("data/dataset")}]})

    def lock(self) -> dict[str, object]:
        path = self.folder / "dvc.lock"
        text = path.read_text() if path.exists() else "stages: {}"
        return cast("dict[str, dict[str, object]]", yaml.safe_load(text))["stages"]

    def save(self, outs: Mapping[str, object]) -> None:
        stages = self.lock() | {stage: {"outs": kept} for stage, kept in outs.items()}
        (self.folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def _md5s(text: str) -> list[str]:
    outs = cast("dict[str, list[dict[str, str]]]", yaml.safe_load(text))["outs"]
    return [out["md5"] for out in outs]
