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


class UnsendableError(Exception):
    """The call's frozen bytes make no request: nothing was sent, and no other attempt will do better."""


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
        """One attempt. `timeout` is for the whole call, in seconds; half of it for the connection.

        Raises UnsendableError.
        """
        try:
            response = await self._transport.handle_async_request(_request(call, timeout))
        except httpx.TransportError as error:
            return _failure(error)
        except (UnicodeError, httpx.InvalidURL) as error:
            raise UnsendableError(str(error)) from error
        return Reply(response.status_code, response.headers.get("retry-after"), tuple(response.headers.raw))

    async def close(self) -> None:
        await self._transport.aclose()


def _request(call: S2SCall, timeout: float) -> httpx.Request:
    host = host_of(call.url)
    request = copy(_template(host))
    request.extensions = {
        "origin": host,
        "target": _one_line(call.url[len(host) :].encode("ascii")),
        "headers": [(_one_line(name.encode()), _one_line(value.encode())) for name, value in call.headers],
        "timeout": {"connect": timeout / 2},
        "deadline": asyncio.get_running_loop().time() + timeout,
    }
    return request


def _one_line(text: bytes) -> bytes:
    """The text itself: a line's end or a NUL in it would begin another header or request (RFC 9110 §5.5)."""
    if b"\n" in text or b"\r" in text or b"\0" in text:
        raise UnsendableError("it holds a line's end or a NUL")
    return text


def _failure(error: httpx.TransportError) -> Failure:
    fault, maybe_sent = next((fault, sent) for kind, fault, sent in FAULTS if isinstance(error, kind))
    return Failure(fault, maybe_sent)
