"""Accepts connections from listening sockets that other processes may hold, too."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

PAUSE_S = 1.0
"""Between two attempts while no descriptors are left: a socket that can't be accepted from would wake the loop."""


class Acceptor:
    """Calls `met` with each connection, one a turn of the event loop, from `open` to `close`."""

    def __init__(self, sockets: Sequence[socket.socket], met: Callable[[socket.socket], None]) -> None:
        self._sockets = tuple(sockets)
        self._met = met
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        for one in self._sockets:
            one.setblocking(False)
            self._loop.add_reader(one, self._accept, one)

    def close(self) -> None:
        """Closes this process's own ends. What waits in the queue is for who else holds the sockets."""
        for one in self._sockets:
            self._loop.remove_reader(one)
            one.close()
        self._sockets = ()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process was quicker, or the client has left
            return
        except OSError:  # no descriptors: who waits may wait
            self._loop.remove_reader(listener)
            self._loop.call_later(PAUSE_S, self._go_on, listener)
            return
        connection.setblocking(False)
        self._met(connection)

    def _go_on(self, listener: socket.socket) -> None:
        if listener in self._sockets:
            self._loop.add_reader(listener, self._accept, listener)
