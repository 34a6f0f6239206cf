"""Headers of the PROXY protocol: what each version says, whole and in pieces, and what is none."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.host.layers.proxy_header import MAX_V1_BYTES, MAX_V2_BYTES, NoHeaderError, ProxyHeader, read

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"
LONGEST_V1 = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(MAX_V1_BYTES - 2, b"x") + b"\r\n"
PORTS = st.integers(0, 65535)
TLVS = st.binary(max_size=60)
CLIENTS = b"GET / HTTP/1.1\r\n\r\n"


def v2(source, port, tlvs=b"", command=0x21, transport=1):
    """A header of version 2 whose destination is of the source's family."""
    address = ip_address(source)
    family = 1 if address.version == 4 else 2
    block = address.packed * 2 + port.to_bytes(2) + (443).to_bytes(2) + tlvs
    return SIGNATURE + bytes([command, family * 16 + transport]) + len(block).to_bytes(2) + block


def raw_v2(command, protocol, block):
    return SIGNATURE + bytes([command, protocol]) + len(block).to_bytes(2) + block


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), PORTS, PORTS)
def test_a_line_of_tcp4_names_the_source(source, destination, port, other):
    """Version 1, IPv4 (§2.1)."""
    line = f"PROXY TCP4 {source} {destination} {port} {other}\r\n".encode()

    assert ProxyHeader(len(line), (str(source), port)) == read(line + CLIENTS)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), PORTS, PORTS)
def test_a_line_of_tcp6_names_the_source(source, destination, port, other):
    """Version 1, IPv6, as HAProxy writes addresses: by inet_ntop."""
    text = socket.inet_ntop(socket.AF_INET6, source.packed)
    line = f"PROXY TCP6 {text} {destination} {port} {other}\r\n".encode()
    header = read(line)

    assert header
    assert (source, port) == (IPv6Address(header.source[0]), header.source[1])


def test_the_destination_may_be_of_another_family():
    """As nginx writes it where its own proxy told it the source: nobody reads the destination."""
    line = b"PROXY TCP6 2001:db8::1 127.0.0.1 4711 80\r\n"

    assert ProxyHeader(len(line), ("2001:db8::1", 4711)) == read(line)


@given(st.ip_addresses(), PORTS, TLVS, st.sampled_from([1, 2]))
def test_a_binary_header_names_the_source(source, port, tlvs, transport):
    """Version 2, whatever TLVs follow the addresses (§2.2)."""
    header = v2(source, port, tlvs, transport=transport)

    assert ProxyHeader(len(header), (str(source), port)) == read(header + CLIENTS)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        LONGEST_V1,
        raw_v2(0x20, 0x00, b""),
        raw_v2(0x20, 0x11, IPv4Address("203.0.113.7").packed),
        raw_v2(0x20, 0xFF, b"whatever"),
        raw_v2(0x21, 0x00, b"\x04\x00\x01x"),
        raw_v2(0x21, 0x31, bytes(216)),
    ],
    ids=["v1 unknown", "v1 longest", "local", "local, short", "local, odd", "unspecified", "unix"],
)
def test_a_header_may_name_no_source(header):
    """Health checks and families without addresses: the connection is the load balancer's own."""
    assert ProxyHeader(len(header), None) == read(header + CLIENTS)


@pytest.mark.parametrize("header", [V1, LONGEST_V1, v2("203.0.113.7", 1, bytes(100)), v2("2001:db8::1", 2)])
def test_a_header_may_come_byte_by_byte(header):
    """All but the whole is incomplete, never refused."""
    assert {None} == {read(header[:size]) for size in range(len(header))}
    assert len(header) == read(header).size


@given(st.binary(max_size=300))
def test_anything_is_a_header_or_none_or_incomplete(data):
    """Nothing else is raised, whatever comes."""
    try:
        header = read(data)
    except NoHeaderError:
        return

    assert header is None or 0 < header.size <= len(data)


@given(st.data())
def test_a_damaged_header_never_makes_another_error(data):
    """One byte of a good header may be any other."""
    good = data.draw(st.sampled_from([V1, v2("203.0.113.7", 1), v2("2001:db8::1", 2, bytes(9))]))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good[at + 1 :]
    try:
        header = read(bad)
    except NoHeaderError:
        return

    assert header is None or header.source is None or ip_address(header.source[0])


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n",
        b"PROXY  TCP4 203.0.113.7 10.0.0.1 56324 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 1",
        b"PROXY TCP4 203.0.113.007 10.0.0.1 56324 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.256 56324 443",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 56324 443",
        b"PROXY TCP4 203.0.113.7 somewhere 56324 443",
        b"PROXY TCP6 fe80::1%eth0 fe80::2 56324 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 056 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 +56 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 \xb2 443",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 4a",
        b"PROXY TCP4 203.0.113.\xe9 10.0.0.1 56324 443",
        b"PROXY UDP4 203.0.113.7 10.0.0.1 56324 443",
        b"PROXY UNKNOWNS",
        b"PROXY ",
    ],
)
def test_a_malformed_line_is_refused(line):
    """As soon as its end is there, or the longest line is over."""
    with pytest.raises(NoHeaderError):
        read((line + b"\r\n").ljust(MAX_V1_BYTES, b"x"))


@pytest.mark.parametrize(
    "header",
    [
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXX",
        b"proxy TCP4",
        b"\r\n\r\n\r\n",
        b"PROXY UNKNOWN".ljust(MAX_V1_BYTES, b"x"),
        raw_v2(0x11, 0x11, bytes(12)),
        raw_v2(0x22, 0x11, bytes(12)),
        raw_v2(0x21, 0x11, bytes(11)),
        raw_v2(0x21, 0x21, bytes(35)),
        raw_v2(0x21, 0x31, bytes(215)),
        raw_v2(0x21, 0x41, bytes(216)),
        raw_v2(0x21, 0x13, bytes(12)),
        SIGNATURE + b"\x21\x11" + (MAX_V2_BYTES + 1).to_bytes(2),
    ],
)
def test_what_is_no_header_is_refused(header):
    """At the first byte that no header has there; a length that is too long before its bytes come."""
    with pytest.raises(NoHeaderError):
        read(header)


def test_the_longest_binary_header_is_read():
    """4 KB behind the fixed part."""
    header = v2("203.0.113.7", 1, bytes(MAX_V2_BYTES - 12))

    assert ProxyHeader(MAX_V2_BYTES + 16, ("203.0.113.7", 1)) == read(header)
