"""The courier: takes a decided click's call and sends it at once, beside the answer, never before it.

In this version an accepted call lives in memory and gets one attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from storehop.deliver.sender import Sender
from storehop.model import Delivery, Outcome, Reason, S2SCall

logger = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Calls in memory; above it clicks pass."""


class NotAcceptedError(Exception):
    """The call could not be taken, so the click must pass. Carries the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Courier:
    """Delivers accepted calls, at most `delivery.concurrency` at a time.

    `settled` is called on the event loop with each call and what came of it.
    """

    def __init__(self, sender: Sender, delivery: Delivery, settled: Callable[[S2SCall, Outcome], None]) -> None:
        self._sender = sender
        self._settled = settled
        self._tasks: set[asyncio.Task[None]] = set()
        self.configure(delivery)

    def configure(self, delivery: Delivery) -> None:
        """Takes new settings; calls under way keep theirs."""
        self._timeout = delivery.timeout
        self._slots = asyncio.Semaphore(delivery.concurrency)

    @property
    def pending(self) -> int:
        return len(self._tasks)

    async def accept(self, call: S2SCall) -> None:
        """Returns when the call is safe with us; its first attempt starts in the same moment.

        Raises NotAcceptedError: the click must pass, and nothing will be sent.
        """
        if len(self._tasks) >= MAX_PENDING:
            raise NotAcceptedError(Reason.OUTBOX_DOWN)
        task = asyncio.create_task(self._deliver(call, self._slots, self._timeout), name=f"deliver {call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _deliver(self, call: S2SCall, slots: asyncio.Semaphore, timeout: float) -> None:
        await asyncio.sleep(0)  # mitmproxy starts tasks eagerly: let the answer go first
        async with slots:
            outcome = await self._sender.send(call, timeout)
        self._settled(call, outcome)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s failed in our own code", task.get_name(), exc_info=error)

    async def close(self, grace: float) -> None:
        """Finishes the calls under way, for at most `grace` seconds, and closes the connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await self._sender.close()
