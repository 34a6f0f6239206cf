"""mitmproxy's flows to the model and back: the one place where both are known."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide import address
from storehop.decide.address import Proxies
from storehop.model import Click, Direct

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses whose Location a browser follows (RFC 9110 §15.4)."""

SMALL_BODY = 64 * 1024
"""Bytes."""

_FORWARD_MODES = (mode_specs.RegularMode, mode_specs.UpstreamMode, mode_specs.Socks5Mode)


def target_host(flow: http.HTTPFlow) -> str:
    """The host that a request is addressed to, lower case: the target in a forward mode, else its own Host."""
    request = flow.request
    if isinstance(flow.client_conn.proxy_mode, _FORWARD_MODES):
        host = request.host
    else:
        host = (request.host_header or "").partition(":")[0]
    return host.lower().rstrip(".")


def own_link(flow: http.HTTPFlow) -> str:
    """The attribution link that a request addressed to an attribution host is."""
    request = flow.request
    if isinstance(flow.client_conn.proxy_mode, _FORWARD_MODES):
        return f"{request.scheme}://{request.host}:{request.port}{request.path}"
    return f"https://{target_host(flow)}{request.path}"  # the port is our listener's, the scheme our proxy's


def redirect_link(flow: http.HTTPFlow) -> str | None:
    """The Location of a redirect, else None. Several of them are joined, which no link survives."""
    response = flow.response
    if response is None or response.status_code not in REDIRECTS:
        return None
    return response.headers.get("location")


def read(flow: http.HTTPFlow, link: str, click_id: str) -> Click:
    """The click that this flow is."""
    return Click(click_id, flow.request.method, link, headers(flow.request), peer_address(flow))


def headers(request: http.Request) -> dict[str, str]:
    """The headers by lower-case name; several lines of one name are joined."""
    found: dict[str, str] = {}
    for name, value in request.headers.items(multi=True):
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def peer_address(flow: http.HTTPFlow) -> str:
    """The TCP peer's address; empty for a flow that came from no connection."""
    peer = flow.client_conn.peername
    return peer[0] if peer else ""


def answer(direct: Direct) -> http.Response:
    """Our own 302: the user never meets an upstream."""
    fields = {"Location": direct.location, "Cache-Control": "no-store", "Content-Length": "0"}
    return http.Response.make(302, b"", fields)


def not_sent() -> http.Response:
    """The answer to a replay that would count a click again: nobody was asked (RFC 9110 §15.3.5)."""
    return http.Response.make(204, b"", {"Cache-Control": "no-store"})


def is_shown_call(flow: http.HTTPFlow) -> bool:
    """Whether this flow shows an S2S call of ours."""
    return flow.metadata.get("storehop") == "s2s"


def forget_decision(flow: http.HTTPFlow) -> None:
    """A replayed click is a new one to decide on."""
    if not is_shown_call(flow):
        flow.metadata.pop("storehop", None)


def rewrite(response: http.Response, direct: Direct) -> None:
    """Points the ad stack's redirect at the store; every other header stays."""
    response.status_code = 302
    if not response.is_http2:
        response.reason = "Found"
    response.headers["Location"] = direct.location
    response.headers["Cache-Control"] = "no-store"


def has_small_body(response: http.Response) -> bool:
    """Whether a redirect's page may be held in memory where somebody looks at it."""
    length = response.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and int(length) <= SMALL_BODY


def add_forwarded_headers(flow: http.HTTPFlow, proxies: Proxies) -> None:
    """Tells the ad stack behind a reverse proxy who its user is and what they asked for (design §2).

    The peer joins X-Forwarded-For. Scheme and host are ours to say unless a trusted proxy said them.
    Forward modes stay as they are: there the next server is anybody's.
    """
    if not isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        return
    lines = flow.request.headers
    peer = peer_address(flow)
    given = lines.get("X-Forwarded-For")
    lines["X-Forwarded-For"] = f"{given}, {peer}" if given else peer
    known = address.parse(peer)
    is_trusted = known is not None and proxies.trust(known)
    facts = {
        "X-Forwarded-Proto": "https" if flow.client_conn.tls_established else "http",
        "X-Forwarded-Host": flow.request.host_header,
    }
    for name, value in facts.items():
        if value and not (is_trusted and name in lines):
            lines[name] = value
