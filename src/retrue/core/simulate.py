"""People who answer by arithmetic: for demos, tests and a rehearsal of what a round will cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from retrue.kinds import CANNOT_TELL, NONE_OF_THESE, OUTCOMES, BadLabel, LabelSchema, kind_of
from retrue.kinds.schema import canonical, from_text
from retrue.records import AnnotatorGroup, short_hash

__all__ = ["SimulatedAnnotator", "annotator_rng", "answer_of", "lead_of"]

SPREAD = 0.5  # sigma of the log of lead times; people's lie near 0.3-0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAnnotator:
    """Somebody with known habits.

    >>> SimulatedAnnotator(name="ann", accuracy=1.5, seconds=3)
    Traceback (most recent call last):
    ...
    ValueError: accuracy: expected 0..1, got 1.5
    """

    name: str
    accuracy: float  # chance of the right answer, 0..1
    seconds: float  # mean time for one answer, > 0
    group: AnnotatorGroup = "crowd"
    # True class -> the class a mistake names; a class that is not here is mistaken evenly.
    confuses: Mapping[str, str] = field(default_factory=dict[str, str])
    spammer: bool = False  # picks evenly without looking, whatever the accuracy says

    def __post_init__(self) -> None:
        if not 0 <= self.accuracy <= 1:
            raise ValueError(f"accuracy: expected 0..1, got {self.accuracy}")
        if not self.seconds > 0:
            raise ValueError(f"seconds: expected > 0, got {self.seconds}")


def annotator_rng(seed: str, annotator: str, task_key: str) -> np.random.Generator:
    """The chance of one person at one task: the same in whatever order tasks are answered."""
    return np.random.default_rng(int(short_hash(seed, annotator, task_key), 16))


def answer_of(
    annotator: SimulatedAnnotator,
    truth: str,
    schema: LabelSchema,
    *,
    rng: np.random.Generator,
) -> tuple[str, str]:
    """What this person says about a sample.

    Right with chance `accuracy`. A truth outside the schema is rightly `none_of_these`, with the
    truth as note, as a careful person would write it down. A mistake names another class: the
    one of `confuses`, else evenly; in `choices` one class too many or too few; in `number` a
    value further off than the tolerance.

    Args:
        annotator: Who is asked.
        truth: A class name, a path, or JSON text as the kind takes it; it need not be in `schema`.
        schema: What was asked.
        rng: See `annotator_rng`.

    Returns:
        (canonical JSON text of the answer, note).

    Raises:
        ValueError: The schema asks for a number and the truth is none in its limits.

    >>> schema = LabelSchema(kind="choice", classes=("cat", "dog"))
    >>> ann = SimulatedAnnotator(name="ann", accuracy=1, seconds=3)
    >>> answer_of(ann, "cat", schema, rng=annotator_rng("s", "ann", "t1"))
    ('"cat"', '')
    >>> answer_of(ann, "cow", schema, rng=annotator_rng("s", "ann", "t1"))
    ('"none_of_these"', 'cow')
    """
    right = not annotator.spammer and rng.random() < annotator.accuracy
    if schema.kind == "number":
        return _number(annotator, truth, schema, right=right, rng=rng), ""
    label, note = _in_schema(truth, schema)
    if right:
        return label, note
    if annotator.spammer:
        return _label(str(rng.choice(schema.classes)), schema), ""
    confused = annotator.confuses.get(truth)
    if confused is not None:
        return _label(confused, schema), ""
    if schema.kind == "choices":
        return _toggled(label, schema, rng), ""
    others = [name for name in schema.classes if _label(name, schema) != label]
    return _label(str(rng.choice(others)) if others else CANNOT_TELL, schema), ""


def lead_of(annotator: SimulatedAnnotator, *, rng: np.random.Generator) -> float:
    """Seconds one answer takes: log-normal with mean `seconds`, in tenths, >= 0.1."""
    drawn = rng.lognormal(math.log(annotator.seconds) - SPREAD**2 / 2, SPREAD)
    return max(0.1, round(drawn, 1))


def _label(name: str, schema: LabelSchema) -> str:
    return kind_of(schema).parse(name, schema)


def _in_schema(truth: str, schema: LabelSchema) -> tuple[str, str]:
    """The best answer the schema allows, and a note when that is none of its classes."""
    try:
        return _label(truth, schema), ""
    except BadLabel:
        pass
    plain = from_text(truth)
    if schema.kind == "choices" and isinstance(plain, list):
        # JSON text that a person wrote may hold anything; only class names count.
        names = [name for name in cast("list[object]", plain) if name in schema.classes]
        if names:
            return kind_of(schema).parse(names[: schema.max_choices], schema), ""
    return _label(NONE_OF_THESE, schema), truth


def _toggled(label: str, schema: LabelSchema, rng: np.random.Generator) -> str:
    """The set with one class more or less, never empty, never over the limit."""
    chosen = set(cast("list[str]", from_text(label))) - set(OUTCOMES)
    sets = [chosen ^ {name} for name in schema.classes]
    limit = schema.max_choices or len(schema.classes)
    allowed = [sorted(names) for names in sets if 0 < len(names) <= limit]
    picked = allowed[int(rng.integers(len(allowed)))] if allowed else [CANNOT_TELL]
    return kind_of(schema).parse(picked, schema)


def _number(
    annotator: SimulatedAnnotator,
    truth: str,
    schema: LabelSchema,
    *,
    right: bool,
    rng: np.random.Generator,
) -> str:
    label = _label(truth, schema)
    if right:
        return label
    value = float(label)
    # Without limits a mistake is of the size of the thing itself.
    reach = max(abs(value), 10 * schema.tolerance, 1.0)
    low = value - reach if schema.minimum is None else schema.minimum
    high = value + reach if schema.maximum is None else schema.maximum
    if annotator.spammer:
        return _typed(rng.uniform(low, high), low, high)
    # Evenly over what lies outside the tolerance on either side.
    below = max(0.0, value - schema.tolerance - low)
    above = max(0.0, high - value - schema.tolerance)
    drawn = float(rng.uniform(0, below + above))
    if below + above == 0:
        return label
    wrong = low + drawn if drawn < below else value + schema.tolerance + drawn - below
    return _typed(wrong, low, high)


def _typed(value: float, low: float, high: float) -> str:
    # People type a few digits; rounding must not carry the value over a limit.
    number = min(max(float(f"{value:.4g}"), low), high)
    return canonical(int(number) if number.is_integer() else number)
