"""Sends one S2S call and says honestly what came of it: a call becomes a request, what comes of it an Outcome.

Its transports follow no redirect and keep no cookie. They raise httpx's errors.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from operator import itemgetter

import httpx

from storehop.deliver.wire.causes import plain
from storehop.deliver.wire.exact import TLSError
from storehop.deliver.wire.request import Request, UnsendableError, message_of, place_of
from storehop.deliver.wire.way import Transport, way_through
from storehop.model import Failure, Fault, Outcome, Reply, S2SCall

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
_NAME = itemgetter(0)


@dataclass(slots=True, eq=False)
class _Way:
    """A transport, and how many calls are under way on it."""

    transport: Transport
    calls: int = 0


class Wire:
    """Sends calls over kept connections. Must be made on a running event loop."""

    def __init__(self, transport: Transport, proxy: str | None = None) -> None:
        self._loop = asyncio.get_running_loop()
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
            status, headers = await way.transport.send(self._request(call, timeout_s))
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
        is_asking = b"retry-after" in map(bytes.lower, map(_NAME, headers))
        return Reply(status, httpx.Headers(headers).get("retry-after") if is_asking else None, tuple(headers))

    def _request(self, call: S2SCall, timeout_s: float) -> Request:
        place = place_of(call.origin)
        message = message_of(call, place.host)
        return Request(call, place, message, timeout_s / 2, self._loop.time() + timeout_s)

    def _close_idle(self, old: _Way) -> None:
        if old.calls == 0:
            self._old.discard(old)
            task = asyncio.create_task(old.transport.close(), name="storehop old proxy")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends every connection; calls under way fail."""
        for way in (self._way, *self._old):
            await way.transport.close()
        await asyncio.gather(*self._closing)


def _failure(error: httpx.TransportError) -> Failure:
    fault, maybe_sent = next((fault, sent) for kind, fault, sent in FAULTS if isinstance(error, kind))
    # What a server said after a request may repeat the request.
    return Failure(fault, maybe_sent, "" if maybe_sent else plain(str(error)))
