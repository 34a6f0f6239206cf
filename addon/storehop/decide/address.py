"""The client's address: the TCP peer, or what a trusted proxy says about it (design §3.4).

One source, by configuration. A forged header from a peer that is not trusted is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_WELL_QUOTED = re.compile(r'(?:[^"\\]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
# An open quote reaches to the end: so each character is read once, even in a text that is not well quoted.
_QUOTED = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_FORWARDED_ELEMENT = re.compile(rf'(?:\A|,)((?:[^,"]++|{_QUOTED})*+)', re.DOTALL)
_FORWARDED_PAIR = re.compile(rf'(?:\A|;)((?:[^;"]++|{_QUOTED})*+)', re.DOTALL)
_PORT = r"(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)"  # RFC 7239 §6.3 lets a proxy hide the port
_WITH_PORT = re.compile(rf"\[([^\]]*)\](?::{_PORT})?|([^:]+):{_PORT}")
_NO_PLACE = (IPv6Network("3fff::/20"), IPv6Network("2002::/16"))
"""Documentation (RFC 9637) and 6to4 (RFC 3056), which older versions of ipaddress take for public."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whose word about the client's address counts, and which header they say it in (lower case)."""

    trusted: tuple[Network, ...] = ()
    header: str = "x-forwarded-for"

    def trust(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)

    def trust_peer(self, peer: str) -> bool:
        """Whether this TCP peer is a proxy of ours."""
        known = parse(peer)
        return known is not None and self.trust(known)


_LONGEST = 128
"""Characters. Nothing longer is an address, nor kept in a cache below."""


def parse(text: str) -> Address | None:
    """An address without port, brackets, quotes and zone; IPv4-mapped IPv6 as IPv4. None where it is none."""
    return _parse(text) if text and len(text) <= _LONGEST else None


@lru_cache(maxsize=8192)
def _parse(text: str) -> Address | None:
    text = text.strip().strip('"')
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    return _bare(text)


def _bare(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # the number has no zone


def client_address(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    """Who clicked. Walks the configured header from the right to the first address that is not trusted.

    None where nobody knows: the peer has no IP address, anything on the way is malformed, or proxies of ours are all
    that is named. None of those clicked.
    """
    farthest, is_client = _walk(peer, headers, proxies)
    return farthest if is_client else None


def farthest_address(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    """The client's address; where that is not known, the farthest of our proxies, or the peer if the way is malformed.

    Nothing to be said of a person: it only tells clicks apart.
    """
    return _walk(peer, headers, proxies)[0]


def _walk(peer: str, headers: Mapping[str, str], proxies: Proxies) -> tuple[Address | None, bool]:
    """The farthest address that is known, and whether it is the client's."""
    direct = parse(peer)
    if direct is None or not proxies.trusted or not proxies.trust(direct):
        return direct, True
    farthest = direct
    for hop in _hops(headers.get(proxies.header, ""), proxies.header):
        address = parse(hop)
        if address is None:
            return direct, False
        if not proxies.trust(address):
            return address, True
        farthest = address
    return farthest, False


def _hops(value: str, header: str) -> Iterable[str]:
    """What a header says about each hop, from the right."""
    if header == "cloudfront-viewer-address":  # always ends with a port, an IPv6 address without brackets too
        return [value.rpartition(":")[0]]
    if header != "forwarded":
        return _items(value)
    if not _WELL_QUOTED.fullmatch(value):
        # A client left a quote open: what our own proxy wrote behind it can't be told apart. Where quotes of the
        # proxy's close it, those that the proxy escaped come to stand outside, where no backslash may be.
        return [""]
    return map(_forwarded_for, reversed(_FORWARDED_ELEMENT.findall(value)))


def _items(value: str) -> Iterator[str]:
    """The parts between commas, from the right: what a client wrote on the left is mostly not read at all."""
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


def sayable(text: str) -> Address | None:
    """The single public address that this text is, without port, brackets or zone; else None (design §3.2)."""
    found = _bare(text) if len(text) <= _LONGEST and "%" not in text else None
    return found if found and is_public(found) else None


@lru_cache(maxsize=8192)
def is_public(address: Address) -> bool:
    """False for private, loopback, link-local, CGNAT, multicast and reserved addresses: no place on a map."""
    if isinstance(address, IPv6Address) and (address.is_site_local or any(address in network for network in _NO_PLACE)):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
