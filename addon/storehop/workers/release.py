"""Releases what dead workers had leased: it is due at once, and nobody has to wait for the leases to end."""

from __future__ import annotations

import asyncio
import logging

from storehop.deliver.engine import Engine
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a locked outbox holds up the end of the supervisor, at the most."""


class Releases:
    """Releases holders, one after the other, while nothing else waits for that. Must be made on an event loop."""

    def __init__(self, engine: Engine) -> None:
        """`engine` keeps the outbox, for somebody who tidies up."""
        self._outbox = Outbox(engine, "supervisor")
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, holder: str) -> None:
        """Never waits."""
        task = asyncio.create_task(self._release(holder), name=f"release {holder}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Returns when all are released, or after PATIENCE_S."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        await self._outbox.close()

    async def _release(self, holder: str) -> None:
        try:
            released = await self._outbox.release(holder)
        except OutboxError as error:
            logger.warning("the clicks of a worker wait for their leases to end: %s", error)
        else:
            if released:
                logger.warning("%d clicks of a worker that ended are delivered by the others", released)
