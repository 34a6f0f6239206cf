"""HAProxy's own HTTP log (`option httplog`) with captured headers in braces, with or without syslog's words in front.

A captured header is cut at the `len` of its `capture` line, which the log does not name. A Location that looks cut is
refused: the link in it is not what the browser got.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from storehop.audit.exchange import Asked, Exchange, RecordingError, Unreadable
from storehop.audit.readers.building import Row
from storehop.audit.readers.columns import columns_of, table_of
from storehop.audit.readers.guessing import guessed
from storehop.audit.readers.lines import first_lines, text_lines
from storehop.audit.readers.names import Path
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import BrokenLineError, built, of_width, parsed, sampled, usual_width

NAME = "haproxy"
_TIME = re.compile(r" \[(\d\d/[A-Z][a-z][a-z]/\d{4}:[0-9:.]{8,15})\] ")
_ENCODED = re.compile(r"#([0-9A-F]{2})")
_CUT_ESCAPE = re.compile(r"%[0-9A-Fa-f]?\Z")
_FIXED = ("ip", "time", "status", "request")
_STATUS, _REST = 3, 10
"""Places of words behind the time: frontend, backend/server, timers, status, bytes, cookies, state, counts, others."""
_USUAL_LENGTHS = {
    *(16, 20, 24, 32, 40, 48, 50, 60, 64, 80, 96, 100, 120, 128, 150, 160, 180, 192, 200, 240, 250, 255, 256, 300),
    *(320, 350, 384, 400, 450, 500, 511, 512, 600, 640, 700, 750, 768, 800, 900, 999, 1000, 1023, 1024, 1200, 1500),
    *(1536, 2000, 2047, 2048, 3000, 4000, 4095, 4096, 8000, 8191, 8192),
}
"""What people write as `len`."""


def looks_like(head: bytes) -> bool:
    """Whether a first line is one of HAProxy's HTTP log."""
    return any(_is_ours(line) for line in first_lines(head)[:20])


def _is_ours(line: str) -> bool:
    try:
        return fields(line) is not None
    except BrokenLineError:
        return False


def fields(line: str) -> Row:
    """Client, time, status, request, then what was captured, in order. None for a line that is of no request."""
    time = _TIME.search(line)
    if time is None:
        raise BrokenLineError("is no line of HAProxy's HTTP log")
    words = line[time.end() :].split(" ", _REST)
    if len(words) <= _REST:
        return None  # a connection that brought no request, or HAProxy's own words
    captured, request = _captured(words[_REST])
    client = line[: time.start()].rpartition(" ")[2].rpartition(":")[0]
    return [client, time[1], words[_STATUS], *map(_decoded, [request, *captured])]


def _captured(rest: str) -> tuple[list[str], str]:
    """Values between braces, the request's and then the answer's; the request's first line. A brace within is `#7D`."""
    values: list[str] = []
    while rest.startswith("{"):
        block, brace, rest = rest[1:].partition("}")
        if not brace:
            raise BrokenLineError("ends within a captured header")
        values += block.split("|")
        rest = rest.lstrip(" ")
    quote, request, end = rest[:1], *rest[1:].rpartition('"')[:2]
    if not (quote and end):
        raise BrokenLineError("ends before its request does: raise the `len` of the `log` line")
    return values, request


def _decoded(text: str) -> str:
    """HAProxy writes what is not printable, and its own marks, as `#7C`."""
    if "#" not in text:
        return text
    raw = _ENCODED.sub(lambda found: chr(int(found[1], 16)), text)
    return raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where no column is the link."""
    first, everything = sampled(parsed(text_lines(stream), fields))
    width = usual_width(first)
    if not width:
        raise RecordingError("expected lines of HAProxy's HTTP log")
    captures = [(f"capture.{number}",) for number in range(1, width - len(_FIXED) + 1)]
    paths: list[Path] = [*((name,) for name in _FIXED), *captures]
    rows = [row for row in first if len(row) == width]
    table = table_of(rows, paths)
    fixed = {name: (name,) for name in _FIXED}
    table.by_position = fixed | guessed(table, captures, fixed)
    columns = columns_of(table, asked)
    exchanges = built(of_width(everything, width), columns.build)
    cut = [_length_of_cut(table.values(path)) for path in columns.paths.get("location", ())]
    return Reading(NAME, columns.knows, _whole(exchanges, next(filter(None, cut), None)), table.remarks)


def _length_of_cut(locations: list[str]) -> int | None:
    """The `len` at which these were cut; None where they do not look cut."""
    length = max(map(len, locations), default=0)
    longest = [location for location in locations if len(location) == length]
    if len(longest) < 2:  # noqa: PLR2004  one alone is only the longest
        return None
    return length if length in _USUAL_LENGTHS or any(map(_CUT_ESCAPE.search, longest)) else None


def _whole(exchanges: Iterable[Exchange | Unreadable], length: int | None) -> Iterator[Exchange | Unreadable]:
    def is_cut(location: str) -> bool:
        return len(location) == length or _CUT_ESCAPE.search(location) is not None

    for exchange in exchanges:
        if type(exchange) is Exchange and exchange.location and is_cut(exchange.location):
            yield Unreadable(
                exchange.place,
                f"the captured Location is cut at {len(exchange.location)} characters: raise its `len`",
            )
        else:
            yield exchange
