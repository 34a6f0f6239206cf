"""Where something listens or is asked: `HOST:PORT` and `http(s)://host[:port]`, read from text."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

LAST_PORT = 65_535
OFF = "off"
"""Stands for an address where nothing should listen."""

_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+)):(\d{1,5})")
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([1-9]\d{0,4}))?/?", re.IGNORECASE)
_CREDENTIALS = re.compile(r"^([a-z][a-z0-9+.-]*://)(?!/).*@", re.IGNORECASE | re.DOTALL)
"""Up to the last @: one within the password should be encoded, and is not always."""
_USUAL_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    host: str
    """A name or an IP address, IPv6 without brackets."""
    port: int
    """0: any that is free."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address that `HOST:PORT` names. Raises ValueError that says what was expected."""
    parts = _ADDRESS.fullmatch(text)
    if parts is None or int(parts[3]) > LAST_PORT:
        raise ValueError("expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080")
    host = parts[1] or parts[2]
    try:
        host.encode("idna")  # the lookup does the same
    except UnicodeError:
        raise ValueError("expected a host name whose parts have 1 to 63 characters") from None
    return Address(host, int(parts[3]))


def parse_address_or_off(text: str) -> Address | None:
    """As `parse_address`; `off` is None."""
    try:
        return None if text == OFF else parse_address(text)
    except ValueError as error:
        raise ValueError(f"{str(error).partition(' such as')[0]}, or {OFF}") from None


def without_credentials(url: str) -> str:
    """A URL or path for people and logs: `redis://***@host`."""
    return _CREDENTIALS.sub(r"\1***@", url)


def parse_origin(text: str) -> str:
    """`scheme://host:port`, always with its port. Raises ValueError that says what was expected."""
    parts = _ORIGIN.fullmatch(text)
    if parts is None or int(parts[3] or 0) > LAST_PORT:
        raise ValueError("expected http(s)://host[:port]")
    scheme = parts[1].lower()
    return f"{scheme}://{parts[2]}:{parts[3] or _USUAL_PORTS[scheme]}"


def is_loopback(address: Address) -> bool:
    """Whether a server there lets only this machine come in. False for a name that nobody knows."""
    from ipaddress import ip_address  # noqa: PLC0415  a health check needs addresses, too, and this takes its time

    try:
        places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(place[4][0]).is_loopback for place in places)
