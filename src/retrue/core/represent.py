"""Samples as rows of numbers: what diversity, novelty and near-duplicates are measured on."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.feature_extraction.text import HashingVectorizer

from retrue.records import Json, Sample

__all__ = ["pixels", "represent"]

SIDE = 16  # images are compared as SIDE x SIDE grey values
WORDS = 512  # hash cells of a text's words
NAMES = 16  # hash cells of one category column
Floats = NDArray[np.float32]


def represent(
    samples: Sequence[Sample], media: Sequence[bytes] | None, *, kind: str, text: str | None = None
) -> Floats:
    """One row per sample, comparable within one call.

    image: grey values 0..1 of the picture scaled to 16 x 16. text: hashed word counts, length one.
    table and other: numbers standardised over the call's samples, categories hashed one-hot.

    Args:
        samples: Length n.
        media: Bytes per sample, for images; None otherwise.
        kind: The data kind.
        text: Name of the text field, for kind text.

    Returns:
        Shape (n, d), no NaN.

    Raises:
        ValueError: Images without media, or media that is no image.
    """
    if not samples:
        return np.zeros((0, 1), dtype=np.float32)
    if kind == "image":
        if media is None:
            raise ValueError("images are compared by their bytes: media is needed")
        return np.stack([pixels(data, side=SIDE).ravel() for data in media])
    rows = [cast("dict[str, Json]", json.loads(sample.fields)) for sample in samples]
    if kind == "text" and text is not None:
        return _words([str(row.get(text) or "") for row in rows])
    return _table(rows)


def pixels(data: bytes, *, side: int) -> Floats:
    """A picture as (side, side) grey values in 0..1.

    Raises:
        ValueError: The bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            grey = picture.convert("L").resize((side, side), Image.Resampling.BILINEAR)
    except OSError as error:
        raise ValueError(f"expected a picture, got {len(data)} bytes: {error}") from error
    return (np.asarray(grey, dtype=np.float32) / 255).astype(np.float32)


def _words(texts: Sequence[str]) -> Floats:
    vectorizer = HashingVectorizer(n_features=WORDS, alternate_sign=False)
    return np.asarray(vectorizer.transform(texts).toarray(), dtype=np.float32)


def _table(rows: Sequence[dict[str, Json]]) -> Floats:
    names = sorted({name for row in rows for name in row})
    columns = [_column([row.get(name) for row in rows]) for name in names]
    return np.hstack(columns) if columns else np.zeros((len(rows), 1), dtype=np.float32)


def _column(values: Sequence[Json]) -> Floats:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == sum(value is not None for value in values):
        column = np.array([np.nan if v is None else v for v in values], dtype=float)[:, None]
        filled = np.where(np.isnan(column), np.mean(numbers) if numbers else 0.0, column)
        spread = filled.std()
        scaled = (filled - filled.mean()) / (spread if spread > 0 else 1.0)
        return scaled.astype(np.float32)
    cells = np.zeros((len(values), NAMES), dtype=np.float32)
    for i, value in enumerate(values):
        if value is not None:
            cells[i, _cell(value)] = 1.0
    return cells


def _cell(value: Json) -> int:
    return sum(json.dumps(value).encode()) % NAMES
