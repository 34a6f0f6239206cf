"""Client hints: how browsers are asked for the phone's model and OS version (design §3.3, W3C UA Client Hints).

Chrome's User-Agent says `Android 10; K` on every phone. It sends the truth as hints to an origin that asked with
`Accept-CH` before, so the next click brings them. With `Critical-CH` it repeats the very request with the hints (see
`storehop.host.retries`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cachetools import LRUCache
from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide.hints import were_sent
from storehop.settings import HintSettings

HINTS = ("Sec-CH-UA-Model", "Sec-CH-UA-Platform-Version")
"""What is asked for."""
_FEATURES = ("ch-ua-model", "ch-ua-platform-version")
"""The same as policy-controlled features, to be delegated to frames of other origins (Permissions Policy)."""

MAX_HOSTS = 1_000
"""Hosts of ad stacks that are remembered."""
MAX_HOST_CHARACTERS = 255
"""RFC 1035 §2.3.4: clients say the host, and a longer one is none."""

# RFC 6761 §6.3, and the loopback networks: browsers trust what never leaves the machine.
_LOOPBACK = re.compile(r"(?:(?:[^:]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.IGNORECASE)


def is_secure(flow: http.HTTPFlow, headers: Mapping[str, str]) -> bool:
    """Whether the browser takes this origin for a secure context: only such may ask for hints."""
    if isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        forwarded = headers.get("x-forwarded-proto", "")  # ours, or trusted proxies' word, the browser's own first
        scheme = forwarded.partition(",")[0].strip()
    else:
        scheme = flow.request.scheme
    return scheme.lower() == "https" or _LOOPBACK.fullmatch(headers.get("host", "")) is not None


def may_retry(headers: Mapping[str, str]) -> bool:
    """Whether `Critical-CH` would make this browser repeat its request: Chromium's navigations, without the hints."""
    return (
        "Chromium" in headers.get("sec-ch-ua", "")
        and headers.get("sec-fetch-dest", "document") == "document"
        and not were_sent(headers)
    )


class HintRequests:
    """Asks browsers for hints, and remembers what ad stacks ask for themselves, by host.

    The newest answer that asks replaces what others of that host asked (W3C Client Hints Infrastructure).
    """

    def __init__(self) -> None:
        self._by_host: LRUCache[str, str] = LRUCache(MAX_HOSTS)

    def ask(self, response: http.Response, host: str, settings: HintSettings) -> None:
        """Asks for hints with the requests to come; what the ad stack asks for itself stays."""
        if own := response.headers.get("accept-ch"):
            if len(host) <= MAX_HOST_CHARACTERS:
                self._by_host[host] = own
        elif earlier := self._by_host.get(host):
            response.headers["Accept-CH"] = earlier
        add_tokens(response.headers, "Accept-CH", HINTS)
        if settings.delegates:
            policy = response.headers.get("permissions-policy", "")
            origins = " ".join(f'"{origin}"' for origin in settings.delegates)
            for feature in _FEATURES:
                if f"{feature}=" not in policy:
                    response.headers.add("Permissions-Policy", f"{feature}=(self {origins})")


def add_tokens(headers: http.Headers, name: str, tokens: tuple[str, ...]) -> None:
    """Adds to a header's list the tokens that it lacks."""
    line = headers.get(name, "")
    present = {token.strip().lower() for token in line.split(",")}
    missing = [token for token in tokens if token.lower() not in present]
    if missing:
        headers[name] = ", ".join([line, *missing] if line.strip() else missing)
