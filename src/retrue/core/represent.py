"""Samples as rows of numbers: what diversity, novelty and near-duplicates are measured on."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from sklearn.feature_extraction.text import HashingVectorizer

from retrue.records import Json, Sample, canonical_json

__all__ = ["picture_fault", "pixels", "represent"]

SIDE = 16  # images are compared as SIDE x SIDE grey values
WORDS = 512  # hash cells of a text's words
NAMES = 16  # hash cells of one category column
Floats = NDArray[np.float32]


def represent(
    samples: Sequence[Sample], media: Iterable[bytes] | None, *, kind: str, text: str | None = None
) -> Floats:
    """One row per sample, comparable within one call.

    image: grey values of the picture scaled to 16 x 16, less the mean picture of the call; zeros
    where the bytes are no picture. text: hashed word counts, length one. table and other: numbers
    standardised over the call's samples, a missing one at the mean; categories hashed one-hot.

    Args:
        samples: Length n.
        media: Bytes per sample, n of them, for images; None otherwise. Each is let go at once.
        kind: The data kind.
        text: Name of the text field, for kind text.

    Returns:
        Shape (n, d), no NaN.

    Raises:
        ValueError: Images without media, or not one per sample.

    >>> represent([], None, kind="table").shape
    (0, 1)
    """
    if not samples:
        return np.zeros((0, 1), dtype=np.float32)
    if kind == "image":
        if media is None:
            raise ValueError("images are compared by their bytes: media is needed")
        return _pictures(media, len(samples))
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
    except UnidentifiedImageError as error:  # its words hold an address in memory
        what = f"{len(data)} bytes of something else" if data else "an empty object"
        raise ValueError(f"expected a picture, got {what}") from error
    # Pillow's decoders tell of damage in all these ways.
    except (OSError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a picture, got {len(data)} bytes: {error}") from error
    return (np.asarray(grey, dtype=np.float32) / 255).astype(np.float32)


def picture_fault(data: bytes) -> str | None:
    """Why bytes are no picture that `pixels` can read, the same words each time; None: they are.

    >>> picture_fault(b"not one")
    'expected a picture, got 7 bytes of something else'
    """
    try:
        pixels(data, side=1)
    except ValueError as error:
        return str(error)
    return None


def _pictures(media: Iterable[bytes], count: int) -> Floats:
    """Less their mean: pictures of one scene differ in little else than what matters."""
    rows = np.full((count, SIDE * SIDE), np.nan, dtype=np.float32)
    for row, data in zip(rows, media, strict=True):
        with suppress(ValueError):  # one damaged file must not stop a round
            row[:] = pixels(data, side=SIDE).ravel()
    seen = ~np.isnan(rows[:, 0])
    rows[seen] -= rows[seen].mean(axis=0) if seen.any() else 0.0
    rows[~seen] = 0.0
    return rows


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
        column /= max((abs(number) for number in numbers), default=0.0) or 1.0  # no overflow
        filled = np.where(np.isnan(column), np.nanmean(column) if numbers else 0.0, column)
        spread = filled.std()
        scaled = (filled - filled.mean()) / (spread if spread > 0 else 1.0)
        return scaled.astype(np.float32)
    cells = np.zeros((len(values), NAMES), dtype=np.float32)
    for i, value in enumerate(values):
        if value is not None:
            cells[i, _cell(value)] = 1.0
    return cells


def _cell(value: Json) -> int:
    return zlib.crc32(canonical_json(value).encode()) % NAMES
