"""Dataset versions in git and DVC: records, builds and fits as commits on a branch of our own.

The order of effects makes every cut harmless: bytes go to the DVC remote first, then branch and
tag go to the git remote in one atomic push, and only then the refs here follow. A rerun finds what
was done and does the rest.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import yaml

from retrue.adapters.dataset_files import read_manifest, read_rows
from retrue.adapters.dvc_cli import Dvc, DvcPlaces, dvc_places, name_remote
from retrue.adapters.fit_files import read_fit
from retrue.adapters.process import Runner, run_process
from retrue.adapters.record_links import link_files, record_names
from retrue.adapters.refs import Refs
from retrue.adapters.worktree import Base, Worktree
from retrue.config import Config
from retrue.errors import RepoError, TrainingError
from retrue.ports import FitResult, Lease, RepoState
from retrue.records import DatasetRow, Manifest

__all__ = ["GitDvcRepo"]

_FOLDERS = ("data/rounds", "data/decisions")
_POINTERS = ("data/rounds.dvc", "data/decisions.dvc")
_DATASET = "data/dataset"


class GitDvcRepo:
    """The `DatasetRepo` of a workspace.

    Args:
        root: The workspace: a git repository, or a folder in one.
        config: Its configuration; `project` and `store` are used.
        check: Raises `LeaseLost` if a lease is no longer the newest.
        run: How git and DVC are run.
        transfer_seconds: A transfer that takes longer is given up (`ServiceUnavailable`).

    Raises:
        WorkspaceError: `root` is in no git repository.
    """

    def __init__(
        self,
        root: Path,
        config: Config,
        *,
        check: Callable[[Lease], None],
        run: Runner = run_process,
        transfer_seconds: float = 1800.0,
    ) -> None:
        self._root = root.absolute()
        self._store = config.store
        self._check = check
        self._run = run
        self._tree = Worktree(self._root, config.store.branch, run)
        self._refs = Refs(self._tree, config.store, config.project, transfer_seconds)
        self._project = config.project
        self._seconds = transfer_seconds

    # --- writing -------------------------------------------------------------------------------

    def record(self, message: str, *, lease: Lease) -> str:
        """Commit and push the records as they are; returns the commit (the tip, if none is new)."""
        with self._tree.alone():
            base, dvc = self._prepare()
            if self._list_records(base, dvc):
                dvc.add_and_push(_FOLDERS, _POINTERS)
            return self._publish(message, base, lease)

    def restore(self) -> tuple[str, ...]:
        """Bring records that other machines pushed into `data/` here; returns their names."""
        with self._tree.alone():
            base, dvc = self._prepare()
            before = record_names(self._root)
            self._gather(base, dvc)
            return tuple(sorted(record_names(self._root) - before))

    def build(self, version: int, *, lease: Lease) -> Manifest:
        """Build, commit, tag and push a version; one that is tagged is only pushed if need be.

        Raises:
            RepoError: The stage failed, or built another version than the one asked for.
        """
        with self._tree.alone():
            base, dvc = self._prepare()
            if version not in self._refs.tags():
                self._build(version, base, dvc, lease)
            else:
                self._refs.publish(base.tip or base.head, base, tag=None, before=self._guard(lease))
        return self._manifest(version)

    def fit(self, version: int, *, lease: Lease) -> FitResult:
        """Train on a version's dataset; its files stay in the private worktree until the next fit.

        Raises:
            RepoError: The version is not the newest.
            TrainingError: The stage failed, or wrote something else than was promised.
        """
        with self._tree.alone():
            base, dvc = self._prepare()
            newest = max(self._refs.tags(), default=None)
            if newest != version:
                raise RepoError(
                    f"fit: expected the newest version ({newest or 'there is none'}), "
                    f"got {version}. To train on an older one, check out its tag, then "
                    "`dvc pull` and `dvc repro`."
                )
            if self._list_records(base, dvc):
                dvc.add(_FOLDERS)
            self._restore_dataset(base, dvc)
            try:
                dvc.repro("fit", alone=True)
            except RepoError as error:
                raise TrainingError(str(error)) from error
            result = read_fit(self._tree.folder)
            dvc.push([*_POINTERS, "build", "fit"])
            self._publish(f"{self._project}: fit on v{version}", base, lease)
            return result

    # --- reading -------------------------------------------------------------------------------

    def versions(self) -> list[Manifest]:
        """All tagged versions, oldest first, from git alone."""
        return [self._manifest(version) for version in sorted(self._refs.tags())]

    def rows(self, version: int) -> list[DatasetRow]:
        """The rows of one version.

        Raises:
            RepoError: There is no such version, or its files are on no remote we can reach.
        """
        return read_rows(self.folder(version))

    def folder(self, version: int) -> Path:
        """A version's files in `.retrue/datasets/<hash>`, from the DVC cache or else its remote.

        Raises:
            RepoError: As for `rows`.
        """
        md5 = self._dataset_hash(self._tag(version))
        place = self._tree.private() / "datasets" / md5.removesuffix(".dir")
        if not place.exists():
            with self._dvc().folders({"dataset": md5}, self._places().settings) as scratch:
                _put(scratch / "dataset", place)
        return place

    def checkout(self, version: int, folder: Path) -> Path:
        """Write a version's files into a folder.

        Raises:
            RepoError: As for `rows`, or the folder is not empty.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RepoError(f"{folder}: expected an empty or absent folder, got one with files.")
        source = self.folder(version)
        shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        return folder

    def state(self) -> RepoState:
        """What is recorded, and what is only on this machine; asks no remote."""
        tip = self._refs.tip()
        listed = self._text(tip, "data/records.txt") if tip else None
        recorded = set((listed or "").splitlines())
        return RepoState(
            branch_tip=tip,
            unrecorded=tuple(sorted(record_names(self._root) - recorded)),
            unpushed=self._refs.unpushed(),
            remote=self._refs.remote(),
            dvc_remote=self._places().shown,
        )

    # --- parts ---------------------------------------------------------------------------------

    def _prepare(self) -> tuple[Base, Dvc]:
        base = self._refs.look()
        self._tree.prepare(base)
        dvc = self._dvc()
        if not (self._tree.folder / ".dvc/config").exists():
            dvc.init(subdir=bool(self._tree.prefix))
        places = self._places()
        name_remote(self._tree.folder / ".dvc/config", places.public)
        private = self._tree.folder / ".dvc/config.local"
        private.write_text(places.settings, encoding="utf-8")
        private.chmod(0o600)
        return base, dvc

    def _dvc(self) -> Dvc:
        return Dvc(self._tree.folder, self._run, transfer_seconds=self._seconds)

    def _places(self) -> DvcPlaces:
        return dvc_places(self._root, self._store.dvc_remote)

    def _guard(self, lease: Lease) -> Callable[[], None]:
        return lambda: self._check(lease)

    def _publish(self, message: str, base: Base, lease: Lease, tag: str | None = None) -> str:
        commit = self._tree.commit(message, base)
        self._refs.publish(commit, base, tag=tag, before=self._guard(lease))
        return commit

    def _gather(self, base: Base, dvc: Dvc) -> set[str]:
        """Make worktree and workspace hold all records of the branch and of the workspace."""
        folder, spare = self._tree.folder, self._root / ".retrue/link.tmp"
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        recorded = self._recorded()
        missing = recorded - record_names(folder)
        if missing:
            hashes = {Path(p).stem: self._pointer(base.tip, p) for p in _POINTERS}
            with dvc.folders(hashes, self._places().settings) as scratch:
                bare = [name.removeprefix("data/") for name in missing]
                link_files(bare, scratch, folder / "data", spare=spare)
        link_files(record_names(self._root), self._root, folder, spare=spare)
        link_files(record_names(folder), folder, self._root, spare=spare)
        return recorded

    def _list_records(self, base: Base, dvc: Dvc) -> bool:
        """Write the list of records; False if the branch has exactly these."""
        recorded = self._gather(base, dvc)
        names = record_names(self._tree.folder)
        listing = "".join(f"{name}\n" for name in sorted(names))
        (self._tree.folder / "data/records.txt").write_text(listing, encoding="utf-8")
        return names != recorded or not self._tracked()

    def _tracked(self) -> bool:
        return all((self._tree.folder / pointer).exists() for pointer in _POINTERS)

    def _recorded(self) -> set[str]:
        listing = self._tree.folder / "data/records.txt"
        return set(listing.read_text(encoding="utf-8").splitlines()) if listing.exists() else set()

    def _build(self, version: int, base: Base, dvc: Dvc, lease: Lease) -> None:
        self._list_records(base, dvc)
        if not self._tracked():
            dvc.add(_FOLDERS)  # later ones are taken in by `dvc repro`, which saves a call
        self._restore_dataset(base, dvc)
        folder = self._tree.folder / _DATASET
        dvc.repro("build")
        built = read_manifest(folder)
        if (built.project, built.version) != (self._project, version):
            raise RepoError(
                f"stage build: expected version {version} of {self._project}, got version "
                f"{built.version} of {built.project}. The newest version decision in "
                "data/decisions names the version that is built."
            )
        for name in ("manifest.json", "card.md"):
            shutil.copyfile(folder / name, folder.parent / name)
        dvc.push([*_POINTERS, "build"])
        message = f"{self._project}: dataset v{version}"
        self._publish(message, base, lease, tag=self._refs.name(version))

    def _restore_dataset(self, base: Base, dvc: Dvc) -> None:
        """Make `data/dataset` what the branch says, if a cut build or another machine changed it.

        The stage keeps the files of the version before byte for byte, so it has to find them.
        """
        folder = self._tree.folder / _DATASET
        tracked = folder.parent / "manifest.json"
        if _bytes(folder / "manifest.json") == _bytes(tracked):
            return
        shutil.rmtree(folder, ignore_errors=True)
        if base.tip and tracked.exists():
            hashes = {"dataset": self._dataset_hash(base.tip)}
            with dvc.folders(hashes, self._places().settings) as scratch:
                shutil.copytree(scratch / "dataset", folder)

    def _text(self, revision: str, path: str) -> str | None:
        return self._tree.person.text(revision, self._tree.prefix + path)

    def _tag(self, version: int) -> str:
        tags = self._refs.tags()
        if version not in tags:
            known = ", ".join(f"v{number}" for number in sorted(tags)) or "none"
            raise RepoError(f"v{version}: expected a version of {self._project}: {known}.")
        return tags[version]

    def _manifest(self, version: int) -> Manifest:
        tag = self._tag(version)
        text = self._text(tag, "data/manifest.json")
        if text is None:
            raise RepoError(f"{tag}: expected data/manifest.json there, found none.")
        with tempfile.TemporaryDirectory(prefix="retrue-") as name:
            (Path(name) / "manifest.json").write_text(text, encoding="utf-8")
            return read_manifest(Path(name))

    def _dataset_hash(self, revision: str) -> str:
        lock = self._yaml(revision, "dvc.lock")
        stages = cast("Mapping[str, Mapping[str, object]]", lock.get("stages", {}))
        return _out_hash(stages.get("build", {}), _DATASET, f"{revision}:dvc.lock")

    def _pointer(self, revision: str | None, path: str) -> str:
        where = f"{revision}:{path}"
        return _out_hash(self._yaml(revision or "", path), Path(path).stem, where)

    def _yaml(self, revision: str, path: str) -> Mapping[str, object]:
        return cast("Mapping[str, object]", yaml.safe_load(self._text(revision, path) or "{}"))


def _out_hash(owner: Mapping[str, object], path: str, where: str) -> str:
    outs = cast("list[Mapping[str, object]]", owner.get("outs", []))
    for out in outs:
        if out.get("path") == path and re.fullmatch(r"[0-9a-f]{32}\.dir", str(out.get("md5"))):
            return str(out["md5"])
    raise RepoError(f"{where}: expected the hash of the folder {path}, found none.")


def _put(source: Path, place: Path) -> None:
    """Copy a folder to where it stays, read-only; whole or not at all."""
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        part = Path(name) / place.name
        shutil.copytree(source, part, copy_function=shutil.copyfile)
        for path in part.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        try:
            part.rename(place)
        except OSError:
            if not place.exists():  # else another process was faster: its files are the same
                raise


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
