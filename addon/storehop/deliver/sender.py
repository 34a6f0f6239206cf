"""Sends one S2S call and says honestly what came of it. The only module that calls httpx.

A transport is called directly, without httpx's client: no redirects to follow, no cookies to keep, and a
tenth of the processor time (design §8).
"""

from __future__ import annotations

import asyncio
from copy import copy
from functools import lru_cache

import httpx

from storehop.deliver.transport import ExactTransport, TLSError
from storehop.model import Failure, Fault, Outcome, Reply, S2SCall

# The most specific first. `maybe_sent` is whether the request can have reached AppsFlyer.
FAULTS: tuple[tuple[type[httpx.TransportError], Fault, bool], ...] = (
    (TLSError, Fault.TLS, False),
    (httpx.ConnectTimeout, Fault.CONNECT_TIMEOUT, False),
    (httpx.ConnectError, Fault.CONNECT, False),
    (httpx.TimeoutException, Fault.READ_TIMEOUT, True),
    (httpx.ProtocolError, Fault.PROTOCOL, True),
    (httpx.TransportError, Fault.RESET, True),
)


@lru_cache(maxsize=256)
def _template(origin: str) -> httpx.Request:
    """A request to this `scheme://host[:port]`: building one anew costs as much processor time as all the rest."""
    return httpx.Request("GET", origin)


def host_of(url: str) -> str:
    """The `scheme://host[:port]` that a call goes to."""
    return url[: url.index("/", url.index("://") + 3)]


class Sender:
    """Sends calls through one connection pool. Must be made on a running event loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    @classmethod
    def with_pool(cls) -> Sender:
        return cls(ExactTransport())

    async def send(self, call: S2SCall, timeout: float) -> Outcome:
        """One attempt. `timeout` is for the whole call, in seconds; half of it for the connection."""
        host = host_of(call.url)
        request = copy(_template(host))
        request.extensions = {
            "origin": host,
            "target": call.url[len(host) :].encode("ascii"),
            "headers": [(name.encode(), value.encode()) for name, value in call.headers],
            "timeout": {"connect": timeout / 2},
            "deadline": asyncio.get_running_loop().time() + timeout,
        }
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            return _failure(error)
        return Reply(response.status_code, response.headers.get("retry-after"), tuple(response.headers.raw))

    async def close(self) -> None:
        await self._transport.aclose()


def _failure(error: httpx.TransportError) -> Failure:
    fault, maybe_sent = next((fault, sent) for kind, fault, sent in FAULTS if isinstance(error, kind))
    return Failure(fault, maybe_sent)
