"""Where a server of a test runs."""

from __future__ import annotations

from dataclasses import dataclass, replace


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

    def on(self, *prefix: str) -> Seat:
        """The same, and its machine has this fault: `LOOPBACK.on(*SlowDisk(folder).prefix)`."""
        return replace(self, prefix=(*self.prefix, *prefix))


LOOPBACK = Seat()
"""Beside the tests, with no cable to pull."""
