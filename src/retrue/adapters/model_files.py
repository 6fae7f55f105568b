"""A model as a folder: `model.json` says what it is, `model.skops` holds its numbers.

skops stores scikit-learn objects as names and arrays and refuses every type it was not told to
trust, so reading a model runs no code of the model's. What is trusted is said here and by the
workspace's own configuration, never by the model's files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from retrue.adapters.whole_files import replace_file
from retrue.errors import ModelError
from retrue.kinds import NONE_OF_THESE, LabelSchema, kind_of
from retrue.ports import Scores
from retrue.records import Json, Sample, canonical_json

__all__ = [
    "TRUSTED",
    "Estimator",
    "FeatureType",
    "ModelSpec",
    "load_estimator",
    "model_inputs",
    "predict",
    "read_spec",
    "save_estimator",
    "untrusted_types",
    "write_spec",
]

FeatureType = Literal["number", "category", "text"]
Floats = NDArray[np.float64]

# Types of numpy's and scikit-learn's own that skops does not trust by default, and that run no code
# when they are read.
TRUSTED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
HALF = 0.5  # choices: a class is predicted from this probability on
DIGITS = 6  # probabilities and numbers are kept to this many decimals: more is noise


class Estimator(Protocol):
    """What a model must be able to do; `predict_proba` and `classes_` are used where present."""

    def predict(self, X: object) -> object:  # noqa: N803 - scikit-learn's name
        """One output per row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What goes into a model and what its outputs mean."""

    trainer: Literal["sklearn", "entry_point", "command", "adopted"]
    data_kind: Literal["table", "text", "image", "other"]
    label_kind: Literal["choice", "choices", "taxonomy", "number"]
    classes: tuple[str, ...]  # canonical JSON, the columns of the probabilities; () for numbers
    features: Mapping[str, FeatureType]  # table: columns in order; {} otherwise
    text: str | None  # kind text: the field
    side: int | None  # kind image: pixels per side
    constant: Mapping[str, int]  # choices: classes that training saw never (0) or always (1)


_SPEC = TypeAdapter(ModelSpec)


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Write `model.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _SPEC.dump_json(spec, indent=2) + b"\n"
    replace_file(folder / "model.json", lambda file: file.write(text))


def read_spec(folder: Path) -> ModelSpec:
    """Read `model.json`.

    Raises:
        ModelError: It is missing or of another shape.
    """
    try:
        return _SPEC.validate_json((folder / "model.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{folder / 'model.json'}: expected a description of the model, got: {error}"
        ) from error


def save_estimator(folder: Path, estimator: object, *, trusted: Sequence[str] = ()) -> None:
    """Write `model.skops`.

    Args:
        folder: Made if absent.
        estimator: A scikit-learn estimator, or an object of a trusted module that skops can store.
        trusted: Modules beyond `TRUSTED`, as "package.module".

    Raises:
        ModelError: skops cannot store it, or could only load it by trusting other types.
    """
    import skops.io as skops
    from skops.io.exceptions import UnsupportedTypeException

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.skops"
    try:
        skops.dump(estimator, path)
    except UnsupportedTypeException as error:
        raise ModelError(f"model: expected an object that skops can store, got {error}") from error
    strange = untrusted_types(path, trusted)
    if strange:
        path.unlink()
        raise ModelError(_distrust(path, strange))


def load_estimator(folder: Path, *, trusted: Sequence[str] = ()) -> Estimator:
    """Read `model.skops`, with `TRUSTED` and the named modules' types only.

    Raises:
        ModelError: The file is missing, damaged, or holds other types.
    """
    import skops.io as skops

    path = folder / "model.skops"
    strange = untrusted_types(path, trusted)
    if strange:
        raise ModelError(_distrust(path, strange))
    # Everything found was just checked against our own list.
    return cast("Estimator", skops.load(path, trusted=untrusted_types(path, known=())))


def untrusted_types(
    path: Path, trusted: Sequence[str] = (), *, known: Sequence[str] = TRUSTED
) -> list[str]:
    """Types in a skops file that are neither `known` nor of the trusted modules.

    Raises:
        ModelError: The file is missing or damaged.
    """
    import skops.io as skops

    try:
        found = skops.get_untrusted_types(file=path)
    # skops reads a zip of JSON by key: a damaged one fails in any of these ways.
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path}: expected a skops file, got: {error}") from error
    return [
        name
        for name in found
        if name not in known and not any(name.startswith(f"{module}.") for module in trusted)
    ]


def model_inputs(
    spec: ModelSpec, samples: Sequence[Sample], media: Sequence[bytes] | None
) -> object:
    """What the model's `predict` takes.

    Returns:
        table, other: a DataFrame of the features, numbers as float with NaN, text as str with "".
        text: a list of str. image: grey values 0..1, shape (n, side * side).

    Raises:
        ModelError: Images without their bytes, or bytes that are no picture.
    """
    if spec.data_kind == "image":
        return _pictures(samples, media or (), side=spec.side or 1)
    rows = [cast("dict[str, Json]", json.loads(sample.fields)) for sample in samples]
    if spec.data_kind == "text":
        return [str(row.get(spec.text or "") or "") for row in rows]
    columns = {
        name: [_cell(row.get(name), feature) for row in rows]
        for name, feature in spec.features.items()
    }
    from pandas import DataFrame

    return DataFrame(columns)


def _pictures(
    samples: Sequence[Sample], media: Sequence[bytes], *, side: int
) -> NDArray[np.float32]:
    """Grey values, shape (n, side * side)."""
    from retrue.core.represent import pixels

    if len(media) != len(samples):
        raise ModelError(f"image model: expected {len(samples)} pictures, got {len(media)}.")
    rows = np.zeros((len(samples), side * side), dtype=np.float32)
    for row, sample, data in zip(rows, samples, media, strict=True):
        try:
            row[:] = pixels(data, side=side).ravel()
        except ValueError as error:
            where = sample.media_uri or sample.uri
            raise ModelError(f"image model: {where}: {error}") from error
    return rows


def predict(estimator: Estimator, spec: ModelSpec, inputs: object) -> Scores:
    """A model's outputs as labels; a model without `predict_proba` gets probabilities 0 and 1."""
    if spec.label_kind == "number":
        numbers = np.asarray(estimator.predict(inputs), dtype=float)
        kind, schema = kind_of(LabelSchema(kind="number")), LabelSchema(kind="number")
        labels = [kind.parse(round(float(number), DIGITS), schema) for number in numbers]
        empty = np.zeros((len(labels), 0))
        return Scores(classes=(), probabilities=empty, predicted=tuple(labels))
    if spec.label_kind == "choices":
        chances = _each_class(estimator, spec, inputs)
        labels = [_chosen(spec.classes, row) for row in chances]
    else:
        chances = _one_class(estimator, spec, inputs)
        labels = [spec.classes[int(place)] for place in chances.argmax(axis=1)]
    return Scores(classes=spec.classes, probabilities=chances, predicted=tuple(labels))


