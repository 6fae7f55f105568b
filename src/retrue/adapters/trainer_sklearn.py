"""The default models: plain scikit-learn pipelines for tables, texts and images.

They are made of scikit-learn's own classes only, so a stored model needs none of our code to load.
`train.options` tune them:

- `estimator`: `logistic_regression` (default) or, for tables, `hist_gradient_boosting`; with
  number labels the first means ridge regression
- `C`: inverse strength of the logistic regression's (and 1 / alpha of ridge's) regularisation
- `max_iter`: iterations of the solver, or trees
- `max_features`: words and word pairs a text model knows
- `side`: pixels per side an image is scaled to
- `components`: landmarks of an image model's kernel
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from retrue.adapters.model_files import Estimator, FeatureType, ModelSpec
from retrue.config import Config, FieldRule, Labels
from retrue.errors import ConfigError, TrainingError
from retrue.kinds import CANNOT_TELL, OUTCOMES
from retrue.records import Json, Sample, Split, canonical_json

__all__ = ["Trained", "TrainingSet", "model_spec", "train_default", "usable"]

Weights: TypeAlias = NDArray[np.float64]
# A person said "none of the classes": nothing to learn for a model that must name one, but judged
# by. With several classes per item it is a plain no to each of them, and can be learnt.
_NOT_LEARNT = frozenset({f'"{name}"' for name in OUTCOMES} | {f'["{CANNOT_TELL}"]'})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingSet:
    """What a model is trained on; an entry point gets the rows of the training split."""

    samples: Sequence[Sample]
    media: Sequence[bytes] | None  # per sample, for images
    labels: Sequence[str]  # canonical JSON
    weights: Weights  # (n,), 0..1: confidence, less for labels made by programs
    splits: Sequence[Split]
    inputs: object  # the model's X, see `model_files.model_inputs`

    def names(self) -> list[str]:
        """Labels as plain text where they are text."""
        return [str(json.loads(label)) for label in self.labels]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A fitted model with the description that says how to use it."""

    estimator: Estimator
    spec: ModelSpec


class Options(BaseModel):
    """`train.options` of the default pipelines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    estimator: Literal["logistic_regression", "hist_gradient_boosting"] = "logistic_regression"
    C: float | None = Field(default=None, gt=0)  # None: 1, for images 100
    max_iter: int | None = Field(default=None, ge=1)  # None: 1000 iterations, 100 trees
    max_features: int = Field(default=50_000, ge=1)
    side: int = Field(default=16, ge=2, le=128)
    components: int = Field(default=300, ge=2)

    @classmethod
    def of(cls, config: Config) -> Options:
        """The options of a workspace.

        Raises:
            ConfigError: An option is unknown, out of range, or not of this kind of data.
        """
        try:
            options = cls.model_validate(dict(config.train.options))
        except ValidationError as error:
            lines = [
                f"train.options.{'.'.join(map(str, item['loc']))}: {item['msg']}, "
                f"got {item['input']!r}"
                for item in error.errors(include_url=False)
            ]
            known = ", ".join(cls.model_fields)
            raise ConfigError("\n".join([*lines, f"Known options: {known}"])) from error
        if options.estimator == "hist_gradient_boosting" and config.data.kind != "table":
            raise ConfigError(
                "train.options.estimator: expected logistic_regression for "
                f"{config.data.kind} data, got hist_gradient_boosting"
            )
        return options


def model_spec(
    config: Config,
    labels: Labels,
    samples: Sequence[Sample],
    *,
    trainer: Literal["sklearn", "entry_point", "command"] = "sklearn",
) -> ModelSpec:
    """The description of a model that is about to be trained; classes follow from its labels.

    Raises:
        ConfigError: As for `Options.of`.
    """
    image = config.data.kind == "image"
    table = config.data.kind in ("table", "other")
    side = Options.of(config).side if trainer == "sklearn" else Options().side
    return ModelSpec(
        trainer=trainer,
        data_kind=config.data.kind,
        label_kind=labels.kind,
        classes=(),
        features=_features(config.data.fields, samples) if table else {},
        text=config.data.text,
        side=side if image else None,
        constant={},
    )


def usable(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels a model can learn from: those that name a class, or reject each; shape (n,).

    >>> usable(['"cat"', '"none_of_these"']).tolist()
    [True, False]
    """
    return np.array([label not in _NOT_LEARNT for label in labels], dtype=bool)


def train_default(
    config: Config, spec: ModelSpec, inputs: object, labels: Sequence[str], weights: Weights
) -> Trained:
    """Fit the default pipeline of a data kind.

    Args:
        config: For options and seed.
        spec: From `model_spec`.
        inputs: From `model_files.model_inputs`, n rows.
        labels: Canonical JSON, length n, none of them an outcome.
        weights: Shape (n,), >= 0.

    Raises:
        TrainingError: There is only one class, or no row.
        ConfigError: The data kind has no default pipeline.
    """
    options = Options.of(config)
    if spec.label_kind == "number":
        if not labels:
            raise TrainingError("train: expected labelled rows, got none.")
        numbers = np.array([float(label) for label in labels])
        model = _pipeline(
            options, spec, len(labels), _regressor(options, config.train.seed), config
        )
        model.fit(inputs, numbers, model__sample_weight=weights)
        return Trained(estimator=cast("Estimator", model), spec=spec)
    if spec.label_kind == "choices":
        return _train_choices(config, options, spec, inputs, labels, weights)
    classes = tuple(sorted(set(labels)))
    _need_two(classes)
    model = _pipeline(options, spec, len(labels), _classifier(options, spec, config), config)
    model.fit(inputs, np.array(labels, dtype=str), model__sample_weight=weights)
    return Trained(estimator=cast("Estimator", model), spec=replace(spec, classes=classes))


