"""How both transports connect: names are looked up in threads of our own, all of a name's addresses are tried, and TLS
is verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

import httpx
from aiohappyeyeballs import AddrInfoType, start_connection

from storehop import background

LOOKUPS = 4
"""Names that are looked up at the same time."""
NEXT_ADDRESS_S = 0.25
"""Seconds after which the next of a name's addresses is tried as well (RFC 8305 §5)."""


class Dial:
    """Must be made on a running event loop. Authorities are those of SSL_CERT_FILE, where that is set."""

    def __init__(self) -> None:
        self.tls = _tls()
        self._free = asyncio.Semaphore(LOOKUPS)

    async def addresses(self, host: str, port: int) -> Sequence[AddrInfoType]:
        """Where `host` is. Raises OSError, and UnicodeError where it is no name.

        Not in the loop's few threads: names that do not resolve would hold up mitmproxy's upstream connections. Not in
        any that the end of the process waits for. A thread that hangs keeps its place, whoever has stopped waiting.
        """
        loop = asyncio.get_running_loop()
        await self._free.acquire()

        def look_up() -> Sequence[AddrInfoType]:
            try:
                return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            finally:
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(self._free.release)

        try:
            looking = background.start(look_up)
        except RuntimeError as error:
            self._free.release()
            raise OSError(str(error)) from error
        return await looking

    async def connect(self, addresses: Sequence[AddrInfoType]) -> socket.socket:
        """A connection to the first of them that takes it. Raises OSError.

        asyncio's own race of addresses fails under eager tasks, which mitmproxy uses (CPython 3.13.0).
        """
        return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1)


def _tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
