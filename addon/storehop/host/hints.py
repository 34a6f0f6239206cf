"""Client hints: how browsers are asked for the phone's model and OS version (design §3.3, W3C UA Client Hints).

Chrome's User-Agent says `Android 10; K` on every phone. It sends the truth as hints to an origin that asked with
`Accept-CH` before, so the next click brings them. With `Critical-CH` it repeats the very request with the hints and
does not follow the first answer: that answer's S2S call is held for a moment, so that it can go out with them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cachetools import TTLCache
from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide import address
from storehop.decide.address import Proxies
from storehop.decide.rules import RuleSet
from storehop.host import flows
from storehop.host.flows import Seen
from storehop.model import Click, Direct, HintSettings

HINTS = ("Sec-CH-UA-Model", "Sec-CH-UA-Platform-Version")
"""What is asked for."""
_HINT_HEADERS = tuple(name.lower() for name in HINTS)
_FEATURES = ("ch-ua-model", "ch-ua-platform-version")
"""The same as policy-controlled features, to be delegated to frames of other origins (Permissions Policy)."""
_WANTED = frozenset({"af_model", "af_os_version"})

WINDOW = 10.0
"""Seconds in which a repeated request counts as the browser's retry, as for any click that comes twice."""
MOST = 100_000
"""First answers that are remembered."""

# RFC 6761 §6.3, and the loopback networks: browsers trust what never leaves the machine.
_LOOPBACK = re.compile(r"(?:(?:[^:]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.IGNORECASE)


def is_secure(flow: http.HTTPFlow, seen: Seen) -> bool:
    """Whether the browser takes this origin for a secure context: only such may ask for hints."""
    if isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        scheme = seen.get("x-forwarded-proto", "")  # ours, or a trusted proxy's
    else:
        scheme = flow.request.scheme
    return scheme == "https" or _LOOPBACK.fullmatch(seen.get("host", "")) is not None


def has_hints(seen: Seen) -> bool:
    return any(name in seen for name in _HINT_HEADERS)


def may_retry(seen: Seen) -> bool:
    """Whether `Critical-CH` would make this browser repeat its request: Chromium's navigations, without the hints."""
    return (
        "Chromium" in seen.get("sec-ch-ua", "")
        and seen.get("sec-fetch-dest", "document") == "document"
        and not has_hints(seen)
    )


def lacks_hints(direct: Direct) -> bool:
    """Whether hints could say more about the device than is known."""
    return any(param.name in _WANTED and param.value is None for param in direct.params)


def accept(response: http.Response, settings: HintSettings) -> None:
    """Asks for hints with the requests to come; what the ad stack asks for itself stays."""
    _add_tokens(response.headers, "Accept-CH", HINTS)
    if settings.delegates:
        known = response.headers.get("permissions-policy", "")
        origins = " ".join(f'"{origin}"' for origin in settings.delegates)
        for feature in _FEATURES:
            if f"{feature}=" not in known:
                response.headers.add("Permissions-Policy", f"{feature}=(self {origins})")


def insist(response: http.Response) -> None:
    """Makes the browser repeat this request with the hints, now."""
    _add_tokens(response.headers, "Critical-CH", HINTS)


def _add_tokens(headers: http.Headers, name: str, tokens: tuple[str, ...]) -> None:
    given = headers.get(name, "")
    known = {token.strip().lower() for token in given.split(",")}
    missing = [token for token in tokens if token.lower() not in known]
    if missing:
        headers[name] = ", ".join([given, *missing] if given.strip() else missing)


@dataclass(slots=True)
class FirstAnswer:
    """What a browser got that is to repeat its request."""

    click: Click
    direct: Direct
    rules: RuleSet
    """Those of the first answer: they decide on the retry too."""
    headers: http.Headers = field(repr=False)

    def again(self) -> http.Response:
        """The same answer for the retry, without its body, which nobody sees."""
        headers = self.headers.copy()
        for name in ("critical-ch", "transfer-encoding", "content-encoding", "connection"):
            headers.pop(name, None)
        headers["Content-Length"] = "0"
        return http.Response.make(302, b"", headers)


class Retries:
    """First answers by a hash of request, client address and User-Agent; each is handed out once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._first: TTLCache[bytes, FirstAnswer] = TTLCache(MOST, WINDOW, timer=clock)

    def expect(self, flow: http.HTTPFlow, first: FirstAnswer) -> None:
        """The browser that has this answer is going to repeat its request."""
        self._first[_key(flow, first.click.headers, first.rules.proxies)] = first

    def take(self, flow: http.HTTPFlow, seen: Seen, proxies: Proxies) -> FirstAnswer | None:
        """The first answer to this request, where it is a browser's retry with hints."""
        if not self._first or not has_hints(seen):
            return None
        return self._first.pop(_key(flow, seen, proxies), None)


def _key(flow: http.HTTPFlow, seen: Mapping[str, str], proxies: Proxies) -> bytes:
    client = address.client_address(flows.peer_address(flow), seen, proxies)
    who = f"{seen.get('host')}\n{flow.request.path}\n{client}\n{seen.get('user-agent')}"
    return hashlib.blake2b(who.encode(errors="surrogateescape"), digest_size=16).digest()
