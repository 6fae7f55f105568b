"""Another team's question read as ours: which control, which classes, which sample, which label."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

from retrue.adapters.label_studio_project import Control, ForeignProject
from retrue.config import Config, Labels
from retrue.core.identity import content_hashes
from retrue.errors import ConfigError
from retrue.kinds import BadLabel, kind_of
from retrue.records import Json, canonical_json

__all__ = ["Identity", "Question", "choose_identity", "read_question"]

TAGS: Mapping[str, str] = {
    "choice": "Choices",
    "choices": "Choices",
    "taxonomy": "Taxonomy",
    "number": "Number",
}
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before an uploaded file's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The control that asks our question, and how its classes are called here."""

    control: Control
    labels: Labels
    renamed: Mapping[str, str]  # theirs -> ours
    missing: tuple[str, ...]  # our classes that nobody could pick there
    unknown: tuple[str, ...]  # classes offered there that labels.yaml does not know

    def read(self, result: Sequence[Mapping[str, object]]) -> tuple[str, str]:
        """An answer's label as JSON text, and why it does not fit the schema ("" = it does)."""
        given = self._given(result)
        schema = self.labels.label_schema
        try:
            return kind_of(schema).parse(given, schema), ""
        except BadLabel as error:
            return canonical_json(given), str(error)

    def _given(self, result: Sequence[Mapping[str, object]]) -> Json:
        """What was said, with classes renamed; None: the question was left open."""
        parts = [part for part in result if part.get("from_name") == self.control.name]
        values = [cast("dict[str, Json]", part.get("value") or {}) for part in parts]
        # A value is an object of one entry ("choices", "number", ...); regions have more.
        if len(values) == 1 and len(values[0]) == 1:
            (said,) = values[0].values()
            return self._renamed(said)
        return None if not values else cast("list[Json]", values)

    def _renamed(self, said: Json) -> Json:
        if isinstance(said, list):
            paths = [
                self.labels.separator.join(map(str, item)) if isinstance(item, list) else item
                for item in said
            ]
            names: list[Json] = [
                self.renamed.get(name, name) if isinstance(name, str) else name for name in paths
            ]
            return names[0] if len(names) == 1 and self.labels.kind != "choices" else names
        return self.renamed.get(said, said) if isinstance(said, str) else said


def read_question(
    project: ForeignProject, labels: Labels, *, name: str | None, renamed: Mapping[str, str]
) -> Question:
    """Find the control that asks our question, and compare its classes with ours.

    Args:
        project: With its controls.
        labels: Our question.
        name: The control's name; None: the only one of the right kind.
        renamed: Their classes -> ours.

    Raises:
        ConfigError: No control asks it, several do, or it offers no class of ours.
    """
    control = _control(project, labels, name)
    offered = [labels.separator.join(path) for path in control.options]
    options = kind_of(labels.label_schema).options(labels.label_schema)
    wrong = sorted(
        f"{theirs}={ours}"
        for theirs, ours in renamed.items()
        if ours not in options or (offered and theirs not in offered)
    )
    if wrong:
        raise ConfigError(
            f"--class {', '.join(wrong)}: expected THEIRS=OURS, theirs one of "
            f"{', '.join(offered)}, ours one of {', '.join(options)}."
        )
    names = {renamed.get(one, one) for one in offered}
    if offered and not names & set(options):
        raise ConfigError(
            f"project {project.number} {project.title!r}: <{control.tag} name={control.name!r}> "
            f"offers {', '.join(offered)}, and labels.yaml knows {', '.join(options)}: no class is "
            "in both. Name another control with --from-name, or their classes with "
            "--class THEIRS=OURS."
        )
    return Question(
        control=control,
        labels=labels,
        renamed=renamed,
        missing=tuple(one for one in labels.classes if offered and one not in names),
        unknown=tuple(
            one
            for one in offered
            if renamed.get(one, one) not in options and not _is_inner(one, offered, labels)
        ),
    )


def _control(project: ForeignProject, labels: Labels, name: str | None) -> Control:
    tag = TAGS[labels.kind]
    fitting = [one for one in project.controls if one.tag == tag and name in (None, one.name)]
    if labels.kind == "choice":
        fitting = [one for one in fitting if not one.several]
    if len(fitting) == 1:
        return fitting[0]
    single = ' with choice="single"' if labels.kind == "choice" else ""
    there = ", ".join(f"<{one.tag} name={one.name!r}>" for one in project.controls)
    asked = f"a <{tag}>{single}" + (f" named {name!r}" if name else "")
    advice = "Choose one with --from-name." if fitting else "labels.yaml asks something else."
    raise ConfigError(
        f"project {project.number} {project.title!r}: expected {asked} for kind {labels.kind}, "
        f"found {len(fitting) or 'none'}; its page has: {there or 'no control'}. {advice}"
    )


