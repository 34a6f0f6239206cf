"""Releases what dead workers had leased: it is due at once, and nobody has to wait for the leases to end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from queue import SimpleQueue
from threading import Thread

from storehop.deliver.clock import SystemClock
from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.state import outbox_file

logger = logging.getLogger(__name__)

MAX_WAITING = 64
"""Dead workers whose leases are not released yet. Further ones' leases end by themselves, some seconds later."""
PATIENCE_S = 5.0
"""At the end of the supervisor: a locked outbox holds it up for so long at most."""


def release(outbox: str, holder: str) -> int:
    """Releases the calls that `holder` leased from the outbox at this path or URL. Returns how many.

    Waits as long as another process holds the outbox's lock. Raises OutboxError.
    """
    with closing(Outbox.open(outbox_file(outbox), SystemClock())) as opened, opened.transaction():
        return opened.release(holder)


class Releases:
    """Calls `release` for one holder after the other, in a thread of its own: nothing else waits for the outbox."""

    def __init__(self, outbox: str) -> None:
        self._outbox = outbox
        self._holders: SimpleQueue[str | None] = SimpleQueue()
        # A daemon: where the outbox stays locked, its thread must not keep the process from ending.
        self._thread = Thread(target=self._run, name="storehop releases", daemon=True)
        self._thread.start()

    def add(self, holder: str) -> None:
        """Never waits."""
        if self._holders.qsize() < MAX_WAITING:
            self._holders.put(holder)
        else:
            logger.warning("the clicks of a worker wait for their leases to end: too many workers ended before it")

    async def close(self) -> None:
        """Returns when all are released, or after PATIENCE_S."""
        self._holders.put(None)
        await asyncio.to_thread(self._thread.join, PATIENCE_S)
        if self._thread.is_alive():
            logger.warning("the clicks of workers that ended wait for their leases to end: the outbox is locked")

    def _run(self) -> None:
        while (holder := self._holders.get()) is not None:
            try:
                released = release(self._outbox, holder)
            except OutboxError as error:
                logger.warning("the clicks of a worker wait for their leases to end: %s", error)
            except Exception:  # the thread is there for the next one, too
                logger.exception("the clicks of a worker wait for their leases to end")
            else:
                if released:
                    logger.warning("%d clicks of a worker that ended are delivered by the others", released)
