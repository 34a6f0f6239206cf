"""How long clicks wait for the outbox, and verdicts for each other: by one timer each, however many they are."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from storehop.deliver.tickets import Ticket


class Patience:
    """One timer for all tickets that wait: they have the same patience, so the first one loses it first.

    `give_up` is called with a ticket that has waited in vain.
    """

    def __init__(self, give_up: Callable[[Ticket], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._give_up = give_up
        self._waiting: deque[tuple[float, Ticket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, ticket: Ticket, seconds: float) -> None:
        """It waits so long at the most."""
        until = self._loop.time() + seconds
        self._waiting.append((until, ticket))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        now, self._timer = self._loop.time(), None
        while self._waiting:
            until, ticket = self._waiting[0]
            if not ticket.waiter.done():
                if until > now:
                    self._timer = self._loop.call_at(until, self._look)
                    return
                self._give_up(ticket)
            self._waiting.popleft()


class Pause:
    """Calls `end` so many seconds after it was last begun."""

    def __init__(self, seconds: float, end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._end = end
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on, wherever it stands."""
        self._until = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self._end()
