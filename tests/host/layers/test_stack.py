"""Which connections get layers of ours."""

import pytest
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer

from storehop.host.layers.stack import Http, layers_for
from tests.support.wires import GATE, context

HELLO = b"\x16\x03\x01\x02\x00\x01"


@pytest.mark.parametrize(
    ("mode", "received", "expected"),
    [
        ("reverse:http://a", b"GET", [Http]),
        ("reverse:http://a", HELLO, [ClientTLSLayer, Http]),
        ("reverse:https://a", b"GET", [ServerTLSLayer, Http]),
        ("reverse:https://a", HELLO, [ServerTLSLayer, ClientTLSLayer, Http]),
    ],
)
def test_a_reverse_proxy_gets_them(mode, received, expected):
    """The same as mitmproxy's own, but for HTTP."""
    made = context(mode)
    layers_for(made, received, GATE)

    assert expected == [type(layer) for layer in made.layers[1:]]


@pytest.mark.parametrize(
    "mode",
    [
        "regular",
        "upstream:http://a",
        "socks5",
        "transparent",
        "reverse:tcp://a:1",
        "reverse:tls://a:1",
        "reverse:dns://a",
    ],
)
def test_all_else_is_mitmproxys(mode):
    """Forward modes stay a debugging proxy."""
    made = context(mode)

    assert (None, 1) == (layers_for(made, b"GET", GATE), len(made.layers))


def test_what_is_no_first_layer_is_mitmproxys():
    """Whoever came first has decided already."""
    made = context()
    layers_for(made, b"GET", GATE)

    assert layers_for(made, b"GET", GATE) is None


def test_http_3_is_mitmproxys():
    """Over UDP QUIC has its own layers."""
    assert layers_for(context("reverse:https://a", "udp"), b"", GATE) is None
