"""mitmproxy's flows to the model and back: the one place where both are known."""

from __future__ import annotations

import time
from collections.abc import Iterable

from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide import points
from storehop.decide.address import Proxies
from storehop.decide.points import Headers
from storehop.host.strangers import Strangers
from storehop.model import Click, Direct

HTTP_WITH_TRAILERS = frozenset({b"h2", b"h3"})
"""ALPN names."""

SMALL_BODY_BYTES = 64 * 1024

_OWN_FIELDS = ((b"Cache-Control", b"no-store"), (b"Content-Length", b"0"))
_OF_THE_OLD_ANSWER = frozenset(
    {
        # where it went
        "location",
        "refresh",
        "link",
        "content-location",
        # for how long a cache in front may keep it, and how it asks again; all that end in `cache-control`, too
        "age",
        "edge-control",
        "etag",
        "expires",
        "last-modified",
        "surrogate-control",
        "x-accel-expires",
        # its body
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "digest",
        "repr-digest",
        "trailer",
        "transfer-encoding",
    }
)
"""Headers that a rewritten redirect does not have (RFC 9110, RFC 9111, RFC 9213, and those of caches' makers)."""
_FORWARDED = {
    "x-forwarded-for": b"X-Forwarded-For",
    "x-forwarded-proto": b"X-Forwarded-Proto",
    "x-forwarded-host": b"X-Forwarded-Host",
}


def headers_of(request: http.Request) -> Headers:
    """Reads a request's headers."""
    headers = points.joined_headers(request.headers.fields)
    if "host" not in headers and request.authority:
        headers["host"] = request.authority  # HTTP/2
    return headers


def is_forward(flow: http.HTTPFlow) -> bool:
    """Whether the client named a target to a proxy; else it talks to us as to a server."""
    return flow.client_conn.proxy_mode.type_name in points.FORWARD_MODES


def target_host(flow: http.HTTPFlow, headers: Headers) -> str:
    """The host that a request is addressed to, lower case: the target in a forward mode, else its own Host."""
    if is_forward(flow):
        return flow.request.host.lower().rstrip(".")
    return points.target_of_host(headers.get("host", ""))


def own_link(flow: http.HTTPFlow, headers: Headers) -> str:
    """The attribution link that a request addressed to an attribution host is."""
    request = flow.request
    if is_forward(flow):
        return points.link_of_target(request.scheme, request.host, request.port, request.path)
    return points.link_of_host(points.target_of_host(headers.get("host", "")), request.path)


def redirect_link(flow: http.HTTPFlow) -> str | None:
    """The Location of a redirect, else None. Several of them are joined, which no link survives."""
    response = flow.response
    if response is None or response.status_code not in points.REDIRECTS:
        return None
    found = [value for name, value in response.headers.fields if points.LOWER[name] == "location"]
    return b", ".join(found).decode("utf-8", "surrogateescape") if found else None


def read(flow: http.HTTPFlow, headers: Headers, link: str, click_id: str, *, at_answer: bool = False) -> Click:
    """The click that this flow is. In reverse mode a link that is asked for is a stranger's own word (design §2)."""
    is_believed = not at_answer or is_forward(flow)
    return Click(click_id, flow.request.method, link, headers, peer_address(flow), at_answer, is_believed)


def peer_address(flow: http.HTTPFlow) -> str:
    """The TCP peer's address; empty for a flow that came from no connection."""
    peer = flow.client_conn.peername
    return peer[0] if peer else ""


def answer(direct: Direct) -> http.Response:
    """Our own 302: the user never meets an upstream."""
    now = time.time()
    location = direct.location.encode("utf-8", "surrogateescape")
    headers = http.Headers()
    headers.fields = ((b"Location", location), *_OWN_FIELDS)  # its constructor would look at each of them
    return http.Response(b"HTTP/1.1", 302, b"Found", headers, b"", None, now, now)


def not_sent() -> http.Response:
    """The answer to a replay that would count a click again: nobody was asked (RFC 9110 §15.3.5)."""
    return http.Response.make(204, b"", {"Cache-Control": "no-store"})


def drop_trailers(flow: http.HTTPFlow) -> None:
    """Takes away a request's trailers where its ad stack speaks HTTP/1.1: mitmproxy would fail (RFC 9110 §6.5.1)."""
    if flow.request.trailers and flow.server_conn.alpn not in HTTP_WITH_TRAILERS:
        flow.request.trailers = None


