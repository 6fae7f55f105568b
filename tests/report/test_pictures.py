from __future__ import annotations

import base64
import io
import struct
import zlib
from dataclasses import replace
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from report_world import NOW, World, png
from retrue.core.accuracy import Estimate
from retrue.core.profile import profile_categories, profile_numbers
from retrue.report import pictures
from retrue.report.history import ClassChange, Day
from retrue.report.learning import ModelPoint, Prefixes
from retrue.report.picked import gather_picks
from retrue.report.shift import Check, Histogram, Test, read_checks, strongest_histogram
from retrue.report.story import gather_story
from retrue.report.svg import rect, scale, tag
from retrue.report.thumbnails import Looks, thumbnail

HOSTILE = "</text><script>alert(1)</script>"


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314


def bars(svg: str, kind: str) -> list[ElementTree.Element]:
    return [one for one in read(svg).iter("rect") if one.get("class") == kind]


def drift_test(value: float, *, alarm: bool = False, statistic: str = "ks") -> Test:
    return Test(
        name="age",
        family="features",
        statistic=statistic,
        value=value,
        p_value=0.1,
        floor=0.6 if statistic == "auc" else 0.1,
        alarm=alarm,
        needed=None,
        reason="",
    )


def check(*tests: Test, alarm: bool = False) -> Check:
    return Check(
        window="w1",
        champion="1",
        at=NOW,
        rows=100,
        alarm=alarm,
        incident=None,
        reasons=(),
        note="",
        tests=tests,
    )


def test_a_change_is_measured_from_no_change_in_units_of_the_floor():
    assert drift_test(0.2).relative == pytest.approx(2.0)
    assert drift_test(0.55, statistic="auc").relative == pytest.approx(0.5)
    assert drift_test(0.4, statistic="auc").relative == 0.0


def test_the_strongest_test_is_one_that_alarms_even_if_another_value_is_larger():
    loud, large = drift_test(0.15, alarm=True), drift_test(0.4)

    assert check(large, loud).strongest == loud
    assert check(large, drift_test(0.9, statistic="none")).strongest == large
    assert check().strongest is None


def test_the_drift_timeline_has_a_column_per_window_and_a_mark_per_alarm():
    checks = [check(drift_test(0.05)), check(drift_test(0.3, alarm=True), alarm=True), check()]

    svg = pictures.drift_timeline(checks)

    assert len(bars(svg, "bar")) == 1
    (loud,) = bars(svg, "alarm")
    (quiet,) = bars(svg, "bar")
    assert float(loud.get("height", 0)) == pytest.approx(
        6 * float(quiet.get("height", 0)), rel=0.01
    )
    assert svg.count("\N{BLACK UP-POINTING TRIANGLE}") == 1
    assert "3 windows checked, 1 with an alarm" in svg


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80))
def test_the_drift_timeline_stays_inside_its_frame(values: list[float]):
    svg = read(pictures.drift_timeline([check(drift_test(value)) for value in values]))

    width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
    for one in svg.iter("rect"):
        x, y = float(one.get("x", -1)), float(one.get("y", -1))
        assert 0 <= x <= x + float(one.get("width", 0)) <= width
        assert 0 <= y <= y + float(one.get("height", 0)) <= height


def test_text_from_data_cannot_leave_its_element():
    shown = Histogram(
        column=HOSTILE,
        window="w",
        bars=(HOSTILE, "b"),
        ordered=False,
        reference=(0.5, 0.5),
        now=(0.1, 0.9),
    )

    svg = pictures.histograms(shown)

    assert "<script" not in svg
    assert read(svg).get("aria-label", "").startswith(HOSTILE)
    assert 'x="&#34;"' in tag("a", x='"')


def test_a_histogram_of_numbers_holds_all_rows_on_both_sides(lived: World):
    checks = read_checks(lived.records.decisions())

    shown = strongest_histogram(lived.workspace, checks)

    assert shown is not None
    assert (shown.column, shown.window, shown.ordered) == ("p_max", "w08", True)
    assert sum(shown.reference) == pytest.approx(1)
    assert sum(shown.now) == pytest.approx(1)


def test_a_histogram_of_categories_gathers_the_rare_ones(lived: World):
    many = {f"c{n:02d}": 100 - n for n in range(20)}
    lived.state._profiles["w08"] = {"predicted": profile_categories(many)}

    shown = strongest_histogram(lived.workspace, read_checks(lived.records.decisions()))

    assert shown is not None
    assert shown.column == "predicted"
    assert shown.bars[-1] == "others"
    assert sum(shown.reference) == pytest.approx(1)
    assert sum(shown.now) == pytest.approx(1)


def test_without_the_windows_profile_there_is_no_histogram(lived: World):
    checks = read_checks(lived.records.decisions())
    lived.state.clear()

    assert strongest_histogram(lived.workspace, checks) is None


def test_outputs_of_another_model_are_not_held_against_the_champions(lived: World):
    windows = lived.state._windows
    windows["w08"] = replace(windows["w08"], model_version="7")

    assert strongest_histogram(lived.workspace, read_checks(lived.records.decisions())) is None


