"""Calls through a proxy, by httpx's own transport: https in a tunnel (CONNECT), http by the proxy's forwarding.

httpx's `target` extension would do for a server; but httpcore lays it over the request for a tunnel as well, and over
the absolute form that a forwarding proxy needs (httpcore 1.0.9). So the URL itself says the target.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import httpcore
import httpx

from storehop.deliver.wire.attempt import ATTEMPT, Attempt, Backend
from storehop.deliver.wire.causes import cause_of
from storehop.deliver.wire.connection import DRAIN_S, MAX_IDLE_S
from storehop.deliver.wire.dial import Dial
from storehop.deliver.wire.exact import TLSError
from storehop.deliver.wire.request import Head, Request

_SWITCHING = 101
_PROXY_LOGIN = 407


class _StaleError(httpx.ReadError):
    """A kept connection was closed before a byte of the answer came (see `exact`)."""


class ExactURL(httpx.URL):
    """An origin's URL whose target goes out as it is written."""

    def __init__(self, origin: httpx.URL, target: bytes) -> None:
        super().__init__(origin)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        return self._target

    @property
    def raw_host(self) -> bytes:
        """With the brackets of an IPv6 address, which httpcore writes neither into CONNECT nor into a whole URL."""
        host = super().raw_host
        return b"[%b]" % host if b":" in host else host


class _Line(httpx.AsyncHTTPTransport):
    """httpx's transport with one connection, which is opened when it is needed.

    One each, since httpcore's pool looks at every connection many times a call. Its own constructor takes no network
    backend. As long as it lives it is in `living`.
    """

    def __init__(self, proxy: httpx.URL, dial: Dial, living: set[_Line]) -> None:
        self._pool = httpcore.AsyncHTTPProxy(
            httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
            proxy_auth=(proxy.username.encode(), proxy.password.encode()) if proxy.userinfo else None,
            ssl_context=dial.tls,
            network_backend=Backend(dial),
        )
        self._living = living
        self.idle_since = 0.0
        living.add(self)

    @property
    def is_kept(self) -> bool:
        """Whether its connection can be used again."""
        return any(connection.is_idle() for connection in self._pool.connections)

    @property
    def is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self.idle_since >= MAX_IDLE_S

    async def aclose(self) -> None:
        self._living.discard(self)
        await super().aclose()


class ProxiedTransport:
    """Promises what ExactTransport does, through the proxy at `proxy`, which may hold name and password.

    What fails before the request is sent, the proxy's own refusal included, is an httpx.ConnectError, ConnectTimeout,
    ProxyError or TLSError.
    """

    def __init__(self, proxy: httpx.URL, dial: Dial) -> None:
        self._proxy = proxy
        self._dial = dial
        self._idle: dict[str, deque[_Line]] = {}
        self._living: set[_Line] = set()
        self._draining: set[asyncio.Task[None]] = set()

    async def send(self, request: Request) -> Head:
        """See `Transport.send`."""
        idle = self._idle.setdefault(request.call.origin, deque())
        if line := await _kept(idle):
            with suppress(_StaleError):
                return await self._over(line, request, idle)
        return await self._over(_Line(self._proxy, self._dial, self._living), request, idle)

    async def _over(self, line: _Line, request: Request, idle: deque[_Line]) -> Head:
        """The answer. Its body is read and forgotten beside whatever the caller does."""
        try:
            response = await _exchange(line, request)
        except BaseException:
            await line.aclose()
            raise
        task = asyncio.create_task(self._drain(line, response, idle), name="storehop drain")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
        return response.status_code, response.headers.raw

    async def _drain(self, line: _Line, response: httpx.Response, idle: deque[_Line]) -> None:
        with suppress(TimeoutError, httpx.TransportError):
            async with asyncio.timeout(DRAIN_S):
                async for _ in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
                    pass
        await response.aclose()
        if not line.is_kept:
            await line.aclose()
            return
        while idle and idle[0].is_old:
            await idle.popleft().aclose()
        line.idle_since = asyncio.get_running_loop().time()
        idle.append(line)

    async def close(self) -> None:
        """See `Transport.close`."""
        draining = list(self._draining)
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, return_exceptions=True)
        for line in list(self._living):
            await line.aclose()


async def _kept(idle: deque[_Line]) -> _Line | None:
    """The line that was used last, so that those beyond the need grow old."""
    while idle:
        line = idle.pop()
        if not line.is_old:
            return line
        await line.aclose()
    return None


async def _exchange(line: _Line, request: Request) -> httpx.Response:
    """The answer's head. Raises the errors of ExactTransport, and _StaleError."""
    connected_by = asyncio.get_running_loop().time() + request.connect_s
    patience = asyncio.timeout_at(min(request.deadline, connected_by))
    attempt = Attempt(lambda: patience.reschedule(request.deadline))
    ATTEMPT.set(attempt)
    try:
        async with patience:
            response = await line.handle_async_request(_traced(request, attempt))
    except TimeoutError as error:
        if attempt.is_sending:
            raise httpx.ReadTimeout("not in time") from error
        raise httpx.ConnectTimeout("no way through the proxy in time") from error
    except httpx.TransportError as error:
        raise _as_exact(error, attempt) from error
    _check(request, response, is_ours=attempt.has_heard)
    attempt.has_head()
    return response


def _traced(request: Request, attempt: Attempt) -> httpx.Request:
    call, (url, host) = request.call, request.place
    traced = httpx.Request("GET", url, extensions={"trace": attempt})
    traced.url = ExactURL(url, call.target.encode())  # the constructor makes plain URLs of all
    traced.headers = httpx.Headers([(name.encode(), value.encode()) for name, value in (("Host", host), *call.headers)])
    return traced


def _check(request: Request, response: httpx.Response, *, is_ours: bool) -> None:
    """Refuses what is no answer of the server's to this request."""
    if not is_ours:
        raise httpx.RemoteProtocolError("it came before the request: behind the answer to another")
    if response.status_code == _SWITCHING:
        raise httpx.RemoteProtocolError("a change of protocol that nobody asked for")
    if response.status_code == _PROXY_LOGIN and request.place.url.scheme == "http":
        raise httpx.ProxyError("the proxy asks for a login")  # it has forwarded nothing


def _as_exact(error: httpx.TransportError, attempt: Attempt) -> httpx.TransportError:
    """The error that ExactTransport raises for the same fault."""
    if isinstance(error, httpx.LocalProtocolError):
        return error
    if not attempt.is_sending:
        return (TLSError if attempt.is_tls_refused else httpx.ConnectError)(cause_of(error))
    is_end = attempt.is_hung_up or isinstance(error, httpx.NetworkError)
    if not is_end:
        return error
    return (httpx.ReadError if attempt.is_fresh or attempt.has_heard else _StaleError)(str(error))
