"""Who clicked: the TCP peer, or what a trusted proxy says in the one configured header (design §3.4)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from storehop.decide.address import (
    Proxies,
    client_address,
    farthest_address,
    for_logs,
    is_public,
    parse,
    single_public_address,
)

PROXY = "10.0.0.1"
CLIENT = "93.184.216.34"
FORGED = "8.8.8.8"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:aaaa::/48"))
XFF = Proxies(TRUSTED)
FORWARDED = Proxies(TRUSTED, "forwarded")


def known(text):
    """The address that is expected; None where it is expected to be unknown."""
    return text and ip_address(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("93.184.216.34", "93.184.216.34", id="IPv4"),
        pytest.param(" 93.184.216.34 ", "93.184.216.34", id="spaces"),
        pytest.param("93.184.216.34:4711", "93.184.216.34", id="port"),
        pytest.param("2606:4700::1", "2606:4700::1", id="IPv6"),
        pytest.param("2606:4700:0:0:0:0:0:AB", "2606:4700::ab", id="long IPv6, upper case"),
        pytest.param("[2606:4700::1]", "2606:4700::1", id="brackets"),
        pytest.param("[2606:4700::1]:4711", "2606:4700::1", id="brackets and port"),
        pytest.param('"[2606:4700::1]:4711"', "2606:4700::1", id="quotes, brackets and port"),
        pytest.param("fe80::1%eth0", "fe80::1", id="zone"),
        pytest.param("[fe80::1%25eth0]:80", "fe80::1", id="zone and port"),
        pytest.param("93.184.216.34:_p0-x.1", "93.184.216.34", id="hidden port"),
        pytest.param("[2606:4700::1]:_p0", "2606:4700::1", id="brackets and hidden port"),
        pytest.param("::ffff:93.184.216.34%eth0", "93.184.216.34", id="IPv4-mapped with a zone"),
        pytest.param("64:ff9b::93.184.216.34", "64:ff9b::5db8:d822", id="NAT64 stays IPv6"),
        pytest.param("2002:5db8:d822::1", "2002:5db8:d822::1", id="6to4 stays IPv6"),
        pytest.param("::ffff:93.184.216.34", "93.184.216.34", id="IPv4-mapped"),
        pytest.param("[::ffff:5db8:d822]:80", "93.184.216.34", id="IPv4-mapped in hexadecimal, port"),
    ],
)
def test_an_address_is_written_one_way(text, address):
    """Ports, zones, quotes and brackets go, IPv4-mapped IPv6 becomes IPv4, IPv6 takes the form of RFC 5952."""
    assert address == str(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "1.2.3",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:80:80",
        "1.2.3.4:123456",
        "1.2.3.4:٣",
        "1.2.3.4:_",
        "1.2.3.4%eth0",
        "fe80::1%",
        "2606:4700::1:46532",
        "[]",
        "[]:80",
        "[2606:4700::1]80",
        "[[2606:4700::1]]",
        "[1.2.3.4",
        "2606:4700::1::2",
        "1.2.3.4, 5.6.7.8",
        "1.2.3.4\r\n5",
        "١.٢.٣.٤",
        "\udcff",
        "1" * 1000,
    ],
)
def test_what_is_no_address_is_none(text):
    """Anything else, obfuscated identifiers and `unknown` included, is no address."""
    assert parse(text) is None


@pytest.mark.parametrize(
    ("peer", "address"),
    [(CLIENT, CLIENT), ("::ffff:93.184.216.34", CLIENT), ("2606:4700::1", "2606:4700::1"), (PROXY, PROXY)],
)
def test_the_peer_is_the_client_where_nobody_is_trusted(peer, address):
    """Without trusted proxies the TCP peer clicked, whatever the headers say."""
    headers = {"x-forwarded-for": FORGED, "forwarded": f"for={FORGED}"}

    assert address == str(client_address(peer, headers, Proxies()))


def test_a_peer_without_an_address_is_nobody():
    """A peer that has no IP address leaves the client unknown."""
    assert client_address("", {"x-forwarded-for": FORGED}, XFF) is None


@pytest.mark.parametrize("proxies", [XFF, FORWARDED], ids=["X-Forwarded-For", "Forwarded"])
def test_a_header_from_a_stranger_is_not_looked_at(proxies):
    """A peer that is no trusted proxy is the client, whatever it says."""
    headers = {"x-forwarded-for": FORGED, "forwarded": f"for={FORGED}"}

    assert ip_address(CLIENT) == client_address(CLIENT, headers, proxies)


@pytest.mark.parametrize("header", ["forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "client-ip"])
def test_only_the_configured_header_counts(header):
    """A header that is not the configured one is never looked at, even where that one is missing."""
    assert client_address(PROXY, {header: FORGED}, XFF) is None


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        pytest.param(CLIENT, CLIENT, id="one"),
        pytest.param(f"{CLIENT}, 10.0.0.9", CLIENT, id="behind a trusted one"),
        pytest.param(f"{FORGED}, {CLIENT}", CLIENT, id="forged on the left"),
        pytest.param(f"{FORGED},{FORGED}, {CLIENT} ,10.0.0.9, 10.0.0.8", CLIENT, id="forged twice, trusted twice"),
        pytest.param(f"10.0.0.7, {CLIENT}, 10.0.0.9", CLIENT, id="a trusted one left of the client"),
        pytest.param(f"garbage, {CLIENT}", CLIENT, id="garbage left of the client"),
        pytest.param(f"{CLIENT}:4711", CLIENT, id="port"),
        pytest.param("::ffff:93.184.216.34", CLIENT, id="IPv4-mapped"),
        pytest.param("2606:4700::1, 2001:db8:aaaa::1", "2606:4700::1", id="IPv6 behind trusted IPv6"),
        pytest.param("::ffff:10.0.0.9", None, id="trusted, IPv4-mapped"),
        pytest.param("10.0.0.8, 10.0.0.9", None, id="trusted only"),
        pytest.param("", None, id="empty"),
        pytest.param("unknown", None, id="unknown"),
        pytest.param(f"{CLIENT}, unknown", None, id="malformed on the right"),
        pytest.param(f"{CLIENT}, , 10.0.0.9", None, id="an empty entry on the right"),
        pytest.param(f"{CLIENT},", None, id="an empty entry at the end"),
        pytest.param(f"{FORGED}, , {CLIENT}", CLIENT, id="an empty entry on the left"),
        pytest.param(f"{CLIENT}, unix:", None, id="nginx behind a Unix socket"),
        pytest.param("unix:", None, id="a Unix socket alone"),
        pytest.param(f"{CLIENT}, _hidden", None, id="hidden on the right"),
        pytest.param(f"_hidden, {CLIENT}", CLIENT, id="hidden on the left"),
        pytest.param(f"{CLIENT}, 10.0.0.9:4711, [2001:db8:aaaa::1%eth0]:80", CLIENT, id="ports and a zone on the way"),
        pytest.param("2606:4700::1%eth0", "2606:4700::1", id="zone"),
        pytest.param("[::ffff:5db8:d822]:80", CLIENT, id="IPv4-mapped with a port"),
        pytest.param("10.0.0.9," * 7_000, None, id="64 KB of our own proxies, then nothing"),
        pytest.param(f"{CLIENT}, " + "10.0.0.9," * 6_999 + "10.0.0.9", CLIENT, id="behind 64 KB of our own proxies"),
        pytest.param("," * 65_536 + CLIENT, CLIENT, id="64 KB of commas on the left"),
        pytest.param("," * 65_536, None, id="64 KB of commas"),
        pytest.param("1" * 65_536, None, id="64 KB of digits"),
        pytest.param(f"{CLIENT} {FORGED}", None, id="no comma"),
        pytest.param("\udcff", None, id="no UTF-8"),
    ],
)
def test_x_forwarded_for_is_walked_from_the_right(chain, address):
    """The first address from the right that is not trusted clicked; anything malformed before it, or none: unknown."""
    assert known(address) == client_address(PROXY, {"x-forwarded-for": chain}, XFF)


def test_a_trusted_proxy_that_says_nothing_did_not_click():
    """Behind a trusted proxy that says nothing the client is unknown: the proxy's own address is never said."""
    assert client_address(PROXY, {}, XFF) is None


