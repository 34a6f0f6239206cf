"""AppsFlyer and an egress proxy for tests of the wire, on loopback: real sockets, TLS where a test wants it."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from storehop.deliver.wire import Wire
from storehop.model import S2SCall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEAPOT = b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"
HANG_UPS = (b"FIN:", b"RST:", b"FIN:HTTP/1.1 2")
"""Instead of an answer: the connection ends so, after what stands behind the colon."""
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER that resets a connection."""
SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""


@dataclass
class Server:
    """Answers the first request with the first answer, and so on; None leaves one unanswered."""

    answers: list[bytes | None]
    scheme: str = "http"
    heads: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    asked: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    """What a connection that the client has ended had said besides requests."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0

    async def serve(self, reader, writer):
        self.writers.append(writer)
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.asked.put_nowait(head)
                answer = self.answers.pop(0)
                if answer in HANG_UPS:
                    await hang_up(writer, answer)
                    return
                if answer is not None:
                    writer.write(answer)
        except asyncio.IncompleteReadError as end:
            self.ended.put_nowait(end.partial)
        except ConnectionError:
            self.ended.put_nowait(b"")
        finally:
            writer.close()

    @property
    def connections(self):
        return len(self.writers)

    @property
    def origin(self):
        name = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{name}:{self.port}"

    def call(self, target="/x", headers=(("User-Agent", "ua"),)):
        return S2SCall("c1", self.origin, target, headers)


async def hang_up(writer, how):
    writer.write(how.partition(b":")[2])
    await writer.drain()
    if how.startswith(b"RST"):  # whatever is still unread, the client hears of it at once
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)


@asynccontextmanager
async def listening(*answers, tls=None):
    """A server that gives these answers."""
    server = Server(list(answers), "https" if tls else "http")
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await hung_up(server)


@dataclass
class Proxy:
    """Opens tunnels, and forwards plain http, one connection for another. `refusal` is its answer to all."""

    refusal: bytes | None = None
    heads: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def url_of(self, login):
        return f"http://{login}@127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        self.writers.append(writer)
        self.tasks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.refusal is not None:
                writer.write(self.refusal)
                await reader.read()
            else:
                await self._relay(head, reader, writer)
        writer.close()

    async def _relay(self, head, reader, writer):
        method, target, _ = head.split(b" ", 2)
        where = target if method == b"CONNECT" else re.match(rb"http://([^/]+)/", target)[1]
        host, _, port = where.decode().rpartition(":")
        server_reader, server_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        self.writers.append(server_writer)
        back = asyncio.create_task(pump(server_reader, writer))
        try:
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await pump(reader, server_writer)
            else:
                await self._forward(head, where, reader, server_writer)
        finally:
            server_writer.close()
            await back

    async def _forward(self, head, where, reader, server_writer):
        """Each request in its origin form."""
        while True:
            server_writer.write(head.replace(b"http://" + where, b"", 1))
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)


async def pump(reader, writer):
    """Until one side ends, and then the other does the same."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(refusal=None):
    """A proxy that works, or refuses everything so."""
    proxy = Proxy(refusal)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await hung_up(proxy)


async def hung_up(server):
    """Ends its connections, and waits until what serves them has ended: nothing may outlive the event loop."""
    for writer in server.writers:
        writer.transport.abort()
    await asyncio.gather(*server.tasks, return_exceptions=True)


@asynccontextmanager
async def through(proxy):
    """A wire whose calls leave this way."""
    wire = Wire.through(proxy)
    yield wire
    await wire.close()


async def soon(event):
    return await asyncio.wait_for(event, SOON)


async def until(holds):
    """Waits for what gives no event."""
    async with asyncio.timeout(SOON):
        while not holds():
            await asyncio.sleep(0)


async def drained():
    """What is left of answers is read, so that their connections can be used again."""
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "storehop drain"])


async def in_turn(wire, server, count=2):
    """What comes of calls, each of which could use the connection of the one before."""
    outcomes = []
    for _ in range(count):
        outcomes.append(await wire.send(server.call(), SOON))
        await drained()
    return outcomes
