"""Where a server of a test runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a server runs."""

    address: str = "127.0.0.1"
    """Other servers and storehop find it there."""
    seen_at: str = ""
    """The tests find it there, if elsewhere."""
    prefix: tuple[str, ...] = ()
    """Comes before its command: `("ip", "netns", "exec", NAME)`."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.address, self.seen_at) if self.seen_at else (self.address,)


LOOPBACK = Seat()
"""Beside the tests, with no cable to pull."""