def _is_inner(name: str, offered: Iterable[str], labels: Labels) -> bool:
    """A taxonomy's inner level: offered only as the way to what lies below it."""
    below = f"{name}{labels.separator}"
    return labels.kind == "taxonomy" and any(other.startswith(below) for other in offered)


# --- which sample ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How a task tells which sample it shows."""

    key: str | None  # field of the task's data that holds the sample's key
    fields: tuple[str, ...]  # without a key: fields whose hash is the id; (): all
    media: bool  # keys may be paths or addresses of files
    named_files: bool = False  # they are that, of samples that have no key of their own

    def candidates(self, rows: Sequence[Mapping[str, object]]) -> list[tuple[str, ...]]:
        """Ids each task's sample may have, the likeliest first; () where the data tell none."""
        if self.key is not None:
            return [self._keys(row.get(self.key)) for row in rows]
        wanted = [{name: row.get(name) for name in self.fields or row} for row in rows]
        # Files without types hold texts, and imports make numbers of them, or the reverse.
        forms: tuple[Callable[[object], object], ...] = (lambda cell: cell, str, _as_number)
        hashed = [_hashes([_retyped(row, form) for row in wanted]) for form in forms]
        return [tuple(dict.fromkeys(ids)) for ids in zip(*hashed, strict=True)]

    def _keys(self, value: object) -> tuple[str, ...]:
        if value is None or isinstance(value, bool | list | dict):
            return ()
        text = _as_text(value)
        names = [text]
        if self.media:
            stem = PurePosixPath(_path(text)).stem
            names += [stem, _UPLOADED.sub("", stem)]
        return tuple(dict.fromkeys(name for name in names if name))


def choose_identity(
    config: Config, rows: Sequence[Mapping[str, object]], *, key: str | None, fields: Sequence[str]
) -> Identity:
    """The field that was named, else the stream's own key, else the hash that the streams use.

    Raises:
        ConfigError: No task has such a field, or only the bytes of a medium tell which it is.
    """
    sources = [one for one in (config.data.incoming, config.data.inference) if one is not None]
    keys = list(dict.fromkeys(one.key for one in sources if one.key))
    held = dict.fromkeys(name for row in rows for name in row)
    media = config.data.kind in ("image", "other")
    chosen = key or next((one for one in keys if one in held or not rows), None)
    there = f"the tasks' data have: {', '.join(held) or 'nothing'}"
    if chosen is not None:
        if rows and chosen not in held:
            raise ConfigError(f"--key {chosen}: no task has this field; {there}.")
        return Identity(key=chosen, fields=(), media=media, named_files=media and not keys)
    if rows and (keys or media):
        wanted = " or ".join(map(repr, keys)) or "the files' names"
        raise ConfigError(
            f"expected {wanted} in the tasks' data to find each task's sample by; {there}. "
            "Name the field that holds it with --key."
        )
    lost = [name for name in fields if rows and name not in held]
    if lost:
        raise ConfigError(f"--field {', '.join(lost)}: no task has this field; {there}.")
    declared = [name for name in config.data.fields or () if name in held]
    return Identity(key=None, fields=tuple(fields) or tuple(declared), media=False)


def _path(text: str) -> str:
    """The file's path in an address; Label Studio's own addresses carry it in `d`."""
    parts = urlsplit(text)
    return unquote(next(iter(parse_qs(parts.query).get("d", ())), parts.path))


def _retyped(row: Mapping[str, object], form: Callable[[object], object]) -> dict[str, object]:
    return {
        name: cell if cell is None or isinstance(cell, bool | list | dict) else form(cell)
        for name, cell in row.items()
    }


def _as_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _as_number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _hashes(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The hash of each row; rows of the same types are hashed together."""
    alike: defaultdict[tuple[tuple[str, str], ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        alike[tuple((name, type(cell).__name__) for name, cell in row.items())].append(place)
    found = [""] * len(rows)
    for places in alike.values():
        table = pa.Table.from_pylist([dict(rows[place]) for place in places])
        for place, digest in zip(places, content_hashes(table), strict=True):
            found[place] = digest
    return found
