"""Which connections get layers of ours."""

import pytest
from mitmproxy.exceptions import AddonHalt
from mitmproxy.proxy.layers import ServerTLSLayer
from OpenSSL import SSL

from storehop.host.layers.client_tls import BoundedTls, ClientTls
from storehop.host.layers.refusal import Refusal
from storehop.host.layers.stack import ANY, Http, Port, layers_for
from tests.support.wires import GATE, Browser2, Wire, context

HELLO = b"\x16\x03\x01\x02\x00\x01"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("mode", "received", "expected"),
    [
        ("reverse:http://a", b"GET", [Http]),
        ("reverse:http://a", HELLO, [BoundedTls, Http]),
        ("reverse:https://a", b"GET", [ServerTLSLayer, Http]),
        ("reverse:https://a", HELLO, [ServerTLSLayer, BoundedTls, Http]),
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


HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BY_TLS, PLAIN, H2C = Port(tls=True), Port(tls=False), Port(tls=False, h2c=True)


def chosen(received, port):
    made = context()
    layers_for(made, received, GATE, port=port)
    return [type(layer) for layer in made.layers[1:]], made.client.alpn


@pytest.mark.parametrize(
    ("port", "received", "expected"),
    [
        (BY_TLS, HELLO, [ClientTls, Http]),
        (BY_TLS, HELLO[:1], [ClientTls, Http]),
        (BY_TLS, b"G", [Refusal]),
        (BY_TLS, HTTP2, [Refusal]),
        (PLAIN, b"G", [Http]),
        (PLAIN, HELLO, [Refusal]),
        (PLAIN, HELLO[:1], [Refusal]),
        (H2C, HELLO, [Refusal]),
    ],
)
def test_a_port_speaks_one_language(port, received, expected):
    """TLS or none, as its owner said: one byte tells."""
    assert (expected, None) == chosen(received, port)


@pytest.mark.parametrize(
    ("port", "received", "expected"),
    [
        (H2C, HTTP2, b"h2"),
        (H2C, HTTP2 + b"more", b"h2"),
        (H2C, b"POST /", None),
        (H2C, b"PRI * HTTP/1.1\r\n", None),
        (PLAIN, HTTP2, None),
        (ANY, HTTP2, None),
    ],
)
def test_a_preface_is_http_2_where_that_is_asked_for(port, received, expected):
    """With prior knowledge; elsewhere it is a bad request."""
    assert ([Http], expected) == chosen(received, port)


@pytest.mark.parametrize("received", [b"P", b"PR", HTTP2[:-1]])
def test_half_a_preface_waits_for_the_rest(received):
    """Nobody else chooses meanwhile."""
    with pytest.raises(AddonHalt):
        layers_for(context(), received, GATE, port=H2C)


def test_a_preface_may_come_byte_by_byte():
    """And so may a request that begins alike."""
    browser = Browser2(port=H2C)
    browser.ask()
    wire = Wire(port=H2C)
    for at in range(len(POST)):
        wire.receive(POST[at : at + 1])

    assert (1, 1, 200) == (len(browser.wire.asked), len(wire.asked), wire.status)


def test_a_preface_that_nobody_asked_for_is_a_bad_request():
    """Its client is told so, the log is not."""
    wire = Wire(port=PLAIN)
    wire.receive(HTTP2)

    assert (400, []) == (wire.status, wire.asked)
    assert all("refused with 400" in line for line in wire.log)


def test_plain_http_on_a_tls_port_is_told_so():
    """By 400, and the connection is closed a moment later, so that the answer arrives."""
    wire = Wire(port=BY_TLS)
    wire.receive(POST)
    sent, was_closed = wire.sent, (wire.is_half_closed, wire.is_closed)
    wire.wake()

    assert ((True, False), True) == (was_closed, wire.is_closed)
    assert sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert sent.endswith(b"\r\n\r\n400 Bad Request: The plain HTTP request was sent to an HTTPS port.\n")


def test_tls_on_a_plain_port_gets_an_alert():
    """A fatal one that OpenSSL understands; more bytes get no second one."""
    wire = Wire(port=PLAIN)
    for piece in (HELLO[:1], HELLO[1:], bytes(100)):
        wire.receive(piece)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    client.bio_write(wire.sent)

    with pytest.raises(SSL.Error, match="handshake failure"):
        client.do_handshake()


def test_who_is_refused_can_not_go_on_for_ever():
    """A megabyte is read and dropped, then the connection is closed; and at once where the client leaves."""
    endless, brief = Wire(port=PLAIN), Wire(port=PLAIN)
    for _ in range(18):
        endless.receive(HELLO + bytes(65000))
    brief.receive(HELLO)
    brief.leave()

    assert (True, True) == (endless.is_closed, brief.is_closed)
