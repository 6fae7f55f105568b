"""The labeling page: what is shown, what may be answered, and what an answer's JSON means.

Pages we make are built by an XML library, so every name is escaped; a team's own page is taken as
it is once it was checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import digits
from typing import Literal, cast
from xml.etree.ElementTree import Element, SubElement, tostring

from retrue.adapters.label_studio_page import LABEL, NOTE, check_page
from retrue.config import Config, Labels
from retrue.errors import ConfigError
from retrue.kinds import kind_of
from retrue.records import Json, canonical_json

__all__ = [
    "Page",
    "Shown",
    "answer_value",
    "build_page",
    "guideline_html",
    "note_of",
    "page_of",
    "shown_data",
]

Shown = Literal["text", "table", "html", "image", "audio", "video"]
SAMPLE = "sample"
OWN_DATA = ("fields", "media")  # what a task has for a team's own page besides its fields
# Under a tall picture nobody would see the question; on a narrow screen it still goes below.
_SIDE_BY_SIDE = "display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start"
_MEDIA: Mapping[str, str] = {"image": "Image", "audio": "Audio", "video": "Video"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How samples are shown."""

    shown: Shown = "table"
    text: str | None = None  # the field shown as running text; None: `shown` is another
    own: str | None = None  # the team's XML; None: made from the schema
    columns: tuple[str, ...] | None = None  # fields that every task has; () none; None: not known


def page_of(root: Path, config: Config) -> Page:
    """The page that a workspace's configuration asks for.

    Raises:
        ConfigError: The team's own page cannot be read.
    """
    kind, own = config.data.kind, None
    if config.queue.page is not None:
        try:
            own = (root / config.queue.page).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"queue.page: expected a labeling page at {config.queue.page}: {error}"
            ) from error
    return Page(
        shown="table" if kind == "other" else kind,
        text=config.data.text,
        own=own,
        columns=_columns(config),
    )


def _columns(config: Config) -> tuple[str, ...] | None:
    data = config.data
    if data.display is not None:
        return data.display
    sources = [one for one in (data.incoming, data.inference) if one is not None]
    if data.kind in ("image", "other") and not any(one.media or one.metadata for one in sources):
        return ()  # each object is a sample by itself
    return tuple(data.fields) if data.fields else None


def build_page(labels: Labels, page: Page) -> str:
    """The page's XML, as Label Studio wants it.

    Args:
        labels: The question and the schema.
        page: How samples are shown; its own XML wins over everything else.

    Raises:
        ConfigError: The team's own XML does not fit the schema, or a name cannot be written.

    >>> labels = Labels(kind="choice", classes=("a<b", "c"))
    >>> build_page(labels, Page()).partition("<Choices")[2][:75]
    ' name="label" toName="sample" choice="single" required="true" showInline="t'
    """
    if page.own is not None:
        own = None if page.columns is None else {*page.columns, *OWN_DATA}
        check_page(page.own, labels, data=own)
        return page.own
    view = Element("View", style=_SIDE_BY_SIDE)
    _show(SubElement(view, "View", style="flex: 3 1 24rem; min-width: 0"), page)
    question = SubElement(view, "View", style="flex: 2 1 16rem; min-width: 0")
    if labels.question:
        SubElement(question, "Header", value=_plain(labels.question))
    _ask(question, labels)
    SubElement(
        question,
        "TextArea",
        name=NOTE,
        toName=SAMPLE,
        placeholder="Note (optional)",
        maxSubmissions="1",
        editable="true",
        rows="2",
    )
    xml = tostring(view, encoding="unicode")
    check_page(xml, labels)
    return xml


def _show(view: Element, page: Page) -> None:
    if page.shown in _MEDIA:
        SubElement(view, _MEDIA[page.shown], name=SAMPLE, value="$media")
        if page.columns != ():
            SubElement(view, "Table", name="fields", value="$fields")
    elif page.shown == "text":
        SubElement(view, "Text", name=SAMPLE, value="$text")
    elif page.shown == "html":
        SubElement(view, "HyperText", name=SAMPLE, value="$html")
    else:
        SubElement(view, "Table", name=SAMPLE, value="$fields")


def _ask(view: Element, labels: Labels) -> None:
    names = {"name": LABEL, "toName": SAMPLE}
    schema = labels.label_schema
    if labels.kind == "number":
        limits = {"min": labels.minimum, "max": labels.maximum}
        given = {name: f"{limit:g}" for name, limit in limits.items() if limit is not None}
        if labels.unit:
            SubElement(view, "Header", size="5", value=_plain(labels.unit))
        # Without a step browsers take whole numbers only.
        SubElement(view, "Number", {**names, **given, "step": "any", "required": "true"})
        return
    options = kind_of(schema).options(schema)
    if labels.kind == "taxonomy":
        inner = any(f"{name}{labels.separator}" in other for name in options for other in options)
        tree = SubElement(
            view,
            "Taxonomy",
            {**names, "maxUsages": "1", "required": "true", "leafsOnly": str(not inner).lower()},
        )
        _grow(tree, (name.split(labels.separator) for name in options))
        return
    how = "single" if labels.kind == "choice" else "multiple"
    row = "true" if len(options) <= 8 else "false"  # more do not fit beside each other
    box = SubElement(view, "Choices", {**names, "choice": how, "required": "true"})
    box.set("showInline", row)
    _grow(box, ([name] for name in options))
    for choice in box:
        name = choice.get("value", "")
        if len(name) == 1 and name in digits:
            choice.set("hotkey", name)  # by itself "0" would be the key 1


