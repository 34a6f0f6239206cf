"""Client hints: how browsers are asked for the phone's model and OS version (design §3.3, W3C UA Client Hints).

Chrome's User-Agent says `Android 10; K` on every phone. It sends the truth as hints to an origin that asked with
`Accept-CH` before, so the next click brings them. With `Critical-CH` it repeats the very request with the hints and
does not follow the first answer: that answer's S2S call is held for a moment, so that it can go out with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from cachetools import LRUCache
from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide.device import NOT_SAID
from storehop.decide.rules import RuleSet
from storehop.deliver.notes import Notes
from storehop.deliver.outbox import Note
from storehop.deliver.outbox_file import OutboxError
from storehop.host.duplicates import WINDOW
from storehop.host.flows import Seen
from storehop.model import Click, Direct
from storehop.settings import HintSettings

logger = logging.getLogger(__name__)

HINTS = ("Sec-CH-UA-Model", "Sec-CH-UA-Platform-Version")
"""What is asked for."""
_HINT_HEADERS = tuple(name.lower() for name in HINTS)
_FEATURES = ("ch-ua-model", "ch-ua-platform-version")
"""The same as policy-controlled features, to be delegated to frames of other origins (Permissions Policy)."""
_WANTED = frozenset({"af_model", "af_os_version"})

HOSTS = 1_000
"""Hosts of ad stacks that are remembered."""
LONGEST_HOST = 255
"""Characters of such a host (RFC 1035 §2.3.4): clients say it, and a longer one is none."""
MOMENT = 2.0
"""Seconds, beyond the wait, in which a browser is back with another link: nobody taps two ads so fast."""
COOKIE = "__Host-storehop"
"""Which first answer a browser had; it lasts for WINDOW: a retry is a click that comes twice."""
_OURS = COOKIE.encode()
_COOKIE_RULES = "Path=/; Secure; HttpOnly; SameSite=Lax"
_TOKEN = "storehop_retry"  # noqa: S105  a key of a flow's metadata
_SAME = ("user-agent", "accept-language", "referer", "sec-ch-ua", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
"""Headers that a browser repeats with its request."""

# RFC 6761 §6.3, and the loopback networks: browsers trust what never leaves the machine.
_LOOPBACK = re.compile(r"(?:(?:[^:]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.IGNORECASE)


def is_secure(flow: http.HTTPFlow, seen: Seen) -> bool:
    """Whether the browser takes this origin for a secure context: only such may ask for hints."""
    if isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        said = seen.get("x-forwarded-proto", "")  # ours, or what trusted proxies say, the browser's own first
        scheme = said.partition(",")[0].strip()
    else:
        scheme = flow.request.scheme
    return scheme.lower() == "https" or _LOOPBACK.fullmatch(seen.get("host", "")) is not None


def has_hints(seen: Seen) -> bool:
    return any(name in seen for name in _HINT_HEADERS)


def without_hints(seen: Mapping[str, str]) -> Seen:
    """What the browser said before it was asked."""
    return {name: value for name, value in seen.items() if name not in _HINT_HEADERS}


def may_retry(seen: Seen) -> bool:
    """Whether `Critical-CH` would make this browser repeat its request: Chromium's navigations, without the hints."""
    return (
        "Chromium" in seen.get("sec-ch-ua", "")
        and seen.get("sec-fetch-dest", "document") == "document"
        and not has_hints(seen)
    )


def lacks_hints(direct: Direct) -> bool:
    """Whether hints could say more about the device than is known."""
    return any(param.name in _WANTED and param.why == NOT_SAID for param in direct.params)


class Asked:
    """What ad stacks ask browsers for themselves, by host: the newest answer that asks replaces what others asked."""

    def __init__(self) -> None:
        self._by_host: LRUCache[str, str] = LRUCache(HOSTS)

    def accept(self, response: http.Response, host: str, settings: HintSettings) -> None:
        """Asks for hints with the requests to come; what the ad stack asks for itself stays."""
        if own := response.headers.get("accept-ch"):
            if len(host) <= LONGEST_HOST:
                self._by_host[host] = own
        elif known := self._by_host.get(host):
            response.headers["Accept-CH"] = known
        _add_tokens(response.headers, "Accept-CH", HINTS)
        if settings.delegates:
            known = response.headers.get("permissions-policy", "")
            origins = " ".join(f'"{origin}"' for origin in settings.delegates)
            for feature in _FEATURES:
                if f"{feature}=" not in known:
                    response.headers.add("Permissions-Policy", f"{feature}=(self {origins})")


