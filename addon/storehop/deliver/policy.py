"""When a click is taken, when a call is sent again, when an origin gets none: pure tables (design §6).

A breaker's states:

    closed ──BREAKER_FAILURES in a row──▶ open ──PROBE_PAUSE_S──▶ one call may probe ──healthy──▶ closed
                                            ▲                            └──not──▶ open
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from storehop.model import Dead, DeadReason, Delivered, Failure, Outcome, Reason, Reply, RetryIn, Verdict

MAX_UNDER_WAY = 10_000
"""Calls of one outbox that are leased; above it clicks pass."""
MAX_WAIT_S = 5.0
"""How long a new call may expect to wait until it is sent; above it clicks pass, for AppsFlyer can't keep up."""

BACKOFF_S = (0.25, 1.0, 3.0, 10.0, 30.0)
"""Waits before the second, third, … attempt; the last one repeats."""
JITTER = 0.2
"""Share by which a wait may be shorter or longer."""
LAST_CHANCE_S = 1.0
"""How long before it is worth nothing a click is tried for the last time."""

BREAKER_FAILURES = 5
PROBE_PAUSE_S = 2.0
"""Between two probes."""

_OK = range(200, 300)
_REDIRECT = range(300, 400)
_SERVER_ERROR = 500
_BUSY = frozenset({408, 429})


# admission


@dataclass(frozen=True, slots=True)
class Load:
    """What waits for the same slots as a new call."""

    waiting: int
    """Calls of this process that wait for a slot, or for their next attempt."""
    due: int
    """Stored calls whose time has come."""
    call_s: float
    """How long a call takes, of late or so far."""
    concurrency: int
    """Calls that are sent at the same time."""
    recovery_rate: float
    """Stored calls a second that recovery sends at the most."""
    under_way: int
    """Calls of the whole outbox that are leased."""


def refusal(load: Load) -> Reason | None:
    """Why a new call can't be taken now; None: it can, and will be sent in time."""
    if load.under_way >= MAX_UNDER_WAY:
        return Reason.OUTBOX_DOWN
    ahead = load.waiting + min(load.due, load.recovery_rate * MAX_WAIT_S)  # recovery takes no more of the slots
    return Reason.S2S_DOWN if ahead * load.call_s / load.concurrency > MAX_WAIT_S else None


# the retry table


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances of a verdict."""

    attempt: int
    """The attempt that just ended, from 1."""
    left_s: float
    """How long the click is still worth something."""
    wall: float
    """Unix seconds, to read a Retry-After that is a date."""
    jitter: float
    """0 to 1."""


DELIVERED = Delivered()


def is_taken(outcome: Outcome) -> bool:
    """Whether AppsFlyer took the click: all that a verdict needs then."""
    return isinstance(outcome, Reply) and outcome.status in _OK


def judge(outcome: Outcome, moment: Moment, *, retry_ambiguous: bool) -> Verdict:
    """What becomes of a call after this outcome.

    `retry_ambiguous` says whether a call that may have been counted is sent again.
    """
    if is_taken(outcome):
        return DELIVERED
    match outcome:
        case Reply(status) if status >= _SERVER_ERROR or status in _BUSY:
            return _retry(moment, retry_after(outcome.retry_after, moment.wall))
        case Reply(status) if status < _REDIRECT.stop:
            return Dead(DeadReason.REDIRECT_NOT_HONOURED)
        case Reply():
            return Dead(DeadReason.REJECTED)
        case Failure(maybe_sent=True) if not retry_ambiguous:
            return Dead(DeadReason.AMBIGUOUS)
        case Failure():
            return _retry(moment, 0.0)


def _retry(moment: Moment, at_least_s: float) -> Verdict:
    """The next step's wait, but no longer than until the last chance; a Retry-After is never cut short.

    One that asks for more than is left leaves the call in the outbox until it is too old.
    """
    last_chance_s = moment.left_s - LAST_CHANCE_S
    if last_chance_s <= 0:
        return Dead(DeadReason.TOO_OLD)
    step_s = BACKOFF_S[min(moment.attempt, len(BACKOFF_S)) - 1]
    wait_s = step_s * (1 - JITTER + 2 * JITTER * moment.jitter)
    return RetryIn(max(min(wait_s, last_chance_s), at_least_s))


def retry_after(text: str | None, wall: float) -> float:
    """Seconds that a Retry-After asks for (RFC 9110 §10.2.3); 0 where it is missing or malformed."""
    if not text:
        return 0.0
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return 0.0


# the circuit breaker


def is_healthy(outcome: Outcome) -> bool:
    """Whether the origin works: it answered, and the answer was about the click and not about itself."""
    return isinstance(outcome, Reply) and outcome.status < _SERVER_ERROR and outcome.status not in _BUSY


class Breaker:
    """One origin's. While it is open, new clicks pass and stored calls wait; one call at a time probes.

    Times are seconds by any clock that never jumps.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe = 0.0
        self.is_open = False
        self.open_since = 0.0
        """Where it is open."""
        self.failed_at = 0.0
        """When an attempt last failed."""

    def may_send(self, now: float) -> bool:
        """Whether a call may be sent now, without taking the probe's place."""
        return not self.is_open or now >= self._next_probe

    def admit(self, now: float) -> bool:
        """As `may_send`; a call that is admitted while the breaker is open is the probe."""
        if not self.is_open:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + PROBE_PAUSE_S
        return True

    def record(self, now: float, *, healthy: bool) -> None:
        """Counts what came of an attempt."""
        if healthy:
            self._failures, self.is_open = 0, False
            return
        self._failures += 1
        self.failed_at = now
        if self._failures >= BREAKER_FAILURES:
            self.open_since = self.open_since if self.is_open else now
            self.is_open = True
            self._next_probe = now + PROBE_PAUSE_S
