"""Label files people have already: CSV, JSONL or parquet, one answer per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrue.adapters.tables_reader import read_table
from retrue.core.arrow import Column, column_of, text_list
from retrue.core.identity import key_texts
from retrue.errors import ConfigError, UnreadableObject

__all__ = ["LabelLine", "Unfit", "read_label_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLine:
    """One answer as it stands in a file."""

    line: int  # as an editor counts (CSV, JSONL), or the row from 1 (parquet)
    key: str
    value: object  # as stored: text, number, list
    annotator: str | None  # None: the file does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A line that could not be taken, and why."""

    line: int
    reason: str


def read_label_file(
    path: Path, *, key: str, label: str, annotator: str | None = None
) -> tuple[list[LabelLine], list[Unfit]]:
    """The answers of a file in order, and the lines that hold none.

    Args:
        path: A .csv, .jsonl or .parquet file (text formats may end in .gz).
        key: Column with the sample's key.
        label: Column with the label: a class's name, a number, or JSON text of a label.
        annotator: Column that says who answered; None: nobody knows.

    Raises:
        ConfigError: The file is missing, or has no such column.
        UnreadableObject: Its bytes are not what its name says.
    """
    lines: list[LabelLine] = []
    unfit: list[Unfit] = []
    # A CSV has a header line; rows count from 0.
    first = 2 if ".csv" in path.name.lower() else 1
    try:
        with path.open("rb") as file:
            for part in read_table(file, path.name):
                unfit += [Unfit(line=row + first, reason=why) for row, why in part.bad]
                names = [str(name) for name in part.batch.schema.names]
                for wanted in [key, label, *([annotator] if annotator else [])]:
                    if wanted not in names:
                        raise ConfigError(
                            f"{path}: expected a column {wanted!r}, got columns "
                            f"{', '.join(names)}. Name it with --key, --label or --annotator."
                        )
                numbers = [int(row) + first for row in part.rows]
                columns = [column_of(part.batch, n) if n else None for n in (key, label, annotator)]
                _take(numbers, columns, lines, unfit)
    except OSError as error:
        raise ConfigError(f"{path}: expected a file of labels, got: {error.strerror}") from error
    except UnreadableObject as error:
        raise UnreadableObject(f"{path}: {error}") from error
    return lines, unfit


def _take(
    numbers: Sequence[int],
    columns: Sequence[Column | None],
    lines: list[LabelLine],
    unfit: list[Unfit],
) -> None:
    keys, values, people = columns
    if keys is None or values is None:
        raise ValueError("columns: expected a key and a label column")
    names = text_list(key_texts(keys))
    labels = values.to_pylist()
    who = text_list(key_texts(people)) if people is not None else [None] * len(names)
    for number, name, value, person in zip(numbers, names, labels, who, strict=True):
        if name is None:
            unfit.append(Unfit(line=number, reason="no key"))
        elif value is None or value == "":
            unfit.append(Unfit(line=number, reason="no label"))
        else:
            lines.append(LabelLine(line=number, key=name, value=value, annotator=person))
