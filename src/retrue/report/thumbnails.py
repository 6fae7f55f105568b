"""What a sample looks like on the page: a small picture, or its display fields."""

from __future__ import annotations

import base64
import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from retrue.records import Json, Sample
from retrue.workspace import Workspace

__all__ = ["Look", "Looks", "thumbnail"]

SIDE = 96  # pixels
COLOURS = 96  # of a photograph's thumbnail: a third of the bytes, and nobody sees it at this size
FIELDS = 6  # shown per sample
LONGEST = 240  # characters of one field
ROUNDS_KEPT = 4  # rounds whose media are held in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one sample is shown."""

    png: str | None  # base64; None: no picture can be made of it
    fields: tuple[tuple[str, str], ...]  # (name, value), shortened


class Looks:
    """Makes looks until the page has bytes enough; later ones come without a picture."""

    def __init__(self, workspace: Workspace, *, max_bytes: int = 1_500_000) -> None:
        self._display = workspace.config.data.display
        self._left = max_bytes
        self._media = lru_cache(maxsize=ROUNDS_KEPT)(workspace.records.media)
        self._samples: dict[str, tuple[Sample, str]] = {}  # with the round that first drew it
        for item in workspace.records.rounds():
            for sample in workspace.records.samples(item.plan.round_id):
                self._samples.setdefault(sample.sample_id, (sample, item.plan.round_id))

    def of(self, sample_id: str) -> Look:
        """The look of one sample; an unknown one has neither picture nor fields."""
        if sample_id not in self._samples:
            return Look(png=None, fields=())
        sample, round_id = self._samples[sample_id]
        png = None
        if sample.media_sha256 is not None and self._left > 0:
            data = self._media(round_id).get(sample.media_sha256)
            png = None if data is None else thumbnail(data)
        self._left -= len(png or "")
        return Look(png=png, fields=_fields(sample, self._display))


def thumbnail(data: bytes) -> str | None:
    """A PNG of at most 96 x 96 pixels, base64; None if the bytes are no image we can read.

    >>> thumbnail(b"not an image") is None
    True
    """
    try:
        with warnings.catch_warnings():
            # A small file may unfold to gigabytes: it is not opened.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                small = _eight_bit(ImageOps.exif_transpose(image))
                small.thumbnail((SIDE, SIDE))
                out = io.BytesIO()
                _few_colours(small).save(out, "PNG", optimize=True)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        SyntaxError,  # Pillow's word for a broken PNG
        ValueError,
    ):
        return None
    return base64.b64encode(out.getvalue()).decode()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scans with more than 8 bits, stretched from their darkest to their brightest."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8))


def _few_colours(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "L"):
        return image
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB").quantize(COLOURS)


def _fields(sample: Sample, display: tuple[str, ...] | None) -> tuple[tuple[str, str], ...]:
    fields = cast("Mapping[str, Json]", json.loads(sample.fields))
    names = [
        name for name in (fields if display is None else display) if fields.get(name) is not None
    ]
    return tuple((name, _short(fields[name])) for name in names[:FIELDS])


def _short(value: Json) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
