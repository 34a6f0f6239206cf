"""The client's address: the TCP peer, or what a trusted proxy says about it (design §3.4).

One source, by configuration. A forged header from a peer that is not trusted is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WELL_QUOTED = re.compile(rf'(?:[^"\\]|{_QUOTED})*', re.DOTALL)
_FORWARDED_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_FORWARDED_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)
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


_LONGEST = 128


def parse(text: str) -> Address | None:
    """An address without port, brackets, quotes and zone; IPv4-mapped IPv6 as IPv4. None where it is none."""
    return _parse(text) if text and len(text) <= _LONGEST else None


@lru_cache(maxsize=8192)
def _parse(text: str) -> Address | None:
    text = text.strip().strip('"')
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # the number has no zone


def client_address(peer: str, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    """Who clicked. Walks the configured header from the right to the first address that is not trusted.

    Anything malformed on the way: the peer. None where the peer itself has no IP address.
    """
    direct = parse(peer)
    if direct is None or not proxies.trusted or not proxies.trust(direct):
        return direct
    chain = _chain(headers.get(proxies.header, ""), proxies.header)
    address: Address | None = direct
    for hop in reversed(chain):
        address = parse(hop)
        if address is None:
            return direct
        if not proxies.trust(address):
            return address
    return address


def _chain(value: str, header: str) -> list[str]:
    if not value:
        return []
    if header == "cloudfront-viewer-address":  # always ends with a port, an IPv6 address without brackets too
        return [value.rpartition(":")[0]]
    if header != "forwarded":
        return value.split(",")
    quoted = _WELL_QUOTED.match(value)
    if quoted is None or quoted.end() < len(value):
        # A client left a quote open: what our own proxy wrote behind it can't be told apart. Where quotes of the
        # proxy's close it, those that the proxy escaped come to stand outside, where no backslash may be.
        return [""]
    return [_forwarded_for(element) for element in _FORWARDED_ELEMENT.findall(value)]


def _forwarded_for(element: str) -> str:
    """The `for` of one hop (RFC 7239 §4), or "" where it has none or two."""
    pairs = (pair[0].partition("=") for pair in _FORWARDED_PAIR.finditer(element))
    values = [value for name, _, value in pairs if name.strip().lower() == "for"]
    return values[0] if len(values) == 1 else ""


def sayable(text: str) -> Address | None:
    """The single public address that this text is, without port, brackets or zone; else None (design §3.2)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if is_public(found) else None


@lru_cache(maxsize=8192)
def is_public(address: Address) -> bool:
    """False for private, loopback, link-local, CGNAT, multicast and reserved addresses: no place on a map."""
    if isinstance(address, IPv6Address) and (address.is_site_local or any(address in network for network in _NO_PLACE)):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
