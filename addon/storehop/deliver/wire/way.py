"""Which way calls leave: straight, through one proxy, or through what the environment names for an origin."""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

import httpx

from storehop.deliver.wire.dial import Dial
from storehop.deliver.wire.exact import ExactTransport

_LAST_PORT = 65535


def way_through(proxy: str | None) -> httpx.AsyncBaseTransport:
    """The transport for `delivery.proxy`: None is straight, `env` by HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    Raises ValueError, without the proxy's credentials, where a proxy is none that can be used.
    """
    dial = Dial()
    if proxy is None:
        return ExactTransport(dial)
    if proxy == "env":
        return _ByEnvironment(dial)
    return _proxied(_proxy_url(proxy), dial)


class _ByEnvironment(httpx.AsyncBaseTransport):
    """Chooses once for each origin, by the environment as it is at the start."""

    def __init__(self, dial: Dial) -> None:
        self._straight = ExactTransport(dial)
        self._proxied = {
            scheme: _proxied(_proxy_url(proxy, f"{scheme.upper()}_PROXY"), dial)
            for scheme, proxy in getproxies().items()
            if scheme in {"http", "https"}
        }
        self._ways: dict[str, httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = request.extensions["origin"]
        way = self._ways.get(origin)
        if way is None:
            way = self._ways[origin] = self._way(request.url)
        return await way.handle_async_request(request)

    def _way(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        if proxy_bypass(url.netloc.decode("ascii")):
            return self._straight
        return self._proxied.get(url.scheme, self._straight)

    async def aclose(self) -> None:
        for way in (self._straight, *self._proxied.values()):
            await way.aclose()


def _proxied(proxy: httpx.URL, dial: Dial) -> httpx.AsyncBaseTransport:
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
