"""A picture in a terminal: two pixels per character, as upper and lower half."""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.style import Style
from rich.text import Text

__all__ = ["picture"]

GREYS = " ░▒▓█"
LARGEST = 16  # a pixel of a tiny picture becomes at most a square of this many


def picture(data: bytes, *, width: int, height: int, colour: bool) -> Text | None:
    """The picture scaled to at most `width` x `height` characters, proportions kept.

    Args:
        data: An image file's bytes, of any format Pillow reads.
        width: Characters, >= 1.
        height: Lines, >= 1.
        colour: False: five shades of grey, for terminals without colour.

    Returns:
        The picture, or None if the bytes are none that can be shown.
    """
    pixels = _pixels(data, width, 2 * height)
    if pixels is None:
        return None
    lines = [
        _line(upper, lower, colour=colour)
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    ]
    return Text("\n", no_wrap=True, end="").join(lines)


def _pixels(data: bytes, columns: int, rows: int) -> NDArray[np.uint8] | None:
    """Colours, shape (even, n, 3)."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of huge pictures before it refuses them; both mean the same here.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as opened:
                opened.draft("RGB", (4 * columns, 4 * rows))
                image = _rgb(ImageOps.exif_transpose(opened))
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None
    scale = min(columns / image.width, rows / image.height, LARGEST)
    size = (max(1, round(image.width * scale)), max(2, round(image.height * scale)))
    size = (size[0], size[1] + size[1] % 2)
    # Tiny pictures keep their hard pixels: people count them.
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(image.resize(size, how), dtype=np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # 16 or 32 bits per pixel: stretched over what is there
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(
            ((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        ).convert("RGB")
    if image.has_transparency_data:
        grey = Image.new("RGBA", image.size, (128, 128, 128, 255))
        return Image.alpha_composite(grey, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _line(upper: NDArray[np.uint8], lower: NDArray[np.uint8], *, colour: bool) -> Text:
    line = Text()
    if not colour:
        weights = np.array([0.299, 0.587, 0.114]) / 255
        light = ((upper @ weights + lower @ weights) / 2).tolist()
        return line.append("".join(GREYS[round(value * (len(GREYS) - 1))] for value in light))
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        line.append("▀", Style(color=_name(top), bgcolor=_name(bottom)))
    return line


def _name(rgb: list[int]) -> str:
    red, green, blue = rgb
    return f"#{red:02x}{green:02x}{blue:02x}"
