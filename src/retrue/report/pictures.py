"""The report's pictures: facts in, SVG out. What a picture shows, its label says in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from retrue.core.accuracy import Estimate
from retrue.report.history import ClassChange, Day
from retrue.report.learning import Gate, ModelPoint, Prefixes
from retrue.report.people import Person
from retrue.report.reading import plain_label
from retrue.report.shift import Check, Histogram
from retrue.report.svg import canvas, line, path, rect, scale, tag, words
from retrue.report.wording import amount, day, interval, money, percent, points

__all__ = [
    "accuracy_bar",
    "class_changes",
    "confusion_matrix",
    "drift_timeline",
    "histograms",
    "labels_over_time",
    "learning_curve",
    "paired_delta",
]

WIDE = 344  # of a tile, CSS pixels: fits a phone, three stand side by side on a desk
LETTER = 6.2  # mean width of a letter at 12 px
CLASSES = 14  # most classes a matrix or a list of bars shows


def drift_timeline(checks: Sequence[Check]) -> Markup:
    """One column per checked window: its strongest change in units of the smallest that matters."""
    step, left, top, foot = 24, 8, 26, 150
    width = max(WIDE, left + step * len(checks) + 118)
    sizes = [check.strongest.relative if check.strongest else 0.0 for check in checks]
    most = max([1.5, *sizes])
    y = scale(0, most, foot, top)
    parts = [line(left, foot, width - 8, foot, class_="axis")]
    for i, (check, size) in enumerate(zip(checks, sizes, strict=True)):
        x = left + step * i
        parts.append(_window_column(check, size, x + 3, y(size), foot, step - 6))
        if i in (0, len(checks) - 1) and (i == 0 or step * i > 80):
            label = f"{check.at.day} {check.at:%b}"
            anchor = "start" if i == 0 else "end"
            at = x + 3 if i == 0 else x + step - 3
            parts.append(words(at, foot + 16, label, anchor=anchor, class_="soft"))
    parts += [
        line(left, y(1), width - 8, y(1), class_="floor"),
        words(width - 8, y(1) - 5, "matters from here", anchor="end", class_="soft"),
    ]
    alarms = sum(check.alarm for check in checks)
    label = (
        f"{len(checks)} windows checked, {alarms} with an alarm; the largest change is "
        f"{max([0.0, *sizes]):.1f} times the smallest that matters."
    )
    return canvas(width, foot + 24, label, *parts)


def _window_column(
    check: Check, size: float, x: float, y: float, foot: float, width: float
) -> Markup:
    strongest = check.strongest
    what = strongest.name if strongest else "nothing tested"
    title = tag("title", f"{day(check.at)}: {what}, {size:.1f} times the floor")
    if strongest is None:
        return tag("circle", title, cx=x + width / 2, cy=foot - 5, r=2.5, class_="quiet")
    bar = rect(
        x, y, width, max(foot - y, 1.5), title, class_="alarm" if check.alarm else "bar", rx=2
    )
    if not check.alarm:
        return bar
    # A shape beside the colour: the mark reads in black and white too.
    mark = words(
        x + width / 2, y - 6, "\N{BLACK UP-POINTING TRIANGLE}", anchor="middle", class_="mark"
    )
    return tag("g", bar, mark)


def histograms(shown: Histogram) -> Markup:
    """One column in the reference (outline) and in the window (filled)."""
    left, right, top, foot = 8, WIDE - 8, 34, 150
    step = (right - left) / len(shown.bars)
    y = scale(0, max([*shown.reference, *shown.now, 0.01]), foot, top)
    gap = 0 if shown.ordered else step * 0.12
    parts = [line(left, foot, right, foot, class_="axis")]
    every = max(1, round(len(shown.bars) * 46 / (right - left))) if shown.ordered else 1
    room = max(int(step / LETTER), 1)
    for i, (name, old, new) in enumerate(zip(shown.bars, shown.reference, shown.now, strict=True)):
        x = left + step * i
        title = tag("title", f"{name}: reference {percent(old)}, window {percent(new)}")
        parts.append(rect(x + gap, y(new), step - 2 * gap, foot - y(new), title, class_="bar"))
        parts.append(path([(x + gap, y(old)), (x + step - gap, y(old))], class_="before"))
        if i % every == 0:
            text = name if len(name) <= room * every else name[: room * every - 1] + "\u2026"
            place = x if shown.ordered else x + step / 2
            anchor = "start" if shown.ordered else "middle"
            parts.append(words(place, foot + 16, text, anchor=anchor, class_="soft"))
    parts += [
        line(left, 12, left + 18, 12, class_="before"),
        words(left + 24, 16, "when audited", class_="soft"),
        rect(left + 128, 7, 18, 10, class_="bar"),
        words(left + 152, 16, "in this window", class_="soft"),
    ]
    return canvas(WIDE, foot + 24, f"{shown.column}, reference against window", *parts)


def confusion_matrix(person: Person) -> Markup:
    """What people decided (rows) against what this person said (columns)."""
    names = [plain_label(label) for label in person.classes[:CLASSES]]
    margin = min(max((len(name) for name in names), default=1), 11) * LETTER + 12
    side = min((WIDE - margin - 4) / max(len(names), 1), 44)
    top = 20
    parts: list[Markup] = []
    for i, name in enumerate(names):
        y = top + side * i
        total = sum(person.counts[i])
        parts.append(
            words(margin - 8, y + side / 2 + 4, _cut(name, 11), anchor="end", class_="soft")
        )
        short = _cut(name, max(int(side / LETTER), 1))
        parts.append(
            words(margin + side * (i + 0.5), top - 6, short, anchor="middle", class_="soft")
        )
        for j, said in enumerate(names):
            count = person.counts[i][j]
            cell = (margin + side * j, y, side)
            parts.append(_cell(cell, count, total, f"{name}, said {said}: {count}", right=i == j))
    height = top + side * len(names) + 4
    who = person.report.annotator
    right = sum(person.counts[i][i] for i in range(len(person.classes)))
    total = sum(sum(row) for row in person.counts)
    label = f"{who}: {right} of {total} answers are what people decided"
    return canvas(WIDE, height, label, *parts)


def _cell(
    place: tuple[float, float, float], count: int, total: int, title: str, *, right: bool
) -> Markup:
    x, y, side = place
    share = count / total if total else 0.0
    colour = "cell" if right else "cell wrong"
    parts = [
        rect(x + 1, y + 1, side - 2, side - 2, class_="empty", rx=2),
        rect(
            x + 1,
            y + 1,
            side - 2,
            side - 2,
            tag("title", title),
            class_=colour,
            rx=2,
            fill_opacity=round(0.12 + 0.88 * share, 2) if count else 0,
        ),
    ]
    if count and side >= 18:
        strong = "on" if share > 0.5 else "count"
        parts.append(
            words(x + side / 2, y + side / 2 + 4, str(count), anchor="middle", class_=strong)
        )
    return tag("g", *parts)


def learning_curve(models: Sequence[ModelPoint], curve: Prefixes | None) -> Markup:
    """Accuracy against labels: each model with its interval, and the newest one's prefixes."""
    left, right, top, foot = 38, WIDE - 14, 18, 150
    drawn = curve.points if curve else ()
    labels = [point.labels for point in models] + [n for n, _ in drawn]
    lows = [point.accuracy.low for point in models] + [value for _, value in drawn]
    highs = [point.accuracy.high for point in models] + [value for _, value in drawn]
    least, most = _round_range(min(lows), max(highs))
    x = scale(0, max(labels) * 1.04, left, right)
    y = scale(least, most, foot, top)
    parts = [line(left, foot, right, foot, class_="axis")]
    for mark in (least, (least + most) / 2, most):
        parts.append(line(left, y(mark), right, y(mark), class_="grid"))
        parts.append(words(left - 6, y(mark) + 4, percent(mark), anchor="end", class_="soft"))
    if drawn:
        parts.append(path([(x(n), y(value)) for n, value in drawn], class_="curve"))
        parts += [tag("circle", cx=x(n), cy=y(value), r=2, class_="quiet") for n, value in drawn]
    for point in models:
        parts.append(_model_point(point, x(point.labels), y))
    parts.append(words(left, foot + 16, "0", class_="soft"))
    last = f"{amount(max(labels))} labels to train on"
    parts.append(words(right, foot + 16, last, anchor="end", class_="soft"))
    said = "; ".join(
        f"v{point.version} with {point.labels} labels {percent(point.accuracy.value)}"
        for point in models
    )
    return canvas(WIDE, foot + 24, f"Learning curve. {said}", *parts)


