from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report_world import DAY, HOSTILE, NOW, START, World, sample, verdict
from retrue.records import canonical_json
from retrue.report.page import render, write_report
from retrue.report.sentences import headline
from retrue.report.story import gather_story

TABLE = {
    "data": {"kind": "table", "inference": {"uri": "mem://log/"}, "display": ["note", "link"]},
}
VOID = {"meta", "img", "br", "progress"}


class Page(HTMLParser):
    """What a browser would find: elements, links, scripts, ids, unclosed elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def page_of(world: World, now=NOW) -> str:
    return render(gather_story(world.workspace, now=now))


@pytest.mark.parametrize("name", ["lived", "begun"])
def test_the_page_is_whole_and_needs_nothing_from_the_network(
    name: str, request: pytest.FixtureRequest
):
    text = page_of(request.getfixturevalue(name))
    page = Page(text)

    assert page.open == []
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.all("img"))
    assert re.findall(r"(?:https?:|url\(|@import|src=\"//)", text) == []
    ids = [str(attributes["id"]) for _, attributes in page.seen if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_an_empty_workspace_has_a_page_that_says_how_to_begin():
    text = page_of(World())

    assert "retrue run cycle" in text
    assert "No model is in service yet" in text


def test_names_and_labels_from_data_cannot_run(lived: World):
    text = page_of(lived)

    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_fields_from_data_are_text_and_never_links(begun: World):
    world = World(TABLE)
    first = begun.records.rounds()[0].plan
    fields = canonical_json(
        {
            "note": '"><img src=x onerror=alert(1)>',
            "link": "javascript:alert(1)",
            "hidden": "secret",
        }
    )
    samples = [
        replace(one, media_sha256=None, fields=fields)
        for one in begun.records.samples(first.round_id)
    ]
    tasks = [
        replace(one, trigger=f"why; {HOSTILE}", arm="novel", predicted=canonical_json(HOSTILE))
        for one in begun.records.tasks(first.round_id)
    ]
    world.records.plan_round(replace(first, why=HOSTILE), samples, tasks)

    page = Page(text := page_of(world))

    assert page.all("img") == []
    assert [link["href"] for link in page.all("a")] == ["#drift"]
    assert not [a for _, a in page.seen if any(name.startswith("on") for name in a)]
    assert "javascript:alert(1)" in " ".join(page.words)
    assert HOSTILE in " ".join(page.words)
    assert "secret" not in text


def test_half_a_character_in_the_data_does_not_stop_the_report(begun: World, tmp_path: Path):
    world = World(TABLE)
    first = begun.records.rounds()[0].plan
    broken = '{"note":"half \\ud800 of it"}'
    samples = [
        sample(one.sample_id, "w00", None, broken) for one in begun.records.samples(first.round_id)
    ]
    world.records.plan_round(first, samples, begun.records.tasks(first.round_id))

    out = write_report(world.workspace, tmp_path / "report.html", now=NOW)

    assert "half ? of it" in out.read_text(encoding="utf-8")


def test_a_report_is_replaced_whole_and_leaves_nothing_beside_it(lived: World, tmp_path: Path):
    out = tmp_path / "reports" / "report.html"
    write_report(lived.workspace, out, now=NOW)
    first = out.read_bytes()

    write_report(lived.workspace, out, now=NOW)

    assert out.read_bytes() == first
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_leaves_the_old_one(lived: World, tmp_path: Path):
    out = tmp_path / "report.html"
    out.mkdir()

    with pytest.raises(OSError, match="directory"):
        write_report(lived.workspace, out, now=NOW)

    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_headline_says_what_is_in_service_and_how_good_it_is(lived: World, begun: World):
    facts = gather_story(lived.workspace, now=NOW).facts
    service = facts.service
    assert service is not None

    assert re.fullmatch(
        r"Model v2 is in service since 25 Oct 2026; it is right on \d+% \(\d+.\d+\) of the traffic "
        r"from 7 to 14 Nov 2026\.",
        headline(facts),
    )
    assert headline(replace(facts, service=replace(service, measured=None))).startswith(
        "Model v2 is in service since 25 Oct 2026; it is right on 92% (87\N{EN DASH}96) of the "
        "traffic from 25 Aug to 27 Oct 2026"
    )
    unmeasured = replace(service, measured=None, at_gate=None)
    assert "not measured yet" in headline(replace(facts, service=unmeasured))
    recall = replace(service, metric="recall of scratch")
    assert "; its recall of scratch is 9" in headline(replace(facts, service=recall))
    assert headline(gather_story(begun.workspace, now=START + DAY).facts) == (
        "No model is in service yet; a bootstrap round of 40 samples is planned."
    )


def test_an_open_alarm_is_told_at_the_top(lived: World):
    opened = {"incident": "i2", "champion": "2", "window": "w10", "reasons": ["age moved"]}
    lived.decide("incident-opened", "i2", NOW, opened)

    text = page_of(lived)

    assert text.index("Alarm since 20 Nov 2026") < text.index('id="drift"')


def test_more_samples_than_shown_are_counted(lived: World):
    windows = [window for window in lived.state.windows() if window.window_id == "w10"]
    lived.round("inference", "big", "more", NOW, {"audit": 100}, windows, error=0.1)

    page = Page(text := page_of(lived))

    assert "and 76 more" in text
    assert len(page.all("img")) < 150
    assert len(text) < 3_000_000


def test_samples_on_which_people_corrected_the_model_come_first(lived: World):
    newest = lived.records.rounds()[-1].plan.round_id
    tasks = [task for task in lived.records.tasks(newest) if task.arm == "active"]
    wrong = tasks[-1]
    lived.records.append_verdicts(
        newest,
        [
            replace(verdict(t.sample_id, 0, NOW), label='"odd one"' if t is wrong else t.predicted)
            for t in tasks
        ],
    )

    story = gather_story(lived.workspace, now=NOW)

    assert story.picks is not None
    (arm,) = [one for one in story.picks.arms if one.arm == "active"]
    assert arm.picks[0].sample_id == wrong.sample_id
    assert (arm.surprised, arm.judged) == (1, len(tasks))
    assert "people said something else on 1 of" in page_of(lived)


def test_every_picture_says_in_words_what_it_shows(lived: World):
    pictures = Page(page_of(lived)).all("svg")

    assert len(pictures) >= 8
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)
