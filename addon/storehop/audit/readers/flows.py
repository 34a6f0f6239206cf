"""Reads mitmproxy's flow files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from storehop.audit.exchange import Exchange, Known, RecordingError, Unreadable

KNOWS: frozenset[Known] = frozenset()


def looks_like(head: bytes) -> bool:  # noqa: ARG001
    """Whether a recording that begins so is of this format."""
    return False


def read(stream: BinaryIO) -> Iterator[Exchange | Unreadable]:  # noqa: ARG001
    """Reads to the end."""
    raise RecordingError("not built yet")
