"""Sends one S2S call and says honestly what came of it: a call becomes a request, what comes of it an Outcome.

A transport is called directly, without httpx's client: no redirects to follow, no cookies to keep, and a tenth of the
processor time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import httpx

from storehop.deliver.wire.causes import plain
from storehop.deliver.wire.exact import TLSError
from storehop.deliver.wire.way import way_through
from storehop.model import Failure, Fault, Outcome, Reply, S2SCall


class UnsendableError(Exception):
    """The call's frozen bytes make no request: nothing was sent, and no other attempt will do better."""


# The most specific first. `maybe_sent` is whether the request can have reached AppsFlyer.
FAULTS: tuple[tuple[type[httpx.TransportError], Fault, bool], ...] = (
    (TLSError, Fault.TLS, False),
    (httpx.ConnectTimeout, Fault.CONNECT_TIMEOUT, False),
    (httpx.ConnectError, Fault.CONNECT, False),
    (httpx.ProxyError, Fault.CONNECT, False),
    (httpx.TimeoutException, Fault.READ_TIMEOUT, True),
    (httpx.ProtocolError, Fault.PROTOCOL, True),
    (httpx.TransportError, Fault.RESET, True),
)

_NO_BODY = httpx.ByteStream(b"")


class _Request(httpx.Request):
    """As transports read it. httpx's own constructor costs as much processor time as sending all of it."""

    def __init__(self, url: httpx.URL, headers: httpx.Headers, extensions: dict[str, object]) -> None:
        self.method = "GET"
        self.url = url
        self.headers = headers
        self.stream = _NO_BODY
        self.extensions = extensions


@dataclass(slots=True, eq=False)
class _Way:
    """A transport, and how many calls are under way on it."""

    transport: httpx.AsyncBaseTransport
    calls: int = 0


class Wire:
    """Sends calls over kept connections. Must be made on a running event loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport, proxy: str | None = None) -> None:
        self._proxy = proxy
        self._way = _Way(transport)
        self._old: set[_Way] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    def through(cls, proxy: str | None) -> Wire:
        """`http://host[:port]`, `env` for the environment's, or None for straight. Raises ValueError."""
        return cls(way_through(proxy), proxy)

    def use(self, proxy: str | None) -> None:
        """As `through`, from the next call on; those under way end as they began. Raises ValueError."""
        if proxy == self._proxy:
            return
        old, self._way, self._proxy = self._way, _Way(way_through(proxy)), proxy
        self._old.add(old)
        self._close_idle(old)

    async def send(self, call: S2SCall, timeout_s: float) -> Outcome:
        """One attempt. `timeout_s` is for the whole call, half of it for the connection.

        A cancelled one may have been sent. Raises UnsendableError.
        """
        way = self._way
        way.calls += 1
        try:
            response = await way.transport.handle_async_request(_request(call, timeout_s))
        except httpx.LocalProtocolError:
            raise UnsendableError("a header holds what none may hold") from None  # the error repeats the header
        except httpx.TransportError as error:
            return _failure(error)
        except (UnicodeError, httpx.InvalidURL) as error:
            raise UnsendableError(str(error)) from error
        finally:
            way.calls -= 1
            if way in self._old:
                self._close_idle(way)
        return Reply(response.status_code, response.headers.get("retry-after"), tuple(response.headers.raw))

    def _close_idle(self, old: _Way) -> None:
        if old.calls == 0:
            self._old.discard(old)
            task = asyncio.create_task(old.transport.aclose(), name="storehop old proxy")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends every connection; calls under way fail."""
        for way in (self._way, *self._old):
            await way.transport.aclose()
        await asyncio.gather(*self._closing)


def _request(call: S2SCall, timeout_s: float) -> httpx.Request:
    _check_target(call.target)
    _check_lines("".join(chain.from_iterable(call.headers)))
    url, host = _place(call.origin)
    headers = [(b"Host", host), *((name.encode(), value.encode()) for name, value in call.headers)]
    extensions = {
        "origin": call.origin,
        "target": call.target.encode(),
        "timeout": {"connect": timeout_s / 2},
        "deadline": asyncio.get_running_loop().time() + timeout_s,
    }
    return _Request(url, httpx.Headers(headers), extensions)


@lru_cache(maxsize=256)
def _place(origin: str) -> tuple[httpx.URL, bytes]:
    """The URL and the Host of an origin, parsed once for all its calls."""
    url = httpx.URL(origin)
    if url.scheme not in {"http", "https"} or not url.host:
        raise UnsendableError("its origin is none")
    return url, url.netloc


def _check_target(target: str) -> None:
    """Visible ASCII, else the request line ends within it (RFC 9112 §3.2)."""
    if not (target.startswith("/") and target.isascii() and target.isprintable()) or " " in target:
        raise UnsendableError("its target is none")


def _check_lines(text: str) -> None:
    """A line's end or a NUL in a header would begin another header or request (RFC 9110 §5.5)."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise UnsendableError("a header holds a line's end or a NUL")


def _failure(error: httpx.TransportError) -> Failure:
    fault, maybe_sent = next((fault, sent) for kind, fault, sent in FAULTS if isinstance(error, kind))
    # What a server said after a request may repeat the request.
    return Failure(fault, maybe_sent, "" if maybe_sent else plain(str(error)))
