"""What a client may say before TLS begins: no more than a ClientHello, and each byte is read once."""

import ssl

import pytest
from mitmproxy.proxy.layers import tls
from OpenSSL import SSL

from storehop.host.layers.client_tls import MAX_HELLO_BYTES
from storehop.host.layers.refusal import TLS_ALERT
from storehop.host.layers.stack import Port
from tests.support.wires import Wire

ENDLESS = b"\x16\x03\x01\x00\x06\x01\xff\xff\xff\x03\x03"
"""A ClientHello of 16 MB begins."""
CRUMB = b"\x16\x03\x01\x00\x01A"
"""A record with one byte of it."""
PORTS = pytest.mark.parametrize("port", [Port(), Port(tls=True)], ids=["stock", "sidecar"])


@pytest.fixture
def parsed(monkeypatch):
    """The sizes of what mitmproxy parses."""
    sizes = []
    parse = tls.parse_client_hello
    monkeypatch.setattr(tls, "parse_client_hello", lambda data: sizes.append(len(data)) or parse(data))
    return sizes


class TlsWire(Wire):
    """Speaks TLS, without a certificate: handshakes fail as soon as they have begun."""

    def _hook(self, hook):
        if hook.name == "tls_start_client":
            hook.data.ssl_conn = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
            hook.data.ssl_conn.set_accept_state()
        super()._hook(hook)


def hello(name="a.example", size=0):
    """A real one, in records of `size` bytes; 0: in one."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    record = sent.read()
    size = size or len(record)
    body = record[5:]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


@PORTS
def test_a_hello_that_does_not_end_ends_the_connection(port, parsed):
    """With an alert, after a bounded number of bytes, which nobody has parsed."""
    wire = Wire(port=port)
    wire.receive(ENDLESS)
    taken = 0
    while not wire.is_closed and taken < 2 * MAX_HELLO_BYTES:
        wire.receive(CRUMB)
        taken += len(CRUMB)

    assert (True, TLS_ALERT, True) == (wire.is_closed, wire.sent, taken <= MAX_HELLO_BYTES)
    assert [] == parsed


@PORTS
def test_a_large_piece_of_one_is_no_different(port, parsed):
    """However little was there before."""
    wire = Wire(port=port)
    wire.receive(ENDLESS + CRUMB * 10_000)

    assert (True, TLS_ALERT, []) == (wire.is_closed, wire.sent, parsed)


@PORTS
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_hello_in_pieces_is_parsed_once(port, parsed, size):
    """Byte by byte, in records of any size."""
    said = hello(size=size)
    wire = TlsWire(port=port)
    wire.receive(said[:3])  # so many tell mitmproxy's own tools that it is TLS
    for byte in said[3:]:
        wire.receive(bytes([byte]))

    assert ([len(said)], "a.example") == (parsed, wire.context.client.sni)


@PORTS
def test_what_follows_a_hello_is_not_counted(port, parsed):
    """Early data may come with it."""
    said = hello() + b"\x17\x03\x03\x40\x00" + bytes(MAX_HELLO_BYTES)
    wire = TlsWire(port=port)
    wire.receive(said)

    assert ([len(said)], "a.example") == (parsed, wire.context.client.sni)


@PORTS
@pytest.mark.parametrize("record", [b"\x17\x03\x01\x00\x01A", b"\x16\x03\x01\x00\x00"], ids=["no handshake", "empty"])
def test_what_is_no_hello_is_refused_as_before(port, parsed, record):
    """By mitmproxy, at the first record that tells."""
    wire = Wire(port=port)
    wire.receive(ENDLESS)
    wire.receive(record)

    assert (True, 1) == (wire.is_closed, len(parsed))