def _one_class(estimator: Estimator, spec: ModelSpec, inputs: object) -> Floats:
    place = {label: column for column, label in enumerate(spec.classes)}
    ask = cast("Callable[[object], object] | None", getattr(estimator, "predict_proba", None))
    if ask is None:
        said = [_label(name) for name in cast("Sequence[object]", estimator.predict(inputs))]
        known = np.array([place[label] for label in said], dtype=int)
        return np.eye(len(spec.classes))[known]
    chances = np.asarray(ask(inputs), dtype=float)
    names = cast("Sequence[object] | None", getattr(estimator, "classes_", None))
    labels = spec.classes if names is None else [_label(name) for name in names]
    aligned = np.zeros((len(chances), len(spec.classes)))
    aligned[:, [place[label] for label in labels]] = chances
    return aligned.round(DIGITS)


def _each_class(estimator: Estimator, spec: ModelSpec, inputs: object) -> Floats:
    ask = cast("Callable[[object], Sequence[object]]", getattr(estimator, "predict_proba"))  # noqa: B009
    columns = iter([np.asarray(one, dtype=float)[:, 1] for one in ask(inputs)])
    rows = len(cast("Sequence[object]", inputs))
    chances = [
        np.full(rows, float(spec.constant[label])) if label in spec.constant else next(columns)
        for label in spec.classes
    ]
    return np.stack(chances, axis=1).round(DIGITS)


def _chosen(classes: Sequence[str], chances: Floats) -> str:
    names = sorted(
        cast("str", json.loads(label))
        for label, chance in zip(classes, chances, strict=True)
        if chance >= HALF
    )
    return canonical_json(list(names or [NONE_OF_THESE]))


def _label(name: object) -> str:
    """Our models name classes by canonical JSON, adopted ones by plain text or number."""
    text = str(name)
    return text if text.startswith('"') else canonical_json(text)


def _cell(value: Json, feature: FeatureType) -> float | str:
    if feature == "number":
        return float(value) if isinstance(value, int | float) else float("nan")
    return "" if value is None else str(value)


def _distrust(path: Path, strange: Sequence[str]) -> str:
    return (
        f"{path}: expected only types of scikit-learn, got {', '.join(strange)}. "
        "Return a scikit-learn estimator, or name the module that defines them as trusted."
    )
