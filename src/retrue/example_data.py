"""Small real or made-up data for a first walk around the loop: `retrue init DIR --example`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

__all__ = ["write_example"]

IMAGES = 300  # digits; more only make the first minutes longer
MESSAGES = 240
FIRST = datetime(2025, 1, 6, 8, tzinfo=UTC)
SENTENCES: Mapping[str, tuple[str, ...]] = {
    "delivery": ("Where is my {item}?", "My {item} has not arrived yet.", "When will {item} come?"),
    "refund": (
        "The {item} broke, I want my money back.",
        "Please refund the {item}.",
        "I return the {item}, when am I paid?",
    ),
    "account": (
        "I cannot log in to order a {item}.",
        "Change my address, not the {item}.",
        "My password fails when I buy a {item}.",
    ),
}
ITEMS = ("kettle", "lamp", "chair", "coat", "radio", "bicycle", "desk", "mug", "tent", "watch")


def write_example(kind: str, folder: Path) -> int:
    """Write example traffic for one of the example configurations.

    Args:
        kind: table (wines), text (messages to a shop) or image (digits).
        folder: The stream's folder; made if absent.

    Returns:
        How many samples were written.

    Raises:
        ValueError: There is no example of this kind.
    """
    writers: Mapping[str, Callable[[Path], int]] = {
        "table": _wines,
        "text": _messages,
        "image": _digits,
    }
    if kind not in writers:
        raise ValueError(f"kind: expected one of {', '.join(writers)}, got {kind}")
    folder.mkdir(parents=True, exist_ok=True)
    return writers[kind](folder)


def _wines(folder: Path) -> int:
    from sklearn.datasets import load_wine

    bunch = load_wine()
    names = [str(name).replace("/", "_") for name in bunch["feature_names"]]
    values = bunch["data"]
    order = np.random.default_rng(7).permutation(len(values))  # the file is sorted by class
    rows = [[f"wine-{i:03d}", *values[row].tolist()] for i, row in enumerate(order)]
    return _write(folder / "wines.csv", ["id", *names], rows)


def _messages(folder: Path) -> int:
    rng = np.random.default_rng(7)
    sentences = [text for texts in SENTENCES.values() for text in texts]
    rows: list[list[object]] = []
    for number in range(MESSAGES):
        text = sentences[int(rng.integers(len(sentences)))]
        item = ITEMS[int(rng.integers(len(ITEMS)))]
        at = FIRST + timedelta(minutes=20 * number)
        rows.append(
            [f"m-{number:03d}", at.isoformat(), f"{text.format(item=item)} Order {number}."]
        )
    return _write(folder / "messages.csv", ["id", "sent_at", "message"], rows)


def _digits(folder: Path) -> int:
    from PIL import Image
    from sklearn.datasets import load_digits

    for number, pixels in enumerate(load_digits()["images"][:IMAGES]):
        grey = (255 - pixels * 255 / 16).astype(np.uint8)
        picture = Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC)
        picture.save(folder / f"digit-{number:03d}.png")
    return IMAGES


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return len(rows)