def test_a_single_value_header_is_read():
    """A header that holds one address, such as a CDN's, is read like a chain of one."""
    proxies = Proxies(TRUSTED, "cf-connecting-ip")

    assert ip_address(CLIENT) == client_address(PROXY, {"cf-connecting-ip": CLIENT, "x-forwarded-for": FORGED}, proxies)


SINGLE = ["cf-connecting-ip", "true-client-ip", "x-real-ip", "fastly-client-ip", "x-azure-socketip"]


@pytest.mark.parametrize("header", SINGLE)
@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param("2606:4700::AB", "2606:4700::ab", id="one"),
        pytest.param(f"{FORGED}, {CLIENT}", CLIENT, id="a forged line before the proxy's own"),
        pytest.param(f"{CLIENT}, unknown", None, id="no address behind it"),
    ],
)
def test_a_single_value_header_that_holds_a_list_is_walked_too(header, value, address):
    """What stands on the right was written last, by our own proxy: the client can't win by sending the header."""
    assert known(address) == client_address(PROXY, {header: value}, Proxies(TRUSTED, header))


@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param(f"{CLIENT}:46532", CLIENT, id="IPv4"),
        pytest.param("2606:4700:0:0:0:0:0:1:46532", "2606:4700::1", id="long IPv6"),
        pytest.param("2606:4700::1:46532", "2606:4700::1", id="IPv6"),
        pytest.param("2606:4700::1:4653", "2606:4700::1", id="IPv6 with a port that looks like a part of it"),
        pytest.param("[2606:4700::1]:46532", "2606:4700::1", id="IPv6 in brackets"),
        pytest.param(CLIENT, None, id="no port"),
        pytest.param(":80", None, id="no address"),
    ],
)
def test_cloudfronts_own_header_always_ends_with_a_port(value, address):
    """CloudFront-Viewer-Address has a port behind the address, and no brackets around IPv6."""
    proxies = Proxies(TRUSTED, "cloudfront-viewer-address")

    assert known(address) == client_address(PROXY, {"cloudfront-viewer-address": value}, proxies)


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        pytest.param(f"for={CLIENT}", CLIENT, id="one"),
        pytest.param(f"For={CLIENT};proto=https;by=10.0.0.1", CLIENT, id="upper case and more pairs"),
        pytest.param(f"proto=https; for={CLIENT} ;host=a.example", CLIENT, id="not the first pair"),
        pytest.param(f'for="{CLIENT}:4711"', CLIENT, id="quoted with a port"),
        pytest.param('for="[2606:4700::1]:4711"', "2606:4700::1", id="IPv6 with a port"),
        pytest.param('for="[2606:4700::1]"', "2606:4700::1", id="IPv6"),
        pytest.param(f"for={FORGED}, for={CLIENT}", CLIENT, id="forged on the left"),
        pytest.param(f"for={CLIENT}, for=10.0.0.9;proto=http", CLIENT, id="behind a trusted one"),
        pytest.param(f'for={FORGED}, for={CLIENT};host="a,b;c"', CLIENT, id="comma and semicolon in quotes"),
        pytest.param(f'host="x;for={FORGED};y";for={CLIENT}', CLIENT, id="a pair within quotes"),
        pytest.param(f'host="a\\";for={FORGED};\\"";for={CLIENT}', CLIENT, id="a pair within escaped quotes"),
        pytest.param(f"FOR={CLIENT};BY=10.0.0.1;PROTO=https", CLIENT, id="all in upper case"),
        pytest.param(f"by=10.0.0.1;host=a.example;proto=https;for={CLIENT}", CLIENT, id="last of all pairs"),
        pytest.param(f'for="{CLIENT}:_p0"', CLIENT, id="hidden port"),
        pytest.param('for="[2606:4700:0:0:0:0:0:AB%25eth0]"', "2606:4700::ab", id="long IPv6 with a zone"),
        pytest.param(f'for=_secret, for=unknown, for="{CLIENT}"', CLIENT, id="hidden and unknown on the left"),
        pytest.param(f"for={FORGED};for={CLIENT}", None, id="two for in one hop"),
        pytest.param('for="unknown"', None, id="unknown in quotes"),
        pytest.param(f"for={CLIENT}, ", None, id="an empty entry on the right"),
        pytest.param(f"for={CLIENT},", None, id="an empty entry at the end"),
        pytest.param(f"for={CLIENT},,for=10.0.0.9", None, id="an empty entry between"),
        pytest.param(f",,for={FORGED},,for={CLIENT}", CLIENT, id="empty entries on the left"),
        pytest.param(f";;for={CLIENT};;", CLIENT, id="empty pairs"),
        pytest.param('for="unix:"', None, id="a Unix socket"),
        pytest.param(f'for={FORGED};by="a\\\\", for={CLIENT}', CLIENT, id="an escaped backslash ends no quote"),
        pytest.param("for=unknown", None, id="unknown"),
        pytest.param(f"for={CLIENT}, for=_hidden", None, id="obfuscated on the right"),
        pytest.param(f"for={CLIENT}, proto=https", None, id="no for on the right"),
        pytest.param(f"xfor={CLIENT}", None, id="another pair's name"),
        pytest.param(CLIENT, None, id="no pair"),
        pytest.param(f'for="{CLIENT}', None, id="open quote"),
        pytest.param(f'for={FORGED};by=", for="[2606:4700::1]"', None, id="forged open quote before a quoted entry"),
        pytest.param(f'for={FORGED};by="\\", for="[2606:4700::1]"', None, id="forged open quote with a backslash"),
        pytest.param(f'for="x, for={CLIENT}', None, id="forged open quote before a plain entry"),
        pytest.param('for="' + '\\"' * 30_000, None, id="60 kB of escaped quotes, read once"),
        pytest.param("", None, id="empty"),
    ],
)
def test_forwarded_is_walked_from_the_right(chain, address):
    """`Forwarded` is read by RFC 7239, quotes, ports and IPv6 included; anything malformed: unknown."""
    assert known(address) == client_address(PROXY, {"forwarded": chain}, FORWARDED)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        pytest.param("93.184.216.34", True, id="IPv4"),
        pytest.param("2606:4700::1", True, id="IPv6"),
        pytest.param("10.1.2.3", False, id="private 10/8"),
        pytest.param("172.16.0.1", False, id="private 172.16/12"),
        pytest.param("192.168.1.1", False, id="private 192.168/16"),
        pytest.param("fd00::1", False, id="private IPv6"),
        pytest.param("fec0::1", False, id="site-local IPv6"),
        pytest.param("127.0.0.1", False, id="loopback"),
        pytest.param("::1", False, id="loopback IPv6"),
        pytest.param("169.254.1.1", False, id="link-local"),
        pytest.param("fe80::1", False, id="link-local IPv6"),
        pytest.param("100.64.0.1", False, id="CGNAT, first"),
        pytest.param("100.127.255.254", False, id="CGNAT, last"),
        pytest.param("100.128.0.1", True, id="behind CGNAT"),
        pytest.param("0.0.0.0", False, id="unspecified"),
        pytest.param("::", False, id="unspecified IPv6"),
        pytest.param("240.0.0.1", False, id="reserved"),
        pytest.param("255.255.255.255", False, id="broadcast"),
        pytest.param("4000::1", False, id="reserved IPv6"),
        pytest.param("203.0.113.9", False, id="documentation"),
        pytest.param("2001:db8::1", False, id="documentation IPv6"),
        pytest.param("3fff::1", False, id="documentation IPv6, the second network"),
        pytest.param("198.18.0.1", False, id="benchmark"),
        pytest.param("64:ff9b::5db8:d822", False, id="NAT64"),
        pytest.param("64:ff9b:1::1", False, id="NAT64 of one's own"),
        pytest.param("2002:5db8:d822::1", False, id="6to4"),
        pytest.param("2001:0:1::1", False, id="Teredo"),
        pytest.param("100::1", False, id="discarded"),
        pytest.param("5f00::1", False, id="segment routing"),
        pytest.param("224.0.0.1", False, id="multicast"),
        pytest.param("ff0e::1", False, id="multicast IPv6"),
    ],
)
def test_only_a_public_address_is_told(text, public):
    """Private, loopback, link-local, CGNAT, multicast and reserved addresses are not public."""
    assert public == is_public(ip_address(text))


