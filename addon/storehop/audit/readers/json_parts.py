"""JSON in parts: the keys of an object and the items of an array one by one, never the whole text in memory.

It finds where values begin and end; what they say reads `json`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from storehop.audit.exchange import TruncatedError

CHUNK_BYTES = 256 * 1024
MAX_KEY_CHARACTERS = 1024
MAX_DEPTH = 256
"""Of objects and arrays in each other."""

_SPACE = re.compile(r"[ \t\r\n]*+")
_OUTSIDE = re.compile(r'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""All up to a bracket, or to a string whose end is not there yet."""
_WITHIN = re.compile(r"(?:[^\"\\]++|\\.)*+", re.DOTALL)
"""All up to a string's end, or to the end of what is there."""
_LITERAL = re.compile(r"[^,\]}\s]*+")
_CLOSES = {"{": "}", "[": "]"}


class BrokenError(Exception):
    """What stands here is no JSON, and nobody can tell where the next value begins."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position
        """Characters before it."""


class Parts:
    """A JSON text from its beginning to its end. Raises BrokenError, and TruncatedError where it ends too early."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._at = 0
        self._before = 0
        """Characters before `_text`."""

    def names(self) -> Iterator[str]:
        """Steps through an object. Who iterates steps over each key's value before the next one is asked for."""
        self._expect("{")
        if self._is_end("}"):
            return
        while True:
            if not self.is_next('"'):
                raise BrokenError(self._position)
            raw = self.value(MAX_KEY_CHARACTERS)
            self._expect(":")
            yield "" if raw is None else self._key(raw)
            if self._is_end("}"):
                return
            self._expect(",")

    def items(self, most: int) -> Iterator[str | None]:
        """The text of each item of an array; None for one of more than `most` characters."""
        self._expect("[")
        if self._is_end("]"):
            return
        while True:
            yield self.value(most)
            if self._is_end("]"):
                return
            self._expect(",")

    def value(self, most: int) -> str | None:
        """Steps over a value, and gives its text; None for one of more than `most` characters."""
        first = self._next()
        if first == '"' or first in _CLOSES:
            return self._nested(most)
        pieces: list[str] = []
        size = 0
        while True:
            end = _end(_LITERAL.match(self._text, self._at))
            size += end - self._at
            if size <= most:
                pieces.append(self._text[self._at : end])
            self._at = end
            if end < len(self._text) or not self._more():
                if not size:
                    raise BrokenError(self._position)
                return "".join(pieces) if size <= most else None

    def is_next(self, character: str) -> bool:
        """Whether this is the next character that is no space."""
        return self._next() == character

    def _nested(self, most: int) -> str | None:
        """A string, an object or an array, from its first character to its last."""
        pieces: list[str] = []
        size = 0
        opened: list[str] = []
        is_within = self._text[self._at] == '"'  # a string
        if is_within:
            pieces.append('"')
            self._at += 1
            size = 1
        while True:
            text, begin = self._text, self._at
            at = begin
            while at < len(text):
                at = _end(_WITHIN.match(text, at) if is_within else _OUTSIDE.match(text, at))
                if at == len(text) or text[at] == "\\":  # a backslash, and nothing behind it yet
                    break
                is_within = self._step(text[at], opened, is_within=is_within)
                at += 1
                if not opened and not is_within:
                    break
            else:
                at = len(text)
            size += at - begin
            if size <= most:
                pieces.append(text[begin:at])
            self._at = at
            if not opened and not is_within:
                return "".join(pieces) if size <= most else None
            if not self._more():
                raise TruncatedError

    def _step(self, mark: str, opened: list[str], *, is_within: bool) -> bool:
        """Whether we are within a string behind this character."""
        if mark == '"':
            return not is_within
        if mark in _CLOSES:
            opened.append(_CLOSES[mark])
            if len(opened) > MAX_DEPTH:
                raise BrokenError(self._position)
        elif not opened or opened.pop() != mark:
            raise BrokenError(self._position)
        return False

    def _key(self, raw: str) -> str:
        try:
            return str(json.loads(raw))
        except ValueError:
            raise BrokenError(self._position) from None

    def _is_end(self, mark: str) -> bool:
        if not self.is_next(mark):
            return False
        self._at += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._is_end(mark):
            raise BrokenError(self._position)

    def _next(self) -> str:
        """The next character that is no space; it is not stepped over."""
        while True:
            self._at = _end(_SPACE.match(self._text, self._at))
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise TruncatedError

    @property
    def _position(self) -> int:
        return self._before + self._at

    def _more(self) -> bool:
        """Reads on; what was stepped over is forgotten."""
        data = self._stream.read(CHUNK_BYTES)
        self._before += self._at
        self._text = self._text[self._at :] + self._decoder.decode(data, final=not data)
        self._at = 0
        return bool(data)


def _end(found: re.Match[str] | None) -> int:
    """Where a match of a pattern ends that matches everywhere."""
    return found.end() if found else 0
