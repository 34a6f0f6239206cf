"""A call's request, as transports take it: its bytes are built and checked once."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import httpx

from storehop.model import S2SCall


class UnsendableError(Exception):
    """The call's frozen bytes make no request: nothing was sent, and no other attempt will do better."""


class Place(NamedTuple):
    """Where calls of one origin go."""

    url: httpx.URL
    host: str
    """As the Host header says it."""


class Request(NamedTuple):
    """One attempt at a call."""

    call: S2SCall
    place: Place
    message: bytes
    """The whole request, as it goes on a connection to the origin."""
    connect_s: float
    """How long connecting may take."""
    deadline: float
    """By the loop's clock: nothing is sent after it, and nobody waits any longer."""


type Head = tuple[int, list[tuple[bytes, bytes]]]
"""An answer's status and headers, as they came."""


@lru_cache(maxsize=256)
def place_of(origin: str) -> Place:
    """An origin, parsed once for all its calls. Raises UnsendableError, httpx.InvalidURL."""
    url = httpx.URL(origin)
    if url.scheme not in {"http", "https"} or not url.host:
        raise UnsendableError("its origin is none")
    return Place(url, url.netloc.decode("ascii"))


def message_of(call: S2SCall, host: str) -> bytes:
    """The bytes of a call, to this Host. Raises UnsendableError, UnicodeEncodeError."""
    _check_target(call.target)
    lines = [f"{name}: {value}\r\n" for name, value in call.headers]
    text = f"GET {call.target} HTTP/1.1\r\nHost: {host}\r\n{''.join(lines)}\r\n"
    ends = len(lines) + 3
    # One more would begin another header or request (RFC 9110 §5.5).
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise UnsendableError("a header holds a line's end or a NUL")
    return text.encode()


def _check_target(target: str) -> None:
    """Visible ASCII, else the request line ends within it (RFC 9112 §3.2)."""
    if not (target.startswith("/") and target.isascii() and target.isprintable()) or " " in target:
        raise UnsendableError("its target is none")