def test_a_constant_column_still_has_a_histogram(lived: World):
    lived.state._profiles["w08"] = {"p_max": profile_numbers(np.ones(50), center=0.0)}

    shown = strongest_histogram(lived.workspace, read_checks(lived.records.decisions()))

    assert shown is not None
    assert sum(shown.now) == pytest.approx(1)


def test_a_confusion_matrix_counts_every_judged_answer_once(lived: World):
    person = gather_story(lived.workspace, now=NOW).people[0]

    svg = pictures.confusion_matrix(person)

    total = sum(sum(row) for row in person.counts)
    right = sum(person.counts[i][i] for i in range(len(person.counts)))
    assert f"{right} of {total} answers are what people decided" in svg
    written = [
        int(t.text or 0) for t in read(svg).iter("text") if t.get("class") in ("on", "count")
    ]
    assert sum(written) == total


def test_the_learning_curve_puts_more_labels_to_the_right_and_better_models_higher():
    points = [
        ModelPoint(version=str(n), labels=100 * n, accuracy=rate(0.7 + n / 10), outcome="promoted")
        for n in (1, 2)
    ]
    curve = Prefixes(version="2", points=((50, 0.6), (100, 0.75), (200, 0.9)))

    svg = pictures.learning_curve(points, curve)

    first, second = [one for one in read(svg).iter("circle") if one.get("class") == "dot"]
    assert float(first.get("cx", 0)) < float(second.get("cx", 0))
    assert float(first.get("cy", 0)) > float(second.get("cy", 0))


@given(st.floats(0, 1), st.floats(0, 0.5))
def test_the_learning_curve_can_draw_any_accuracy(value: float, half: float):
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    found = Estimate(value=value, low=low, high=high, n=9, effective_n=9.0)
    point = ModelPoint(version="1", labels=9, accuracy=found, outcome="first")

    svg = read(pictures.learning_curve([point], None))

    for one in svg.iter("circle"):
        assert 0 <= float(one.get("cy", -1)) <= float(svg.get("height", 0))


def test_the_paired_difference_lies_on_the_side_of_the_better_model(lived: World):
    gate = gather_story(lived.workspace, now=NOW).gate
    assert gate is not None
    worse = replace(gate, delta=-gate.delta, low=-gate.high, high=-gate.low)

    places = [
        float(next(c.get("cx", "0") for c in read(pictures.paired_delta(g)).iter("circle")))
        for g in (gate, worse)
    ]

    middle = 344 / 2
    assert places[0] > middle > places[1]
    assert places[0] - middle == pytest.approx(middle - places[1], abs=0.1)


def test_the_parts_of_a_class_bar_add_up_to_its_rows():
    one = ClassChange(label='"cat"', rows=10, added=4, came=1, went=2, removed=0)

    svg = pictures.class_changes([one])

    width = {kind: float(bars(svg, kind)[0].get("width", 0)) for kind in ("bar", "new", "gone")}
    assert width["bar"] == pytest.approx(width["new"], abs=0.1)  # 5 stayed, 5 are new
    assert width["gone"] == pytest.approx(width["new"] * 2 / 5, abs=0.1)
    assert "10 +5 \N{MINUS SIGN}2" in svg


def test_one_day_of_labels_is_a_picture_too():
    svg = pictures.labels_over_time([Day(day=date(2026, 1, 2), answers=40, cost=4.8)], "EUR")

    assert "40 answers" in svg
    assert read(svg).tag == "svg"


def test_a_bar_is_never_of_negative_width():
    assert 'width="0"' in rect(0, 0, -1, 5)
    assert scale(3, 3, 0, 10)(3) == 5


def test_a_thumbnail_is_a_small_png_whatever_came_in():
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 900, 3), np.uint8))
    data = io.BytesIO()
    wide.save(data, "JPEG")

    text = thumbnail(data.getvalue())

    assert text is not None
    with Image.open(io.BytesIO(base64.b64decode(text))) as small:
        assert (small.format, small.size) == ("PNG", (96, 32))


def test_a_scan_of_sixteen_bits_is_stretched_and_not_white():
    data = io.BytesIO()
    Image.fromarray(np.arange(4000, 4000 + 64 * 64, dtype=np.uint16).reshape(64, 64)).save(
        data, "PNG"
    )

    text = thumbnail(data.getvalue())

    assert text is not None
    with Image.open(io.BytesIO(base64.b64decode(text))) as small:
        assert small.getextrema() == (0, 255)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_small_file_that_unfolds_to_a_huge_image_is_not_opened(side: int):
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    data += struct.pack(">I", zlib.crc32(header)) + png(np.zeros((9, 9)))[33:]

    assert thumbnail(data) is None


def test_broken_media_show_no_picture():
    whole = png(np.zeros((40, 40)))

    assert thumbnail(whole[:40]) is None
    assert thumbnail(b"") is None


def test_pictures_stop_when_the_page_has_bytes_enough(lived: World):
    rounds = lived.records.rounds()

    picks = gather_picks(lived.workspace, rounds, {}, Looks(lived.workspace, max_bytes=1_000))

    assert picks is not None
    looks = [pick.look for arm in picks.arms for pick in arm.picks]
    shown = [look for look in looks if look.png is not None]
    assert 0 < len(shown) < len(looks)


def rate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.05, high=value + 0.04, n=200, effective_n=200.0)