def drop_h2c(flow: http.HTTPFlow, headers: Headers) -> None:
    """Takes away a wish to go on in HTTP/2 (RFC 7540 §3.2): what came behind it, nobody would decide on."""
    if not any(protocol.strip().lower().startswith("h2c") for protocol in headers["upgrade"].split(",")):
        return
    for name in ("upgrade", "http2-settings"):
        headers.pop(name, None)
        flow.request.headers.pop(name, None)
    kept = [one.strip() for one in headers.get("connection", "").split(",")]
    kept = [one for one in kept if one.lower() not in {"", "upgrade", "http2-settings"}]
    flow.request.headers.pop("connection", None)
    if kept:
        flow.request.headers["Connection"] = ", ".join(kept)


def is_shown_call(flow: http.HTTPFlow) -> bool:
    """Whether this flow shows an S2S call of ours."""
    return flow.metadata.get("storehop") == "s2s"


def forget_decision(flow: http.HTTPFlow) -> None:
    """A replayed click is a new one to decide on."""
    if not is_shown_call(flow):
        flow.metadata.pop("storehop", None)
        flow.metadata.pop(points.ORIGINAL_LINK, None)


def rewrite(response: http.Response, direct: Direct, link: str) -> None:
    """Points the ad stack's redirect at the store (design §2): its headers stay, but for what `_is_kept` leaves out.

    Its body goes too: a page that says where the browser goes names the old link.
    """
    response.status_code = 302
    if not response.is_http2:
        response.reason = "Found"
    location = direct.location.encode("utf-8", "surrogateescape")
    old = link.encode("utf-8", "surrogateescape")
    others = [field for field in response.headers.fields if _is_kept(points.LOWER[field[0]], field[1], old)]
    response.headers.fields = ((b"Location", location), *_OWN_FIELDS, *others)
    response.stream = _no_body


def _is_kept(name: str, value: bytes, old_link: bytes) -> bool:
    """Whether a header of a redirect is as true of the one to the store."""
    if name in _OF_THE_OLD_ANSWER or name.endswith("cache-control"):
        return False
    return name == "set-cookie" or old_link not in value


def _no_body(_chunk: bytes) -> tuple[bytes, ...]:
    return ()


def end_without_body(flow: http.HTTPFlow) -> None:
    """What streamed into nothing: a view shows an empty body, and no trailer follows it."""
    if flow.response:
        flow.response.trailers = None
        if flow.response.raw_content is None:
            flow.response.raw_content = b""


def has_small_body(response: http.Response) -> bool:
    """Whether a redirect's page may be held in memory where somebody looks at it."""
    length = response.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return False
    return (
        len(length) <= len(str(SMALL_BODY_BYTES)) and int(length) <= SMALL_BODY_BYTES
    )  # int() reads 4,300 digits at the most


def add_forwarded_headers(flow: http.HTTPFlow, headers: Headers, proxies: Proxies, strangers: Strangers) -> None:
    """Tells the ad stack behind a reverse proxy who its user is and what they asked for (design §2).

    The peer joins X-Forwarded-For. Scheme and host are ours to say unless a trusted proxy said them.
    Forward modes stay as they are: there the next server is anybody's.
    """
    if not isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        return
    peer = peer_address(flow)
    is_trusted = strangers.trust(peer, proxies)
    if not is_trusted:
        strangers.look(peer, headers, proxies.header)
    earlier = headers.get("x-forwarded-for")
    ours = {"x-forwarded-for": f"{earlier}, {peer}" if earlier else peer}
    if not (is_trusted and "x-forwarded-proto" in headers):
        ours["x-forwarded-proto"] = "https" if flow.client_conn.tls_established else "http"
    if "host" in headers and not (is_trusted and "x-forwarded-host" in headers):
        ours["x-forwarded-host"] = headers["host"]
    fields: Iterable[tuple[bytes, bytes]] = flow.request.headers.fields
    if not ours.keys().isdisjoint(headers):
        lower = points.LOWER
        fields = [field for field in fields if lower[field[0]] not in ours]
    headers.update(ours)
    lines = [(_FORWARDED[name], value.encode("utf-8", "surrogateescape")) for name, value in ours.items()]
    flow.request.headers.fields = (*fields, *lines)
