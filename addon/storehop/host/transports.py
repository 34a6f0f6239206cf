"""The sockets behind mitmproxy's connections."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from mitmproxy.connection import Connection
from mitmproxy.proxy.server import ConnectionHandler

_TCP_CLOSE = 7
"""The state of a connection that is over, first byte of Linux' TCP_INFO."""


def is_gone(handler: ConnectionHandler) -> bool:
    """Whether the client's side has reset the connection, or is not there any more: only the kernel knows."""
    connection = socket_of(handler, handler.client)
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except (OSError, ValueError):
        return True  # the loop has closed it, since a write has failed: asyncio's raises the one, uvloop's the other
    return state == _TCP_CLOSE


def writer_of(handler: ConnectionHandler, connection: Connection) -> asyncio.StreamWriter | None:
    """None where mitmproxy has ended it, or it is not there yet."""
    transport = handler.transports.get(connection)
    return transport.writer if transport and isinstance(transport.writer, asyncio.StreamWriter) else None


def socket_of(handler: ConnectionHandler, connection: Connection) -> socket.socket | None:
    writer = writer_of(handler, connection)
    found: socket.socket | None = writer.get_extra_info("socket") if writer else None
    return found


async def closed(writer: asyncio.StreamWriter) -> None:
    """Returns when all is sent and the socket is closed, or the client is gone."""
    with suppress(OSError):
        await writer.wait_closed()


def cut(handler: ConnectionHandler) -> None:
    """Ends a connection without a word."""
    transport = handler.transports.get(handler.client)
    if transport and transport.handler:
        transport.handler.cancel("its time is over")
