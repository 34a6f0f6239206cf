"""Which request heads are let in: bytes in, the fields that go on out, or `Refused` (design §2). No mitmproxy."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

MAX_HEAD = 64 * 1024
"""Bytes of a request head with its line ends; as many may the trailers behind a body have."""
MAX_LINES = 200
"""Lines of a head, the request line among them. All crumbs of a cookie are one (RFC 9113 §8.2.3)."""

type Fields = Sequence[tuple[bytes, bytes]]
"""Header fields in their order: name, value."""

_TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()
"""What a method is made of (RFC 9110 §5.6.2)."""
_ODD_SPACES = b"\t\v\f"
"""Some servers end a method or a target there, and some do not (RFC 9112 §3)."""
_SPACES = b" " + _ODD_SPACES
_FOLDING = b" \t"
_FORWARDED = frozenset({b"forwarded", b"x-real-ip"})
_NEEDED = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""Fields without which a request is another one."""


_USUAL = frozenset({b"keep-alive", b"close", b"upgrade"})
"""Most of what Connection says."""


class Refused(Exception):  # noqa: N818  its client is at fault
    """A head that is not let in. `status` is what its client hears; the text is for our log and says nothing of it."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def _bad(why: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, why)


class Buffer(Protocol):
    """What is used of h11's buffer."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def maybe_extract_lines(self) -> list[bytearray] | None: ...


def take_lines(received: Buffer, arrived: bytes = b"\n") -> list[bytes] | None:
    """The lines of the next head, without their ends; None: more of it is to come. Raises Refused.

    `arrived` is what came since the last look: lines are counted when one has ended, so that a head that drips in byte
    by byte is not read again for each. Empty lines before a head are skipped (RFC 9112 §2.2).
    """
    size = len(received)
    while (found := received.maybe_extract_lines()) == []:
        size = len(received)
    if found is None:
        _check_size(size, bytes(received).count(b"\n") if b"\n" in arrived else 0)
        return None
    _check_size(size - len(received), len(found))
    lines = [bytes(line) for line in found]
    _check_line_ends(lines)
    return lines


def _check_size(size: int, lines: int) -> None:
    if size > MAX_HEAD or lines > MAX_LINES:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too large")


def _check_line_ends(lines: list[bytes]) -> None:
    """Raises Refused where servers differ on where a line ends, or a part of the first (RFC 9112 §2.2, §3, §5.2)."""
    text = b"".join(lines)
    if b"\r" in text or b"\0" in text:
        raise _bad("CR or NUL")
    for line in lines:
        if line[0] in _FOLDING:
            raise _bad("obs-fold")
    if lines[0].translate(None, _ODD_SPACES) != lines[0]:
        raise _bad("white space in the request line")


def check_request_line(method: bytes, target: bytes) -> None:
    """Raises Refused for what an HTTP/1.1 server would read as something else."""
    if not method or method.translate(None, _TOKEN):
        raise _bad("the method is no token")
    if target.translate(None, _SPACES) != target:
        raise _bad("white space in the target")


def lines_of(fields: Fields) -> int:
    """How many lines these fields of HTTP/2 are as HTTP/1.1: the four of the request line are two there."""
    crumbs = sum(name == b"cookie" for name, _ in fields)
    pseudo = sum(name.startswith(b":") for name, _ in fields)
    return len(fields) - max(crumbs - 1, 0) - pseudo + 2


def _is_same(host: bytes, authority: bytes) -> bool:
    """Whether both name one server: case and a usual port make no difference (RFC 9110 §4.2.3)."""
    one, other = (name.lower().removesuffix(b":80").removesuffix(b":443") for name in (host, authority))
    return one == other


@dataclass(frozen=True, slots=True)
class Gate:
    """Keeps apart what a client says and what we and our proxies say of it: X-Forwarded-* and its kin."""

    client_ip_header: Callable[[], str]
    """In which field, lower case, a trusted proxy tells the client's address: as the rules have it now."""

    def admit(self, fields: Fields, authority: bytes, *, needs_host: bool) -> Fields:
        """Those of a request's fields that go on. `authority` is the target's own, or empty. Raises Refused.

        Names are left out that CGI and WSGI servers would take for X-Forwarded-* or its kin (RFC 3875 §4.1.18).
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
        """Raises Refused where the next server would take away a field that must reach it (RFC 9110 §7.6.1)."""
        options = b",".join(values).lower()
        if options in _USUAL:
            return
        for option in options.split(b","):
            name = option.strip().replace(b"_", b"-")
            if name in _NEEDED or self._is_ours(name):
                raise _bad("Connection names a field that is needed")

    def _is_disguised(self, name: bytes) -> bool:
        return b"_" in name and self._is_ours(name.replace(b"_", b"-"))

    def _is_ours(self, name: bytes) -> bool:
        is_known = name in _FORWARDED or name.startswith(b"x-forwarded-")
        return is_known or name == self.client_ip_header().encode()