def _add_tokens(headers: http.Headers, name: str, tokens: tuple[str, ...]) -> None:
    given = headers.get(name, "")
    known = {token.strip().lower() for token in given.split(",")}
    missing = [token for token in tokens if token.lower() not in known]
    if missing:
        headers[name] = ", ".join([given, *missing] if given.strip() else missing)


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a browser got that is to repeat its request."""

    click: Click
    """Its headers are those alone that a retry has as well."""
    lease_until: float
    """Tells the lease apart under which the click's call is held."""
    digest: str
    """Of the rules that decided: the same ones must decide on the retry."""
    target: str
    """Host and path that were asked for."""
    until: float
    """When a request for another target is no retry any more."""
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    """The answer's headers, each byte a character."""

    def fits(self, flow: http.HTTPFlow, seen: Seen, now: float) -> bool:
        """Whether this request can be its retry."""
        is_same = all(seen.get(name, "") == value for name, value in self.click.headers.items())
        return is_same and (_target(flow, seen) == self.target or now <= self.until)

    def again(self) -> http.Response:
        """The same answer for the retry, without its body, which nobody sees."""
        headers = http.Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.fields])
        for name in ("critical-ch", "transfer-encoding", "content-encoding", "connection"):
            headers.pop(name, None)
        headers["Content-Length"] = "0"
        return http.Response.make(302, b"", headers)


def _key(token: str) -> bytes:
    return hashlib.blake2b(token.encode(errors="surrogateescape"), digest_size=16, person=b"retry").digest()


def _written(first: FirstAnswer) -> str:
    return json.dumps(asdict(first))


def _read(text: str) -> FirstAnswer:
    raw = json.loads(text)
    fields = tuple((name, value) for name, value in raw.pop("fields"))
    return FirstAnswer(Click(**raw.pop("click")), fields=fields, **raw)


class Retries:
    """Tells a browser to repeat its request, and knows the retry by a cookie that this browser alone has.

    Browsers keep a first answer's cookies before they repeat the request. They repeat the navigation from its very
    first URL: where that was another host's redirect, the request that reaches us may have a new link. So the cookie
    says which click it is; another target counts for a moment only, and when all else is as it was.
    """

    def __init__(self, clock: Callable[[], float], notes: Notes) -> None:
        self._clock = clock
        self._notes = notes

    async def expect(self, flow: http.HTTPFlow, click: Click, lease_until: float, rules: RuleSet) -> None:
        """Makes the browser repeat its request with the hints, now: the flow's response asks for it."""
        response = flow.response
        if response is None:
            return
        token = secrets.token_hex(16)
        kept = replace(click, headers={name: click.headers.get(name, "") for name in _SAME})
        target = _target(flow, click.headers)
        until = self._clock() + rules.hints.wait + MOMENT
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.fields)
        first = FirstAnswer(kept, lease_until, rules.digest, target, until, fields)
        try:
            await self._notes.leave(Note(_key(token), _written(first), WINDOW))
        except OutboxError as error:
            logger.debug("a browser is not asked to come back: %s", error)
            return
        _add_tokens(response.headers, "Critical-CH", HINTS)
        response.headers.add("Set-Cookie", f"{COOKIE}={token}; Max-Age={WINDOW:.0f}; {_COOKIE_RULES}")

    async def take(self, flow: http.HTTPFlow, seen: Seen) -> FirstAnswer | None:
        """The first answer to this request, where it is what it looks like: a browser's retry."""
        now = self._clock()

        def read(text: str) -> FirstAnswer | None:
            first = _read(text)
            return first if first.fits(flow, seen, now) else None

        try:
            return await self._notes.take(_key(flow.metadata[_TOKEN]), read)
        except OutboxError as error:
            logger.debug("a browser's retry is a click of its own: %s", error)
            return None


def looks_like_retry(flow: http.HTTPFlow, seen: Seen) -> bool:
    """A navigation with hints, by a browser that has had one of our cookies."""
    return _TOKEN in flow.metadata and not flow.is_replay and flow.request.method == "GET" and has_hints(seen)


def hide_cookie(flow: http.HTTPFlow, seen: Seen) -> None:
    """Takes our cookie out of a request, so that the ad stack does not see it; `Retries` know it then."""
    if COOKIE not in seen.get("cookie", ""):
        return
    fields = []
    for name, value in flow.request.headers.fields:
        if name.lower() != b"cookie" or _OURS not in value:
            fields.append((name, value))
            continue
        kept = []
        for crumb in (crumb.strip() for crumb in value.decode("utf-8", "surrogateescape").split(";")):
            if crumb.startswith(f"{COOKIE}="):
                flow.metadata[_TOKEN] = crumb.partition("=")[2]
            else:
                kept.append(crumb)
        if any(kept):
            fields.append((name, "; ".join(kept).encode("utf-8", "surrogateescape")))
    flow.request.headers.fields = tuple(fields)
    seen.pop("cookie")


def _target(flow: http.HTTPFlow, seen: Mapping[str, str]) -> str:
    return f"{seen.get('host')}{flow.request.path}"
