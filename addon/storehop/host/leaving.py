"""How a process leaves: at a signal, or because another one has replaced it (design §6, §13)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from storehop.app import GRACE_S
from storehop.host.addon import Storehop

if TYPE_CHECKING:
    from mitmproxy.addons.proxyserver import Proxyserver
    from mitmproxy.master import Master

logger = logging.getLogger(__name__)


class Leaving:
    """The way out: say so, let clients go, finish the answers in flight, then end."""

    def __init__(self, master: Master, storehop: Storehop, servers: Proxyserver) -> None:
        self._master = master
        self._storehop = storehop
        self._servers = servers
        self._task: asyncio.Task[None] | None = None
        self._shutting: asyncio.Task[None] | None = None
        self._is_draining = False
        self._is_open = True
        self.when_shut: Callable[[], None] = lambda: None
        """Is called when nobody new is let in any more."""

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    def drain(self, seconds: float) -> None:
        """Clients come in for so long; then the process ends. The second time it ends at once."""
        if self._is_draining:
            self._master.shutdown()
        else:
            self._begin(seconds)

    def drain_once(self, seconds: float) -> None:
        """As `drain`, where the same signal again means nothing new."""
        if not self._is_draining:
            self._begin(seconds)

    def _begin(self, seconds: float) -> None:
        self._is_draining = True
        if self._task:  # another process serves: nobody comes in any more
            self._task.cancel()
            seconds = 0.0
        self._task = asyncio.get_running_loop().create_task(self._drain(seconds), name="storehop drain")

    def retire(self, seconds: float) -> None:
        """Another process serves: lets the clients that are here go on for so long, until they have gone.

        One that drains goes on with that, and lets nobody new in.
        """
        self._storehop.drain()
        self._storehop.leave_admin()
        work = self._shut() if self._task else self._retire(seconds)
        task = asyncio.get_running_loop().create_task(work, name="storehop retirement")
        self._task = self._task or task
        self._shutting = task

    async def _drain(self, seconds: float) -> None:
        try:
            self._storehop.drain()
            if self._is_open:
                logger.info("draining for %g s", seconds)
            await asyncio.sleep(seconds)
            await self._shut()
            self._storehop.connections.close_idle()
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await self._storehop.idle(GRACE_S)
                    await self._storehop.connections.flushed()
        finally:
            self._master.shutdown()

    async def _retire(self, seconds: float) -> None:
        await self._shut()
        logger.info("replaced: %d clients are left, for %g s at the most", self._storehop.connections.count, seconds)
        await self._storehop.connections.gone(seconds)
        self._begin(0.0)

    async def _shut(self) -> None:
        """Accepts no more. Whoever else holds the sockets has the queue."""
        if self._is_open:
            self._is_open = False
            self.when_shut()
            await self._servers.servers.update([])
            logger.info("stopped listening")
