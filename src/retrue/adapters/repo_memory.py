"""A `DatasetRepo` in memory: commits are lists of files, versions are what a stage wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from retrue.adapters.dataset_files import read_manifest, read_rows
from retrue.errors import RepoError
from retrue.ports import FitResult, Lease, RepoState
from retrue.records import DatasetRow, Manifest, short_hash

__all__ = ["MemoryRepo"]


class MemoryRepo:
    """Keeps versions in a dictionary.

    Args:
        project: Name a manifest must carry.
        place: A folder for versions that are asked for as folders.
        records: Names of the record files there are now.
        build: Writes the newest decided version into a folder, as the `build` stage does.
        fit: Trains on a dataset folder, as the `fit` stage does.
        check: Raises `LeaseLost` if a lease is no longer the newest.
    """

    def __init__(
        self,
        project: str,
        *,
        place: Path,
        records: Callable[[], Iterable[str]],
        build: Callable[[Path], object],
        fit: Callable[[Path], FitResult],
        check: Callable[[Lease], None],
    ) -> None:
        self._project = project
        self._place = place
        self._records = records
        self._stage_build = build
        self._stage_fit = fit
        self._check = check
        self._tip: str | None = None
        self._recorded: frozenset[str] = frozenset()
        self._versions: dict[int, Mapping[str, bytes]] = {}  # version -> its files

    def record(self, message: str, *, lease: Lease) -> str:
        """Commit the records as they are; returns the tip if nothing is new."""
        names = frozenset(self._records())
        self._check(lease)
        if self._tip is None or names != self._recorded:
            self._commit(message, names)
        return self._tip or ""

    def build(self, version: int, *, lease: Lease) -> Manifest:
        """Run the stage and keep what it wrote."""
        if version not in self._versions:
            names = frozenset(self._records())
            with tempfile.TemporaryDirectory(prefix="retrue-") as name:
                folder = Path(name)
                self._stage_build(folder)
                built = read_manifest(folder)
                if (built.project, built.version) != (self._project, version):
                    raise RepoError(
                        f"stage build: expected version {version} of {self._project}, "
                        f"got version {built.version} of {built.project}."
                    )
                files = {
                    path.relative_to(folder).as_posix(): path.read_bytes()
                    for path in folder.rglob("*")
                    if path.is_file()
                }
            self._check(lease)
            self._versions[version] = files
            self._commit(f"v{version}", names)
        return self._manifest(version)

    def fit(self, version: int, *, lease: Lease) -> FitResult:
        """Run the stage on the newest version's files."""
        newest = max(self._versions, default=None)
        if newest != version:
            raise RepoError(f"fit: expected the newest version ({newest}), got {version}.")
        result = self._stage_fit(self.folder(version))
        self._check(lease)
        return result

    def versions(self) -> list[Manifest]:
        """All versions, oldest first."""
        return [self._manifest(version) for version in sorted(self._versions)]

    def rows(self, version: int) -> list[DatasetRow]:
        """The rows of one version."""
        return read_rows(self.folder(version))

    def folder(self, version: int) -> Path:
        """A folder with the version's files."""
        place = self._place / f"v{version}"
        return place if place.exists() else self.checkout(version, place)

    def checkout(self, version: int, folder: Path) -> Path:
        """Write a version's files into an empty or absent folder."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RepoError(f"{folder}: expected an empty or absent folder, got one with files.")
        for name, content in self._files(version).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    def state(self) -> RepoState:
        """What is recorded; there is no remote."""
        return RepoState(
            branch_tip=self._tip,
            unrecorded=tuple(sorted(set(self._records()) - self._recorded)),
            unpushed=0,
            remote=None,
            dvc_remote=None,
        )

    def _commit(self, message: str, names: frozenset[str]) -> None:
        self._tip = short_hash(self._tip or "", message, *sorted(names), digits=40)
        self._recorded = names

    def _manifest(self, version: int) -> Manifest:
        return read_manifest(self.folder(version))

    def _files(self, version: int) -> Mapping[str, bytes]:
        if version not in self._versions:
            known = ", ".join(f"v{number}" for number in sorted(self._versions)) or "none"
            raise RepoError(f"v{version}: expected a version of {self._project}: {known}.")
        return self._versions[version]
