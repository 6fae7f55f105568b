"""What a batch of clean rows adds to its window's profile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from retrue.core.arrow import (
    Column,
    Floats,
    call,
    cast_column,
    column_of,
    dictionary_parts,
    floats,
    text_list,
)
from retrue.core.clean import CleanBatch
from retrue.core.profile import (
    CategoryProfile,
    NumberProfile,
    profile_categories,
    profile_numbers,
)

__all__ = ["first_centers", "number_columns", "profile_columns"]


def number_columns(batch: CleanBatch) -> dict[str, Floats]:
    """Every number there is about the rows, each of shape (n,), NaN where missing.

    Number fields by their names; `<field>.words` and `<field>.chars` of text fields;
    `p[<class>]` and their largest, `p_max`, where a model's probabilities are there.
    """
    found: dict[str, Floats] = {}
    for name in batch.fields.column_names:
        column = column_of(batch.fields, name)
        if pa.types.is_floating(column.type):
            found[name] = floats(column)
        elif pa.types.is_string(column.type):
            found[f"{name}.words"] = floats(
                call(
                    "list_value_length",
                    call("utf8_split_whitespace", call("utf8_trim_whitespace", column)),
                )
            )
            found[f"{name}.chars"] = floats(call("utf8_length", column))
    if batch.probabilities is not None:
        for place, label in enumerate(batch.classes):
            found[f"p[{label}]"] = batch.probabilities[:, place]
        found["p_max"] = batch.probabilities.max(axis=1)
    return found


def first_centers(batch: CleanBatch, known: Mapping[str, float]) -> dict[str, float]:
    """A centre for every number column that has none: an observed value in the middle, else 0."""
    return {
        name: _middle(values) for name, values in number_columns(batch).items() if name not in known
    }


def profile_columns(
    batch: CleanBatch, centers: Mapping[str, float]
) -> dict[str, NumberProfile | CategoryProfile]:
    """Profile one batch, duplicates included: they are traffic too.

    Args:
        batch: Clean rows.
        centers: Of every column in `number_columns`.

    Returns:
        A profile per number column, per category and boolean field, and `predicted` (the class of
        the largest probability, the first of equal ones). Times are not profiled: they always move.
    """
    found: dict[str, NumberProfile | CategoryProfile] = {
        name: profile_numbers(values, center=centers[name])
        for name, values in number_columns(batch).items()
    }
    for name in batch.fields.column_names:
        column = column_of(batch.fields, name)
        if pa.types.is_boolean(column.type):
            column = call("if_else", column, "true", "false")
        elif not pa.types.is_dictionary(column.type):
            continue
        found[name] = _categories(column)
    if batch.probabilities is not None and batch.classes:
        rows = np.bincount(batch.probabilities.argmax(axis=1), minlength=len(batch.classes))
        found["predicted"] = profile_categories(
            dict(zip(batch.classes, map(int, rows), strict=True))
        )
    return found


def _categories(column: Column) -> CategoryProfile:
    values, indices = dictionary_parts(column)
    places = call("coalesce", cast_column(indices, pa.int64()), -1).to_numpy(zero_copy_only=False)
    rows = np.bincount(places.astype(np.int64) + 1, minlength=len(values) + 1)
    counts: dict[str | None, int] = dict(zip(text_list(values), map(int, rows[1:]), strict=True))
    return profile_categories({**counts, None: int(rows[0])})


def _middle(values: Floats) -> float:
    present = values[np.isfinite(values)]
    if not len(present):
        return 0.0
    middle = (len(present) - 1) // 2
    return float(np.partition(present, middle)[middle])
