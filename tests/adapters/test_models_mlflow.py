from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from fit_workspace import CHOICE, NOON, config_for, sample_of, table_workspace
from retrue.adapters.dataset_files import read_manifest
from retrue.adapters.fit_files import read_fit
from retrue.adapters.fit_stage import run_fit
from retrue.adapters.mlflow_door import asking, client_of
from retrue.adapters.model_files import ModelSpec, write_spec
from retrue.adapters.models_mlflow import MlflowModels
from retrue.errors import ModelError, ServiceUnavailable
from retrue.ports import FitResult
from retrue.records import Manifest, ModelVersion, Sample

CALLS = 19  # of MLflow, by one registration
CONFIG = config_for("table")
SAMPLES = [sample_of(f"n{i}", {"x": x, "shop": "a"}) for i, x in enumerate((-2.0, 2.0))]
SPEC = ModelSpec(
    trainer="adopted",
    data_kind="table",
    label_kind="choice",
    classes=('"no"', '"yes"'),
    features={"x": "number"},
    text=None,
    side=None,
    constant={},
)


def no_media(sample: Sample) -> bytes:
    raise AssertionError(sample.sample_id)


class Cut(Exception):
    """Our end of the line goes dead."""


class CutClient:
    """An MLflow client that dies before its k-th call."""

    def __init__(self, real: object, at: int) -> None:
        self.real = real
        self.left = at

    def __getattr__(self, name: str) -> Any:
        def call(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise Cut
            return getattr(self.real, name)(*args, **kwargs)

        return call


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Manifest, Path]:
    root = table_workspace(tmp_path_factory.mktemp("fitted"))
    run_fit(root, CONFIG, CHOICE, out=root)
    return read_fit(root), read_manifest(root / "data/dataset"), root / "data/dataset"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


def registry(database: Path, root: Path, name: str, connect: Any = client_of) -> MlflowModels:
    config = CONFIG.model_copy(update={"project": name})
    uri = f"sqlite:///{database / 'mlflow.db'}"
    return MlflowModels(
        uri,
        database / "artifacts",
        root=root,
        config=config,
        labels=CHOICE,
        git_commit="c0ffee",
        connect=connect,
    )


def register(
    models: MlflowModels, fitted: tuple[FitResult, Manifest, Path], key: str
) -> ModelVersion:
    fit, manifest, folder = fitted
    return models.register(
        fit, manifest, fit_key=key, params={"seed": "0"}, dataset_dir=folder, now=NOON
    )


def client(database: Path) -> Any:
    return client_of(f"sqlite:///{database / 'mlflow.db'}")


