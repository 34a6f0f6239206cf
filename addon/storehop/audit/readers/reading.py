"""What a reader makes of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from storehop.audit.exchange import Exchange, Known, Unreadable


@dataclass(frozen=True, slots=True)
class Reading:
    """A recording whose format is known, to be read once."""

    format: str
    knows: frozenset[Known]
    exchanges: Iterator[Exchange | Unreadable]
    remarks: list[str] = field(default_factory=list)
    """See `exchange.Recording.remarks`; some come while it is read."""
