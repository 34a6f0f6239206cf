r"""JSON lines: one object a line, whoever wrote it.

In front may stand what syslog or a container's runtime put there; Docker's own JSON around a line is taken off.
Apache and nginx without `escape=json` write `\x22`, which is no JSON: it is read all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from storehop.audit.exchange import Asked, RecordingError
from storehop.audit.opening import HEAD_BYTES
from storehop.audit.readers.building import Get, Pick, Row
from storehop.audit.readers.columns import Table, columns_of
from storehop.audit.readers.lines import first_lines, text_lines
from storehop.audit.readers.names import Path
from storehop.audit.readers.presets import PRESETS, REMARKS, preset_of
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import BrokenLineError, built, parsed, sampled

NAME = "jsonl"
_MAX_DEPTH = 6
_MAX_PATHS = 1000
_MAX_PREFIX_CHARACTERS = 300
_ENDS = ("", ",", "]", "],")
_DECODE = json.JSONDecoder(strict=False).raw_decode
_ESCAPES = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|.)", re.DOTALL)
_ASCII = 0x80
_OTHER_JSON = re.compile(rb'\s*+(?:\[\s*+\{|\{\s*+")')
_BEGINS = {"{", "[{"}
"""The first line of an object that goes over many lines."""
NO_LINES = (
    "expected one JSON object a line. jq makes such lines: jq -c '.[]' FILE of an array, jq -c . FILE of objects that"
    " go over several lines, jq -c '.rows[]' FILE of an object whose rows are them"
)


def looks_like(head: bytes) -> bool:
    """Whether the first lines hold an object, or the first one begins one and does not end there.

    Other JSON is taken, too: it is refused with advice.
    """
    is_cut = b"\n" not in head and head.lstrip().startswith(b'{"') and len(head) == HEAD_BYTES
    return is_cut or _OTHER_JSON.match(head) is not None or any(_is_object(line) for line in first_lines(head)[:20])


def _is_object(line: str) -> bool:
    try:
        row(line)
    except BrokenLineError:
        return False
    return True


def row(line: str) -> Row:
    """The object of a line. Raises BrokenLineError."""
    found = _object(line)
    if "stream" in found and type(inner := found.get("log")) is str:
        return _object(inner)
    return found


def _object(line: str) -> dict[str, Any]:
    start = 0 if line.startswith("{") else line.find("{", 0, _MAX_PREFIX_CHARACTERS)
    if start < 0:
        raise BrokenLineError("expected a JSON object")
    try:
        try:
            found, end = _DECODE(line, start)
        except ValueError:
            if "\\x" not in line:
                raise
            line = _as_json(line)
            found, end = _DECODE(line, start)
    except (ValueError, RecursionError):
        raise BrokenLineError("is no JSON") from None
    if end != len(line) and line[end:].strip() not in _ENDS:
        raise BrokenLineError("something stands behind the JSON object")
    return found  # type: ignore[no-any-return]  # what begins with a brace is an object


def _as_json(line: str) -> str:
    r"""`\x22` becomes the byte that it stands for."""
    return _ESCAPES.sub(_byte, line.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _byte(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return escape[0]
    byte = int(escape[1], 16)
    return bytes([byte]) if byte >= _ASCII else b"\\u%04x" % byte


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where the first lines hold no object, or none of their columns is the link."""
    lines = text_lines(stream)
    first = list(islice(lines, 1))
    rows, everything = sampled(parsed(chain(first, lines), row))
    is_spread = any(type(line) is tuple and line[1].strip() in _BEGINS for line in first)
    if not rows or is_spread or _is_around(rows):
        raise RecordingError(NO_LINES)
    gets = {path: _getter(path) for path in _paths(rows)}
    name = asked.format if asked.format in PRESETS else preset_of({".".join(path).lower() for path in gets})
    table = Table(rows, gets, PRESETS.get(name or "", {}), pick=_pick)
    if name in REMARKS:
        table.remarks.append(REMARKS[name])
    columns = columns_of(table, asked)
    return Reading(name or NAME, columns.knows, built(everything, columns.build), table.remarks)


def _is_around(rows: list[dict[str, Any]]) -> bool:
    """Whether it is one object, and the rows stand in it."""
    return len(rows) == 1 and any(
        type(value) is list and value and type(value[0]) is dict for value in rows[0].values()
    )


def _paths(rows: list[dict[str, Any]]) -> list[Path]:
    paths: dict[Path, None] = {}
    for found in rows:
        for path in _walk(found, ()):
            paths.setdefault(path)
        if len(paths) > _MAX_PATHS:
            break
    return list(paths)


def _walk(node: Mapping[str, Any], above: Path) -> Iterator[Path]:
    for key, value in node.items():
        yield (*above, key)
        if type(value) is dict and len(above) + 1 < _MAX_DEPTH:
            yield from _walk(value, (*above, key))


def _getter(path: Path) -> Get:
    def get(found: Row) -> Any:
        for key in path:
            if type(found) is not dict:
                return None
            found = found.get(key)
        return found

    return get


def _pick(paths: Sequence[Path]) -> tuple[Sequence[Path], Pick]:
    """Object by object: one step down for all values that stand in it."""
    folders: dict[Path, list[str]] = {}
    for path in paths:
        folders.setdefault(path[:-1], []).append(path[-1])
    order = [(*folder, key) for folder, keys in folders.items() for key in keys]
    top = folders.pop((), [])
    order.sort(key=lambda path: len(path) > 1)  # what stands at the top comes first
    below = [(_getter(folder), keys) for folder, keys in folders.items()]

    def flat(row: Row) -> list[Any]:
        return list(map(row.get, top))

    def nested(row: Row) -> list[Any]:
        values = list(map(row.get, top))
        for get, keys in below:
            found = get(row)
            values += map(found.get, keys) if type(found) is dict else [None] * len(keys)
        return values

    return order, nested if below else flat
