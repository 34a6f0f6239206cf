"""An httpx transport over aiohttp's connection pool that sends the URL exactly as it is written.

Why not a ready-made one: httpx.URL escapes quotes and angle brackets, and httpx-aiohttp hands aiohttp a string
whose `%7e` and `%2F` yarl then decodes, which changes parameters that are not ours; it also calls a connection
reset after sending a connect timeout, which would hide that the click may have been counted. httpx's own
transport keeps the bytes, at ten times the processor time (design §8).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
from yarl import URL

DNS_CACHE = 60
"""Seconds."""
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class TLSError(httpx.ConnectError):
    """The TLS handshake failed: nothing was sent."""


# The most specific first: aiohttp's exceptions inherit from one another.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorSSLError, TLSError),
    (aiohttp.ClientConnectorCertificateError, TLSError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.ReadError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientPayloadError, httpx.ReadError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx.ReadError),
)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        for theirs, ours in _ERRORS:
            if isinstance(error, theirs):
                raise ours(str(error)) from error
        raise httpx.ReadError(str(error)) from error


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._response.release()  # goes back to the pool when it was read to its end, else it is closed


class ExactTransport(httpx.AsyncBaseTransport):
    """Sends `request.extensions["target"]` (path and query, bytes) to the request URL's origin, untouched.

    Follows no redirect, keeps no cookie, reads no proxy from the environment; TLS is verified, with the
    authorities of SSL_CERT_FILE where that is set. Must be made on a running event loop.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the courier bounds the calls
                ssl=httpx.create_ssl_context(),
                ttl_dns_cache=DNS_CACHE,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OWN_HEADERS,
            auto_decompress=False,
        )
        # aiohttp repeats a GET by itself when a kept connection breaks: a click that may have been counted
        # would go out twice and nobody would know. Repeating is for the courier to decide.
        self._session._retry_connection = False  # noqa: SLF001  no public switch

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = request.extensions["timeout"]
        url = URL(f"{request.url}".rstrip("/") + request.extensions["target"].decode("ascii"), encoded=True)
        with _as_httpx():
            response = await self._session.request(
                request.method,
                url,
                headers=request.headers.multi_items(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=timeout["connect"],  # from the name's look-up to the last address's handshake
                    sock_read=timeout["read"],
                ),
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response), request=request)

    async def aclose(self) -> None:
        await self._session.close()