FORGERY = st.text(alphabet='0123456789.:,;="[]\\ forabcdef_', max_size=60) | st.text(max_size=20)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("8.8.8.8", "8.8.8.8", id="IPv4"),
        pytest.param("2606:4700::1", "2606:4700::1", id="IPv6"),
        pytest.param("2606:4700:0:0:0:0:0:AB", "2606:4700::ab", id="long IPv6, upper case"),
        pytest.param("::ffff:8.8.8.8", "8.8.8.8", id="IPv4-mapped"),
        pytest.param("::ffff:10.0.0.1", None, id="IPv4-mapped, private"),
        pytest.param("10.0.0.1", None, id="private"),
        pytest.param("127.0.0.1", None, id="loopback"),
        pytest.param("100.64.0.1", None, id="CGNAT"),
        pytest.param("81.2.69.142, 10.0.0.7", None, id="a list"),
        pytest.param("81.2.69.142,", None, id="a comma"),
        pytest.param("177.139.0.7:17085", None, id="port"),
        pytest.param("[2606:4700::1]", None, id="brackets"),
        pytest.param("[2606:4700::1]:80", None, id="brackets and port"),
        pytest.param("2606:4700::1%eth0", None, id="zone"),
        pytest.param('"8.8.8.8"', None, id="quotes"),
        pytest.param(" 8.8.8.8", None, id="a space before"),
        pytest.param("8.8.8.8 ", None, id="a space behind"),
        pytest.param("8.8.8.8\n", None, id="a line break behind"),
        pytest.param("8.8.8.8/32", None, id="a network"),
        pytest.param("08.8.8.8", None, id="octal"),
        pytest.param("134744072", None, id="a number"),
        pytest.param("0x8.8.8.8", None, id="hexadecimal"),
        pytest.param("٨.٨.٨.٨", None, id="other digits"),
        pytest.param("unknown", None, id="unknown"),
        pytest.param("", None, id="empty"),
        pytest.param("\udcff", None, id="no UTF-8"),
        pytest.param("8" * 8192, None, id="8 KB of digits"),
    ],
)
def test_a_links_own_address_may_be_said(text, address):
    """Where a link's `af_ip` is a single public address and nothing else."""
    assert known(address) == single_public_address(text)