def test_a_run_says_what_it_was_fed_and_with_what_settings(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    model = register(registry(database, tmp_path, "says"), fitted, "k1")

    run = client(database).get_run(model.run_id)
    manifest = fitted[1]
    dataset = run.inputs.dataset_inputs[0].dataset
    version = client(database).get_model_version("says", "1")
    assert dataset.name == "defects/dataset/v1"
    assert manifest.digest.startswith(dataset.digest)
    assert manifest.digest in dataset.profile
    assert run.data.params == {"seed": "0"}
    assert run.data.metrics == fitted[0].metrics
    assert run.info.status == "FINISHED"
    assert version.tags["retrue.dataset_digest"] == manifest.digest
    assert version.tags["retrue.git_commit"] == "c0ffee"
    assert {"retrue.fit_key", "retrue.dataset_version", "retrue.config_hash"} <= set(version.tags)
    stored = {item.path for item in client(database).list_artifacts(model.run_id, "model")}
    assert {"model/MLmodel", "model/model.skops", "model/model.json"} <= stored
    plots = [item.path for item in client(database).list_artifacts(model.run_id, "plots")]
    assert sorted(plots) == ["plots/confusion.csv", "plots/learning_curve.json"]


@pytest.mark.parametrize("at", range(CALLS + 1))
def test_a_registration_cut_off_anywhere_is_finished_by_the_next(
    at: int, database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    line = CutClient(client(database), at)
    cut = registry(database, tmp_path, f"cut{at}", connect=lambda _: line)
    with pytest.raises(Cut) if at < CALLS else contextlib.nullcontext():
        register(cut, fitted, f"cut{at}")
    models = registry(database, tmp_path, f"cut{at}")
    real = client(database)

    model = register(models, fitted, f"cut{at}")

    experiment = real.get_experiment_by_name(f"cut{at}")
    assert models.versions() == [model]
    assert model.aliases == ("challenger",)
    runs = real.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    assert len(runs[0].inputs.dataset_inputs) == 1
    assert len(real.get_metric_history(model.run_id, "accuracy")) == 1


def test_the_list_follows_what_others_do_to_the_registry(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    models = registry(database, tmp_path, "others")
    register(models, fitted, "k1")
    assert models.champion() is None

    client(database).set_registered_model_alias("others", "champion", "1")

    champion = models.champion()
    assert champion is not None
    assert champion.version == "1"


def test_asking_for_the_champion_again_needs_no_mlflow(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    models = registry(database, tmp_path, "quick")
    register(models, fitted, "k1")
    models.set_alias("champion", "1")
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from dataclasses import replace
from pathlib import Path
from fit_workspace import CHOICE, config_for
from retrue.adapters.models_mlflow import MlflowModels
config = config_for("table").model_copy(update={{"project": "quick"}})
models = MlflowModels("sqlite:///{database / "mlflow.db"}", Path({str(database / "artifacts")!r}),
                      root=Path({str(tmp_path)!r}), config=config, labels=CHOICE)
champion = models.champion()
models.evidence(champion, "gate.json")
print(champion.version, "mlflow" in sys.modules, "sklearn" in sys.modules)
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "1 False False\n"


def test_a_version_without_our_tags_is_not_loaded(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    models = registry(database, tmp_path, "foreign")
    ours = register(models, fitted, "k1")
    source = client(database).get_model_version("foreign", "1").source
    client(database).create_model_version("foreign", source, ours.run_id)

    with pytest.raises(ModelError, match="without our tags"):
        models.score(models.versions()[-1], SAMPLES, no_media)


def test_a_model_trained_elsewhere_is_adopted_once(database: Path, tmp_path: Path):
    models = registry(database, tmp_path, "adopts")
    uri = _logged_elsewhere(database, tmp_path, "skops")

    model = models.adopt(uri, spec=SPEC, now=NOON)
    again = models.adopt(uri, spec=SPEC, now=NOON)

    assert model == again
    assert (model.dataset_version, model.dataset_digest) == (None, "")
    assert models.score(model, SAMPLES, no_media).predicted == ('"no"', '"yes"')


def test_a_pickled_model_is_never_opened(database: Path, tmp_path: Path):
    models = registry(database, tmp_path, "refuses")
    uri = _logged_elsewhere(database, tmp_path, "cloudpickle")

    with pytest.raises(ModelError, match="expected a scikit-learn model in skops format"):
        models.adopt(uri, spec=SPEC, now=NOON)


def test_what_the_files_ask_to_be_trusted_is_not_looked_at(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    import skops.io as skops

    models = registry(database, tmp_path, "lies")
    model = register(models, fitted, "k1")
    folder = database / "artifacts" / model.run_id / "artifacts/model"
    skops.dump(Cut("a stranger"), folder / "model.skops")

    with pytest.raises(ModelError, match="expected only types of scikit-learn"):
        models.score(model, SAMPLES, no_media)


@pytest.mark.parametrize("name", ["../gate.json", "/etc/passwd", "a/b", ""])
def test_evidence_never_leaves_its_folder(
    name: str, database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    models = registry(database, tmp_path, "evidence")
    model = register(models, fitted, "k1")

    with pytest.raises(ModelError, match="plain file name"):
        models.save_evidence(model, name, "x")


def test_a_server_that_is_down_is_a_service_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models = MlflowModels("http://127.0.0.1:9", None, root=tmp_path, config=CONFIG, labels=CHOICE)

    with pytest.raises(ServiceUnavailable):
        models.champion()


def test_a_page_that_a_registry_sends_as_its_answer_is_not_shown():
    from mlflow.exceptions import MlflowException  # takes seconds

    with pytest.raises(ServiceUnavailable) as told, asking("http://models"):
        raise MlflowException(f"error code 404. Response body: '<html>{'x' * 999}\n<head>'")

    assert "error code 404" in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300


def test_an_untouched_workspace_has_no_database_and_gets_none_by_asking(tmp_path: Path):
    models = MlflowModels(None, None, root=tmp_path, config=CONFIG, labels=CHOICE)

    assert models.champion() is None
    assert list(tmp_path.iterdir()) == []


def _logged_elsewhere(database: Path, tmp_path: Path, serialization: str) -> str:
    import mlflow.sklearn
    import pandas as pd

    theirs = tmp_path / "theirs"
    x = pd.DataFrame({"x": [-1.0, 1.0, -2.0, 2.0]})
    model = LogisticRegression().fit(x, ["no", "yes", "no", "yes"])
    mlflow.sklearn.save_model(
        model, theirs, serialization_format=serialization, pip_requirements=["scikit-learn"]
    )
    known = client(database).get_experiment_by_name("theirs")
    experiment = (
        known.experiment_id
        if known
        else client(database).create_experiment(
            "theirs", artifact_location=(database / "theirs").as_uri()
        )
    )
    run = client(database).create_run(experiment)
    client(database).log_artifacts(run.info.run_id, str(theirs), "model")
    return f"runs:/{run.info.run_id}/model"


def test_mlflow_itself_can_load_a_model_and_has_its_signature(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import get_model_info

    model = register(registry(database, tmp_path, "serves"), fitted, "k1")
    folder = database / "artifacts" / model.run_id / "artifacts/model"

    loaded = mlflow.sklearn.load_model(str(folder))

    rows = pd.DataFrame({"shop": ["a", "b"], "x": [-2.0, 2.0]})
    assert list(loaded.predict(rows)) == ['"no"', '"yes"']
    assert get_model_info(str(folder)).signature.inputs.input_names() == ["shop", "x"]


def test_a_model_of_a_command_is_asked_by_a_command(
    database: Path, tmp_path: Path, fitted: tuple[FitResult, Manifest, Path]
):
    program = tmp_path / "score.py"
    program.write_text(
        "import json, sys, pyarrow as pa, pyarrow.parquet as pq\n"
        "rows = pq.read_table(sys.argv[1] + '/samples.parquet').to_pylist()\n"
        "said = ['yes' if json.loads(r['fields'])['x'] > 0 else 'no' for r in rows]\n"
        "pq.write_table(pa.table({'sample_id': [r['sample_id'] for r in rows],"
        " 'predicted': said}), sys.argv[2])\n"
    )
    folder = tmp_path / "model"
    write_spec(folder, replace(SPEC, trainer="command", classes=()))
    (folder / "weights.bin").write_bytes(b"anything")
    fit = replace(fitted[0], model_dir=folder)
    train = CONFIG.train.model_copy(
        update={"command": "x", "score": f"{sys.executable} {program} {{samples}} {{output}}"}
    )
    config = CONFIG.model_copy(update={"project": "command", "train": train})
    uri = f"sqlite:///{database / 'mlflow.db'}"
    models = MlflowModels(uri, database / "artifacts", root=tmp_path, config=config, labels=CHOICE)

    model = register(models, (fit, *fitted[1:]), "k1")

    assert models.score(model, SAMPLES, no_media).predicted == ('"no"', '"yes"')
