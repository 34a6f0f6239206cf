"""Who clicked: the TCP peer, or what a trusted proxy says in the one configured header (design §3.4)."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storehop.decide.address import Proxies, client_address, is_public, parse

PROXY = "10.0.0.1"
CLIENT = "93.184.216.34"
FORGED = "8.8.8.8"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:aaaa::/48"))
XFF = Proxies(TRUSTED)
FORWARDED = Proxies(TRUSTED, "forwarded")


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
    assert ip_address(PROXY) == client_address(PROXY, {header: FORGED}, XFF)


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
        pytest.param("::ffff:10.0.0.9", "10.0.0.9", id="trusted, IPv4-mapped"),
        pytest.param("10.0.0.8, 10.0.0.9", "10.0.0.8", id="trusted only"),
        pytest.param("", PROXY, id="empty"),
        pytest.param("unknown", PROXY, id="unknown"),
        pytest.param(f"{CLIENT}, unknown", PROXY, id="malformed on the right"),
        pytest.param(f"{CLIENT}, , 10.0.0.9", PROXY, id="an empty entry on the right"),
        pytest.param(f"{CLIENT} {FORGED}", PROXY, id="no comma"),
        pytest.param("\udcff", PROXY, id="no UTF-8"),
    ],
)
def test_x_forwarded_for_is_walked_from_the_right(chain, address):
    """The first address from the right that is not trusted clicked; anything malformed before it: the peer."""
    assert address == str(client_address(PROXY, {"x-forwarded-for": chain}, XFF))


def test_a_trusted_proxy_without_the_header_is_the_client():
    """A trusted proxy that says nothing clicked itself, a health check for one."""
    assert ip_address(PROXY) == client_address(PROXY, {}, XFF)


def test_a_single_value_header_is_read():
    """A header that holds one address, such as a CDN's, is read like a chain of one."""
    proxies = Proxies(TRUSTED, "cf-connecting-ip")

    assert ip_address(CLIENT) == client_address(PROXY, {"cf-connecting-ip": CLIENT, "x-forwarded-for": FORGED}, proxies)


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
        pytest.param("for=unknown", PROXY, id="unknown"),
        pytest.param(f"for={CLIENT}, for=_hidden", PROXY, id="obfuscated on the right"),
        pytest.param(f"for={CLIENT}, proto=https", PROXY, id="no for on the right"),
        pytest.param(f"xfor={CLIENT}", PROXY, id="another pair's name"),
        pytest.param(CLIENT, PROXY, id="no pair"),
        pytest.param(f'for="{CLIENT}', PROXY, id="open quote"),
        pytest.param(f'for={FORGED};by=", for="[2606:4700::1]"', PROXY, id="forged open quote before a quoted entry"),
        pytest.param(f'for={FORGED};by="\\", for="[2606:4700::1]"', PROXY, id="forged open quote with a backslash"),
        pytest.param(f'for="x, for={CLIENT}', PROXY, id="forged open quote before a plain entry"),
        pytest.param('for="' + '\\"' * 30_000, PROXY, id="60 kB of escaped quotes, read once"),
        pytest.param("", PROXY, id="empty"),
    ],
)
def test_forwarded_is_walked_from_the_right(chain, address):
    """`Forwarded` is read by RFC 7239, quotes, ports and IPv6 included; anything malformed: the peer."""
    assert address == str(client_address(PROXY, {"forwarded": chain}, FORWARDED))


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
        pytest.param("224.0.0.1", False, id="multicast"),
        pytest.param("ff0e::1", False, id="multicast IPv6"),
    ],
)
def test_only_a_public_address_is_told(text, public):
    """Private, loopback, link-local, CGNAT, multicast and reserved addresses are not public."""
    assert public == is_public(ip_address(text))


PUBLIC = st.ip_addresses().filter(lambda address: not any(address in network for network in TRUSTED))
OURS = st.sampled_from(TRUSTED).flatmap(lambda network: st.ip_addresses(network=network))
JUNK = st.sampled_from(["", "unknown", "_x", "1.2.3", "for=1.1.1.1", "\udcff", '"'])
HOPS = st.lists(st.one_of(PUBLIC, OURS, JUNK), max_size=6)


def plain(hop):
    """The address that a hop names, as storehop writes it; None for junk."""
    mapped = getattr(hop, "ipv4_mapped", None)
    return None if isinstance(hop, str) else mapped or hop


def walk(hops):
    """The model: the last hop that is not ours, unless junk comes first; our own first hop if all are ours."""
    client = ip_address(PROXY)
    for hop in reversed(hops):
        if isinstance(hop, str):
            return ip_address(PROXY)
        client = plain(hop)
        if not any(client in network for network in TRUSTED):
            break
    return client


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


FORGERY = st.text(alphabet='0123456789.:,;="[]\\ forabcdef_', max_size=60) | st.text(max_size=20)


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
    """Whatever a client writes into Forwarded, we find the address that our own proxy saw, or the peer."""
    chain = {"forwarded": f"{forgery}, {forwarded([client, *ours])}"}

    assert client_address(PROXY, chain, FORWARDED) in {plain(client), ip_address(PROXY)}


@given(st.text(), st.text(), st.sampled_from(["x-forwarded-for", "forwarded", "cf-connecting-ip"]))
def test_reading_the_address_never_raises(peer, value, header):
    """No peer and no header value makes reading the client's address raise."""
    found = client_address(peer, {header: value}, Proxies((ip_network("0.0.0.0/0"),), header))

    assert found is None or str(found)
