"""How a storehop is there for others: for the service manager, and for the process that replaces it (design §13)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

from storehop.addresses import Address
from storehop.listening.handover import Handover
from storehop.listening.line import HandoverError
from storehop.listening.notify import ServiceManager
from storehop.listening.sockets import Listeners
from storehop.listening.takeover import TakenOver

logger = logging.getLogger(__name__)


class Presence:
    """Says when this process serves, and hands its sockets on. Must be made on a running event loop."""

    def __init__(
        self,
        address: Address,
        listeners: Listeners,
        taken: TakenOver | None,
        retire: Callable[[], None],
        restart: Callable[[], Awaitable[None]],
        *,
        is_alone: bool = False,
    ) -> None:
        """`taken` is who served before; `retire` is called when another process serves.

        `restart` puts new processes in the place of these, and raises HandoverError where it can't. Who `is_alone`
        hands nothing on.
        """
        self._address = address
        self._taken = taken
        self._retire = retire
        self._restart = restart
        self._service = ServiceManager()
        self._is_alone = is_alone
        self._handover = Handover(address, listeners, self._replaced_by, restart)
        self._tasks: set[asyncio.Task[None]] = set()
        self.replaced = asyncio.Event()

    @property
    def takes_over(self) -> bool:
        """Whether another process has served before, and does until we `begin`."""
        return self._taken is not None

    def begin(self) -> None:
        """Clients are served from now on."""
        if self._taken:
            logger.info("%s is taken over from process %d", self._address, self._taken.process)
            self._taken.serving()
        if not self._is_alone:
            self._handover.open(self._taken.name if self._taken else None)
        self._service.ready()
        self._start(self._service.keep_alive())

    def stopping(self) -> None:
        """The process was told to end."""
        self._service.stopping()

    def leave(self) -> None:
        """Its sockets are closed: nobody can take them over any more."""
        self._handover.close()

    def close(self) -> None:
        """The process ends."""
        self._handover.cancel()
        self._service.close()
        for task in self._tasks:
            task.cancel()

    def restart(self) -> None:
        """At a signal: says in the log what came of it."""
        self._start(self._restart_and_say())

    async def _restart_and_say(self) -> None:
        try:
            await self._restart()
        except HandoverError as error:
            logger.error("no restart: %s", error)  # noqa: TRY400  it says all

    def _replaced_by(self, newcomer: int) -> None:
        # A warning: somebody may have started it by mistake.
        logger.warning("process %d serves %s from now on, and this one retires", newcomer, self._address)
        self.replaced.set()
        self._handover.close()
        self._service.succeeded_by(newcomer)
        self._retire()

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="storehop presence")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
