from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fit_workspace import CHOICE, NOON, config_for, sample_of, table_workspace
from retrue.adapters.dataset_files import read_manifest
from retrue.adapters.fit_files import read_fit
from retrue.adapters.fit_stage import run_fit
from retrue.adapters.models_memory import MemoryModels
from retrue.adapters.models_mlflow import MlflowModels
from retrue.errors import ModelError
from retrue.ports import FitResult, ModelRegistry
from retrue.records import Manifest, ModelVersion, Sample, short_hash

CONFIG = config_for("table")
SAMPLES = [sample_of(f"n{i}", {"x": x, "shop": "a"}) for i, x in enumerate((-2.0, 2.0, 0.1))]


def no_media(sample: Sample) -> bytes:
    raise AssertionError(f"a table has no media: {sample.sample_id}")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Manifest, Path]:
    root = table_workspace(tmp_path_factory.mktemp("fitted"))
    run_fit(root, CONFIG, CHOICE, out=root)
    return read_fit(root), read_manifest(root / "data/dataset"), root / "data/dataset"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite file for the module: making one takes MLflow seconds; names keep tests apart."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(params=["memory", "mlflow"])
def models(request: pytest.FixtureRequest, tmp_path: Path, database: Path) -> ModelRegistry:
    name = f"m-{short_hash(request.node.name, digits=12)}"
    config = CONFIG.model_copy(update={"project": name})
    if request.param == "memory":
        return MemoryModels(tmp_path, config, CHOICE)
    uri = f"sqlite:///{database / 'mlflow.db'}"
    return MlflowModels(uri, database / "artifacts", root=tmp_path, config=config, labels=CHOICE)


@pytest.fixture
def register(
    models: ModelRegistry, fitted: tuple[FitResult, Manifest, Path]
) -> Callable[[str], ModelVersion]:
    fit, manifest, folder = fitted

    def add(fit_key: str) -> ModelVersion:
        return models.register(
            fit, manifest, fit_key=fit_key, params={"seed": "0"}, dataset_dir=folder, now=NOON
        )

    return add


def test_an_empty_registry_has_no_champion_and_no_versions(models: ModelRegistry):
    assert models.champion() is None
    assert models.versions() == []


def test_a_registered_model_is_challenger_and_carries_what_it_was_trained_on(
    models: ModelRegistry,
    register: Callable[[str], ModelVersion],
    fitted: tuple[FitResult, Manifest, Path],
):
    model = register("k1")

    fit, manifest, _ = fitted
    assert (model.version, model.aliases) == ("1", ("challenger",))
    assert (model.dataset_version, model.dataset_digest) == (1, manifest.digest)
    assert model.metrics == fit.metrics
    assert model.created_at == NOON
    assert models.versions() == [model]
    assert models.champion() is None


def test_the_same_fit_is_registered_once(
    models: ModelRegistry, register: Callable[[str], ModelVersion]
):
    first = register("k1")

    again = register("k1")

    assert again == first
    assert len(models.versions()) == 1


def test_aliases_move_and_a_version_may_hold_two(
    models: ModelRegistry, register: Callable[[str], ModelVersion]
):
    register("k1")
    models.set_alias("champion", "1")
    register("k2")

    assert [model.aliases for model in models.versions()] == [("champion",), ("challenger",)]
    models.set_alias("champion", "2")
    models.set_alias("champion", "2")
    champion = models.champion()
    assert champion is not None
    assert (champion.version, champion.aliases) == ("2", ("challenger", "champion"))


def test_an_alias_of_a_version_that_is_not_there_is_refused(
    models: ModelRegistry, register: Callable[[str], ModelVersion]
):
    register("k1")

    with pytest.raises(ModelError):
        models.set_alias("champion", "9")


def test_a_model_scores_new_samples_in_their_order(
    models: ModelRegistry, register: Callable[[str], ModelVersion]
):
    model = register("k1")

    scores = models.score(model, SAMPLES, no_media)
    backwards = models.score(model, SAMPLES[::-1], no_media)

    assert scores.classes == ('"no"', '"yes"')
    assert scores.predicted[:2] == ('"no"', '"yes"')
    assert scores.probabilities.shape == (3, 2)
    assert np.allclose(scores.probabilities.sum(axis=1), 1)
    assert backwards.predicted == scores.predicted[::-1]


def test_no_samples_give_no_scores(models: ModelRegistry, register: Callable[[str], ModelVersion]):
    scores = models.score(register("k1"), [], no_media)

    assert scores.predicted == ()
    assert scores.probabilities.shape == (0, 2)


def test_evidence_is_kept_with_its_model_and_replaced_by_name(
    models: ModelRegistry, register: Callable[[str], ModelVersion]
):
    one, two = register("k1"), register("k2")

    models.save_evidence(one, "gate.json", "old")
    models.save_evidence(one, "gate.json", "näw")

    assert models.evidence(one, "gate.json") == "näw"
    assert models.evidence(two, "gate.json") is None
    assert models.evidence(one, "reference.json") is None


def test_a_later_registration_does_not_change_an_earlier_version(
    models: ModelRegistry,
    register: Callable[[str], ModelVersion],
    fitted: tuple[FitResult, Manifest, Path],
):
    first = register("k1")
    fit, manifest, folder = fitted

    models.register(
        fit,
        manifest,
        fit_key="k1",
        params={"seed": "0"},
        dataset_dir=folder,
        now=NOON + timedelta(days=1),
    )

    assert models.versions() == [first]
