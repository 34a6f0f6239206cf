"""Text logs of web servers: words, `[time]` and "quoted" fields, such as nginx' and Apache's *combined*.

A Location, a Host and other headers may stand anywhere behind or in front: what they are, their values say.
Columns have numbers, from 1: `--map location=10`.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from storehop.audit.exchange import AUTO, Asked, RecordingError
from storehop.audit.readers.building import Row
from storehop.audit.readers.columns import Table, columns_of, table_of
from storehop.audit.readers.guessing import fit_most, guessed, is_address, is_host, is_request, is_time, is_url
from storehop.audit.readers.lines import first_lines, text_lines
from storehop.audit.readers.names import HEADER, Path
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import built, of_width, parsed, sampled, usual_width

NAME = "combined"
_FIELDS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\[[^\[\]]*+\]|\S+')
_TIME = re.compile(r"\[\d[^\[\]]{8,40}\]")
_ESCAPES = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_COMBINED = ("status", "", f"{HEADER}referer", f"{HEADER}user-agent")
"""What stands behind the request in *combined*."""
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


def looks_like(head: bytes) -> bool:
    """Whether a first line has a time in brackets and a quoted request."""
    return any(_TIME.search(line) and '"' in line for line in first_lines(head)[:20])


def fields(line: str) -> Row:
    """The fields of a line, without quotes and brackets."""
    found = [field[1:-1] if field[0] in '"[' else field for field in _FIELDS.findall(line)]
    return [_unescaped(field) if "\\" in field else field for field in found] if "\\" in line else found


def _unescaped(field: str) -> str:
    r"""As nginx writes `\x22`, and Apache `\"` as well; both write bytes beyond ASCII as `\xC3`."""
    return _ESCAPES.sub(_byte, field.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 16)]) if escape[1] else _LETTERS.get(escape[2], escape[2])


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where no column is the link."""
    first, everything = sampled(parsed(text_lines(stream), fields))
    width = usual_width(first)
    if not width:
        raise RecordingError("expected lines as web servers write them")
    paths: list[Path] = [(str(number),) for number in range(1, width + 1)]
    rows = [row for row in first if len(row) == width]
    table = table_of(rows, paths)
    table.by_position = _positions(table, paths)
    columns = columns_of(table, asked)
    name = NAME if asked.format == AUTO else asked.format
    return Reading(name, columns.knows, built(of_width(everything, width), columns.build), table.remarks)


def _positions(table: Table, paths: list[Path]) -> dict[str, Path]:
    """Where what stands: in front addresses and hosts, then the request, its status, then headers."""
    values = [table.values(path) for path in paths]
    request = next((at for at, found in enumerate(values) if fit_most(found, is_request)), None)
    if request is None:
        return guessed(table, paths, {})
    known = {"request": paths[request]}
    for at in range(request):
        for meaning, fits in (("ip", is_address), ("host", is_host), ("time", is_time)):
            if meaning not in known and fit_most(values[at], fits):
                known[meaning] = paths[at]
                break
    if "ip" not in known:
        known.pop("host", None)  # the client's name
    behind = paths[request + 1 :]
    if behind and fit_most(table.values(behind[0]), str.isdecimal):
        known["status"] = behind[0]
    if len(behind) >= len(_COMBINED) and all(map(is_url, table.values(behind[2]))):
        known |= {meaning: path for meaning, path in zip(_COMBINED, behind, strict=False) if meaning}
    return known | guessed(table, behind, known)