BEGINNINGS = [
    *(IPv4Address(octet << 24 | rest) for octet in range(256) for rest in (0, 0xA80101, 0xFFFFFF)),
    *(IPv6Address(group << 112 | rest) for group in (0x2002, 0x2003, 0x3FFE, 0x3FFF) for rest in (0, 2**112 - 1)),
]
LATE = (ip_network("2002::/16"), ip_network("3fff::/20"), ip_network("fec0::/10"))
"""6to4, documentation and site-local: the library of an older Python says that they are public."""


@given(st.sampled_from(BEGINNINGS) | st.ip_addresses() | st.ip_addresses(network="2000::/3"))
def test_an_address_is_public_by_its_beginning_only_where_the_whole_of_it_is(address):
    """What is_public says of an address is what the library says that knows all networks."""
    says_so = address.is_global and not address.is_multicast and not address.is_reserved

    assert is_public(address) == (says_so and not any(address in network for network in LATE))


@given(st.text() | FORGERY)
def test_what_may_be_said_is_a_public_address(text):
    """Whatever a link says, what is taken from it is an address that is public."""
    found = single_public_address(text)

    assert found is None or (is_public(found) and found == parse(text))


@pytest.mark.parametrize(
    ("peer", "chain", "address"),
    [
        pytest.param(CLIENT, FORGED, CLIENT, id="no proxy of ours"),
        pytest.param(PROXY, CLIENT, CLIENT, id="the client"),
        pytest.param(PROXY, "10.0.0.8, 10.0.0.9", "10.0.0.8", id="proxies of ours alone"),
        pytest.param(PROXY, f"{CLIENT}, unix:", PROXY, id="malformed"),
        pytest.param("", CLIENT, None, id="no address at all"),
    ],
)
def test_the_farthest_address_is_known_even_where_the_client_is_not(peer, chain, address):
    """The farthest proxy of ours where they are all that is named, the peer where the header is malformed."""
    assert known(address) == farthest_address(peer, {"x-forwarded-for": chain}, XFF)