def _grow(top: Element, paths: Iterable[Sequence[str]]) -> None:
    """Nest a `Choice` per level; levels shared by several paths are made once."""
    made: dict[tuple[str, ...], Element] = {(): top}
    for path in paths:
        for depth in range(1, len(path) + 1):
            levels = tuple(path[:depth])
            if levels not in made:
                name = levels[-1]
                choice = SubElement(made[levels[:-1]], "Choice", value=_plain(name))
                if "$" in name:
                    choice.set("alias", name)  # what an answer says
                made[levels] = choice


def _plain(text: str) -> str:
    """Text that is shown as it is: after a dollar sign the page would look for a field.

    >>> len(_plain("5$ or $5"))
    10
    """
    return text.replace("$", "$\u200c")


def guideline_html(text: str) -> str:
    r"""The guideline as HTML that shows it letter by letter; "" if there is none.

    >>> guideline_html("a < b\nc")
    '<div>a &lt; b<br />c</div>'
    """
    if not text.strip():
        return ""
    box = Element("div")
    first, *rest = text.strip().splitlines()
    box.text = first
    for line in rest:
        SubElement(box, "br").tail = line
    return tostring(box, encoding="unicode")


def shown_data(page: Page, display: Mapping[str, Json], media: str | None) -> dict[str, Json]:
    """What a task carries for its page besides our key.

    Args:
        page: How samples are shown.
        display: The display fields.
        media: A URL that a browser can open; None: the sample has none.

    >>> shown_data(Page(shown="text", text="t"), {"t": "hello", "n": 1}, None)
    {'text': 'hello'}
    """
    if page.own is not None:
        return {**display, "fields": dict(display), "media": media or ""}
    if page.shown == "text":
        field = page.text if page.text is not None else next(iter(display), "")
        return {"text": _text(display.get(field))}
    if page.shown == "html":
        return {"html": _html_table(display)}
    fields: dict[str, Json] = {name: _text(value) for name, value in display.items()}
    if page.shown in _MEDIA:
        shown: dict[str, Json] = {"media": media or ""}
        return shown if page.columns == () else {"fields": fields, **shown}
    # No player is known for it, but people can open it.
    return {"fields": fields if media is None else {**fields, "media": media}}


def _text(value: Json) -> str:
    if value is None:
        return ""
    if type(value) is int:
        return str(value)  # as JSON has it, too, and ten times quicker
    return value if isinstance(value, str) else canonical_json(value)


def _html_table(display: Mapping[str, Json]) -> str:
    table = Element("table")
    for name, value in display.items():
        row = SubElement(table, "tr")
        SubElement(row, "th", style="text-align:left; padding-right:1em").text = name
        SubElement(row, "td").text = _text(value)
    return tostring(table, encoding="unicode", short_empty_elements=False)


def answer_value(result: Sequence[Mapping[str, object]], *, one: bool) -> str:
    """The label of an answer as JSON text, as it was given: nothing is checked.

    Args:
        result: The answer's parts; beside a label, those of other controls are left out.
        one: The label is one option, so a list of one stands for it.

    Returns:
        "null" if the label was left empty; the parts as they are if they are of another control.

    >>> answer_value([{"from_name": "label", "value": {"choices": ["cat"]}}], one=True)
    '"cat"'
    """
    parts = [part for part in result if part.get("from_name") != NOTE]
    if not parts:
        return "null"
    labels = [part for part in parts if part.get("from_name") == LABEL]
    only = labels[0].get("value") if len(labels) == 1 else None
    if isinstance(only, dict):
        values = list(cast("dict[str, object]", only).values())
        if len(values) == 1:
            return _json(_unwrapped(values[0]) if one else values[0])
    return _json([part.get("value") for part in parts])


def _unwrapped(given: object) -> object:
    if not isinstance(given, list):
        return given
    items = cast("list[object]", given)
    return items[0] if len(items) == 1 else items


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def note_of(result: Sequence[Mapping[str, object]]) -> str:
    r"""What the annotator wrote beside the label; "" if nothing.

    >>> note_of([{"from_name": "note", "value": {"text": ["blurred", "twice"]}}])
    'blurred\ntwice'
    """
    texts: list[str] = []
    for part in result:
        value = part.get("value")
        if part.get("from_name") == NOTE and isinstance(value, dict):
            text = cast("dict[str, object]", value).get("text")
            texts += [str(t) for t in cast("list[object]", text)] if isinstance(text, list) else []
    return "\n".join(texts)