def _model_point(point: ModelPoint, x: float, y: Callable[[float], float]) -> Markup:
    found = point.accuracy
    title = f"v{point.version}: {percent(found.value)} ({interval(found)}) of {found.n} items"
    return tag(
        "g",
        tag("title", title),
        line(x, y(found.low), x, y(found.high), class_="whisker"),
        tag("circle", cx=x, cy=y(found.value), r=5, class_="dot"),
        words(x - 9, y(found.value) + 4, f"v{point.version}", anchor="end", class_="name"),
    )


def paired_delta(gate: Gate) -> Markup:
    """Challenger minus champion with its interval, against no gain at all and the margin."""
    left, right, middle = 12, WIDE - 12, 56
    reach = 1.15 * max(abs(gate.low), abs(gate.high), gate.margin, 0.02)
    x = scale(-reach, reach, left, right)
    parts = [
        rect(x(gate.margin), 34, right - x(gate.margin), 44, class_="zone"),
        line(left, middle, right, middle, class_="axis"),
        line(x(0), 34, x(0), 78, class_="zero"),
        line(x(gate.low), middle, x(gate.high), middle, class_="whisker"),
        tag("circle", cx=x(gate.delta), cy=middle, r=6, class_="dot"),
        words(
            min(max(x(gate.delta), left + 30), right - 30),
            middle - 12,
            f"{points(gate.delta)} points",
            anchor="middle",
            class_="name",
        ),
        words(left, 20, f"\N{LEFTWARDS ARROW} v{gate.champion} better", class_="soft"),
        words(
            right,
            20,
            f"v{gate.challenger} better \N{RIGHTWARDS ARROW}",
            anchor="end",
            class_="soft",
        ),
        words(x(0), 94, "no difference", anchor="middle", class_="soft"),
    ]
    label = (
        f"v{gate.challenger} minus v{gate.champion}: {points(gate.delta)} points, "
        f"interval {points(gate.low)} to {points(gate.high)}"
    )
    return canvas(WIDE, 102, label, *parts)


