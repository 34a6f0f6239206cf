"""Stand-ins on loopback: the servers that storehop talks to, told by each test what to do.

They speak HTTP/1.1 by hand, so that a test sees the bytes that came and decides on the bytes that go.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from websockets.frames import Opcode
from websockets.server import ServerProtocol

from tests.support.patience import SOON_S

BACKLOG_CONNECTIONS = 1024
"""So many wait to be accepted: asyncio's 100 drops the rest of a burst, and TCP asks again after 1, 3, 7 seconds."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came off the wire."""

    line: bytes
    """The request line, without its line end."""
    header_lines: tuple[bytes, ...]
    at: float
    """Seconds of the monotonic clock."""

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode("latin-1")

    @property
    def params(self) -> list[tuple[str, str]]:
        """The query's parameters in their order, decoded."""
        pairs = (segment.partition("=") for segment in self.target.partition("?")[2].split("&"))
        return [(unquote(name), unquote(value)) for name, _, value in pairs]

    @property
    def head(self) -> bytes:
        return b"".join(line + b"\r\n" for line in (self.line, *self.header_lines)) + b"\r\n"

    def all(self, name: str) -> list[str]:
        """Every value of this header, in order."""
        pairs = (line.decode("latin-1").partition(":") for line in self.header_lines)
        return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None


