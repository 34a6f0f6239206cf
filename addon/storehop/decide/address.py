"""The client's address: the TCP peer, or what a trusted proxy says about it (design §3.4).

One source, by configuration. A forged header from a peer that is not trusted is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_WELL_QUOTED = re.compile(r'(?:[^"\\]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
# An open quote reaches to the end: so each character is read once, even in a text that is not well quoted.
_QUOTED = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_FORWARDED_ELEMENT = re.compile(rf'(?:\A|,)((?:[^,"]++|{_QUOTED})*+)', re.DOTALL)
_FORWARDED_PAIR = re.compile(rf'(?:\A|;)((?:[^;"]++|{_QUOTED})*+)', re.DOTALL)
_PORT = r"(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)"  # RFC 7239 §6.3 lets a proxy hide the port
_WITH_PORT = re.compile(rf"\[([^\]]*)\](?::{_PORT})?|([^:]+):{_PORT}")
_ALSO_NOT_PUBLIC = (IPv6Network("3fff::/20"), IPv6Network("2002::/16"))
"""Documentation (RFC 9637) and 6to4 (RFC 3056): older versions of ipaddress say that they are public."""


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """An address, and what a decision asks of it."""

    address: Address
    text: str
    is_public: bool
    is_somebodys: bool
    """Whether it tells clicks of two people apart: it is public, or this machine's own."""

    @classmethod
    def at(cls, address: Address) -> Host:
        """The host that has this address."""
        public = is_public(address)
        return cls(address, str(address), public, public or address.is_loopback)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks of our own proxies, and the header (lower case) in which they name the client's address."""

    trusted: tuple[Network, ...] = ()
    header: str = "x-forwarded-for"
    is_ours: Callable[[Host], bool] = field(init=False, compare=False, repr=False)
    """Whether this host is one of our own proxies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_ours", lru_cache(maxsize=8192)(lambda host: self.trust(host.address)))

    def trust(self, address: Address) -> bool:
        """Whether this address is one of our own proxies'."""
        return any(address in network for network in self.trusted)

    def trust_peer(self, peer: str) -> bool:
        """Whether this TCP peer is a proxy of ours."""
        host = _host(peer)
        return host is not None and self.is_ours(host)


_MAX_ADDRESS_CHARACTERS = 128
"""No address is longer, so the caches below hold nothing longer."""


def parse(text: str) -> Address | None:
    """The address in this text, without port, brackets, quotes and zone; IPv4-mapped IPv6 as IPv4. None: no address."""
    host = _host(text)
    return host.address if host else None


def _host(text: str) -> Host | None:
    return _cached_host(text) if text and len(text) <= _MAX_ADDRESS_CHARACTERS else None


@lru_cache(maxsize=8192)
def _cached_host(text: str) -> Host | None:
    text = text.strip().strip('"')
    if parts := _WITH_PORT.fullmatch(text):
        text = parts[1] or parts[2] or ""
    address = _bare(text)
    return None if address is None else Host.at(address)


def _bare(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or (IPv6Address(int(address)) if address.scope_id else address)  # a number has no zone


def client_address(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    """The client's address: in the configured header, from the right, the first address that is not trusted.

    None if the peer has no IP address, an entry of the header is malformed, or the header names only our own proxies.
    """
    host = client(peer, headers, proxies)
    return host.address if host else None


def client(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Host | None:
    """The host at the client's address."""
    farthest, is_client = _walk(peer, headers, proxies)
    return farthest if is_client else None


def farthest_address(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    """The client's address; else the farthest of our proxies, or the peer if the header is malformed.

    It only tells clicks apart. AppsFlyer never gets it.
    """
    host, _ = _walk(peer, headers, proxies)
    return host.address if host else None


def _walk(peer: str, headers: Mapping[str, str], proxies: Proxies) -> tuple[Host | None, bool]:
    """(the farthest host that we can trust, whether it is the client)."""
    peer_host = _host(peer)
    if peer_host is None or not proxies.trusted or not proxies.is_ours(peer_host):
        return peer_host, True
    farthest = peer_host
    for hop in _hops(headers.get(proxies.header, ""), proxies.header):
        host = _host(hop)
        if host is None:
            return peer_host, False
        if not proxies.is_ours(host):
            return host, True
        farthest = host
    return farthest, False


def _hops(value: str, header: str) -> Iterable[str]:
    """The text that the header has for each hop, from the right."""
    if header == "cloudfront-viewer-address":  # always ends with a port, an IPv6 address without brackets too
        return [value.rpartition(":")[0]]
    if header != "forwarded":
        return _items(value)
    if not _WELL_QUOTED.fullmatch(value):
        # A client left a quote open, so nobody can tell its text from what our own proxy appended. Where a quote of
        # the proxy closes it, the proxy's escaped quotes end up outside of quotes, where a backslash is not allowed.
        return [""]
    return map(_forwarded_for, reversed(_FORWARDED_ELEMENT.findall(value)))


def _items(value: str) -> Iterator[str]:
    """The parts between commas, from the right. The caller mostly stops before it reaches what a client wrote."""
    end = len(value)
    while end >= 0:
        start = value.rfind(",", 0, end)
        yield value[start + 1 : end]
        end = start


def _forwarded_for(element: str) -> str:
    """The `for` of one hop (RFC 7239 §4), or "" where it has none or two."""
    pairs = (pair.partition("=") for pair in _FORWARDED_PAIR.findall(element))
    values = [value for name, _, value in pairs if name.strip().lower() == "for"]
    return values[0] if len(values) == 1 else ""


def single_public_address(text: str) -> Address | None:
    """The public address, if the text is one and nothing else: no port, brackets or zone; else None (design §3.2)."""
    address = _bare(text) if len(text) <= _MAX_ADDRESS_CHARACTERS and "%" not in text else None
    return address if address and is_public(address) else None


_SPECIAL_OCTETS = frozenset({0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)})
"""First octets of IPv4 addresses of which some are not public (IANA IPv4 Special-Purpose Address Registry)."""
_PUBLIC_GROUPS = range(0x2003, 0x3FFF)
"""First groups of IPv6 addresses which are all public (IANA IPv6 Special-Purpose Address Registry)."""


def _is_plainly_public(address: Address) -> bool:
    """Whether its beginning says it. ipaddress compares each address with all networks, which takes 15 µs."""
    number = int(address)
    if isinstance(address, IPv4Address):
        return number >> 24 not in _SPECIAL_OCTETS
    return number >> 112 in _PUBLIC_GROUPS


@lru_cache(maxsize=8192)
def is_public(address: Address) -> bool:
    """False for private, loopback, link-local, CGNAT, multicast and reserved addresses: they locate nobody."""
    if _is_plainly_public(address):
        return True
    if isinstance(address, IPv6Address) and (
        address.is_site_local or any(address in network for network in _ALSO_NOT_PUBLIC)
    ):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def for_logs(peer: str) -> str:
    """A private address, or the network of a public one: that may be a person's."""
    parsed = parse(peer)
    if parsed is None or not is_public(parsed):
        return peer
    return str(ip_network((parsed, 24 if isinstance(parsed, IPv4Address) else 48), strict=False))
