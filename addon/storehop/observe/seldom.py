"""What anybody may cause at any rate is said once a minute, with how often it happened: pure, the clock is given.

if count := self._refused.count():
    logger.warning("a connection was refused%s", since_last(count))
"""

from __future__ import annotations

from collections.abc import Callable

PAUSE_S = 60.0
"""Between two lines of one kind, at the least."""


class Seldom:
    """One kind of line, at most one every `pause_s` seconds. On one thread only.

    `clock` gives seconds that never go back, such as time.monotonic.
    """

    __slots__ = ("_clock", "_next", "_pause_s", "_unsaid")

    def __init__(self, clock: Callable[[], float], pause_s: float = PAUSE_S) -> None:
        self._clock = clock
        self._pause_s = pause_s
        self._next = -float("inf")
        self._unsaid = 0

    def count(self) -> int:
        """Counts one more. Where a line is due: how many came since the last line, this one with them; else 0."""
        self._unsaid += 1
        now = self._clock()
        if now < self._next:
            return 0
        count, self._unsaid, self._next = self._unsaid, 0, now + self._pause_s
        return count


def since_last(count: int) -> str:
    """What a line says behind its subject: ` (1,204 times since the last such line)`; nothing where it is one."""
    return f" ({count:,} times since the last such line)" if count > 1 else ""