type Route = bytes | Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(status: str, *headers: str, body: bytes = b"") -> bytes:
    """A whole response with a Content-Length: `response("302 Found", "Location: /elsewhere")`."""
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def in_two_parts(more: asyncio.Event) -> Route:
    """An answer `first-last` whose second part waits for `more`."""

    async def respond(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await writer.drain()
        await more.wait()
        writer.write(b"-last")

    return respond


class _Server:
    """An HTTP/1.1 server with keep-alive: `respond` answers one request whose head was read."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0, address: str = "127.0.0.1") -> None:
        listening = {"limit": 1 << 20, "backlog": BACKLOG_CONNECTIONS}
        self._server = await asyncio.start_server(self._serve, address, port, ssl=tls, **listening)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request after the other on a connection."""
        while not writer.is_closing() and (request := await _read_head(reader)):
            await self.respond(request, reader, writer)
            await writer.drain()
            if (request.header("Connection") or "").lower() == "close":
                return

    async def respond(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self.converse(reader, writer)
        except asyncio.CancelledError:
            pass  # stop() wants it; asyncio would log a task that ends by it
        finally:
            self._connections.discard(task)
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Closes a connection to its end, so that no socket is left for the garbage collector to warn about."""
    writer.close()
    with suppress(OSError, asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()
            return
    writer.transport.abort()  # what was written will never be read
    await asyncio.sleep(0)


async def _read_head(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *headers = head[:-4].split(b"\r\n")
    return Received(line, tuple(headers), time.monotonic())


async def _read_body(request: Received, reader: asyncio.StreamReader) -> int:
    """Reads the body and forgets it. Returns its size."""
    if (request.header("Transfer-Encoding") or "").lower() == "chunked":
        size = 0
        while length := int(await reader.readline(), 16):
            await reader.readexactly(length + 2)
            size += length
        await reader.readline()
        return size
    left = size = int(request.header("Content-Length") or 0)
    while left:
        chunk = await reader.read(min(left, 1 << 20))
        if not chunk:
            raise ConnectionError("the body ended early")
        left -= len(chunk)
    return size


UNSAFE = re.compile(rb"[\x00-\x20\x7f-\xff\"<>]")
"""What no request target may hold (RFC 3986 §2) and browsers encode: strict front ends answer 400 to it."""


class AppsFlyer(_Server):
    """Takes S2S clicks with 200. `hold()` makes it accept and not answer, until `release()`."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = response("200 OK", "Content-Type: text/plain", body=b"ok")
        self.open = 0
        """Requests that have come and wait for their answer."""
        self.most_open = 0
        self._clicks: asyncio.Queue[Received] = asyncio.Queue()
        self._held: asyncio.Semaphore | None = None

    async def respond(self, request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._clicks.put_nowait(request)
        try:
            if self._held:
                await self._held.acquire()
        finally:
            self.open -= 1
        is_strict = UNSAFE.search(request.target.encode("latin-1")) or request.line.count(b" ") != 2
        writer.write(response("400 Bad Request") if is_strict else self.answer)

    async def next_click(self) -> Received:
        """The next click, in the order in which they came."""
        async with asyncio.timeout(SOON_S):
            return await self._clicks.get()

    def clicks_waiting(self) -> int:
        """How many clicks came that nobody asked for yet."""
        return self._clicks.qsize()

    def hold(self) -> None:
        """Answers nobody from now on."""
        self.most_open = self.open
        self._held = asyncio.Semaphore(0)

    def release(self, calls: int) -> None:
        """Lets so many calls have their answer."""
        assert self._held
        for _ in range(calls):
            self._held.release()

    def unhold(self) -> None:
        """Answers everybody again."""
        held, self._held = self._held, None
        for _ in range(self.open if held else 0):
            held.release()


class AdStack(_Server):
    """The legacy ad stack: answers each path as the test said, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: dict[str, Route] = {}
        self.requests: asyncio.Queue[Received] = asyncio.Queue()
        self.uploaded = 0
        """Bytes of the last request's body."""
        self._names = count(1)

    def serve(self, route: Route) -> str:
        """Serves `route` under a new path."""
        path = f"/ad/{next(self._names)}"
        self.routes[path] = route
        return path

    def redirect(self, link: str, *headers: str, status: str = "302 Found", body: bytes = b"") -> str:
        """Redirects to `link` from a new path."""
        return self.serve(response(status, f"Location: {link}", *headers, body=body))

    async def respond(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.put_nowait(request)
        route = self.routes.get(request.target) or self.routes.get("*") or response("404 Not Found")
        if isinstance(route, bytes):
            self.uploaded = await _read_body(request, reader)
            writer.write(without_body(route) if request.line.startswith(b"HEAD ") else route)
        else:
            await route(request, reader, writer)

    def forget(self) -> None:
        """The requests so far are nobody's business."""
        while not self.requests.empty():
            self.requests.get_nowait()

    async def next_request(self) -> Received:
        """The next request that was not looked at yet."""
        async with asyncio.timeout(SOON_S):
            return await self.requests.get()


def without_body(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


async def echo(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A WebSocket that says back what it is told, until it is closed."""
    protocol = ServerProtocol()
    protocol.receive_data(request.head)
    (handshake,) = protocol.events_received()
    protocol.send_response(protocol.accept(handshake))
    while True:
        writer.writelines(protocol.data_to_send())
        await writer.drain()
        if protocol.close_expected():
            return
        data = await reader.read(1 << 16)
        if not data:
            return
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if frame.opcode is Opcode.TEXT:
                protocol.send_text(frame.data)
            elif frame.opcode is Opcode.BINARY:
                protocol.send_binary(frame.data)


class AdStack2(_Server):
    """An ad stack that speaks HTTP/2: answers every request with `headers` and `trailers`."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self.requests: list[dict[str, str]] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        protocol.initiate_connection()
        writer.write(protocol.data_to_send())
        while data := await reader.read(1 << 16):
            for event in protocol.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.requests.append(dict(event.headers))
                    protocol.send_headers(event.stream_id, self.headers, end_stream=not self.trailers)
                    if self.trailers:
                        protocol.send_headers(event.stream_id, self.trailers, end_stream=True)
            writer.write(protocol.data_to_send())
            await writer.drain()


class AdStackOfBoth(AdStack):
    """An ad stack that speaks HTTP/2 with whom TLS agreed on it, and HTTP/1.1 with others."""

    def __init__(self) -> None:
        super().__init__()
        self.http2 = AdStack2()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_http2 = writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await (self.http2.converse if is_http2 else super().converse)(reader, writer)
