"""The drawings: inline SVG without a script, colours by class so that a dark page has its own."""

from __future__ import annotations

from collections.abc import Sequence

from storehop.audit.page.parts import Markup, count, day_and_time, element, joined, share

WIDTH, HEIGHT = 960, 120
"""Of a drawing's own units; the page scales it to its column."""
_STACK_HEIGHT = 28
_GAP = 2


def stack(parts: Sequence[tuple[str, str, int]]) -> Markup:
    """One bar of several parts, each (class, words, count). Parts too thin to be seen are left out."""
    whole = sum(n for _, _, n in parts)
    pieces, x = [], 0.0
    for cls, words, n in parts:
        width = WIDTH * n / whole if whole else 0
        if width >= 1:
            title = element("title", f"{words}: {share(n, whole)}")
            pieces.append(_rect(x, max(1.0, width - _GAP), _STACK_HEIGHT, cls, title))
        x += width
    said = "; ".join(f"{words}: {count(n)} ({share(n, whole)})" for _, words, n in parts)
    return _drawing("stack", _STACK_HEIGHT, "Clicks by what becomes of them", said, *pieces)


def bar(part: int, whole: int) -> Markup:
    """A share as a thin bar. The figure stands beside it, so nobody has to hear of it twice."""
    width = 100 * part / whole if whole else 0
    return element(
        "svg",
        element("path", d=f"M0 0H{width:.1f}V1H0Z", cls="direct"),
        cls="bar",
        viewBox="0 0 100 1",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def over_time(slots: Sequence[tuple[int, int, int]], slot_s: int) -> Markup | None:
    """Clicks, and those of them that are direct, over time.

    Slots are (Unix seconds, clicks, direct), each of `slot_s` seconds; one in which nothing came is left out.
    """
    if len(slots) < 2 or not any(clicks for _, clicks, _ in slots):  # noqa: PLR2004  a line has two ends
        return None
    top = max(clicks for _, clicks, _ in slots)
    first, last = day_and_time(slots[0][0]), day_and_time(slots[-1][0] + slot_s)
    span = _span(slot_s)
    drawn = _drawing(
        "time",
        HEIGHT,
        "Clicks over time",
        f"From {first} to {last} UTC; at most {count(top)} clicks in {span}.",
        _area([(at, clicks) for at, clicks, _ in slots], top, slot_s, "rest"),
        _area([(at, direct) for at, _, direct in slots], top, slot_s, "direct"),
    )
    legend = element(
        "figcaption",
        element("span", f"{first} UTC"),
        element("span", swatch("direct"), "direct ", swatch("rest"), f"all clicks, up to {count(top)} in {span}"),
        element("span", f"{last} UTC"),
    )
    return element("figure", drawn, legend)


def swatch(cls: str) -> Markup:
    """A small square of a part's colour."""
    return element("span", cls=f"swatch {cls}", aria_hidden="true")


def _span(seconds: int) -> str:
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds % size == 0:
            return f"{seconds // size:,} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:,} second{'' if seconds == 1 else 's'}"


def _area(values: Sequence[tuple[int, int]], top: int, slot_s: int, cls: str) -> Markup:
    """Steps, one a slot; between slots that do not follow each other it is empty."""
    begin = values[0][0]
    scale = WIDTH / max(1, values[-1][0] + slot_s - begin)
    drawn, end = f"M0 {HEIGHT}", begin
    for at, value in values:
        if at > end:
            drawn += f"V{HEIGHT}H{(at - begin) * scale:.1f}"
        end = at + slot_s
        drawn += f"V{HEIGHT - HEIGHT * value / top:.1f}H{(end - begin) * scale:.1f}"
    return element("path", d=f"{drawn}V{HEIGHT}Z", cls=cls)


def _rect(x: float, width: float, height: int, cls: str, *children: str) -> Markup:
    return element("rect", *children, x=f"{x:.1f}", y="0", width=f"{width:.1f}", height=str(height), cls=cls)


def _drawing(name: str, height: int, title: str, description: str, *shapes: Markup) -> Markup:
    """A drawing that is read aloud by its title and description."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-words"),
        joined(*shapes),
        viewBox=f"0 0 {WIDTH} {height}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{name}-title {name}-words",
        cls=name,
    )
