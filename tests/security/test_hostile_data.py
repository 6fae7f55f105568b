"""Text from data and from configurations stays text, wherever people will look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring

from retrue.adapters.label_studio_config import Page, build_page, guideline_html, shown_data
from retrue.adapters.label_studio_page import check_page
from retrue.adapters.store_local import LocalStore
from retrue.config import Labels
from retrue.errors import ConfigError, StoreError

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "]]>",
    "<![CDATA[<b>]]>",
    "&lt;script&gt;",
    "&xxe;",
    "<!-- --><View/>",
    "</View><HyperText value='$x'/>",
    "<?php ?>",
    "javascript:alert(1)",
    "{{7*7}} {% raw %}",
]
TAGS = ("<script", "<img", "<svg", "<b>", "<View", "<!", "<?", "</View")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_label_is_called_is_shown_letter_by_letter(text: str):
    text = f"a {text}"  # no name begins with a quote
    labels = Labels.model_validate(
        {"kind": "choice", "question": text, "classes": [text, "fine"], "unit": text}
    )

    view = fromstring(build_page(labels, Page(shown="html")))

    shown = {value for element in view.iter() for value in element.attrib.values()}
    assert text in shown
    assert {element.tag for element in view.iter()} <= {
        *("View", "Header", "HyperText", "Choices", "Choice", "TextArea"),
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_sample_holds_never_becomes_a_tag(text: str):
    told = str(shown_data(Page(shown="html"), {text: text}, None)["html"])

    assert not any(tag in told for tag in TAGS)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_guideline_says_never_becomes_a_tag(text: str):
    told = guideline_html(text)

    assert not any(tag in told for tag in TAGS)


@pytest.mark.parametrize(
    "page",
    [
        '<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View><Header value="&x;"/></View>',
        '<!DOCTYPE v [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><View><Header value="&b;"/></View>',
        "<View><unclosed></View>",
    ],
)
def test_a_teams_own_page_cannot_fetch_files_or_grow_without_end(page: str):
    with pytest.raises(ConfigError):
        check_page(page, Labels(kind="choice", classes=("a", "b")))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "a/../../secret.txt",
        "/etc/passwd",
        "link.txt",
        "folder/secret.txt",
        "%2e%2e/secret.txt",
        "%2E%2E%2Fsecret.txt",
        "a/%2e%2e/%2e%2e/secret.txt",
    ],
)
@pytest.mark.parametrize("as_uri", [False, True], ids=["path", "file-uri"])
def test_no_name_leads_out_of_a_folder(tmp_path: Path, name: str, as_uri: bool):
    (tmp_path / "raw" / "a").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for secret in (tmp_path / "secret.txt", tmp_path / "other" / "secret.txt"):
        secret.write_text("secret")
    (tmp_path / "raw" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "raw" / "folder").symlink_to(tmp_path / "other")
    root = f"file://{tmp_path}/raw" if as_uri else "raw"
    store = LocalStore(tmp_path, [root])
    uri = name if name.startswith("/") else f"{root}/{name}"

    for ask in (store.resolve, store.link):
        try:
            told = str(ask(uri))
        except StoreError:
            continue
        assert "secret.txt" in told  # a path may have such a name: then it is below the root,
        assert f"{tmp_path}/raw/" in told  # and not there
