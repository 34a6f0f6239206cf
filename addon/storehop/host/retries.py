"""A browser's retry: `Critical-CH` has it repeat its request with client hints, and it does not follow the first
answer. That click's S2S call is held for a moment, so that it can go out with the hints.

Browsers keep a first answer's cookies before they repeat the request, so a cookie that this browser alone has says
which click it is. They repeat the navigation from its very first URL: where that was another host's redirect, the
request that reaches us may have a new link. So another target counts for a moment only, and when all else is as it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from mitmproxy import http

from storehop.decide.hints import were_sent
from storehop.decide.points import Headers
from storehop.decide.rules import RuleSet
from storehop.deliver.operations import Answer
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.duplicates import WINDOW_S
from storehop.host.hints import HINTS, add_tokens
from storehop.model import Click

logger = logging.getLogger(__name__)

OTHER_TARGET_S = 2.0
"""Time, beyond the hold, in which a browser is back with another link: nobody taps two ads so fast."""
COOKIE = "__Host-storehop"
"""Which first answer a browser had; it lasts for WINDOW_S: a retry is a click that comes twice."""
_COOKIE_BYTES = COOKIE.encode()
_COOKIE_RULES = "Path=/; Secure; HttpOnly; SameSite=Lax"
TOKEN, _PLANNED = "storehop_retry", "storehop_planned"
"""Keys of a flow's metadata: the token that a request brought, and the one that its answer will set."""
_REPEATED = (
    "user-agent",
    "accept-language",
    "referer",
    "sec-ch-ua",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
)
"""Headers that a browser repeats with its request."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a browser got that is to repeat its request."""

    click: Click
    """Its headers are those alone that a retry has as well."""
    digest: str
    """Of the rules that decided: the same ones must decide on the retry."""
    target: str
    """Host and path that were asked for."""
    until: float
    """Unix seconds, after which a request for another target is no retry any more."""
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    """The answer's headers, each byte a character."""

    def fits(self, flow: http.HTTPFlow, headers: Headers) -> bool:
        """Whether this request can be its retry."""
        is_same = all(headers.get(name, "") == value for name, value in self.click.headers.items())
        return is_same and (_target(flow, headers) == self.target or time.time() <= self.until)

    def again(self) -> http.Response:
        """The same answer for the retry, without its body, which nobody sees."""
        headers = http.Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.fields])
        for name in ("critical-ch", "transfer-encoding", "content-encoding", "connection"):
            headers.pop(name, None)
        headers["Content-Length"] = "0"
        return http.Response.make(302, b"", headers)

    def to_text(self) -> str:
        """As the outbox keeps it, for whatever process gets the retry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> FirstAnswer:
        """What `to_text` gave."""
        raw = json.loads(text)
        fields = tuple((name, value) for name, value in raw.pop("fields"))
        return cls(Click(**raw.pop("click")), fields=fields, **raw)


def plan(flow: http.HTTPFlow, click: Click, rules: RuleSet, response: http.Response) -> Answer:
    """What the retry of this flow's request will be answered: this response, once more. `ask_to_retry` follows."""
    flow.metadata[_PLANNED] = token = secrets.token_hex(16)
    same = replace(click, headers={name: click.headers.get(name, "") for name in _REPEATED})
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.fields)
    until = time.time() + rules.hints.wait + OTHER_TARGET_S
    first = FirstAnswer(same, rules.digest, _target(flow, click.headers), until, fields)
    return Answer(_key(token), first.to_text(), WINDOW_S)


def ask_to_retry(flow: http.HTTPFlow, response: http.Response) -> None:
    """Makes the browser repeat its request with the hints, now, and know what was planned for that."""
    add_tokens(response.headers, "Critical-CH", HINTS)
    token = flow.metadata.pop(_PLANNED)
    response.headers.add("Set-Cookie", f"{COOKIE}={token}; Max-Age={WINDOW_S:.0f}; {_COOKIE_RULES}")


async def take(outbox: Outbox, flow: http.HTTPFlow, headers: Headers) -> FirstAnswer | None:
    """The first answer to this request, where it is a browser's retry; it is taken once, by one process."""
    key = _key(flow.metadata[TOKEN])
    try:
        text = await outbox.recall(key)
        first = FirstAnswer.from_text(text) if text else None
        if text and first and first.fits(flow, headers) and await outbox.forget(key, text):
            return first
    except OutboxError as error:
        logger.debug("a browser's retry is a click of its own: %s", error)
    return None


def looks_like_retry(flow: http.HTTPFlow, headers: Headers) -> bool:
    """A navigation with hints, by a browser that has had one of our cookies."""
    return TOKEN in flow.metadata and not flow.is_replay and flow.request.method == "GET" and were_sent(headers)


def hide_cookie(flow: http.HTTPFlow, headers: Headers) -> None:
    """Takes our cookie out of a request: the ad stack does not see it, and its token (TOKEN) stays with the flow."""
    fields = []
    for name, value in flow.request.headers.fields:
        if name.lower() != b"cookie" or _COOKIE_BYTES not in value:
            fields.append((name, value))
        elif others := _without_ours(flow, value):
            fields.append((name, others))
    flow.request.headers.fields = tuple(fields)
    headers.pop("cookie")


def _without_ours(flow: http.HTTPFlow, line: bytes) -> bytes:
    crumbs = []
    for crumb in (crumb.strip() for crumb in line.decode("utf-8", "surrogateescape").split(";")):
        if crumb.startswith(f"{COOKIE}="):
            flow.metadata[TOKEN] = crumb.partition("=")[2]
        else:
            crumbs.append(crumb)
    return "; ".join(crumbs).encode("utf-8", "surrogateescape") if any(crumbs) else b""


def _target(flow: http.HTTPFlow, headers: Mapping[str, str]) -> str:
    return f"{headers.get('host')}{flow.request.path}"


def _key(token: str) -> bytes:
    return hashlib.blake2b(token.encode(errors="surrogateescape"), digest_size=16, person=b"retry").digest()
