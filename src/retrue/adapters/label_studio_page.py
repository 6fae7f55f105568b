"""Whether a labeling page asks what the schema wants to know.

A page has one control named `label`, and may have a text area named `note`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from retrue.config import Labels
from retrue.errors import ConfigError
from retrue.kinds import kind_of

__all__ = ["LABEL", "NOTE", "TAGS", "check_page", "takes_one"]

LABEL = "label"
NOTE = "note"
TAGS: Mapping[str, str] = {
    "choice": "Choices",
    "choices": "Choices",
    "taxonomy": "Taxonomy",
    "number": "Number",
}


def check_page(xml: str, labels: Labels, *, data: Collection[str] | None = None) -> None:
    """Does a page ask what the schema wants to know, of what a task has?

    Args:
        xml: The page.
        labels: The question and the schema.
        data: What every task has; None: not known, so not checked.

    Raises:
        ConfigError: It does not; the message lists every problem.
    """
    view = _parsed(xml)
    problems: list[str] = []
    controls = [element for element in view.iter() if element.get("name") == LABEL]
    tag = TAGS[labels.kind]
    if len(controls) != 1 or controls[0].tag != tag:
        got = ", ".join(element.tag for element in controls) or "none"
        problems.append(f'expected one <{tag} name="{LABEL}"> for kind {labels.kind}, got {got}')
    else:
        problems += _control_problems(controls[0], labels)
        problems += _object_problems(view, controls[0])
    notes = [element for element in view.iter() if element.get("name") == NOTE]
    if any(element.tag != "TextArea" for element in notes):
        problems.append(f'name="{NOTE}" is kept for a <TextArea>, got {notes[0].tag}')
    problems += [] if data is None else _data_problems(view, data)
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


def _object_problems(view: Element, control: Element) -> list[str]:
    """A control asks about an object, which shows something of the task."""
    about = control.get("toName", "")
    shown = [element for element in view.iter() if element.get("name") == about]
    if len(shown) != 1:
        return [f'{control.tag}: expected toName to name one shown object, got "{about}"']
    if not _read_by(shown[0]):
        return [f'{shown[0].tag} name="{about}": expected value="$..." with what a task has']
    return []


def _data_problems(view: Element, data: Collection[str]) -> list[str]:
    wanted = {name for element in view.iter() for name in _read_by(element)}
    missing = sorted(name for name in wanted if name not in data and _root(name) not in data)
    has = ", ".join(sorted(data))
    return [f"expected only what a task has ({has}), got ${name}" for name in missing]


def _read_by(element: Element) -> list[str]:
    """What an element reads of a task; a choice's name may begin with a dollar sign."""
    given = [element.get("value", ""), element.get("valueList", "")]
    return [] if element.tag == "Choice" else [text[1:] for text in given if text[:1] == "$"]


def _root(name: str) -> str:
    """Of `$a.b[0]` it is `a` that a task has."""
    return re.split(r"[.\[]", name, maxsplit=1)[0]


def _offered(control: Element, separator: str | None, above: str = "") -> Iterable[str]:
    for choice in control.findall("Choice"):
        name = above + (choice.get("alias") or choice.get("value") or "")
        yield name
        if separator is not None:
            yield from _offered(choice, separator, name + separator)


def _parsed(xml: str) -> Element:
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
        found = [element for element in _parsed(xml).iter() if element.get("name") == LABEL]
    except ConfigError:  # an admin's edit; the answers are still told as they are
        return True
    return not any(element.get("choice") == "multiple" for element in found)