PUBLIC = st.ip_addresses().filter(lambda address: not any(address in network for network in TRUSTED))
OURS = st.sampled_from(TRUSTED).flatmap(lambda network: st.ip_addresses(network=network))
JUNK = st.sampled_from(["", "unknown", "_x", "1.2.3", "for=1.1.1.1", "\udcff", '"'])
HOPS = st.lists(st.one_of(PUBLIC, OURS, JUNK), max_size=6)


PORTS = st.integers(0, 65535)


def notations(address):
    """Every way in which a proxy may write this address down."""
    text = str(address)
    if address.version == 4:
        plain_ones = [f"::ffff:{text}", f"::FFFF:{int(address) >> 16:x}:{int(address) & 0xFFFF:X}"]
        plain_ones += [f"0:0:0:0:0:ffff:{text}", f"0000:0000:0000:0000:0000:ffff:{text}"]
        with_port = st.builds("{}:{}".format, st.just(text), PORTS)
    else:
        long = address.exploded
        last = ip_address(int(address) & 0xFFFFFFFF)
        plain_ones = [text, text.upper(), long, long.upper(), f"{long[:30]}{last}"]
        plain_ones += [f"{text}%eth0", f"{text}%251"]
        with_port = st.nothing()
    bare = st.sampled_from(plain_ones)
    bracketed = bare.map("[{}]".format)
    ported = st.builds("[{}]:{}".format, bare, PORTS)
    written = st.just(text) | bare | bracketed | ported | with_port
    return written | written.map('"{}"'.format) | written.map(" {} ".format)


