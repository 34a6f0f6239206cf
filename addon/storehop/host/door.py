"""The door for clients: accepts connections from listening sockets that somebody else may hold, too (design §13).

asyncio's own server takes one socket only, listens on it anew, and may empty its queue in one go: of several processes
with one queue, the first to wake would get all the connections.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""So many connections are accepted before the event loop turns."""


class Door:
    """Accepts from `open` to `close`. To mitmproxy it is the asyncio.Server that it asked for: `sockets`, `close`."""

    def __init__(self, sockets: Sequence[socket.socket], protocol_factory: Callable[[], asyncio.Protocol]) -> None:
        self.sockets = tuple(sockets)
        self._protocol_factory = protocol_factory
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Accepts from now on; what came before waits in the kernel's queue."""
        for one in self.sockets:
            one.setblocking(False)
            self._loop.add_reader(one, self._accept, one)

    def close(self) -> None:
        """Accepts no more. What waits in the queue is for who else holds the sockets."""
        for one in self.sockets:
            self._loop.remove_reader(one)
            one.close()
        self.sockets = ()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol_factory, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class HeldPortLoop(asyncio.SelectorEventLoop):
    """An event loop whose one server accepts from sockets that are there already; mitmproxy has no option for it."""

    def __init__(self, held: Sequence[socket.socket]) -> None:
        super().__init__()
        self._held = held
        self.door: Door | None = None

    async def create_server(self, protocol_factory: Any, *_arguments: Any, **_options: Any) -> Any:
        """For asyncio.start_server, once. Returns a door that is still closed."""
        self.door = Door(self._held, protocol_factory)
        return self.door
