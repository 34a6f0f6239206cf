"""One running storehop hands its listening sockets on to the next one, on the same machine (design §13).

Who serves an address answers on an abstract Unix socket that is named after it, so it is gone with the process. A
newcomer connects, asks, and gets the sockets (SCM_RIGHTS, unix(7)): both have them open, so that no connection is
refused and none that waits is reset. When the newcomer serves it says so, and only then the first one retires. A
newcomer that fails meanwhile has changed nothing.

The messages are lines of JSON:

    newcomer                                        who serves
    {"want": "sockets", "process": 12}       ──▶
                                             ◀──    {"process": 7, "names": ["clients", …]} + sockets
    {"serving": true}                        ──▶    retires
    {"want": "restart"}                      ──▶
                                             ◀──    {"process": 7, "done": true} or {"process": 7, "error": "…"}
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from storehop.addresses import Address
from storehop.listening.acceptor import Acceptor
from storehop.listening.line import (
    MAX_MESSAGE_BYTES,
    PATIENCE_S,
    HandoverError,
    decode,
    encode,
    is_possible,
    is_trusted,
    name_of,
    peer_of,
)
from storehop.listening.sockets import Listeners

logger = logging.getLogger(__name__)

MAX_LINES = 8
"""At a time: a newcomer, `storehop restart`, and some by mistake."""
NEWCOMER_S = 600.0
"""It serves by then, or the next newcomer may try: its workers start one after the other."""


class Handover:
    """Answers newcomers and `storehop restart`, as long as this process serves `address`. On the event loop."""

    def __init__(
        self,
        address: Address,
        listeners: Listeners,
        retire: Callable[[int], None],
        restart: Callable[[], Awaitable[None]],
    ) -> None:
        """`retire` gets the process that serves now; `restart` raises HandoverError where it can't."""
        self._address = address
        self._listeners = listeners
        self._retire = retire
        self._restart = restart
        self._name: socket.socket | None = None
        self._acceptor: Acceptor | None = None
        self._newcomer = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, name: socket.socket | None = None) -> None:
        """Answers from now on; `name` is what the process before handed on."""
        if not is_possible(self._address):
            return
        self._name = name or self._own_name()
        if self._name:
            self._name.listen()
            self._acceptor = Acceptor([self._name], self._meet)
            self._acceptor.open()

    def _own_name(self) -> socket.socket | None:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(name_of(self._address))
        except OSError as error:
            name.close()
            logger.warning("no other storehop can take %s over: %s", self._address, error.strerror)
            return None
        return name

    def close(self) -> None:
        """Answers nobody new any more. A restart that was asked for goes on, and says how it ended."""
        if self._acceptor:
            self._acceptor.close()
            self._acceptor = self._name = None

    def cancel(self) -> None:
        """Leaves whatever is under way."""
        self.close()
        for task in self._tasks:
            task.cancel()

    def _meet(self, line: socket.socket) -> None:
        _, user = peer_of(line)
        if not is_trusted(user) or len(self._tasks) == MAX_LINES:
            _refuse(line, f"{self._address} is served by user {os.geteuid()}, for whom it is busy; you are {user}")
            return
        task = asyncio.create_task(self._serve(line), name="storehop handover")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, line: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with line:
            try:
                await self._answer(line)
            except HandoverError as error:
                logger.error("%s: %s", self._address, error)  # noqa: TRY400  it says all
                with suppress(OSError):
                    await loop.sock_sendall(line, encode({"process": os.getpid(), "error": str(error)}))
            except (OSError, ValueError, KeyError, TimeoutError) as error:
                logger.warning("a handover of %s failed, this process goes on serving: %s", self._address, error)

    async def _answer(self, line: socket.socket) -> None:
        message = await self._next(line, PATIENCE_S)
        if message.get("want") == "restart":
            await self._restart()
            await asyncio.get_running_loop().sock_sendall(line, encode({"process": os.getpid(), "done": True}))
        else:
            await self._hand_on(line, message["process"])

    async def _next(self, line: socket.socket, seconds: float) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            return decode(await asyncio.get_running_loop().sock_recv(line, MAX_MESSAGE_BYTES))

    async def _hand_on(self, line: socket.socket, newcomer: int) -> None:
        if self._newcomer:
            raise HandoverError(f"process {self._newcomer} is just taking {self._address} over")
        self._newcomer = newcomer
        try:
            logger.info("process %d asks for %s", newcomer, self._address)
            sockets = [("clients", one) for one in self._listeners.clients]
            sockets += [("admin", one) for one in self._listeners.admin]
            sockets += [("name", self._name)] if self._name else []
            head = {"process": os.getpid(), "names": [part for part, _ in sockets]}
            socket.send_fds(line, [encode(head)], [one.fileno() for _, one in sockets])
            await self._next(line, NEWCOMER_S)  # it serves; else the line ends, which is a ValueError
        finally:
            self._newcomer = 0
        self._retire(newcomer)


def _refuse(line: socket.socket, why: str) -> None:
    with suppress(OSError), line:
        line.send(encode({"process": os.getpid(), "error": why}))
