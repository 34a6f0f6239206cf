"""The header that a load balancer puts before a connection: PROXY protocol, versions 1 and 2. Pure.

https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, whose sections are named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_V1_BYTES = 107
"""The longest line of version 1, with its CRLF (§2.1)."""
MAX_V2_BYTES = 4096
"""We accept so many bytes behind the fixed part of version 2: addresses and TLVs."""

_V1 = b"PROXY "
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES = 16
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_MAX_PORT = 65535
_LOCAL, _PROXY = 0x20, 0x21
"""Version and command (§2.2)."""
_FAMILIES = {0x1: (IPv4Address, 4), 0x2: (IPv6Address, 16)}
"""How an address is made, and its length in bytes."""
_UNIX, _UNIX_BYTES = 0x3, 216
_MAX_TRANSPORT = 0x2


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a whole header says."""

    size: int
    """Its bytes; the client's own come behind them."""
    source: tuple[str, int] | None
    """The client's address and port; None: the connection is the load balancer's own, such as a health check."""


class NoHeaderError(ValueError):
    """The connection does not begin with a header. The text is for our log and repeats nothing of what came."""


def read(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None: it is incomplete. Raises NoHeaderError as soon as it can't be one."""
    if _begins(data, _V1):
        return _read_v1(data)
    if _begins(data, SIGNATURE):
        return _read_v2(data)
    raise NoHeaderError("no PROXY header")


def _begins(data: bytes, signature: bytes) -> bool:
    return data[: len(signature)] == signature[: len(data)]


def _read_v1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:MAX_V1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_V1_BYTES:
            raise NoHeaderError("a PROXY line without an end")
        return None
    size = len(line) + len(end)
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader(size, None)
        case [_, b"TCP4", source, destination, source_port, destination_port]:
            make: Callable[[str], object] = IPv4Address
        case [_, b"TCP6", source, destination, source_port, destination_port]:
            make = IPv6Address
        case _:
            raise NoHeaderError("a malformed PROXY line")
    _address(destination, ip_address)  # nginx may write one of the other family
    _port(destination_port)
    return ProxyHeader(size, (_address(source, make), _port(source_port)))


def _address(text: bytes, make: Callable[[str], object]) -> str:
    try:
        address = str(make(text.decode("ascii")))
    except ValueError:
        raise NoHeaderError("a malformed address in a PROXY line") from None
    if "%" in address:
        raise NoHeaderError("an address with a zone in a PROXY line")
    return address


def _port(text: bytes) -> int:
    if not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        raise NoHeaderError("a malformed port in a PROXY line")
    return int(text)


def _read_v2(data: bytes) -> ProxyHeader | None:
    """Does not read TLVs, whose checksum we do not support (§2.2.3 leaves that to us)."""
    if len(data) < _V2_FIXED_BYTES:
        return None
    command, protocol, length = data[12], data[13], int.from_bytes(data[14:16])
    if command not in {_LOCAL, _PROXY}:
        raise NoHeaderError("a PROXY header of another version or command")
    if length > MAX_V2_BYTES:
        raise NoHeaderError("a PROXY header that is too long")
    size = _V2_FIXED_BYTES + length
    if len(data) < size:
        return None
    source = _source(protocol, data[_V2_FIXED_BYTES:size]) if command == _PROXY else None
    return ProxyHeader(size, source)


def _source(protocol: int, block: bytes) -> tuple[str, int] | None:
    """The source in the address block; None for families without addresses or with those of Unix sockets."""
    family, transport = divmod(protocol, 16)
    if family > _UNIX or transport > _MAX_TRANSPORT:
        raise NoHeaderError("a PROXY header of another protocol")
    if family in _FAMILIES:
        make, size = _FAMILIES[family]
        if len(block) < 2 * size + 4:
            raise NoHeaderError("a PROXY header that is too short")
        return str(make(block[:size])), int.from_bytes(block[2 * size : 2 * size + 2])
    if family == _UNIX and len(block) < _UNIX_BYTES:
        raise NoHeaderError("a PROXY header that is too short")
    return None