def _train_choices(
    config: Config,
    options: Options,
    spec: ModelSpec,
    inputs: object,
    labels: Sequence[str],
    weights: Weights,
) -> Trained:
    """One yes-or-no model per class; a class that never or always applies needs none."""
    picked = [set(cast("list[str]", json.loads(label))) - set(OUTCOMES) for label in labels]
    names = sorted({name for names in picked for name in names})
    table = np.array([[name in names_of for name in names] for names_of in picked], dtype=int)
    varies = [0 < int(column.sum()) < len(labels) for column in table.T]
    if not any(varies):
        _need_two(names[:1])
    classifier = MultiOutputClassifier(_classifier(options, spec, config))
    model = _pipeline(options, spec, len(labels), classifier, config)
    model.fit(inputs, table[:, varies], model__sample_weight=weights)
    spec = replace(
        spec,
        classes=tuple(canonical_json(name) for name in names),
        constant={
            canonical_json(name): 1 for name, one in zip(names, varies, strict=True) if not one
        },
    )
    return Trained(estimator=cast("Estimator", model), spec=spec)


def _need_two(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise TrainingError(
            f"train: expected training labels of at least two classes, got "
            f"{', '.join(classes) or 'none'}. Label more items, or open a round for rare classes."
        )


def _pipeline(
    options: Options, spec: ModelSpec, rows: int, model: BaseEstimator, config: Config
) -> Pipeline:
    if spec.data_kind == "table":
        return Pipeline([("columns", _columns(options, spec)), ("model", model)])
    if spec.data_kind == "text":
        words = TfidfVectorizer(
            ngram_range=(1, 2), max_features=options.max_features, sublinear_tf=True
        )
        return Pipeline([("words", words), ("model", model)])
    if spec.data_kind == "image":
        # A kernel map under a linear model: nearly a support vector machine, with probabilities.
        kernel = Nystroem(
            gamma=0.5 / (spec.side or 1) ** 2,
            n_components=min(options.components, rows),
            random_state=config.train.seed,
        )
        return Pipeline([("scale", StandardScaler()), ("kernel", kernel), ("model", model)])
    raise ConfigError(
        f"data.kind {spec.data_kind}: there is no default model for it; "
        "set train.command or train.entry_point."
    )


def _columns(options: Options, spec: ModelSpec) -> ColumnTransformer:
    numbers = [name for name, kind in spec.features.items() if kind == "number"]
    categories = [name for name, kind in spec.features.items() if kind == "category"]
    texts = [name for name, kind in spec.features.items() if kind == "text"]
    if not spec.features:
        raise ConfigError("data.fields: expected at least one field to learn from, got none")
    fill = Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    one_hot = OneHotEncoder(handle_unknown="ignore")
    parts: list[tuple[str, BaseEstimator | str, str | Sequence[str]]] = []
    if numbers:
        parts.append(("numbers", fill, numbers))
    if categories:
        parts.append(("categories", one_hot, categories))
    parts += [
        (f"text {name}", TfidfVectorizer(max_features=options.max_features), name) for name in texts
    ]
    dense = options.estimator == "hist_gradient_boosting"
    return ColumnTransformer(parts, sparse_threshold=0.0 if dense else 0.3)


def _classifier(options: Options, spec: ModelSpec, config: Config) -> BaseEstimator:
    seed = config.train.seed
    if options.estimator == "hist_gradient_boosting":
        return HistGradientBoostingClassifier(
            max_iter=options.max_iter or 100, early_stopping=False, random_state=seed
        )
    strength = options.C or (100.0 if spec.data_kind == "image" else 1.0)
    return LogisticRegression(C=strength, max_iter=options.max_iter or 1000, random_state=seed)


def _regressor(options: Options, seed: int) -> BaseEstimator:
    if options.estimator == "hist_gradient_boosting":
        return HistGradientBoostingRegressor(
            max_iter=options.max_iter or 100, early_stopping=False, random_state=seed
        )
    return Ridge(alpha=1 / (options.C or 1.0), random_state=seed)


def _features(
    declared: Mapping[str, FieldRule] | None, samples: Sequence[Sample]
) -> dict[str, FeatureType]:
    """Columns to learn from. Times are left out: a model of the clock does not last."""
    rows = [cast("dict[str, Json]", json.loads(sample.fields)) for sample in samples]
    if declared is None:
        names = sorted({name for row in rows for name in row})
        return {name: _inferred([row.get(name) for row in rows]) for name in names}
    kinds: Mapping[str, FeatureType] = {
        "number": "number",
        "boolean": "number",
        "category": "category",
        "text": "text",
    }
    return {name: kinds[rule.type] for name, rule in declared.items() if rule.type in kinds}


def _inferred(values: Sequence[Json]) -> FeatureType:
    known = [value for value in values if value is not None]
    return "number" if known and all(isinstance(v, int | float) for v in known) else "category"
