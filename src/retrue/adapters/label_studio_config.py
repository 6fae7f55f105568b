"""The labeling page: what is shown, what may be answered, and what an answer's JSON means.

A page has one control named `label`, and may have a text area named `note`. Pages we make are built
by an XML library, so every name is escaped; a team's own page is checked against the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from retrue.config import Labels
from retrue.errors import ConfigError
from retrue.kinds import kind_of
from retrue.records import Json, canonical_json

__all__ = [
    "Page",
    "Shown",
    "answer_value",
    "build_page",
    "check_page",
    "guideline_html",
    "note_of",
    "shown_data",
    "takes_one",
]

Shown = Literal["text", "table", "html", "image", "audio", "video"]
LABEL = "label"
NOTE = "note"
SAMPLE = "sample"
_TAGS: Mapping[str, str] = {
    "choice": "Choices",
    "choices": "Choices",
    "taxonomy": "Taxonomy",
    "number": "Number",
}
_MEDIA: Mapping[str, str] = {"image": "Image", "audio": "Audio", "video": "Video"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How samples are shown."""

    shown: Shown = "table"
    text: str | None = None  # the field shown as running text; None: `shown` is another
    own: str | None = None  # the team's XML; None: made from the schema


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
        check_page(page.own, labels)
        return page.own
    view = Element("View")
    _show(view, page)
    if labels.question:
        SubElement(view, "Header", value=_plain(labels.question))
    _ask(view, labels)
    SubElement(
        view,
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


def check_page(xml: str, labels: Labels) -> None:
    """Does a page ask what the schema wants to know?

    Raises:
        ConfigError: It does not; the message lists every problem.
    """
    view = _parse(xml)
    problems: list[str] = []
    controls = [element for element in view.iter() if element.get("name") == LABEL]
    tag = _TAGS[labels.kind]
    if len(controls) != 1 or controls[0].tag != tag:
        got = ", ".join(element.tag for element in controls) or "none"
        problems.append(f'expected one <{tag} name="{LABEL}"> for kind {labels.kind}, got {got}')
    else:
        problems += _control_problems(controls[0], labels)
    notes = [element for element in view.iter() if element.get("name") == NOTE]
    if any(element.tag != "TextArea" for element in notes):
        problems.append(f'name="{NOTE}" is kept for a <TextArea>, got {notes[0].tag}')
    if problems:
        raise ConfigError("\n  ".join(["the labeling page does not fit labels.yaml:", *problems]))


def _control_problems(control: Element, labels: Labels) -> list[str]:
    problems: list[str] = []
    wanted = {"choice": True, "choices": False}.get(labels.kind)
    if wanted is not None and (control.get("choice", "single") != "multiple") != wanted:
        how = "single" if wanted else "multiple"
        problems.append(f'{control.tag}: expected choice="{how}" for kind {labels.kind}')
    schema = labels.label_schema
    options = set(kind_of(schema).options(schema))
    separator = labels.separator if labels.kind == "taxonomy" else None
    offered = set(_offered(control, separator))
    inner = (
        {
            separator.join(name.split(separator)[:depth])
            for name in options
            for depth in range(1, name.count(separator) + 1)
        }
        if separator
        else set[str]()
    )
    if missing := sorted(options - offered):
        problems.append(f"not offered: {', '.join(missing)}")
    if unknown := sorted(offered - options - inner):
        problems.append(f"offered, but in no schema: {', '.join(unknown)}")
    return problems


def _offered(control: Element, separator: str | None, above: str = "") -> Iterable[str]:
    for choice in control.findall("Choice"):
        name = above + (choice.get("alias") or choice.get("value") or "")
        yield name
        if separator is not None:
            yield from _offered(choice, separator, name + separator)


def _parse(xml: str) -> Element:
    try:
        return fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise ConfigError(
            f"the labeling page: expected XML without a document type, got: {error}"
        ) from error


def takes_one(xml: str) -> bool:
    """Whether a page's label is one option rather than a list; True if the page is unreadable.

    >>> takes_one('<View><Choices name="label" choice="multiple"/></View>')
    False
    """
    try:
        found = [element for element in _parse(xml).iter() if element.get("name") == LABEL]
    except ConfigError:  # an admin's edit; the answers are still told as they are
        return True
    return not any(element.get("choice") == "multiple" for element in found)


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
        return {"fields": fields, "media": media or ""}
    # No player is known for it, but people can open it.
    return {"fields": fields if media is None else {**fields, "media": media}}


def _text(value: Json) -> str:
    if value is None:
        return ""
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
        result: The answer's parts; those of other controls are left out.
        one: The label is one option, so a list of one stands for it.

    Returns:
        "null" if the label was left empty; the parts as they are if they are of another control.

    >>> answer_value([{"from_name": "label", "value": {"choices": ["cat"]}}], one=True)
    '"cat"'
    """
    parts = [part for part in result if part.get("from_name") != NOTE]
    if not parts:
        return "null"
    only = parts[0].get("value") if len(parts) == 1 else None
    if parts[0].get("from_name") == LABEL and isinstance(only, dict):
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