@given(st.data(), st.ip_addresses())
def test_an_address_is_read_in_every_notation(data, address):
    """Short, long, upper case, IPv4 inside, brackets, port, zone, quotes, spaces: it is the same address."""
    assert plain(address) == parse(data.draw(notations(address)))


def plain(hop):
    """The address that a hop names, as storehop writes it; None for junk."""
    mapped = getattr(hop, "ipv4_mapped", None)
    return None if isinstance(hop, str) else mapped or hop


def walk(hops):
    """The model: the last hop that is not ours; None where junk comes first, or all are ours."""
    for hop in reversed(hops):
        if isinstance(hop, str):
            return None
        if not any(plain(hop) in network for network in TRUSTED):
            return plain(hop)
    return None


def x_forwarded_for(hops):
    return ", ".join(str(hop) for hop in hops)


def forwarded(hops):
    return ", ".join(f'proto=https;for="[{hop}]:80"' if ":" in str(hop) else f"for={hop}" for hop in hops)


@given(HOPS)
def test_x_forwarded_for_follows_the_model(hops):
    """For every chain the walk over X-Forwarded-For finds what a plain loop from the right finds."""
    chain = {"x-forwarded-for": x_forwarded_for(hops)} if hops else {}

    assert walk(hops) == client_address(PROXY, chain, XFF)


@given(HOPS.map(lambda hops: [hop for hop in hops if hop not in {'"', "for=1.1.1.1"}]))
def test_forwarded_follows_the_model(hops):
    """For every chain the walk over Forwarded finds what a plain loop from the right finds."""
    chain = {"forwarded": forwarded(hops)} if hops else {}

    assert walk(hops) == client_address(PROXY, chain, FORWARDED)


