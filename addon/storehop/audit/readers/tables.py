"""CSV and TSV, as trackers and data warehouses export them: with a header row or without, any usual delimiter.

A quoted field may go over a few lines. A quote that nobody closes costs its own line, and no other.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO

from storehop.audit.exchange import AUTO, Asked, RecordingError, Unreadable
from storehop.audit.readers.building import Row
from storehop.audit.readers.columns import columns_of, table_of
from storehop.audit.readers.guessing import guessed, is_address, is_time
from storehop.audit.readers.lines import Line, first_lines, text_lines
from storehop.audit.readers.links import attributed
from storehop.audit.readers.names import Path
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import PlacedRow, built, first_of, of_width, sampled, usual_width

CSV, TSV = "csv", "tsv"
_DELIMITERS = "\t,;|"
_NO_DELIMITER = "\x1f"
_MAX_LINES = 20
"""A quoted field over more lines is a quote that nobody closed."""
_SAMPLE_LINES = 200
_LEAST_TITLED = 3
"""Columns of a table that may have titles in front of it."""
_LINK = re.compile(r"\s*+https?://\S++\s*+")
_PAGE = re.compile(rb"\s*+<[!?A-Za-z]")
"""HTML or XML."""
_SAID = re.compile(r"sep=([,;|\t])")
"""Excel's first line."""


def looks_like(head: bytes) -> bool:
    """Whether its first lines have the same number of columns, or are links."""
    if _PAGE.match(head):
        return False
    lines = first_lines(head)[:_SAMPLE_LINES]
    return bool(_delimiter(lines)) or attributed(lines) > 0


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits most records alike, into most columns; "" for a single column."""
    if not lines:
        return ""
    if said := _SAID.fullmatch(lines[0].strip()):
        return said[1]
    found = _splitting(lines, may_be_titled=False) or _splitting(lines, may_be_titled="://" not in lines[0])
    is_list = all(map(_LINK.fullmatch, lines)) and not _is_data(lines[0].split(found or None)[1:])
    return "" if is_list else found


def _splitting(lines: list[str], *, may_be_titled: bool) -> str:
    best = (0, "")
    for delimiter in _DELIMITERS:
        records = list(_records(enumerate(lines, start=1), delimiter))
        rows = [record[1] for record in records if not isinstance(record, Unreadable)]
        width = usual_width(rows)
        alike = sum(len(row) == width for row in rows)
        begins = bool(rows) and (len(rows[0]) == width or (may_be_titled and width >= _LEAST_TITLED))
        if width > 1 and alike * 2 >= len(records) and begins:
            best = max(best, (width, delimiter))
    return best[1]


def _split(line: str, delimiter: str) -> list[str] | None:
    """The columns of a whole record; None where it is none."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return None


def _records(lines: Iterable[Line | Unreadable], delimiter: str) -> Iterator[PlacedRow | Unreadable]:
    lines = iter(lines)
    waiting: deque[Line | Unreadable] = deque()
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        if type(line) is Unreadable:
            yield line
            continue
        place, text = line  # type: ignore[misc]  # no Unreadable gets here
        if text.count('"') % 2:
            waiting.extend(islice(lines, max(0, _MAX_LINES - len(waiting))))
            taken, text = _closed(text, waiting)
            for _ in range(taken):
                waiting.popleft()
            if not taken:
                yield Unreadable(place, "a quote that is not closed")
                continue
        row = _split(text, delimiter)
        yield Unreadable(place, "is no CSV") if row is None else (place, row)


def _closed(text: str, following: Iterable[Line | Unreadable]) -> tuple[int, str]:
    """How many of the lines that follow belong to this record, and all of it; 0 where no quote ends it."""
    for taken, line in enumerate(following, start=1):
        if isinstance(line, Unreadable):
            break
        text = f"{text}\n{line[1]}"
        if line[1].count('"') % 2:
            return taken, text
    return 0, text


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where no column is the link."""
    lines = text_lines(stream)
    first = first_of(lines, _SAMPLE_LINES)
    texts = [line[1] for line in first if type(line) is tuple]
    delimiter = "\t" if asked.format == TSV else _delimiter(texts)
    rows, everything = sampled(_records(chain(first, lines), delimiter or _NO_DELIMITER))
    if not rows:
        raise RecordingError("expected rows of columns")
    width = usual_width(rows[:_SAMPLE_LINES])
    titles = _titles(rows, width)
    rows, everything = rows[titles:], _without_first(everything, titles)
    is_named = not _is_data(rows[0])
    names = [name.strip() for name in rows[0]] if is_named else [str(number) for number in range(1, width + 1)]
    everything = of_width(_without_first(everything, is_named), width)
    paths: list[Path] = [(name,) for name in names]
    table = table_of([row for row in rows[is_named:] if len(row) == width], paths)
    if not is_named:
        table.by_position = guessed(table, paths, {})
    if titles:
        table.remarks.append(f"what its first lines are, {titles} in number: they are no rows, and were left out")
    columns = columns_of(table, asked)
    name = asked.format if asked.format != AUTO else TSV if delimiter == "\t" else CSV
    return Reading(name, columns.knows, built(everything, columns.build), table.remarks)


def _is_data(row: Row) -> bool:
    return any("://" in value or is_address(value) or is_time(value) for value in row)


def _titles(rows: Sequence[Row], width: int) -> int:
    """How many rows stand in front of the header row, or of the first one: a report's title, Excel's `sep=;`."""
    return next((place for place, row in enumerate(rows) if not _is_title(row, width)), 0)


def _is_title(row: Row, width: int) -> bool:
    return len(row) != width or (width >= _LEAST_TITLED and sum(map(bool, row)) == 1)


def _without_first(rows: Iterable[PlacedRow | Unreadable], count: int) -> Iterator[PlacedRow | Unreadable]:
    """All but so many rows."""
    for row in rows:
        if count and type(row) is tuple:
            count -= 1
        else:
            yield row
