"""What the page is put together from: elements, names of strangers, figures, tables and folds.

Every string that is no Markup is escaped on its way into an element, so nobody has to think of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from html import escape
from typing import NamedTuple

from storehop.audit.report import OTHERS, Counts, Report, Sample

SPACE = "\N{NO-BREAK SPACE}"
NAME_BYTES, LINK_BYTES, WORDS_BYTES = 80, 280, 240
"""Room for a name, a sample's link and its words, as bytes of the file: whatever the input, the page stays small."""
SAMPLES = 3
_ELLIPSIS = "…"
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, bidi overrides, surrogates and the like: they would change what a reader sees around them."""
_MOST_MARKS = 2
"""Combining marks on one letter; more of them climb over the lines above."""
_MAY_BREAK = "<wbr>"
_VOID = frozenset({"meta"})
_NARROW = 3
"""Columns that fit beside each other on a phone."""


class Markup(str):
    """HTML that is ready: only `element` and `joined` make it."""

    __slots__ = ()


class Column(NamedTuple):
    """A table's column: a figure, if no class says that it is text (`t`) or a drawing (`drawn`)."""

    title: str
    kind: str | None = None


def element(tag: str, *children: str | None, **attributes: str | None) -> Markup:
    """An element. `cls` is the class; an underscore in an attribute's name is a hyphen; None leaves out."""
    named = ((name.replace("cls", "class").replace("_", "-"), value) for name, value in attributes.items())
    written = "".join(f' {name}="{escape(value)}"' for name, value in named if value is not None)
    return Markup(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: str | None, between: str = "") -> Markup:
    """Children one after another."""
    return Markup(between.join(str(_safe(child)) for child in children if child is not None))


def _safe(child: str) -> str:
    return child if isinstance(child, Markup) else escape(child, quote=False)


def visible(text: str, most_bytes: int = NAME_BYTES) -> str:
    r"""A stranger's text, to be escaped yet: what can't be seen becomes `\\u{…}`, and what is too long ends in `…`.

    `most_bytes` counts bytes as they stand in the file.
    """
    shown: list[str] = []
    used = marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category[0] == "M" else 0
        piece = f"\\u{{{ord(char):x}}}" if category in HIDDEN or marks > _MOST_MARKS else char
        used += len(escape(piece).encode())
        if used > most_bytes:
            return "".join(shown) + _ELLIPSIS
        shown.append(piece)
    return "".join(shown)


def name(text: str, most_bytes: int = NAME_BYTES) -> Markup:
    """A stranger's name, which can't turn the line around it, and breaks behind its dots."""
    pieces = (visible(text, most_bytes) or "(empty)").split(".")
    return element("bdi", joined(*pieces, between=f".{_MAY_BREAK}"), cls="name")


def count(number: int) -> str:
    return f"{number:,}"


def counted(number: int, what: str) -> str:
    """`1 click`, `2,000 clicks`."""
    return f"{number:,}{SPACE}{what}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """In per cent, rounded down to a tenth: only all are 100 %, only none are 0 %."""
    tenths = 1000 * part // whole if whole else 0
    if part and not tenths:
        return f"<{SPACE}0.1{SPACE}%"
    return f"{tenths / 10:.{0 if tenths in {0, 1000} else 1}f}{SPACE}%"


def percent(value: float, digits: int = 1) -> str:
    """A share from 0 to 1 as per cent, rounded down to so many digits."""
    return f"{_plain(_down(100 * Decimal(str(value)), digits))}{SPACE}%"


def figure(value: float, digits: int = 1) -> str:
    """A number that is no share, with thousands separators, rounded down."""
    return _plain(_down(Decimal(str(value)), digits))


def _down(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN)


def _plain(value: float | Decimal) -> str:
    text = f"{value:,}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(at: float | None) -> datetime | None:
    """In UTC; None where nobody knows it, or no calendar has it."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def day_and_time(at: float | None) -> str:
    """`26 Nov 2026, 14:05`: in UTC, which the page says where it stands."""
    known = moment(at)
    return f"{known.day}{SPACE}{known:%b}{SPACE}{known:%Y, %H:%M}" if known else "unknown"


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], more: int = 0, *, is_titled: bool = False
) -> Markup:
    """A table; the first cell of a row is its heading. On a phone a row of many cells becomes a block with labels.

    `is_titled`: what stands above says it already, so that the caption is only read aloud.
    """
    is_wide = len(columns) > _NARROW
    heads = [element("th", column.title, scope="col", cls=column.kind) for column in columns]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", cls=columns[0].kind),
            *(
                element("td", cell, cls=column.kind, data_label=column.title if is_wide else None)
                for column, cell in zip(columns[1:], row[1:], strict=True)
            ),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", caption, cls="heard" if is_titled else None),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        cls="wide" if is_wide else None,
    )
    left = element("p", f"… and {count(more)} more.", cls="more") if more else None
    return joined(element("div", whole, cls="scroll", tabindex="0", role="region", aria_label=caption), left)


def largest(groups: Mapping[str, Counts], most: int) -> tuple[list[tuple[str, Counts]], int]:
    """The groups with most clicks, all others beyond that last, and how many more there are."""
    ordered = sorted(groups.items(), key=lambda item: (item[0] == OTHERS, -item[1].clicks, item[0]))
    return ordered[:most], len(ordered) - len(ordered[:most])


def ranked(counts: Mapping[str, int], most: int) -> tuple[list[tuple[str, int]], int]:
    """The largest counts above 0, and how many more there are."""
    ordered = sorted(((key, n) for key, n in counts.items() if n), key=lambda item: (-item[1], item[0]))
    return ordered[:most], len(ordered) - len(ordered[:most])


def fold(summary: str, *children: str | None) -> Markup:
    """What opens when somebody asks, and on paper."""
    return element("details", element("summary", summary), element("div", *children, cls="folded"))


def samples(report: Report, key: str, summary: str = "Samples") -> Markup | None:
    """The clicks behind a figure, folded."""
    found = report.samples.get(key, [])[:SAMPLES]
    return fold(summary, sample_list(found)) if found else None


def sample_list(found: Iterable[Sample], *, is_whole: bool = False) -> Markup:
    """Of each click what would happen to it, where it stands, and its link. Whole: where it leads, and the call."""
    return element("ul", *(element("li", *_sample(one, is_whole)) for one in found), cls="samples")


def _sample(one: Sample, is_whole: bool) -> list[Markup]:
    lines = [element("p", element("bdi", visible(one.words, WORDS_BYTES)), " ", element("small", name(one.place)))]
    links = [("link", one.link), ("user", one.location), ("call", one.call)] if is_whole else [("", one.link)]
    lines += [
        element(
            "p", element("small", f"{title} ") if title else None, element("bdi", visible(url, LINK_BYTES)), cls="link"
        )
        for title, url in links
        if url
    ]
    return lines


def section(anchor: str, title: str, *children: str | None) -> Markup:
    return element(
        "section", element("h2", title, id=f"{anchor}-title"), *children, id=anchor, aria_labelledby=f"{anchor}-title"
    )


def paragraph(*children: str | None, cls: str | None = None) -> Markup:
    return element("p", *children, cls=cls)
