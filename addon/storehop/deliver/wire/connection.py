"""One kept HTTP/1.1 connection to AppsFlyer: writes a request's bytes, reads the answer's head, forgets its body."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import cast

import httptools
import httpx

from storehop.deliver.wire.request import Head

MAX_HEAD_BYTES = 64 * 1024
"""Of an answer's head, interim answers before it among them; as many may its trailers and chunks' heads have."""
MAX_BODY_BYTES = 64 * 1024
"""Of an answer that are read to keep the connection usable; nothing in them matters."""
DRAIN_S = 1.0
"""How long reading them may take."""
MAX_IDLE_S = 15.0
"""After this a kept connection is not used again: its server may be about to close it."""

_CONTINUE = range(100, 200)


class Patience:
    """One timer for all connections that wait for an answer, each until its own deadline."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = 0.0
        """Of the timer; uvloop's handles do not tell where their time is near."""

    def add(self, connection: Connection) -> None:
        self._waiting.add(connection)
        if self._timer is None or connection.deadline < self._next_look:
            self._look_at(connection.deadline)

    def discard(self, connection: Connection) -> None:
        self._waiting.discard(connection)

    def end(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, when: float) -> None:
        self.end()
        self._timer, self._next_look = self._loop.call_at(when, self._look), when

    def _look(self) -> None:
        now, self._timer = self._loop.time(), None
        for connection in [one for one in self._waiting if one.deadline <= now]:
            self._waiting.discard(connection)
            connection.fail(httpx.ReadTimeout("no answer in time"))
        if self._waiting:
            self._look_at(min(one.deadline for one in self._waiting))


class Connection(asyncio.Protocol):
    """One request at a time. Goes back to `idle` when an answer has ended and the server keeps the connection.

    As long as it lives it is in `living`.
    """

    def __init__(self, idle: deque[Connection], living: set[Connection], patience: Patience) -> None:
        self._idle = idle
        self._living = living
        self._patience = patience
        self.deadline = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Head] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._head = self._body = self._rest = 0
        self._drain: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    async def send(self, request: bytes, deadline: float) -> Head:
        """Status and headers of the answer, until `deadline` by the loop's clock. Raises httpx.TransportError."""
        if self._transport is None or self._transport.is_closing():
            raise httpx.ReadError("the connection was closed")
        if self._loop.time() >= deadline:
            self.close()
            raise httpx.ConnectTimeout("no time is left to send it")
        self._answer = self._loop.create_future()
        self._headers = []
        self._head = self._body = self._rest = 0
        self.deadline = deadline
        self._patience.add(self)
        try:
            self._transport.write(request)
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._patience.discard(self)

    def close(self) -> None:
        if self._transport:
            self._transport.abort()
        with suppress(ValueError):
            self._idle.remove(self)

    @property
    def has_heard(self) -> bool:
        """Whether a byte of the answer came."""
        return self._head > 0

    @property
    def is_usable(self) -> bool:
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and self._loop.time() - self.idle_since < MAX_IDLE_S

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._living.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # nobody asked
            return
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, httpx.RemoteProtocolError) as error:
            self.fail(httpx.RemoteProtocolError(str(error)))
            self.close()
            return
        if self._answer and self._answer.done() and self._drain is None:  # the rest of its body is to come
            self._drain = self._loop.call_later(DRAIN_S, self.close)

    def _parse(self, data: bytes) -> None:
        """Feeds the parser, which keeps a line until it ends, no more than the bounds allow."""
        if self._is_head_open:
            begin, data = data[: MAX_HEAD_BYTES - self._head], data[MAX_HEAD_BYTES - self._head :]
            self._head += len(begin)
            self._parser.feed_data(begin)
            if not data:
                return
            if self._is_head_open:
                raise httpx.RemoteProtocolError("the answer's head is too large")
        self._rest += len(data)
        if self._rest > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            raise httpx.RemoteProtocolError("the answer is too large")
        self._parser.feed_data(data)

    @property
    def _is_head_open(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._living.discard(self)
        if self._drain:
            self._drain.cancel()
        self.fail(httpx.ReadError(str(exc or "the server closed the connection")))
        self.close()

    def fail(self, error: httpx.TransportError) -> None:
        """No answer will come."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)

    # httptools

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.close()  # behind the answer comes what nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status in _CONTINUE:
            self._headers = []
        elif self._answer and not self._answer.done():
            self._answer.set_result((status, self._headers))
            self._headers = []  # trailers are not the head's

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if self._body > MAX_BODY_BYTES:
            self.close()

    def on_message_complete(self) -> None:
        if self._answer is None or not self._answer.done():
            return  # an interim answer
        self._answer = None
        if self._drain:
            self._drain.cancel()
            self._drain = None
        if self._parser.should_keep_alive():
            self.idle_since = self._loop.time()
            self._idle.append(self)
        else:
            self.close()
