"""mitmproxy's flows to the model: the click's headers."""

from ipaddress import ip_network

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow

from storehop.decide import points
from storehop.decide.address import Proxies, client_address
from storehop.host import flows
from storehop.host.flows import drop_trailers, headers_of, read
from tests.support.linear import MOST_GROWTH, growth

CLIENT = "93.184.216.34"
LINK = "https://app.appsflyer.com/com.example.game?pid=x"


@pytest.mark.parametrize(
    ("length", "small"),
    [("0", True), ("65536", True), ("65537", False), ("9" * 5_000, False), ("-1", False), ("٣", False), ("", False)],
)
def test_a_body_is_small_by_its_content_length(length, small):
    """A redirect's page of at most 64 KB is small; a length without an end is none, and no error."""
    response = tflow.tflow(resp=True).response
    response.headers["Content-Length"] = length

    assert small is flows.has_small_body(response)


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("X-Forwarded-For", ["8.8.8.8", CLIENT]),
        ("x-forwarded-for", ["8.8.8.8, 1.1.1.1", f"{CLIENT}:4711, 10.0.0.2", "10.0.0.3"]),
        ("Forwarded", ["for=8.8.8.8", f"for={CLIENT};proto=https, for=10.0.0.2"]),
        ("CF-Connecting-IP", ["8.8.8.8", CLIENT]),
    ],
)
def test_several_header_lines_are_one_chain(header, lines):
    """Lines of one header, in whatever case, are one list in the order in which they came: the last proxy is last."""
    flow = tflow.tflow()
    flow.request.headers = Headers([(b"Host", b"a.example"), *((header.encode(), line.encode()) for line in lines)])
    proxies = Proxies((ip_network("10.0.0.0/8"),), header.lower())

    assert CLIENT == str(client_address("10.0.0.1", read(flow, headers_of(flow.request), LINK, "id").headers, proxies))


def headers_with(*fields):
    """The headers of a request with these fields."""
    flow = tflow.tflow()
    flow.request.headers = Headers(fields)
    return headers_of(flow.request)


def test_the_crumbs_of_a_cookie_are_one_cookie():
    """HTTP/2 splits it into fields (RFC 9113 §8.2.3); of other fields lines are a list."""
    fields = [(b"cookie", b"a=1"), (b"accept", b"x"), (b"cookie", b"b=2"), (b"Cookie", b"c=3; d=4"), (b"Accept", b"y")]

    assert {"cookie": "a=1; b=2; c=3; d=4", "accept": "x, y"} == headers_with(*fields)


def request_with(lines):
    """A request with so many equal lines."""
    flow = tflow.tflow()
    flow.request.headers = Headers([(b"X-Forwarded-For", b"a" * 1000)] * lines)
    return flow.request


@pytest.mark.measures
def test_many_equal_lines_cost_linear_time():
    """Joined one by one they would take quadratic time."""
    assert growth(request_with, headers_of, size=2_500) <= MOST_GROWTH


def test_a_long_name_is_not_remembered():
    """Who sends such does not choose how much memory we keep."""
    points.LOWER.clear()
    found = headers_with((b"X" * points.MAX_CACHED_NAME_BYTES, b"1"), (b"Y" * (points.MAX_CACHED_NAME_BYTES + 1), b"2"))

    assert ({"x" * points.MAX_CACHED_NAME_BYTES: "1", "y" * (points.MAX_CACHED_NAME_BYTES + 1): "2"}, 1) == (
        found,
        len(points.LOWER),
    )


@pytest.mark.parametrize(("alpn", "expected"), [(None, None), (b"http/1.1", None), (b"h2", "7"), (b"h3", "7")])
def test_trailers_reach_who_can_read_them(alpn, expected):
    """HTTP/1.1 has no way to say them that mitmproxy knows."""
    flow = tflow.tflow()
    flow.server_conn.alpn, flow.request.trailers = alpn, Headers([(b"x-sum", b"7")])
    drop_trailers(flow)

    assert expected == (flow.request.trailers or {}).get("x-sum")


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        ({"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABk"}, {}),
        ({"Upgrade": "H2C", "Connection": "upgrade"}, {}),
        ({"Upgrade": "websocket, h2c-17", "Connection": "close, Upgrade"}, {"Connection": "close"}),
        ({"Upgrade": "h2c"}, {}),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, {"Upgrade": "websocket", "Connection": "Upgrade"}),
    ],
)
def test_nobody_goes_on_in_http_2(sent, forwarded):
    """What an ad stack agreed on would pass undecided."""
    flow = tflow.tflow()
    flow.request.headers = Headers(**{name.replace("-", "_"): value for name, value in sent.items()})
    headers = headers_of(flow.request)
    flows.drop_h2c(flow, headers)

    assert (forwarded, "upgrade" in forwarded or "Upgrade" in forwarded) == (
        dict(flow.request.headers),
        "upgrade" in headers,
    )
