"""Declared migrations: what an old label means under a new schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from retrue.kinds import OUTCOMES, BadLabel, LabelSchema, kind_of
from retrue.kinds.schema import canonical, from_text

__all__ = ["Migration", "Operation", "migrate_label"]

Operation = Literal["rename", "merge", "split", "drop", "add"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One declared change of the classes.

    Raises:
        ValueError: `source` and `target` do not fit the operation.
    """

    op: Operation
    source: tuple[str, ...] = ()  # old classes; taxonomy: a path stands for all below it too
    target: tuple[str, ...] = ()  # new classes; rename: one per source, in the same order

    def __post_init__(self) -> None:
        n, m = len(self.source), len(self.target)
        fits = {
            "rename": (n == m >= 1, "as many targets as sources"),
            "merge": (n >= 1 and m == 1, "sources and exactly one target"),
            "split": (n == 1 and m >= 2, "one source and at least two targets"),
            "drop": (n >= 1 and m == 0, "sources and no target"),
            "add": (n == 0 and m >= 1, "targets and no source"),
        }
        if self.op not in fits:
            raise ValueError(f"op: expected one of {', '.join(fits)}, got {self.op!r}")
        ok, expected = fits[self.op]
        if not ok:
            raise ValueError(f"{self.op}: expected {expected}, got {self.source} -> {self.target}")


def migrate_label(
    value: str | None, migrations: Sequence[Migration], schema: LabelSchema
) -> str | None:
    """A stored label under the schema its migrations lead to.

    A rename or merge maps it, an `add` leaves it, a split makes it unknown. So does a drop,
    except that an answer of several classes keeps the classes that were not dropped.

    Args:
        value: Canonical JSON text under the old schema, or None (unknown stays unknown).
        migrations: In the order declared.
        schema: The new schema.

    Returns:
        Canonical JSON text under `schema`; None means a person must answer again.

    >>> schema = LabelSchema(kind="choice", classes=("feline", "dog"))
    >>> steps = [Migration(op="rename", source=("cat",), target=("feline",))]
    >>> migrate_label('"cat"', steps, schema), migrate_label('"cow"', steps, schema)
    ('"feline"', None)
    """
    if value is None:
        return None
    moved = from_text(value)
    below = schema.separator if schema.kind == "taxonomy" else None
    for migration in migrations:
        if isinstance(moved, str):
            moved = _moved(moved, migration, below)
        elif isinstance(moved, list):
            moved = _moved_all(cast("list[str]", moved), migration)
    if moved is None:
        return None
    try:
        return kind_of(schema).parse(canonical(moved), schema)
    except BadLabel:
        # A class that vanished undeclared is a question, not a crash.
        return None


def _moved(name: str, migration: Migration, below: str | None) -> str | None:
    if name in OUTCOMES:
        return name
    for i, source in enumerate(migration.source):
        rest = name.removeprefix(source)
        if name == source or (below is not None and rest != name and rest.startswith(below)):
            if migration.op in {"split", "drop"}:
                return None
            return migration.target[0 if migration.op == "merge" else i] + rest
    return name


def _moved_all(names: list[str], migration: Migration) -> list[str] | None:
    moved = [_moved(name, migration, None) for name in names]
    kept = [name for name in moved if name is not None]
    whole = len(kept) == len(moved) or migration.op == "drop"
    return kept if kept and whole else None
