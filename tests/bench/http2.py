"""Load as browsers send it: HTTP/2 over TLS, by hyper-h2. Each answer's status and Location are looked at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from tests.bench.generators import CONNECTIONS, STALL, Answers, until
from tests.bench.traffic import HOSTS, Kind, requests
from tests.support.certificates import client_context

WINDOW = 1 << 30
"""Bytes of answers that a server may send before it hears more of us: never too few."""
type Headers = list[tuple[bytes, bytes]]


def context_for(ca: Path) -> ssl.SSLContext:
    """A client that trusts this authority and speaks HTTP/2."""
    context = client_context(ca)
    context.set_alpn_protocols(["h2"])
    return context


async def by_http2(ca: Path, port: int, kind: Kind, prefix: str, seconds: float) -> Answers:
    """As many requests as 16 connections carry, one at a time each; some 2,000 a second."""
    asked, answers, loop = requests(kind, prefix), Answers(0.0), asyncio.get_running_loop()
    context, begin = context_for(ca), 0.0

    def answered(connection: _Connection, head: bytes) -> None:
        answers.count(head)
        if loop.time() - begin < seconds:
            connection.ask(in_http2(next(asked)[1]))

    connections = [await _connect(port, HOSTS[kind], context, answered) for _ in range(CONNECTIONS)]
    begin = loop.time()
    try:
        for connection in connections:
            connection.ask(in_http2(next(asked)[1]))
        await asyncio.sleep(seconds)
        await until(lambda: not any(connection.is_asking for connection in connections), STALL)
        answers.seconds = loop.time() - begin
    finally:
        answers.failed += sum(connection.is_asking for connection in connections)
        for connection in connections:
            connection.close()
    return answers


def in_http2(request: bytes) -> Headers:
    """The same request's fields in HTTP/2 (RFC 9113 §8.3.1)."""
    first, *lines = request.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, path, _ = first.split(b" ")
    fields = [(name.lower(), value) for name, value in (line.split(b": ", 1) for line in lines)]
    authority = dict(fields)[b"host"]
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", path)]
    return [*pseudo, *(field for field in fields if field[0] != b"host")]


class _Connection(asyncio.Protocol):
    """One request after the other; hands each answer's head, as HTTP/1 would write it, to `answered`."""

    def __init__(self, answered: Callable[[_Connection, bytes], None]) -> None:
        self._answered = answered
        self._head = b""
        self.is_asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        spoken = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if spoken != "h2":
            raise ConnectionError(f"HTTP/2 was asked for, {spoken} came")
        self._h2 = H2Connection(
            H2Configuration(header_encoding=None, validate_inbound_headers=False, validate_outbound_headers=False)
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        transport.write(self._h2.data_to_send())

    def ask(self, fields: Headers) -> None:
        self.is_asking = True
        self._h2.send_headers(self._h2.get_next_available_stream_id(), fields, end_stream=True)
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            match event:
                case ResponseReceived():
                    self._head = _as_http1(event.headers)
                case DataReceived():
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self._end(self._head)
                case StreamReset() | ConnectionTerminated():
                    self._end(b"")
        if data := self._h2.data_to_send():
            self._transport.write(data)

    def _end(self, head: bytes) -> None:
        if self.is_asking:
            self.is_asking = False
            self._answered(self, head)

    def close(self) -> None:
        self._transport.close()


def _as_http1(fields: Headers) -> bytes:
    status = dict(fields)[b":status"]
    lines = [name + b": " + value for name, value in fields if not name.startswith(b":")]
    return b"\r\n".join([b"HTTP/2.0 " + status, *lines, b""])


async def _connect(
    port: int, host: str, context: ssl.SSLContext, answered: Callable[[_Connection, bytes], None]
) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: _Connection(answered), "127.0.0.1", port, ssl=context, server_hostname=host
    )
    return connection
