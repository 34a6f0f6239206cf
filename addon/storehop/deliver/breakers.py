"""Every origin's circuit breaker, and the log lines that say when AppsFlyer fails and when it is back."""

from __future__ import annotations

import logging
from collections import defaultdict

from storehop.deliver.clock import uptime
from storehop.deliver.policy import Breaker, is_healthy
from storehop.model import Fault, Outcome, Reply

logger = logging.getLogger(__name__)

_IN_WORDS = {
    Fault.CONNECT: "it can't be connected to",
    Fault.CONNECT_TIMEOUT: "it can't be connected to in time",
    Fault.TLS: "its certificate or TLS is refused",
    Fault.READ_TIMEOUT: "it does not answer in time",
    Fault.RESET: "it closes connections without an answer",
    Fault.PROTOCOL: "what it answers is no HTTP",
}


class Breakers(defaultdict[str, Breaker]):
    """Breakers by origin, closed until something fails."""

    def __init__(self) -> None:
        super().__init__(Breaker)

    @property
    def open(self) -> tuple[str, ...]:
        """The origins that get no calls now."""
        return tuple(origin for origin, breaker in self.items() if breaker.is_open)

    def failed_s(self, origin: str, within_s: float) -> float:
        """How long of the last seconds this one is known to have failed while open: until its last failure.

        Without a call that probes it a breaker stays open, though its origin may be well.
        """
        breaker = self.get(origin)
        if breaker is None or not breaker.is_open:
            return 0.0
        return max(0.0, breaker.failed_at - max(breaker.open_since, uptime() - within_s))

    def record(self, origin: str, outcome: Outcome) -> None:
        """Counts what came of an attempt, and logs where that opens or closes the breaker."""
        breaker, now = self[origin], uptime()
        was_open, since = breaker.is_open, breaker.open_since
        breaker.record(now, healthy=is_healthy(outcome))
        if breaker.is_open and not was_open:
            logger.warning("breaker open: %s fails (%s): new clicks pass, stored ones wait", origin, _in_words(outcome))
        elif was_open and not breaker.is_open:
            logger.warning("breaker closed: %s is back after %.1f s", origin, now - since)


def _in_words(outcome: Outcome) -> str:
    if isinstance(outcome, Reply):
        return f"it answers {outcome.status}"
    return f"{_IN_WORDS[outcome.fault]}: {outcome.cause}" if outcome.cause else _IN_WORDS[outcome.fault]
