"""mitmproxy's flows to the model: the click's headers."""

from ipaddress import ip_network

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow

from storehop.decide.address import Proxies, client_address
from storehop.host.flows import read, see

CLIENT = "93.184.216.34"
LINK = "https://app.appsflyer.com/com.example.game?pid=x"


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

    assert CLIENT == str(client_address("10.0.0.1", read(flow, see(flow.request), LINK, "id").headers, proxies))
