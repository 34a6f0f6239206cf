"""Tnetstrings, `LENGTH:VALUE` and a type's byte: a file of them, and what is wanted of one, the rest stepped over.

mitmproxy's own reader makes an object of everything, byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from storehop.audit.exchange import TruncatedError

MAX_LENGTH_DIGITS = 12
"""As mitmproxy has it."""
MAX_DEPTH = 16
"""Of lists in lists."""
CHUNK_BYTES = 256 * 1024

type Tree = Mapping[bytes, tuple[str, Tree | None]]
"""Of `wanted`."""

_DICT, _LIST, _BYTES, _TEXT, _INT, _FLOAT, _BOOL, _NONE = b"}],;#^!~"


class Window:
    """A stream, some bytes ahead. Raises TruncatedError where it ends before what is asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self.position = 0

    def peek(self, size: int) -> bytes:
        """The next bytes, as far as there are any."""
        if len(self._data) - self._at < size:
            self._fill(size)
        return self._data[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        data = self.peek(size)
        if len(data) < size:
            raise TruncatedError
        self._at += size
        self.position += size
        return data

    def skip(self, size: int) -> None:
        """Steps over bytes, which are never all in memory."""
        while size:
            size -= len(self.take(min(size, CHUNK_BYTES)))

    def length(self) -> int:
        """Steps over the length that a tnetstring begins with. Raises ValueError where there is none."""
        head = self.peek(MAX_LENGTH_DIGITS + 1)
        digits, colon, _ = head.partition(b":")
        if not colon and digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS:
            raise TruncatedError
        if not colon or not digits.isdigit():
            raise ValueError("no length")
        self.take(len(digits) + 1)
        return int(digits)

    def _fill(self, size: int) -> None:
        parts = [self._data[self._at :]]
        there = len(parts[0])
        while there < size and (part := self._stream.read(max(size - there, CHUNK_BYTES))):
            parts.append(part)
            there += len(part)
        self._data, self._at = b"".join(parts), 0


def wanted(**keys: Tree | None) -> Tree:
    """Keys that are wanted: `None` for the whole value, or what is wanted of the dictionary that it is."""
    return {name.encode(): (name, tree) for name, tree in keys.items()}


def picked(data: bytes, at: int, end: int, tree: Tree) -> dict[str, Any]:
    """The wanted keys of a dictionary that stands in `data` from `at` to `end`. ValueError: it is broken."""
    found: dict[str, Any] = {}
    while at < end:
        _, start, stop = _element(data, at, end)
        key = tree.get(data[start:stop])
        kind, start, stop = _element(data, stop + 1, end)
        if key:
            name, subtree = key
            has_parts = subtree is not None and kind == _DICT
            found[name] = picked(data, start, stop, subtree or {}) if has_parts else _value(data, kind, start, stop)
        at = stop + 1
    return found


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(kind, where its value starts, where it stops) of what stands at `at`."""
    start = data.find(b":", at, at + MAX_LENGTH_DIGITS + 1) + 1
    stop = start + int(data[at : start - 1]) if start else -1
    if not start <= stop < end:
        raise ValueError("no length, or longer than what it stands in")
    return data[stop], start, stop


def _value(data: bytes, kind: int, start: int, stop: int, depth: int = 0) -> Any:
    raw = data[start:stop]
    if kind == _BYTES:
        return raw
    if kind == _TEXT:
        return raw.decode("utf-8")
    if kind == _LIST and depth < MAX_DEPTH:
        items = []
        while start < stop:
            kind, first, last = _element(data, start, stop)
            items.append(_value(data, kind, first, last, depth + 1))
            start = last + 1
        return items
    if kind == _INT:
        return int(raw)
    if kind == _FLOAT:
        return float(raw)
    if kind == _BOOL:
        return raw == b"true"
    if kind == _NONE:
        return None
    raise ValueError("no value of this kind is expected here")
