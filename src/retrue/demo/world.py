"""The demo's world: real handwritten digits, an application that logs what its model says, people.

The digits are scikit-learn's bundled set (Alpaydin and Kaynak 1998, 1,797 pictures of 8 x 8), each
written out as one PNG object. Nothing here knows retrue's inside: it only makes objects and
answers, as the world would.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from retrue.core.simulate import SimulatedAnnotator

__all__ = [
    "ANNOTATORS",
    "NEW_CLASS",
    "SEED",
    "Digit",
    "World",
    "log_of",
    "make_world",
    "picture_of",
]

NEW_CLASS = "9"  # a shape that the first model never saw
SEED = 7  # of the deal, and of what people get wrong
Floats = NDArray[np.float64]
SIDE = 32  # pixels; the 8 x 8 originals scaled up smoothly, as a scanner would deliver them

# Three people of different, known skill; Cleo is the one to be found out. Ann also arbitrates.
ANNOTATORS = (
    SimulatedAnnotator(name="Ann", accuracy=0.985, seconds=2.6),
    SimulatedAnnotator(name="Bob", accuracy=0.95, seconds=2.1),
    SimulatedAnnotator(name="Cleo", accuracy=0.61, seconds=1.4),
    SimulatedAnnotator(name="Ann", accuracy=0.985, seconds=4.0, group="adjudicator"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One picture and what it truly shows."""

    name: str
    truth: str
    pixels: Floats  # (8, 8), 0..16
    turned: float = 0.0  # degrees; 0: as it was written


@dataclass(frozen=True, slots=True)
class World:
    """What will happen, in order: four windows of digits."""

    first: tuple[Digit, ...]  # windows 1 and 2: classes 0-8
    second: tuple[Digit, ...]
    quiet: tuple[Digit, ...]  # window 3: more of the same
    disturbed: tuple[Digit, ...]  # window 4: a new shape, and turned strokes
    truths: Mapping[str, str] = field(default_factory=dict[str, str])  # by picture name

    def seen(self) -> dict[str, str]:
        """What each picture shows to who looks at it, by the SHA-256 of its bytes."""
        digits = (*self.first, *self.second, *self.quiet, *self.disturbed)
        return {hashlib.sha256(picture_of(digit)).hexdigest(): digit.truth for digit in digits}


def make_world(*, seed: int) -> World:
    """Deal the digits to four windows; the same seed deals the same."""
    rng = np.random.default_rng(seed)
    rows, targets = cast("tuple[Floats, NDArray[np.int64]]", load_digits(return_X_y=True))
    digits = [
        Digit(name=f"img-{i:04d}", truth=str(int(target)), pixels=row.reshape(8, 8))
        for i, (row, target) in enumerate(zip(rows, targets, strict=True))
    ]
    shuffled = _shuffled(digits, rng)
    known = [digit for digit in shuffled if digit.truth != NEW_CLASS]
    new = [digit for digit in shuffled if digit.truth == NEW_CLASS]
    late = known[1300:]
    turned = [
        Digit(
            name=digit.name,
            truth=digit.truth,
            pixels=digit.pixels,
            turned=float(rng.choice([-1, 1]) * rng.uniform(35, 70)),
        )
        for digit in late[:130]
    ]
    disturbed = [*turned, *late[130:], *new]
    return World(
        first=tuple(known[:500]),
        second=tuple(known[500:1000]),
        quiet=tuple(known[1000:1300]),
        disturbed=tuple(_shuffled(disturbed, rng)),
        truths={digit.name: digit.truth for digit in digits},
    )


def _shuffled(digits: Sequence[Digit], rng: np.random.Generator) -> list[Digit]:
    return [digits[int(place)] for place in rng.permutation(len(digits))]


def log_of(
    digits: Sequence[Digit],
    probabilities: Floats,
    classes: Sequence[str],
    *,
    model_version: str,
    at: datetime,
) -> bytes:
    """An inference log as parquet: one row per request, with the model's class probabilities.

    Args:
        digits: n requests.
        probabilities: Shape (n, n_classes).
        classes: Names of the columns.
        model_version: Who scored.
        at: When.
    """
    columns: dict[str, object] = {
        "image_id": [digit.name for digit in digits],
        "path": [f"{digit.name}.png" for digit in digits],
        "taken_at": [at] * len(digits),
        "model_version": [model_version] * len(digits),
    }
    columns |= {f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)}
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


def picture_of(digit: Digit) -> bytes:
    """A digit as PNG."""
    grey = (digit.pixels / 16 * 255).astype(np.uint8)
    picture = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if digit.turned:
        picture = picture.rotate(digit.turned, resample=Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
