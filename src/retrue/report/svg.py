"""A little SVG: elements as escaped text, and scales. Colours are classes, the page themes them."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup, escape

__all__ = ["canvas", "line", "number", "path", "rect", "scale", "tag", "words"]

Value = str | float | None


def tag(name: str, *children: str | Markup, **attributes: Value) -> Markup:
    """One element; text is escaped unless it is markup already, attributes of None are left out.

    >>> tag("text", "<b>", x=1.0, text_anchor="end", class_="soft")
    Markup('<text x="1" text-anchor="end" class="soft">&lt;b&gt;</text>')
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    # Names and attribute names are this package's own; all else went through `escape`.
    return Markup(f"<{name}{shown}>{inner}</{name}>")  # noqa: S704


def canvas(width: float, height: float, label: str, *children: Markup) -> Markup:
    """A picture that says in words what it shows.

    Args:
        width: Natural width in CSS pixels; the page shrinks it to fit, down to 3/4.
        height: Natural height.
        label: What a screen reader says.
        children: What is drawn.
    """
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def rect(x: float, y: float, width: float, height: float, *inside: Markup, **more: Value) -> Markup:
    """A bar; `inside` may be a <title>."""
    return tag("rect", *inside, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), **more)


def line(x1: float, y1: float, x2: float, y2: float, **more: Value) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **more)


def path(points: list[tuple[float, float]], **more: Value) -> Markup:
    """A line through points."""
    steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return tag("polyline", points=steps, **more)


def words(x: float, y: float, text: str, *, anchor: str = "start", **more: Value) -> Markup:
    """Text on a baseline."""
    return tag("text", text, x=x, y=y, text_anchor=None if anchor == "start" else anchor, **more)


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values low..high to places start..end; an empty range maps to the middle.

    >>> scale(0, 10, 100, 0)(2.5)
    75.0
    """
    if high <= low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def number(value: Value) -> str:
    """A number as short as a picture needs it; text stays.

    >>> number(3.0), number(1 / 3), number("a")
    ('3', '0.33', 'a')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else str(value)
