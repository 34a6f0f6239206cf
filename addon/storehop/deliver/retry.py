"""When to send again: a pure table of outcome, attempt, now and jitter (design §6)."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from storehop.model import Dead, DeadReason, Delivered, Failure, Outcome, Reply, RetryAt, Verdict

BACKOFF = (0.25, 1.0, 3.0, 10.0, 30.0)
"""Seconds before the second, third, … attempt; the last one repeats."""
JITTER = 0.2
"""Share by which a wait may be shorter or longer."""

LAST_CHANCE = 1.0
"""Seconds before a click is worth nothing in which it is not tried again."""

_RETRIED_STATUSES = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances of a verdict. Times are seconds of uptime, except `wall`."""

    attempt: int
    """The attempt that just ended, from 1."""
    now: float
    wall: float
    """Unix seconds, to read a Retry-After that is a date."""
    deadline: float
    """When the click is worth nothing any more."""
    jitter: float
    """0 to 1."""


def judge(outcome: Outcome, moment: Moment, *, retry_ambiguous: bool) -> Verdict:
    """What becomes of a call after this outcome."""
    match outcome:
        case Reply(status) if 200 <= status < 300:  # noqa: PLR2004  RFC 9110 §15
            return Delivered()
        case Reply(status) if status >= 500 or status in _RETRIED_STATUSES:  # noqa: PLR2004
            return _again(moment, retry_after(outcome.retry_after, moment.wall))
        case Reply(status) if status < 400:  # noqa: PLR2004
            return Dead(DeadReason.REDIRECT_NOT_HONOURED)
        case Reply():
            return Dead(DeadReason.REJECTED)
        case Failure(maybe_sent=True) if not retry_ambiguous:
            return Dead(DeadReason.AMBIGUOUS)
        case Failure():
            return _again(moment, 0.0)


def _again(moment: Moment, at_least: float) -> Verdict:
    """The next step's time, but no later than the last chance; a Retry-After is never cut short.

    One that asks for more than is left leaves the call in the outbox until it is too old.
    """
    last_chance = moment.deadline - LAST_CHANCE
    if moment.now >= last_chance:
        return Dead(DeadReason.TOO_OLD)
    step = BACKOFF[min(moment.attempt, len(BACKOFF)) - 1]
    wait = step * (1 - JITTER + 2 * JITTER * moment.jitter)
    return RetryAt(max(min(moment.now + wait, last_chance), moment.now + at_least))


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


def is_healthy(outcome: Outcome) -> bool:
    """Whether the host works: it answered, and the answer was about the click and not about itself."""
    return isinstance(outcome, Reply) and outcome.status < 500 and outcome.status not in _RETRIED_STATUSES  # noqa: PLR2004