def class_changes(classes: Sequence[ClassChange]) -> Markup:
    """Rows per label: those that stayed, those that came, and what each lost."""
    shown = list(classes[:CLASSES])
    margin = min(max((len(plain_label(one.label)) for one in shown), default=1), 16) * LETTER + 14
    x = scale(
        0, max([one.rows + one.went + one.removed for one in shown] or [1]), margin, WIDE - 74
    )
    parts: list[Markup] = []
    for i, one in enumerate(shown):
        y = 6 + 24 * i
        kept = one.rows - one.added - one.came
        name = plain_label(one.label)
        said = (
            f"{name}: {one.rows} rows, {one.added} added, {one.came} corrected to it, "
            f"{one.went} corrected away, {one.removed} removed"
        )
        parts += [
            words(margin - 8, y + 13, _cut(name, 16), anchor="end", class_="name"),
            rect(margin, y + 2, x(kept) - margin, 15, tag("title", said), class_="bar"),
            rect(x(kept), y + 2, x(one.rows) - x(kept), 15, tag("title", said), class_="new"),
            rect(
                x(one.rows),
                y + 2,
                x(one.rows + one.went + one.removed) - x(one.rows),
                15,
                class_="gone",
            ),
            words(
                x(one.rows + one.went + one.removed) + 6,
                y + 14,
                _change_text(one),
                class_="soft",
            ),
        ]
    label = f"Rows per label, {len(classes)} labels"
    return canvas(WIDE, 10 + 24 * len(shown), label, *parts)


def _change_text(one: ClassChange) -> str:
    plus, minus = one.added + one.came, one.went + one.removed
    moves = (f" +{plus}" if plus else "") + (f" \N{MINUS SIGN}{minus}" if minus else "")
    return f"{one.rows}{moves}"


def labels_over_time(days: Sequence[Day], currency: str) -> Markup:
    """Answers so far, day by day, and what they cost."""
    left, right, top, foot = 8, WIDE - 8, 34, 150
    first, last = days[0].day.toordinal(), days[-1].day.toordinal()
    x = scale(first, last, left, right)
    y = scale(0, days[-1].answers, foot, top)
    steps: list[tuple[float, float]] = [(left, foot)]
    for one in days:
        at = x(one.day.toordinal()) if last > first else right
        steps += [(at, steps[-1][1]), (at, y(one.answers))]
    steps.append((right, steps[-1][1]))
    total = f"{amount(days[-1].answers)} answers"
    cost = money(days[-1].cost, currency)
    parts = [
        tag(
            "polygon",
            points=" ".join(f"{a:.1f},{b:.1f}" for a, b in [*steps, (right, foot)]),
            class_="area",
        ),
        path(steps, class_="curve"),
        line(left, foot, right, foot, class_="axis"),
        words(right, top - 12, f"{total}, {cost}", anchor="end", class_="name"),
        words(left, foot + 16, day(days[0].day), class_="soft"),
        words(right, foot + 16, day(days[-1].day), anchor="end", class_="soft"),
    ]
    return canvas(WIDE, foot + 24, f"{total} by {day(days[-1].day)} for {cost}", *parts)


def accuracy_bar(found: Estimate) -> Markup:
    """A rate with its interval on 0..100%."""
    x = scale(0, 1, 2, 218)
    return canvas(
        220,
        16,
        f"{percent(found.value)}, interval {interval(found)}",
        line(2, 8, 218, 8, class_="axis"),
        line(x(found.low), 8, x(found.high), 8, class_="whisker"),
        tag("circle", cx=x(found.value), cy=8, r=5, class_="dot"),
    )


def _round_range(low: float, high: float) -> tuple[float, float]:
    """The range in steps of ten points, so that the marks are round."""
    least, most = int(10 * low + 1e-9) / 10, -int(-10 * high - 1 + 1e-9) / 10
    return least, min(max(most, least + 0.1), 1.0) if least < 1 else 1.0


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: max(room - 1, 1)] + ("\u2026" if room > 1 else "")
