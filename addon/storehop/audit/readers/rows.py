"""What readers of rows share: the first rows say which column is what, then all are read in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from storehop.audit.exchange import Exchange, Unreadable
from storehop.audit.readers.building import Build, Row
from storehop.audit.readers.columns import SAMPLE_ROWS
from storehop.audit.readers.lines import Line

SAMPLE_CHARACTERS = 8 * 1024 * 1024
"""Of lines or rows that are looked at before the first one is read: some logs have bodies in them."""

type PlacedRow = tuple[int, Row]


class BrokenLineError(Exception):
    """A line that can't be read. The message says why, without what stands in it."""


def parsed(lines: Iterable[Line | Unreadable], parse: Callable[[str], Row]) -> Iterator[PlacedRow | Unreadable]:
    """Each line's row. `parse` raises BrokenLineError, or returns None for a line that is no record."""
    for line in lines:
        if type(line) is Unreadable:
            yield line
            continue
        place, text = line  # type: ignore[misc]  # no Unreadable gets here
        try:
            row = parse(text)
        except BrokenLineError as error:
            yield Unreadable(place, str(error))
        else:
            if row is not None:
                yield place, row


def sampled(rows: Iterator[PlacedRow | Unreadable]) -> tuple[list[Row], Iterator[PlacedRow | Unreadable]]:
    """The first rows, and all of them."""
    first = first_of(rows, SAMPLE_ROWS)
    return [row[1] for row in first if not isinstance(row, Unreadable)], chain(first, rows)


def first_of[T](items: Iterator[T], most: int) -> list[T]:
    """The first lines or rows: so many, or fewer where they are long."""
    first: list[T] = []
    characters = 0
    for item in items:
        first.append(item)
        characters += len(repr(item))
        if len(first) == most or characters > SAMPLE_CHARACTERS:
            break
    return first


def built(rows: Iterable[PlacedRow | Unreadable], build: Build) -> Iterator[Exchange | Unreadable]:
    for row in rows:
        if type(row) is Unreadable:
            yield row
        else:
            yield build(*row)  # type: ignore[misc]  # no Unreadable gets here


def of_width(rows: Iterable[PlacedRow | Unreadable], width: int) -> Iterator[PlacedRow | Unreadable]:
    """Rows of another width are broken: nobody knows which column is missing."""
    for row in rows:
        if type(row) is tuple and len(row[1]) != width:
            yield Unreadable(row[0], f"has {len(row[1])} columns, expected {width}")
        else:
            yield row


def usual_width(rows: Sequence[Row]) -> int:
    """How many columns most rows have; 0 without rows."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
