"""The default transport: writes target and headers exactly as they are, over kept HTTP/1.1 connections.

Why not a ready-made one: httpx.URL escapes quotes and angle brackets, and httpx-aiohttp hands aiohttp a string
whose `%7e` and `%2F` yarl then decodes, which changes parameters that are not ours. httpx's own transport can keep the
bytes (`proxied`) and takes 600 µs of processor time a call, this one 40. Parsing is httptools', node.js's C parser.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

import httpx

from storehop.deliver.wire.causes import cause_of
from storehop.deliver.wire.connection import Connection, Patience
from storehop.deliver.wire.dial import Dial
from storehop.deliver.wire.request import Head, Request


class TLSError(httpx.ConnectError):
    """The TLS handshake failed: nothing was sent."""


class ExactTransport:
    """Sends requests' bytes, untouched.

    What a kept connection's server did not answer, since it closed it, goes over a fresh one at once; nothing else is
    repeated.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._idle: dict[str, deque[Connection]] = {}
        self._living: set[Connection] = set()
        self._patience = Patience()

    async def send(self, request: Request) -> Head:
        """See `Transport.send`.

        A server may close a connection while a request is on its way: that is the connection's fault, and the request
        goes over a fresh one (RFC 9112 §9.3.1). It was read and counted only by a server that then hung up in silence.
        """
        if connection := self._kept(request.call.origin):
            try:
                return await connection.send(request.message, request.deadline)
            except httpx.ReadError:
                if connection.has_heard:
                    raise
        connection = await self._connect(request)
        return await connection.send(request.message, request.deadline)

    def _kept(self, origin: str) -> Connection | None:
        """The kept connection that was used last, so that those beyond the need grow old."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connect(self, request: Request) -> Connection:
        url = request.place.url
        is_tls = url.scheme == "https"
        idle = self._idle.setdefault(request.call.origin, deque())
        late = "its name was not looked up in time"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(request.deadline, loop.time() + request.connect_s)):
                addresses = await self._dial.addresses(url.host, url.port or (443 if is_tls else 80))
                late = "no address of it answered in time"
                raw = await self._dial.connect(addresses)
                late = "its TLS was not ready in time"
                _, connection = await loop.create_connection(
                    lambda: Connection(idle, self._living, self._patience),
                    sock=raw,
                    ssl=self._dial.tls if is_tls else None,
                    server_hostname=url.host if is_tls else None,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(late) from error
        except ssl.SSLError as error:
            raise TLSError(cause_of(error)) from error
        except OSError as error:
            raise httpx.ConnectError(cause_of(error)) from error
        return connection

    async def close(self) -> None:
        """Ends every connection; calls under way fail."""
        for connection in list(self._living):
            connection.close()
        self._patience.end()
