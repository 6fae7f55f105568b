"""The labeling page: escaped, complete, and read back as it was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from retrue.adapters.label_studio_config import (
    Page,
    answer_value,
    build_page,
    guideline_html,
    note_of,
    page_of,
    shown_data,
)
from retrue.adapters.label_studio_page import check_page, takes_one
from retrue.config import Config, Labels
from retrue.errors import ConfigError
from retrue.kinds import kind_of

CHOICE = Labels(kind="choice", question="Is it good?", classes=("good", "bad"))
TREE = Labels(kind="taxonomy", classes=("animal/cat", "animal/dog", "plant"))
NUMBER = Labels(kind="number", minimum=0, maximum=10.5, unit="mm")
names = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=12
).filter(lambda name: name == name.strip() and name[0] not in '"[')


@given(st.lists(names, min_size=2, max_size=6, unique=True), st.sampled_from(["choice", "choices"]))
def test_every_class_name_is_offered_letter_by_letter(classes: list[str], kind: str):
    labels = Labels.model_validate({"kind": kind, "classes": classes})

    view = fromstring(build_page(labels, Page()))

    offered = [choice.get("alias") or choice.get("value") for choice in view.iter("Choice")]
    assert offered == [*classes, "none_of_these", "cannot_tell"]


def test_a_dollar_sign_never_becomes_a_field():
    labels = Labels(kind="choice", question="Over $5?", classes=("costs $5", "free"))

    view = fromstring(build_page(labels, Page()))

    shown = [view.find("Header"), view.find(".//Choice")]
    assert all("$5" not in str(element.get("value")) for element in shown if element is not None)
    assert [choice.get("alias") for choice in view.iter("Choice")][:2] == ["costs $5", None]


def test_a_taxonomy_is_a_tree_with_its_shared_levels_once():
    view = fromstring(build_page(TREE, Page()))

    (tree,) = view.iter("Taxonomy")
    assert [choice.get("value") for choice in tree] == [
        "animal",
        "plant",
        "none_of_these",
        "cannot_tell",
    ]
    assert [choice.get("value") for choice in tree[0]] == ["cat", "dog"]
    assert tree.get("leafsOnly") == "true"


def test_an_inner_level_can_be_picked_where_the_schema_lists_it():
    labels = Labels(kind="taxonomy", classes=("animal", "animal/cat"))

    assert 'leafsOnly="false"' in build_page(labels, Page())


def test_a_number_has_limits_and_a_unit_and_no_options():
    view = fromstring(build_page(NUMBER, Page()))

    (field,) = view.iter("Number")
    assert (field.get("min"), field.get("max")) == ("0", "10.5")
    assert [header.get("value") for header in view.iter("Header")] == ["mm"]
    assert not list(view.iter("Choice"))


@pytest.mark.parametrize(
    ("page", "tag", "field"),
    [
        (Page(), "Table", "$fields"),
        (Page(shown="text", text="body"), "Text", "$text"),
        (Page(shown="html"), "HyperText", "$html"),
        (Page(shown="image"), "Image", "$media"),
        (Page(shown="audio"), "Audio", "$media"),
        (Page(shown="video"), "Video", "$media"),
    ],
)
def test_a_task_carries_every_field_its_page_names(page: Page, tag: str, field: str):
    view = fromstring(build_page(CHOICE, page))
    data = shown_data(page, {"body": "x", "size": None}, "http://media/1")

    named = {element.get("value", "") for element in view.iter() if element.tag != "Choice"}
    assert {name for name in named if name.startswith("$")} <= {f"${key}" for key in data}
    assert view.find(f".//{tag}[@value='{field}']") is not None


def test_fields_shown_as_html_are_escaped():
    data = shown_data(Page(shown="html"), {"<i>": "<script>alert(1)</script> & more"}, None)

    assert "<script>" not in str(data["html"])
    assert "&lt;script&gt;" in str(data["html"])
    assert "&lt;i&gt;" in str(data["html"])


def test_a_guideline_is_shown_letter_by_letter():
    assert guideline_html("<img src=x onerror=y>\nsecond") == (
        "<div>&lt;img src=x onerror=y&gt;<br />second</div>"
    )
    assert guideline_html(" \n") == ""


OWN = """<View><Image name="photo" value="$media"/>
<Choices name="label" toName="photo"><Choice value="good"/><Choice value="bad"/>
<Choice value="none_of_these"/><Choice value="cannot_tell"/></Choices></View>"""


def test_a_teams_own_page_is_used_as_it_is_where_it_fits():
    assert build_page(CHOICE, Page(own=OWN)) == OWN


def test_a_page_may_read_any_field_of_a_task_and_what_is_inside_of_it():
    for read in ("$size", "$fields.size", "$fields[0]", "$media"):
        page = Page(own=OWN.replace('"$media"', f'"{read}"'), columns=("size",))

        assert read in build_page(CHOICE, page)


def test_a_page_that_is_not_there_is_told_by_its_name(tmp_path: Path):
    config = Config.model_validate(
        {
            "project": "p",
            "data": {"kind": "table", "incoming": {"uri": "in"}},
            "queue": {"page": "configs/page.xml"},
        }
    )

    with pytest.raises(ConfigError, match=r"queue\.page: expected a labeling page at"):
        page_of(tmp_path, config)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/page.xml").write_text(OWN, encoding="utf-8")
    assert page_of(tmp_path, config).own == OWN


@pytest.mark.parametrize(
    ("root", "fine"), [("s3://photos/in", True), ("https://example.com/", True), ("in", False)]
)
def test_media_that_label_studio_cannot_open_are_refused_by_the_configuration(
    root: str, fine: bool
):
    raw = {
        "project": "p",
        "data": {"kind": "image", "incoming": {"uri": root}},
        "queue": {"use": "label_studio"},
    }

    if fine:
        Config.model_validate(raw)
    else:
        with pytest.raises(ValueError, match="cannot open files of this machine"):
            Config.model_validate(raw)


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        ("<View>", "expected XML"),
        ("<View/>", "expected one <Choices"),
        (OWN.replace("Choices", "Taxonomy"), "expected one <Choices"),
        (OWN.replace('<Choice value="cannot_tell"/>', ""), "not offered: cannot_tell"),
        (OWN.replace('"bad"', '"worse"'), "in no schema: worse"),
        (OWN.replace('toName="photo">', 'toName="photo" choice="multiple">'), 'choice="single"'),
        (OWN.replace('name="photo"', 'name="note"'), "<TextArea>"),
        (OWN.replace('toName="photo"', 'toName="film"'), "toName to name one shown object"),
        (OWN.replace('"$media"', '"media"'), 'expected value="$..."'),
        (OWN.replace('"$media"', '"$pixels"'), "fields, media, size), got $pixels"),
        ('<!DOCTYPE v [<!ENTITY a "b">]><View>&a;</View>', "expected XML"),
    ],
)
def test_a_teams_own_page_that_does_not_fit_is_refused_with_the_reason(xml: str, told: str):
    with pytest.raises(ConfigError, match="labeling page") as caught:
        check_page(xml, CHOICE, data=("size", "fields", "media"))

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "given", "label"),
    [
        (CHOICE, {"choices": ["bad"]}, '"bad"'),
        (Labels(kind="choices", classes=("a", "b")), {"choices": ["b"]}, '["b"]'),
        (Labels(kind="choices", classes=("a", "b")), {"choices": ["b", "a"]}, '["a","b"]'),
        (TREE, {"taxonomy": [["animal", "dog"]]}, '"animal/dog"'),
        (TREE, {"taxonomy": [["plant"]]}, '"plant"'),
        (NUMBER, {"number": 3.5}, "3.5"),
    ],
)
def test_an_answer_of_each_kind_is_understood(labels: Labels, given: dict[str, object], label: str):
    one = takes_one(build_page(labels, Page()))

    value = answer_value([{"from_name": "label", "value": given}], one=one)

    schema = labels.label_schema
    assert kind_of(schema).parse(json.loads(value), schema) == label


def test_odd_answers_are_told_as_they_are():
    box = {"from_name": "box", "type": "rectanglelabels", "value": {"x": 1, "y": 2}}

    assert answer_value([], one=True) == "null"
    assert answer_value([{"from_name": "note", "value": {"text": ["?"]}}], one=True) == "null"
    assert answer_value([{"from_name": "label", "value": {"choices": ["é"]}}], one=True) == '"é"'
    assert answer_value([box], one=True) == '[{"x":1,"y":2}]'
    assert answer_value([{"from_name": "label"}], one=True) == "[null]"


def test_a_note_is_told_beside_the_label_and_never_as_one():
    result = [
        {"from_name": "note", "value": {"text": ["blurred"]}},
        {"from_name": "label", "value": {"choices": ["bad"]}},
    ]

    assert (answer_value(result, one=True), note_of(result)) == ('"bad"', "blurred")
    assert note_of([{"from_name": "note", "value": "odd"}]) == ""


def test_what_a_teams_own_page_asks_beside_the_label_does_not_hide_it():
    result = [
        {"from_name": "box", "value": {"x": 1, "y": 2}},
        {"from_name": "label", "value": {"choices": ["bad"]}},
    ]

    assert answer_value(result, one=True) == '"bad"'


def test_a_page_that_an_administrator_broke_does_not_hide_answers():
    assert takes_one("<View")


def test_a_class_that_is_one_digit_is_picked_by_its_own_key():
    labels = Labels(kind="choice", classes=("0", "1", "ten"))

    keys = {
        one.get("value"): one.get("hotkey")
        for one in fromstring(build_page(labels, Page())).iter("Choice")
    }

    assert keys["0"] == "0"
    assert keys["1"] == "1"
    assert keys["ten"] is None


@pytest.mark.parametrize(
    ("source", "has_fields"),
    [({"uri": "in"}, False), ({"uri": "in", "key": "id", "metadata": "about.csv"}, True)],
)
def test_pictures_without_further_fields_are_shown_without_an_empty_table(
    tmp_path: Path, source: dict[str, str], has_fields: bool
):
    data = {"kind": "image", "incoming": source}
    config = Config.model_validate({"project": "p", "data": data})

    page = build_page(CHOICE, page_of(tmp_path, config))

    assert ("<Table" in page) is has_fields


def test_a_picture_without_fields_comes_without_an_empty_table():
    page = Page(shown="image", columns=())

    xml = build_page(CHOICE, page)
    data = shown_data(page, {}, "s3://b/1.png")

    assert "Table" not in xml
    assert data == {"media": "s3://b/1.png"}