@given(FORGERY, PUBLIC, st.lists(OURS, max_size=3))
@example(FORGED, ip_address(CLIENT), [])
def test_a_forged_x_forwarded_for_never_wins(forgery, client, ours):
    """Whatever a client writes into X-Forwarded-For, the address that our own proxy saw is found."""
    chain = {"x-forwarded-for": f"{forgery}, {x_forwarded_for([client, *ours])}"}

    assert plain(client) == client_address(PROXY, chain, XFF)


@given(FORGERY, PUBLIC, st.lists(OURS, max_size=3))
@example(f'for={FORGED};by="', ip_address("2606:4700::1"), [])
@example(f'for={FORGED};by="\\"', ip_address("2606:4700::1"), [])
def test_a_forged_forwarded_never_wins(forgery, client, ours):
    """Whatever a client writes into Forwarded, we find the address that our own proxy saw, or none."""
    chain = {"forwarded": f"{forgery}, {forwarded([client, *ours])}"}

    assert client_address(PROXY, chain, FORWARDED) in {plain(client), None}


@given(st.text(), st.text(), st.sampled_from(["x-forwarded-for", "forwarded", "cloudfront-viewer-address"]))
def test_reading_the_address_never_raises(peer, value, header):
    """No peer and no header value makes reading the client's address raise."""
    found = client_address(peer, {header: value}, Proxies((ip_network("0.0.0.0/0"),), header))

    assert found is None or str(found)


WRITTEN = st.one_of(PUBLIC, OURS).flatmap(lambda hop: st.tuples(st.just(hop), notations(hop)))
LINES = st.lists(st.lists(st.one_of(WRITTEN, JUNK.map(lambda junk: (junk, junk))), min_size=1, max_size=3), max_size=4)


@given(LINES)
def test_several_lines_in_every_notation_follow_the_model(lines):
    """X-Forwarded-For over several header lines is one chain, whatever notation each hop is written in."""
    headers = {"x-forwarded-for": ", ".join(",".join(text for _, text in line) for line in lines)} if lines else {}

    assert walk([hop for line in lines for hop, _ in line]) == client_address(PROXY, headers, XFF)


@given(HOPS.filter(bool), st.lists(OURS, max_size=4))
def test_a_trusted_hop_more_changes_nothing(hops, ours):
    """One more trusted proxy on the right, in front of us, leaves the client who it was."""
    fewer, more = ({"x-forwarded-for": x_forwarded_for(chain)} for chain in (hops, [*hops, *ours]))

    assert client_address(PROXY, fewer, XFF) == client_address(PROXY, more, XFF)


@given(PUBLIC, st.text() | HOPS.map(x_forwarded_for) | HOPS.map(forwarded))
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "cloudfront-viewer-address", *SINGLE])
def test_nothing_that_a_stranger_says_matters(header, peer, value):
    """Whatever header comes from a peer that is no trusted proxy, the peer is the client."""
    assume(not Proxies(TRUSTED).trust(plain(peer)))  # a trusted one may be written as IPv6

    assert plain(peer) == client_address(str(peer), {header: value}, Proxies(TRUSTED, header))


def test_a_forged_quote_that_the_proxys_own_quotes_close_is_malformed():
    """A client can't hide what the proxy says behind a quote that the proxy's escaped ones seem to end."""
    forged = 'for=8.8.8.8;by="'
    chain = f'{forged}, for={CLIENT};host="a\\"b"'

    assert client_address(PROXY, {"forwarded": chain}, FORWARDED) is None


@pytest.mark.parametrize(
    ("peer", "said"),
    [("10.1.2.3", "10.1.2.3"), ("8.8.4.4", "8.8.4.0/24"), ("2a00:1450:4001::1", "2a00:1450:4001::/48"), ("x", "x")],
)
def test_a_log_names_no_person(peer, said):
    """Of a public address it has the network."""
    assert said == for_logs(peer)
