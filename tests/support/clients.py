"""Clients: HTTP/1.1 by hand, so that a test sees every byte; HTTP/2 by h2."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from tests.support.certificates import client_context
from tests.support.patience import SOON_S
from tests.support.standins import closed

ANDROID = (
    "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/95.0.4638.16 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
PUBLIC = "81.2.69.142"
"""A public address that no test ever connects to."""
HEADERS = {
    "Host": "ads.network.example",
    "User-Agent": ANDROID,
    "Accept-Language": "en-US,en;q=0.9",
    "X-Forwarded-For": PUBLIC,
    "Cookie": "session=secret",
}
"""What the user's browser sends, through a load balancer that says where it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as it came off the wire."""

    raw: bytes

    @property
    def lines(self) -> list[str]:
        """Status line and headers."""
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")

    @property
    def status(self) -> int:
        return int(self.lines[0].split()[1])

    @property
    def headers(self) -> list[tuple[str, str]]:
        pairs = (line.partition(":") for line in self.lines[1:])
        return [(name, value.strip()) for name, _, value in pairs]

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def location(self) -> str | None:
        found = self.all("Location")
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def request(target: str, method: str = "GET", body: bytes = b"", **changes: str | None) -> bytes:
    """A browser's request. `user_agent="…"` changes a header, None leaves it out."""
    headers = HEADERS | {name.replace("_", "-").title(): value for name, value in changes.items()}
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines]).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def connection(
    port: int,
    tls: ssl.SSLContext | None = None,
    name: str | None = None,
    address: str = "127.0.0.1",
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to this machine; with `tls` it asks for `name`."""
    reader, writer = await asyncio.open_connection(
        address,
        port,
        ssl=tls,
        server_hostname=name if tls else None,
        limit=1 << 22,
    )
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def talk(port: int, raw: bytes, tls: ssl.SSLContext | None = None, name: str | None = None) -> Answer:
    """Sends bytes and reads until the other side closes."""
    async with connection(port, tls, name) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(raw)
        return Answer(await reader.read())


async def get(port: int, target: str, method: str = "GET", body: bytes = b"", **changes: str | None) -> Answer:
    """One request on a connection of its own."""
    return await talk(port, request(target, method, body, connection="close", **changes))


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One response with a Content-Length, on a connection that stays open."""
    async with asyncio.timeout(SOON_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(Answer(head).all("Content-Length")[0])
        return Answer(head + await reader.readexactly(length))


@dataclass(frozen=True, slots=True)
class Answer2:
    """A response by HTTP/2."""

    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]

    @property
    def status(self) -> int:
        return int(dict(self.headers)[":status"])

    @property
    def location(self) -> str | None:
        return dict(self.headers).get("location")


def fields_http2(host: str, target: str, method: str = "GET", **changes: str | None) -> list[tuple[str, str]]:
    """A browser's request, as `request` has it for HTTP/1.1."""
    headers = HEADERS | {name.replace("_", "-").title(): value for name, value in changes.items()}
    own = [(name.lower(), value) for name, value in headers.items() if name != "Host" and value is not None]
    return [(":method", method), (":authority", host), (":scheme", "https"), (":path", target), *own]


async def talk_http2(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    fields: list[tuple[str, str]],
    request_trailers: list[tuple[str, str]] | None = None,
) -> Answer2:
    """One request on a fresh connection, whose TLS must have agreed on HTTP/2. What no client may send is sent."""
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    config = H2Configuration(header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
    protocol = H2Connection(config)
    protocol.initiate_connection()
    protocol.send_headers(1, fields, end_stream=not request_trailers)
    if request_trailers:
        protocol.send_data(1, b"hello")
        protocol.send_headers(1, request_trailers, end_stream=True)
    headers: list[tuple[str, str]] = []
    trailers: list[tuple[str, str]] = []
    body = b""
    while True:
        writer.write(protocol.data_to_send())
        data = await reader.read(1 << 16)
        assert data, "the other side closed"
        for event in protocol.receive_data(data):
            match event:
                case ResponseReceived():
                    headers = list(event.headers)
                case TrailersReceived():
                    trailers = list(event.headers)
                case DataReceived():
                    body += event.data
                    protocol.acknowledge_received_data(event.flow_controlled_length, 1)
                case StreamEnded():
                    return Answer2(headers, body, trailers)
                case StreamReset():
                    raise ConnectionError(f"the stream was reset: {event.error_code}")


async def get_http2(port: int, ca: Path, host: str, target: str) -> Answer2:
    """One HTTP/2 request to loopback, addressed to `host` by SNI and :authority."""
    return await ask_http2(port, ca, host, fields_http2(host, target))


async def ask_http2(
    port: int,
    ca: Path,
    host: str,
    fields: list[tuple[str, str]],
    request_trailers: list[tuple[str, str]] | None = None,
) -> Answer2:
    """One HTTP/2 request to loopback with these fields, addressed to `host` by SNI."""
    async with connection(port, http2_context(ca), host) as streams, asyncio.timeout(SOON_S):
        return await talk_http2(*streams, fields, request_trailers)


def http2_context(ca: Path) -> ssl.SSLContext:
    context = client_context(ca)
    context.set_alpn_protocols(["h2", "http/1.1"])  # as browsers do
    return context


async def get_http2_by_connect(port: int, ca: Path, host: str, target: str) -> Answer2:
    """One HTTP/2 request through the forward proxy at `port`."""
    async with _tunnel(port, http2_context(ca), host) as streams:
        return await talk_http2(*streams, fields_http2(host, target))


async def get_by_connect(port: int, ca: Path, host: str, target: str) -> Answer:
    """One HTTP/1.1 request over TLS through the forward proxy at `port`."""
    async with _tunnel(port, client_context(ca), host) as (reader, writer):
        writer.write(request(target, host=host, connection="close"))
        return Answer(await reader.read())


@asynccontextmanager
async def _tunnel(
    port: int,
    tls: ssl.SSLContext,
    host: str,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with connection(port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert Answer(await reader.readuntil(b"\r\n\r\n")).status == 200
        await writer.start_tls(tls, server_hostname=host)
        yield reader, writer


async def get_by_socks(port: int, host: str, target: str) -> Answer:
    """One plain HTTP/1.1 request through the SOCKS5 proxy at `port` (RFC 1928)."""
    async with connection(port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(b"\x05\x01\x00")
        await reader.readexactly(2)
        writer.write(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + (80).to_bytes(2))
        await reader.readexactly(10)
        writer.write(request(target, host=host, connection="close"))
        return Answer(await reader.read())
