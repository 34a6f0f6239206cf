"""Tickets: what goes between the event loop and the outbox's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from storehop.deliver.operations import Operation, Probe, Release, Sweep

logger = logging.getLogger(__name__)


class OutboxError(Exception):
    """The outbox could not do it. The message is for people and holds no personal data."""


class Waiter(Protocol):
    """Hears once what an operation gave: a future, or a Listener."""

    def done(self) -> bool:
        """Whether it wants to hear nothing any more."""

    def set_result(self, result: Any, /) -> None:
        """It gave this."""

    def set_exception(self, error: Exception, /) -> None:
        """It failed."""


class Listener:
    """Has a function called with what an operation gave. No task has to go on for that, as one does for a future.

    It is for a Settle, which never fails.
    """

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[Any], None]) -> None:
        self._hear = hear

    def done(self) -> bool:
        return False

    def set_result(self, result: Any, /) -> None:
        try:
            self._hear(result)
        except Exception:  # the others of its batch wait
            logger.exception("hearing what was stored failed in our own code")

    def set_exception(self, error: Exception, /) -> None:
        logger.error("a verdict was refused", exc_info=error)


@dataclass(eq=False, slots=True)
class Ticket:
    """An operation, and who waits for its result. The thread keeps a result, or the loop abandons it: never both."""

    operation: Operation[Any]
    waiter: Waiter
    result: Any = None
    error: Exception | None = None
    is_kept: bool = False
    is_abandoned: bool = False


_ALONE = frozenset({Sweep, Probe, Release})
"""Operations that run alone in a batch."""


def batches(tickets: list[Ticket], most: int) -> Iterable[list[Ticket]]:
    """In their order; a Sweep, a Probe and a Release are alone."""
    if len(tickets) <= most and _ALONE.isdisjoint([type(one.operation) for one in tickets]):
        return [tickets] if tickets else []
    return _divided(tickets, most)


def _divided(tickets: list[Ticket], most: int) -> Iterator[list[Ticket]]:
    batch: list[Ticket] = []
    for ticket in tickets:
        is_alone = any(type(one.operation) in _ALONE for one in (ticket, *batch[:1]))
        if batch and (is_alone or len(batch) == most):
            yield batch
            batch = []
        batch.append(ticket)
    if batch:
        yield batch


def hand_over(batch: list[Ticket]) -> None:
    """On the loop: gives results to whoever waits."""
    for ticket in batch:
        if ticket.waiter.done():
            continue
        if ticket.error:
            ticket.waiter.set_exception(ticket.error)
        else:
            ticket.waiter.set_result(ticket.result)
