"""The door for clients: accepts connections from listening sockets that somebody else may hold, too (design §13).

asyncio's own server takes one socket only, listens on it anew, and may empty its queue in one go: of several processes
with one queue, the first to wake would get all the connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvloop

from storehop.host.admission import Admission, keep_alive

logger = logging.getLogger(__name__)

PAUSE_S = 0.05
"""Between two looks for room."""
AT_A_TURN = 4
"""Connections that are accepted in one turn of the loop, at least …"""
AT_A_TURN_SHARE = 4
"""… and the fourth part of those that are in: the more there are the longer is a turn, and new ones wait for each."""
MOST_A_TURN = 32
"""Those that are in may be idle, and then a turn is short."""
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """Accepts from `open` to `close`. To mitmproxy it is the asyncio.Server that it asked for: `sockets`, `close`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol_factory: Callable[[], asyncio.Protocol],
        admission: Admission,
    ) -> None:
        self.sockets = tuple(sockets)
        self._protocol_factory = protocol_factory
        self._admission = admission
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
        """A few each time that the loop turns: while this process sees to its clients, others take the next."""
        share = self._admission.inside // AT_A_TURN_SHARE
        for _ in range(min(max(AT_A_TURN, share), MOST_A_TURN)):
            if not self._has_accepted(listener):
                return

    def _has_accepted(self, listener: socket.socket) -> bool:
        """Whether one came in."""
        if not self._admission.has_room(len(self._tasks), listener.fileno()):
            self._pause(listener)
            return False
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _OUT_OF:
                raise
            self._admission.failed(error)
            self._pause(listener)
            return False
        connection.setblocking(False)
        keep_alive(connection)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol_factory, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _pause(self, listener: socket.socket) -> None:
        """Accepts nobody until there is room: a socket that can't be accepted from would wake the loop for ever."""
        self._admission.closed()
        self._loop.remove_reader(listener)
        self._loop.call_later(PAUSE_S, self._wait_for_room, listener)

    def _wait_for_room(self, listener: socket.socket) -> None:
        if listener not in self.sockets:
            return  # the door was closed meanwhile
        if self._admission.has_room(len(self._tasks), listener.fileno()):
            self._loop.add_reader(listener, self._accept, listener)
        else:
            self._loop.call_later(PAUSE_S, self._wait_for_room, listener)


class HeldPortLoop(uvloop.Loop):
    """An event loop whose one server accepts from sockets that are there already; mitmproxy has no option for it.

    It is uvloop's, which takes less processor time than asyncio's own.
    """

    def __init__(self, held: Sequence[socket.socket], admission: Admission) -> None:
        super().__init__()
        self._held = held
        self._admission = admission
        self.door: Door | None = None

    def set_task_factory(self, factory: Any) -> None:
        """Takes asyncio's eager factory, too: before Python 3.14 it does not know the argument that uvloop hands on."""

        def without_eager_start(loop: Any, work: Any, **others: Any) -> Any:
            if others.get("eager_start") is None:
                others.pop("eager_start", None)
            return factory(loop, work, **others)

        super().set_task_factory(without_eager_start if factory else None)

    async def create_server(self, protocol_factory: Any, *_arguments: Any, **_options: Any) -> Any:
        """For asyncio.start_server, once. Returns a door that is still closed."""
        self.door = Door(self._held, protocol_factory, self._admission)
        return self.door
