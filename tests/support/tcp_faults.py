"""A proxy before one TCP server on this machine, that does to its connections what networks do."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Coroutine
from typing import Self

from tests.support.patience import SOON_S
from tests.support.standins import closed


class Fault(enum.Enum):
    """What happens to connections, those there are and those to come."""

    NONE = enum.auto()
    REPLIES_LOST = enum.auto()
    """What the client says arrives, what the server says does not."""
    BLACK_HOLE = enum.auto()
    """The client is let in, and nothing arrives in either direction."""
    REFUSED = enum.auto()
    """Connections that there are end; nobody listens."""


class FaultyWay:
    """`async with FaultyWay(6379) as way:` clients connect to `way.port`."""

    def __init__(self, server_port: int, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_s = 0.0
        """By so much each way is slower."""
        self.lost = 0
        """Bytes of the server that no client got."""
        self._server_at = (host, server_port)
        self._fault = Fault.NONE
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._refuse()

    async def set(self, fault: Fault) -> None:
        """From now on. What was lost until then stays lost."""
        self._fault = fault
        if fault is Fault.REFUSED:
            await self._refuse()
        elif self._listener is None:
            await self._listen()

    async def cut(self) -> None:
        """Ends the connections that there are, with a reset; new ones are let in."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener:
            listener.close()
            await asyncio.sleep(0.01)  # who was let in just now has begun by then
        await self.cut()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        to_server = None
        try:
            server, to_server = await asyncio.open_connection(*self._server_at)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(client, to_server, is_reply=False))
                group.create_task(self._carry(server, to_client, is_reply=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            for writer in (to_client, to_server):
                if writer:
                    writer.transport.abort()
                    await closed(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        """Until one side ends; then both do."""
        while data := await reader.read(1 << 16):
            await asyncio.sleep(self.delay_s)
            if self._is_lost(is_reply=is_reply):
                self.lost += len(data) * is_reply
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def _is_lost(self, *, is_reply: bool) -> bool:
        return self._fault is Fault.BLACK_HOLE or (self._fault is Fault.REPLIES_LOST and is_reply)


class FaultyWayAside:
    """The same in a thread of its own: `with FaultyWayAside(6379) as way:`, for clients that block this one."""

    def __init__(self, server_port: int, host: str = "127.0.0.1") -> None:
        self.way = FaultyWay(server_port, host)
        self._runner = asyncio.Runner()
        self._thread = threading.Thread(target=self._runner.get_loop().run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self.way.__aenter__())
        return self

    def __exit__(self, *_error: object) -> None:
        self._do(self.way.__aexit__())
        loop = self._runner.get_loop()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        self._runner.close()

    @property
    def port(self) -> int:
        return self.way.port

    def set(self, fault: Fault) -> None:
        self._do(self.way.set(fault))

    def cut(self) -> None:
        self._do(self.way.cut())

    def _do(self, doing: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._runner.get_loop()).result(SOON_S)
