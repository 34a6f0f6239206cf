"""Lines of text, whatever a file holds: UTF-8 or not, any ending, any length. Memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from storehop.audit.exchange import Unreadable

MAX_LINE_BYTES = 1 << 20
"""A longer line is skipped."""
_BLOCK_BYTES = 262144
_TOO_LONG = f"the line is longer than {MAX_LINE_BYTES:,} bytes"

type Line = tuple[int, str]
"""Its number, from 1, and its text, without its end."""


def text_lines(stream: BinaryIO) -> Iterator[Line | Unreadable]:
    """All lines but blank ones. Bytes that are no UTF-8 become surrogates, as `surrogateescape` has it."""
    place = 0
    rest = b""
    is_skipping = False
    while block := stream.read(_BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if not end:
            rest = b"" if is_skipping else rest + block
            is_skipping = is_skipping or len(rest) > MAX_LINE_BYTES
            continue
        if is_skipping or len(rest) + block.index(b"\n") > MAX_LINE_BYTES:
            place += 1
            yield Unreadable(place, _TOO_LONG)
            whole = block[block.index(b"\n") + 1 : end]
            is_skipping = False
        else:
            whole = rest + block[:end]
        rest = block[end:]
        for line in whole.decode("utf-8", "surrogateescape").split("\n")[:-1]:
            place += 1
            text = line.removesuffix("\r")
            if text and not text.isspace():
                yield place, text
    if is_skipping or len(rest) > MAX_LINE_BYTES:
        yield Unreadable(place + 1, _TOO_LONG)
    elif (text := rest.decode("utf-8", "surrogateescape").rstrip("\r")) and not text.isspace():
        yield place + 1, text


def first_lines(head: bytes) -> list[str]:
    """The whole lines that a recording begins with, but blank ones; at least one where there is any text."""
    lines = head.decode("utf-8", "surrogateescape").split("\n")
    whole = lines[:-1] if len(lines) > 1 else lines
    return [line for line in map(str.strip, whole) if line]
