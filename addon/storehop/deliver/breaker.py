"""A circuit breaker for one host: pure, the time is an argument (design §6).

closed ──THRESHOLD failures in a row──▶ open ──COOLDOWN──▶ one call may probe ──success──▶ closed
                                          ▲                        └──failure──▶ open
"""

from __future__ import annotations

THRESHOLD = 5
COOLDOWN = 2.0
"""Seconds between two probes."""


class Breaker:
    """While it is open, new clicks pass and stored calls wait; one probe at a time asks whether it is over."""

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe = 0.0
        self.is_open = False

    def may_send(self, now: float) -> bool:
        """Whether a call may be sent now, without taking the probe's place."""
        return not self.is_open or now >= self._next_probe

    def admit(self, now: float) -> bool:
        """As `may_send`; a call that is admitted while the breaker is open is the probe."""
        if not self.may_send(now):
            return False
        if self.is_open:
            self._next_probe = now + COOLDOWN
        return True

    def record(self, now: float, *, healthy: bool) -> None:
        """Takes note of what came of a call."""
        if healthy:
            self._failures, self.is_open = 0, False
            return
        self._failures += 1
        if self.is_open or self._failures >= THRESHOLD:
            self.is_open = True
            self._next_probe = now + COOLDOWN
