"""The request heads that we accept: takes bytes, returns the fields to forward, or raises `Refused` (design §2)."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

MAX_HEAD_BYTES = 64 * 1024
"""Longest request head, with its line ends; also the longest trailers behind a body."""
MAX_HEAD_LINES = 200
"""Most lines of a head, with the request line. All crumbs of a cookie count as one line (RFC 9113 §8.2.3)."""

type Fields = Sequence[tuple[bytes, bytes]]
"""Header fields in their order, as (name, value)."""

_TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()
"""The characters of a method (RFC 9110 §5.6.2)."""
_ODD_SPACES = b"\t\v\f"
"""Some servers end a method or a target at these, and some do not (RFC 9112 §3)."""
_SPACES = b" " + _ODD_SPACES
_FOLDING = b" \t"
_FORWARDED = frozenset({b"forwarded", b"x-real-ip"})
_NEEDED = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""Without one of these fields, a server reads another request."""


_USUAL_CONNECTIONS = frozenset({b"keep-alive", b"close", b"upgrade"})
"""The usual values of Connection."""


class Refused(Exception):  # noqa: N818  its client is at fault
    """We do not accept this head. `status` is for its client; the text is for our log and repeats no client's bytes."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def _bad(why: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, why)


class Buffer(Protocol):
    """The part of h11's ReceiveBuffer that we use."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def maybe_extract_lines(self) -> list[bytearray] | None: ...


def extract_lines(buffer: Buffer, new_bytes: bytes = b"\n") -> list[bytes] | None:
    """Takes the lines of the next head, without their ends, out of the buffer; None: the head is incomplete.

    `new_bytes` came since the last call: we count lines only when one has ended, so that a head that comes byte by
    byte costs no reading of all for each. Skips empty lines before a head (RFC 9112 §2.2). Raises Refused.
    """
    size = len(buffer)
    while (raw_lines := buffer.maybe_extract_lines()) == []:
        size = len(buffer)
    if raw_lines is None:
        _check_size(size, bytes(buffer).count(b"\n") if b"\n" in new_bytes else 0)
        return None
    _check_size(size - len(buffer), len(raw_lines))
    lines = [bytes(line) for line in raw_lines]
    _check_line_ends(lines)
    return lines


def _check_size(size: int, lines: int) -> None:
    if size > MAX_HEAD_BYTES or lines > MAX_HEAD_LINES:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too large")


def _check_line_ends(lines: list[bytes]) -> None:
    """Raises Refused where servers disagree where a line or a part of the first ends (RFC 9112 §2.2, §3, §5.2)."""
    text = b"".join(lines)
    if b"\r" in text or b"\0" in text:
        raise _bad("CR or NUL")
    for line in lines:
        if line[0] in _FOLDING:
            raise _bad("obs-fold")
    if lines[0].translate(None, _ODD_SPACES) != lines[0]:
        raise _bad("white space in the request line")


def check_request_line(method: bytes, target: bytes) -> None:
    """Raises Refused where an HTTP/1.1 server would read another method or target."""
    if not method or method.translate(None, _TOKEN):
        raise _bad("the method is no token")
    if target.translate(None, _SPACES) != target:
        raise _bad("white space in the target")


def lines_of(fields: Fields) -> int:
    """The number of lines that these fields of HTTP/2 make as HTTP/1.1, where the four pseudo-headers make two."""
    crumbs = sum(name == b"cookie" for name, _ in fields)
    pseudo = sum(name.startswith(b":") for name, _ in fields)
    return len(fields) - max(crumbs - 1, 0) - pseudo + 2


def _is_same(host: bytes, authority: bytes) -> bool:
    """Whether both name the same server, whatever their case and default port (RFC 9110 §4.2.3)."""
    one, other = (name.lower().removesuffix(b":80").removesuffix(b":443") for name in (host, authority))
    return one == other


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets no client write the fields in which we and our proxies describe the client: X-Forwarded-* and its kin."""

    client_ip_header: Callable[[], str]
    """Returns the name (lower case) of the field in which a trusted proxy sends the client's address, by the rules."""

    def admit(self, fields: Fields, authority: bytes, *, needs_host: bool) -> Fields:
        """The request's fields to forward. `authority` is that of the target, or empty. Raises Refused.

        Drops fields whose names CGI and WSGI servers would read as X-Forwarded-* or its kin (RFC 3875 §4.1.18).
        """
        names = [name.lower() for name, _ in fields]
        hosts = names.count(b"host")
        if hosts > 1:
            raise _bad("two Hosts")
        if hosts and authority and not _is_same(fields[names.index(b"host")][1], authority):
            raise _bad("the Host is not the target's")
        if not hosts and needs_host:
            raise _bad("no Host")
        if b"connection" in names:
            self._check_connection(
                value for name, (_, value) in zip(names, fields, strict=True) if name == b"connection"
            )
        if b"_" not in b"".join(names):
            return fields
        return [field for name, field in zip(names, fields, strict=True) if not self._is_disguised(name)]

    def _check_connection(self, values: Iterable[bytes]) -> None:
        """Raises Refused where the next server would drop a field that it needs (RFC 9110 §7.6.1)."""
        options = b",".join(values).lower()
        if options in _USUAL_CONNECTIONS:
            return
        for option in options.split(b","):
            name = option.strip().replace(b"_", b"-")
            if name in _NEEDED or self._is_ours(name):
                raise _bad("Connection names a field that is needed")

    def _is_disguised(self, name: bytes) -> bool:
        return b"_" in name and self._is_ours(name.replace(b"_", b"-"))

    def _is_ours(self, name: bytes) -> bool:
        is_forwarded = name in _FORWARDED or name.startswith(b"x-forwarded-")
        return is_forwarded or name == self.client_ip_header().encode()
