"""Which way calls leave: straight, through one proxy, or through what the environment names for an origin."""

from __future__ import annotations

from typing import Protocol
from urllib.request import getproxies, proxy_bypass

import httpx

from storehop.deliver.wire.dial import Dial
from storehop.deliver.wire.exact import ExactTransport
from storehop.deliver.wire.request import Head, Request

_LAST_PORT = 65535


class Transport(Protocol):
    """Sends requests over kept connections. Reads no environment."""

    async def send(self, request: Request) -> Head:
        """Raises httpx.TransportError, and UnicodeError where the host is no name."""

    async def close(self) -> None:
        """Ends every connection; calls under way fail."""


def way_through(proxy: str | None) -> Transport:
    """The transport for `delivery.proxy`: None is straight, `env` by HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    Raises ValueError, without the proxy's credentials, where a proxy is none that can be used.
    """
    dial = Dial()
    if proxy is None:
        return ExactTransport(dial)
    if proxy == "env":
        return _ByEnvironment(dial)
    return _proxied(_proxy_url(proxy), dial)


class _ByEnvironment:
    """Chooses once for each origin, by the environment as it is at the start."""

    def __init__(self, dial: Dial) -> None:
        self._straight = ExactTransport(dial)
        self._proxied = {
            scheme: _proxied(_proxy_url(proxy, f"{scheme.upper()}_PROXY"), dial)
            for scheme, proxy in getproxies().items()
            if scheme in {"http", "https"}
        }
        self._ways: dict[str, Transport] = {}

    async def send(self, request: Request) -> Head:
        """See `Transport.send`."""
        origin = request.call.origin
        way = self._ways.get(origin)
        if way is None:
            way = self._ways[origin] = self._way(request.place.url)
        return await way.send(request)

    def _way(self, url: httpx.URL) -> Transport:
        if proxy_bypass(url.netloc.decode("ascii")):
            return self._straight
        return self._proxied.get(url.scheme, self._straight)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._straight.close()
        for way in self._proxied.values():
            await way.close()


def _proxied(proxy: httpx.URL, dial: Dial) -> Transport:
    from storehop.deliver.wire.proxied import ProxiedTransport  # noqa: PLC0415  few have a proxy: httpcore is for them

    return ProxiedTransport(proxy, dial)


def _proxy_url(text: str, where: str = "a proxy") -> httpx.URL:
    """`host:port` alone is what some people write into the environment."""
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme != "http" or not url.host or url.raw_path != b"/" or (url.port or 1) > _LAST_PORT:
        raise ValueError(f"{where}: expected http://host[:port]")
    return url
