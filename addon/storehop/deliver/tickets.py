"""Tickets: what goes between the event loop and the outbox's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from storehop.deliver.operations import Operation, Probe, Release, Sweep


class OutboxError(Exception):
    """The outbox could not do it. The message is for people and holds no personal data."""


@dataclass(eq=False, slots=True)
class Ticket:
    """An operation, and who waits for its result. The thread keeps a result, or the loop abandons it: never both."""

    operation: Operation[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    is_kept: bool = False
    is_abandoned: bool = False


def batches(tickets: list[Ticket], most: int) -> Iterator[list[Ticket]]:
    """In their order; a Sweep, a Probe and a Release are alone."""
    batch: list[Ticket] = []
    for ticket in tickets:
        is_alone = any(isinstance(one.operation, Sweep | Probe | Release) for one in (ticket, *batch[:1]))
        if batch and (is_alone or len(batch) == most):
            yield batch
            batch = []
        batch.append(ticket)
    if batch:
        yield batch


def hand_over(batch: list[Ticket]) -> None:
    """On the loop: gives results to whoever waits."""
    for ticket in batch:
        if ticket.future.done():
            continue
        if ticket.error:
            ticket.future.set_exception(ticket.error)
        else:
            ticket.future.set_result(ticket.result)
