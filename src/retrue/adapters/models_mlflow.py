"""Models in an MLflow registry: a workspace's own SQLite file, or a team's server.

A version belongs to us when it carries the tag `retrue.fit_key`; only such versions are loaded,
from their run's artifacts, in skops format, with the types `model_files` trusts. What the files
themselves ask to be trusted is not looked at.

MLflow is imported where it is used: it takes seconds, and `champion` is asked by every command.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from retrue.adapters.mlflow_door import Client, Registered, Run, asking, client_of
from retrue.adapters.mlflow_runs import (
    CREATED_AT,
    DATASET_DIGEST,
    DATASET_VERSION,
    FIT_KEY,
    RunFacts,
    find_or_create_run,
    log_dataset,
    log_facts,
    save_flavor,
)
from retrue.adapters.model_files import ModelSpec, read_spec, save_estimator, write_spec
from retrue.adapters.model_scorer import Loaded, ModelScorer
from retrue.adapters.models_cache import (
    database_file,
    database_stamp,
    read_cache,
    write_cache,
)
from retrue.config import Config, Labels
from retrue.errors import ModelError
from retrue.ports import FitResult, Media, Scores
from retrue.records import Manifest, ModelVersion, Sample, short_hash

__all__ = ["MlflowModels"]

_EVIDENCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PAGE = 200  # versions per question to the registry


class MlflowModels:
    """Satisfies `retrue.ports.ModelRegistry` with MLflow 3.

    Args:
        tracking_uri: `sqlite:////...` or a server's address; None: a file below `.retrue`.
        artifact_root: Where artifacts go with SQLite; None: below `.retrue`. A server decides
            for itself.
        root: The workspace: commands score here, entry points are imported from here.
        config: Names, and the commands that score.
        labels: The label schema.
        git_commit: Of the program that trains; None: not known.
        trusted: Modules, beyond those of scikit-learn, whose types a stored model may hold.
        connect: Opens a registry.
    """

    def __init__(
        self,
        tracking_uri: str | None,
        artifact_root: Path | None,
        *,
        root: Path,
        config: Config,
        labels: Labels,
        git_commit: str | None = None,
        trusted: Sequence[str] = (),
        connect: Callable[[str], Client] = client_of,
    ) -> None:
        local = root.resolve() / "local"  # models cannot be rebuilt: never below `.retrue`
        self._uri = tracking_uri or f"sqlite:///{local / 'mlflow.db'}"
        self._database = database_file(self._uri)
        self._artifacts = None if self._database is None else artifact_root or local / "mlartifacts"
        self._cache = root.resolve() / ".retrue" / "models.json"
        self._name = config.model_name
        self._config = config
        self._git_commit = git_commit
        self._connect = connect
        own = () if config.train.entry_point is None else (config.train.entry_point,)
        self._trusted = (*trusted, *(entry.partition(":")[0].partition(".")[0] for entry in own))
        self._scorer = ModelScorer(root, config, labels, trusted=self._trusted)
        self._loaded: dict[str, Loaded] = {}  # by version

    def champion(self) -> ModelVersion | None:
        """The model with the alias `champion`."""
        return next((model for model in self.versions() if "champion" in model.aliases), None)

    def versions(self) -> list[ModelVersion]:
        """Every version of the registered model, oldest first.

        Raises:
            ServiceUnavailable: The registry did not answer.
        """
        if self._database is None:
            return self._ask_versions()
        # Taken before asking: a write in between makes the list stale, never wrongly fresh.
        stamp = database_stamp(self._database)
        if stamp is None:
            return []
        kept = read_cache(self._cache, stamp=stamp, model=self._name)
        if kept is not None:
            return kept
        versions = self._ask_versions()
        write_cache(self._cache, versions, stamp=stamp, model=self._name)
        return versions

    def register(
        self,
        fit: FitResult,
        manifest: Manifest,
        *,
        fit_key: str,
        params: Mapping[str, str],
        dataset_dir: Path,
        now: datetime,
    ) -> ModelVersion:
        """Log a run and register its model as challenger; the same `fit_key` finds the first.

        A run that was cut off is finished: what it has stays, what it lacks is added.

        Raises:
            ModelError: The registry refused, or the model folder is damaged.
            ServiceUnavailable: The registry did not answer; calling again goes on from there.
        """
        facts = RunFacts(
            fit_key=fit_key,
            name=f"v{manifest.version}-{fit_key[:6]}",
            dataset_version=manifest.version,
            dataset_digest=manifest.digest,
            config_hash=short_hash(self._config.model_dump_json(), digits=16),
            git_commit=self._git_commit,
            created_at=now,
        )
        with asking(self._uri):
            client = self._connect(self._uri)
            found = self._version_of(client, facts.fit_key)
            if found is None:
                run = find_or_create_run(client, self._name, self._artifacts, facts)
                log_facts(client, run, params=params, metrics=fit.metrics, now=now)
                log_dataset(client, run, manifest, dataset_dir)
                for plot in fit.plots:
                    client.log_artifact(run.info.run_id, os.fspath(plot), "plots")
                found = self._add_version(client, run, fit.model_dir, facts)
            return self._challenger(client, found, now)

    def adopt(self, model_uri: str, *, spec: ModelSpec, now: datetime) -> ModelVersion:
        """Bring a model that was trained elsewhere into the registry, as challenger.

        Args:
            model_uri: What MLflow can fetch: `models:/name/3`, `models:/name@alias`, `runs:/...`.
                Its flavor must be scikit-learn in skops format: nothing else is read.
            spec: What goes in and what its outputs mean.
            now: When it was adopted.

        Returns:
            The version, without a dataset version. The same uri and content is adopted once.

        Raises:
            ModelError: There is no such model, it is pickled, or it holds types nobody trusts.
        """
        with asking(self._uri), tempfile.TemporaryDirectory(prefix="retrue-adopt-") as name:
            client = self._connect(self._uri)
            theirs, ours = Path(name) / "theirs", Path(name) / "ours"
            estimator, content = self._scorer.fetch_foreign(model_uri, self._uri, theirs)
            facts = RunFacts(
                fit_key=f"adopted:{content[:16]}",
                name=f"adopted {model_uri}",
                dataset_version=None,
                dataset_digest="",
                config_hash="",
                git_commit=None,
                created_at=now,
            )
            found = self._version_of(client, facts.fit_key)
            if found is None:
                save_estimator(ours, estimator, trusted=self._trusted)
                write_spec(ours, replace(spec, trainer="adopted"))
                run = find_or_create_run(client, self._name, self._artifacts, facts)
                found = self._add_version(client, run, ours, facts)
            return self._challenger(client, found, now)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version; asks, then sets.

        Raises:
            ModelError: There is no such version.
        """
        with asking(self._uri):
            client = self._connect(self._uri)
            client.get_model_version(self._name, version)
            self._point(client, alias, version)
        self.versions()  # keeps the list fresh for whoever asks next

    def score(self, model: ModelVersion, samples: Sequence[Sample], media: Media) -> Scores:
        """The model's outputs; a model is fetched once and kept while this object lives.

        Raises:
            ModelError: The version is not ours, or its files are not to be trusted.
        """
        kept = self._loaded.get(model.version)
        if kept is not None:
            return self._scorer.score(kept, samples, media)
        with self._fetched(model) as folder:
            loaded = self._scorer.load(folder)
            if loaded.estimator is not None:  # a command's folder lasts no longer than this block
                self._loaded[model.version] = loaded
            return self._scorer.score(loaded, samples, media)

    def save_evidence(self, model: ModelVersion, name: str, text: str) -> None:
        """Keep a small text file with the model's run; the same name is replaced."""
        with asking(self._uri):
            self._connect(self._uri).log_text(
                model.run_id, text, f"evidence/{_evidence_name(name)}"
            )

    def evidence(self, model: ModelVersion, name: str) -> str | None:
        """A file kept by `save_evidence`; None if absent."""
        place = f"evidence/{_evidence_name(name)}"
        if self._artifacts is not None:  # where our SQLite runs keep theirs: no MLflow needed
            path = self._artifacts / model.run_id / "artifacts" / place
            return path.read_text(encoding="utf-8") if path.exists() else None
        with asking(self._uri), tempfile.TemporaryDirectory(prefix="retrue-evidence-") as folder:
            client = self._connect(self._uri)
            if place not in [item.path for item in client.list_artifacts(model.run_id, "evidence")]:
                return None
            got = client.download_artifacts(model.run_id, place, folder)
            return Path(got).read_text(encoding="utf-8")

    def _challenger(self, client: Client, found: Registered, now: datetime) -> ModelVersion:
        """The end of every registration: the alias, the run's end, and a fresh list."""
        self._point(client, "challenger", str(found.version))
        client.set_terminated(found.run_id or "", end_time=round(now.timestamp() * 1000))
        return next(model for model in self.versions() if model.version == str(found.version))

    def _ask_versions(self) -> list[ModelVersion]:
        with asking(self._uri):
            client = self._connect(self._uri)
            found = self._search(client)
            runs = {item.run_id for item in found if item.run_id}
            metrics = {run_id: client.get_run(run_id).data.metrics for run_id in runs}
            aliases = self._aliases(client) if found else {}
            models = [
                _model(item, aliases.get(str(item.version), ()), metrics.get(item.run_id or "", {}))
                for item in found
            ]
        return sorted(models, key=lambda model: int(model.version))

    def _search(self, client: Client) -> list[Registered]:
        found: list[Registered] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(
                f"name = '{self._name}'", max_results=_PAGE, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _aliases(self, client: Client) -> dict[str, tuple[str, ...]]:
        named: dict[str, tuple[str, ...]] = {}
        for alias, version in sorted(client.get_registered_model(self._name).aliases.items()):
            named[str(version)] = (*named.get(str(version), ()), alias)
        return named

    def _version_of(self, client: Client, fit_key: str) -> Registered | None:
        return next((v for v in self._search(client) if v.tags.get(FIT_KEY) == fit_key), None)

    def _add_version(self, client: Client, run: Run, folder: Path, facts: RunFacts) -> Registered:
        run_id = run.info.run_id
        with tempfile.TemporaryDirectory(prefix="retrue-model-") as name:
            flavor = save_flavor(folder, read_spec(folder), Path(name), trusted=self._trusted)
            client.log_artifacts(run_id, os.fspath(flavor), "model")
        if not client.search_registered_models(f"name = '{self._name}'"):
            client.create_registered_model(self._name)
        # The tags arrive with the version: a version without them is never ours half-way.
        return client.create_model_version(
            self._name, source=f"runs:/{run_id}/model", run_id=run_id, tags=facts.tags
        )

    def _point(self, client: Client, alias: str, version: str) -> None:
        if alias not in self._aliases(client).get(version, ()):
            client.set_registered_model_alias(self._name, alias, version)

    @contextmanager
    def _fetched(self, model: ModelVersion) -> Generator[Path]:
        """The model's folder, for a block."""
        with tempfile.TemporaryDirectory(prefix="retrue-model-") as name:
            with asking(self._uri):
                client = self._connect(self._uri)
                found = client.get_model_version(self._name, model.version)
                if FIT_KEY not in found.tags or found.run_id is None:
                    raise ModelError(
                        f"model {self._name}/{model.version}: expected a version that retrue "
                        "registered, got one without our tags. Use `retrue adopt model`."
                    )
                folder = Path(client.download_artifacts(found.run_id, "model", name))
            yield folder


def _model(
    found: Registered, aliases: tuple[str, ...], metrics: Mapping[str, float]
) -> ModelVersion:
    number = found.tags.get(DATASET_VERSION)
    made = found.tags.get(CREATED_AT)
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        dataset_version=int(number) if number else None,
        dataset_digest=found.tags.get(DATASET_DIGEST, ""),
        aliases=aliases,
        created_at=datetime.fromisoformat(made)
        if made
        else datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        metrics=dict(metrics),
    )


def _evidence_name(name: str) -> str:
    if not _EVIDENCE_NAME.fullmatch(name):
        raise ModelError(f"evidence: expected a plain file name, got {name!r}")
    return name
