"""CloudFront's standard logs: tabs, and a `#Fields:` line that names the columns. They have no Location.

CloudFront percent-encodes what it logs, so what was encoded before is encoded twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, BinaryIO
from urllib.parse import unquote

from storehop.audit.exchange import Asked, RecordingError
from storehop.audit.readers.building import Get, Row
from storehop.audit.readers.columns import Table, columns_of
from storehop.audit.readers.lines import first_lines, text_lines
from storehop.audit.readers.names import HEADER, Path
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import built, of_width, parsed, sampled

NAME = "cloudfront"
_FIELDS = "#Fields:"
_ESCAPE = re.compile(r"%(..?)?", re.DOTALL)
_ITS_OWN = {f"{code:02X}" for code in (*range(0x21), *range(0x7F, 0x100), *map(ord, "<>\"#%{}|\\^~[]`'"))}
"""What CloudFront encodes; other escapes were there before."""
_POSITIONS = {
    "ip": "c-ip",
    "method": "cs-method",
    "host": "x-host-header",
    "scheme": "cs-protocol",
    "uri": "cs-uri-stem",
    "query": "cs-uri-query",
    "status": "sc-status",
    f"{HEADER}user-agent": "cs(User-Agent)",
    f"{HEADER}referer": "cs(Referer)",
    f"{HEADER}x-forwarded-for": "x-forwarded-for",
    "seconds": "time-taken",
}


def looks_like(head: bytes) -> bool:
    """Whether it begins with CloudFront's own lines."""
    return any(line.startswith(_FIELDS) and "cs-uri-stem" in line for line in first_lines(head)[:5])


def header(text: str) -> str:
    """A header as the browser sent it: what was logged is decoded, and again where spaces are encoded still."""
    once = unquote(text, errors="surrogateescape")
    return unquote(once, errors="surrogateescape") if " " not in once and "%20" in once else once


def target(text: str) -> str:
    """A path or query as it was asked for. Some logs have it as it was, with escapes that are none of CloudFront's."""
    if "%25" not in text or any((found[1] or "").upper() not in _ITS_OWN for found in _ESCAPE.finditer(text)):
        return text
    return unquote(text, errors="surrogateescape")


def _decoded(index: int, decode: Callable[[str], str]) -> Get:
    def get(row: Row) -> str:
        return decode(row[index]) if "%" in row[index] else row[index]

    return get


def _moment(date: int, time: int) -> Get:
    def get(row: Row) -> str:
        return f"{row[date]}T{row[time]}Z"

    return get


def _fields(line: str) -> Row:
    return None if line.startswith("#") else line.split("\t")


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where no request is a link, or holds one."""
    names: list[str] = []

    def fields(line: str) -> Row:
        if line.startswith(_FIELDS):
            names[:] = names or line.removeprefix(_FIELDS).split()
        return _fields(line)

    rows, everything = sampled(parsed(text_lines(stream), fields))
    if not names or not rows:
        raise RecordingError("expected a line #Fields: and lines of a CloudFront log behind it")
    table = Table([row for row in rows if len(row) == len(names)], _gets(names), names_count=False)
    table.by_position = {meaning: (name,) for meaning, name in _POSITIONS.items() if name in names} | _time(table.gets)
    columns = columns_of(table, asked)
    table.remarks.append("the Location that was answered is not in it: links are those in requests")
    return Reading(NAME, columns.knows, built(of_width(everything, len(names)), columns.build), table.remarks)


def _gets(names: list[str]) -> dict[Path, Get]:
    gets: dict[Path, Get] = {(name,): itemgetter(index) for index, name in enumerate(names)}
    for name, decode in {
        "cs-uri-stem": target,
        "cs-uri-query": target,
        "cs(User-Agent)": header,
        "cs(Referer)": target,
        "x-forwarded-for": header,
    }.items():
        if name in names:
            gets[name,] = _decoded(names.index(name), decode)
    if "date" in names and "time" in names:
        gets["date+time",] = _moment(names.index("date"), names.index("time"))
    return gets


def _time(gets: Mapping[Path, Any]) -> dict[str, Path]:
    return {"time": ("date+time",)} if ("date+time",) in gets else {}
