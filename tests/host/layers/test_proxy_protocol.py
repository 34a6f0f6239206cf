"""A port whose connections begin with a PROXY header: whose client is whose, and who is closed."""

import logging

import h2.events
import pytest

from storehop.host.layers.proxy_protocol import Balancers
from storehop.host.layers.stack import Port
from tests.host.layers.test_proxy_header import raw_v2, v2
from tests.support.wires import Browser2, Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"
TRUSTED = "192.0.2.1"
"""The peer of every Wire."""


def proxied(*pieces, trusted=TRUSTED, port=None):
    """What becomes of bytes that come in these pieces."""
    wire = Wire(port=port or Port(proxy_protocol=True), balancers=Balancers(lambda peer: peer == trusted))
    for piece in pieces:
        wire.receive(piece)
    return wire


def peers(wire):
    return [flow.client_conn.peername for flow in wire.asked]


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (V1, ("203.0.113.7", 56324)),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", ("2001:db8::7", 1)),
        (v2("203.0.113.7", 56324, b"\x04\x00\x01x"), ("203.0.113.7", 56324)),
        (b"PROXY UNKNOWN\r\n", (TRUSTED, 4711)),
        (raw_v2(0x20, 0, b""), (TRUSTED, 4711)),
    ],
    ids=["v1", "v1, IPv6", "v2", "unknown", "local"],
)
def test_the_source_becomes_the_client(header, peer):
    """For every request of the connection; a health check's client is the load balancer itself."""
    wire = proxied(header + GET, GET)

    assert ([peer, peer], 200, False) == (peers(wire), wire.status, wire.is_closed)


def test_a_header_may_come_byte_by_byte():
    """And the request behind it as well."""
    whole = v2("203.0.113.7", 56324, bytes(50)) + GET
    wire = proxied(*(whole[at : at + 1] for at in range(len(whole))))

    assert ([("203.0.113.7", 56324)], 200) == (peers(wire), wire.status)


def test_nothing_is_asked_before_the_header_is_whole():
    """No hook sees the load balancer's address as the client's."""
    wire = proxied(V1[:-1])

    assert (["next_layer"], b"", False) == (wire.hooks, wire.sent, wire.is_closed)


@pytest.mark.parametrize(
    "first", [GET, b"\x16\x03\x01\x02\x00\x01", b"\r\n", b"PROXY TCP5 1 2 3 4\r\n", v2("::1", 1)[:-40]]
)
def test_a_connection_without_header_is_closed(first, caplog):
    """Nothing is guessed, and nothing is answered; what came is not in the log."""
    wire = proxied(first.ljust(200, b"x"))

    assert (b"", True, []) == (wire.sent, wire.is_closed, wire.asked)
    assert 1 == len(caplog.messages)
    assert caplog.messages[0].startswith(f"--proxy-protocol: a connection from {TRUSTED} is closed: ")


def test_a_peer_that_is_not_trusted_is_closed(caplog):
    """Its header could be anybody's invention."""
    wire = proxied(V1 + GET, trusted="10.0.0.1")

    assert (b"", True, []) == (wire.sent, wire.is_closed, wire.asked)
    assert caplog.messages == [
        f"--proxy-protocol: a connection from {TRUSTED} is closed: it is not in client_ip.trusted_proxies"
    ]


def test_refusals_are_said_once_a_minute(caplog):
    """With how many there were, and the last peer."""
    now = [0.0]
    balancers = Balancers(lambda _peer: False, lambda: now[0])
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        balancers.refuse(peer, "why")
    now[0] = 61.0
    balancers.refuse("192.0.2.4", "why")

    assert [logging.WARNING] * 2 == [record.levelno for record in caplog.records]
    assert ["192.0.2.1", "192.0.2.4"] == [message.split()[4] for message in caplog.messages]
    assert caplog.messages[1].endswith("why (3 times since the last such line)")


def test_a_client_that_leaves_before_its_header_is_let_go():
    """Its connection is closed, without a line."""
    wire = proxied(b"PROXY ")
    wire.leave()

    assert (True, []) == (wire.is_closed, wire.asked)


def test_http_2_comes_behind_it():
    """With prior knowledge, where that is asked for; the header and the preface may come in one piece."""
    browser = Browser2(V1, port=Port(h2c=True, proxy_protocol=True), balancers=Balancers(lambda _peer: True))
    browser.ask()

    answers = [event for event in browser.events if isinstance(event, h2.events.ResponseReceived)]

    assert ([("203.0.113.7", 56324)], 1) == (peers(browser.wire), len(answers))
