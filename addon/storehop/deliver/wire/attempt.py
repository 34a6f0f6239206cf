"""What httpcore does for one attempt, as seen from outside: its trace says what it is at, its streams what they read.

httpcore alone says neither whether a byte of the answer came nor bounds interim answers, and looks names up in the
loop's own threads: a network backend is its documented way to say how bytes come and go.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpcore

from storehop.deliver.wire.connection import MAX_BODY_BYTES, MAX_HEAD_BYTES
from storehop.deliver.wire.dial import Dial


class Attempt:
    """One attempt. Is httpcore's `trace` extension; streams find the one that they read for in ATTEMPT."""

    def __init__(self, on_sending: Callable[[], None]) -> None:
        self._on_sending = on_sending
        self._room = MAX_HEAD_BYTES
        self.is_fresh = False
        """A connection was opened for it."""
        self.is_sending = False
        """A byte of the request may have left; what a proxy is told to open a tunnel is none of it."""
        self.has_heard = False
        """A byte came, since the request was sent."""
        self.is_hung_up = False
        """Then the end of the connection came."""
        self.is_tls_refused = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        match event:
            case "connection.connect_tcp.started":
                self.is_fresh = True
            case "proxy.start_tls.failed":
                self.is_tls_refused = any(isinstance(cause, ssl.SSLError) for cause in info["exception"].args)
            case "http11.send_request_headers.started" if info["request"].method != b"CONNECT":
                self.is_sending, self.has_heard, self._room = True, False, MAX_HEAD_BYTES
                self._on_sending()

    def room(self) -> int:
        """Bytes that may still be read. Raises httpcore.RemoteProtocolError where there are none."""
        if self._room <= 0:
            raise httpcore.RemoteProtocolError("the answer is too large")
        return self._room

    def hear(self, count: int) -> None:
        self._room -= count
        self.has_heard = self.has_heard or count > 0
        self.is_hung_up = count == 0

    def has_head(self) -> None:
        """The rest of the answer has bounds of its own."""
        self._room = MAX_HEAD_BYTES + MAX_BODY_BYTES


ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")


class Stream(httpcore.AsyncNetworkStream):
    """Another stream, which reads no more than the attempt has room for."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        attempt = ATTEMPT.get()
        data = await self._inner.read(min(max_bytes, attempt.room()), timeout)
        attempt.hear(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        name = server_hostname.strip("[]") if server_hostname else None  # see ExactURL
        return Stream(await self._inner.start_tls(ssl_context, name, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.AsyncNetworkBackend):
    """Connects by a Dial."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            address = await self._address(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return Stream(await self._plain.connect_tcp(address, port, timeout, local_address, socket_options))

    async def _address(self, host: str, port: int) -> str:
        """One that takes connections, where the name has several: httpcore takes no open socket."""
        addresses = await self._dial.addresses(host, port)
        if len(addresses) == 1:
            return str(addresses[0][4][0])
        with await self._dial.connect(addresses) as probe:
            return str(probe.getpeername()[0])
