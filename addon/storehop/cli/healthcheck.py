"""`storehop healthcheck`: asks /readyz, for containers, in milliseconds.

A container asks every few seconds, so `storehop.__main__` comes here before it imports the other commands: this module
needs sockets and `storehop.addresses`, and nothing else. Importing `http.client` alone would double what it costs.
"""

from __future__ import annotations

import os
import re
import socket
import sys

from storehop.addresses import parse_address

FLAG = "--admin"
VARIABLE = "STOREHOP_ADMIN"
DEFAULT = "127.0.0.1:9321"
"""As the table of options says them, which takes too long to import; a test compares."""
TIMEOUT_S = 2.0
_REQUEST = b"GET /readyz HTTP/1.0\r\n\r\n"
"""By version 1.0 the answer has no chunks, and ends with the connection (RFC 9112 §6.3, §7.1)."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
_AT_ONCE = 65_536
"""Bytes."""


def quick(arguments: list[str]) -> int | None:
    """Answers `storehop healthcheck [--admin HOST:PORT]` and returns the exit code.

    None where there are other words, such as --help: the command line as a whole answers those.
    """
    match [word for argument in arguments for word in argument.split("=", 1)]:
        case []:
            address = os.environ.get(VARIABLE) or DEFAULT
        case [flag, address] if flag == FLAG:
            pass
        case _:
            return None
    return healthcheck(address)


def healthcheck(address: str) -> int:
    """Prints what /readyz says. Exit code: 0 ready; 1 not, and why on stderr; 2 no address."""
    try:
        host, port = parse_address(address)
    except ValueError as error:
        return _refused(f"{FLAG} {address!r}: {error}", 2)
    try:
        status, body = _readyz(host, port)
    except (OSError, ValueError) as error:
        return _refused(f"nobody answers at {address}: {error}")
    if status != 200:  # noqa: PLR2004  RFC 9110 §15.3.1
        return _refused(f"not ready: {body}")
    sys.stdout.write(f"{body}\n")
    return 0


def _readyz(host: str, port: int) -> tuple[int, str]:
    """Status and body of the answer. Raises OSError, and ValueError where it is none of HTTP's."""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(_REQUEST)
        answer = b"".join(iter(lambda: connection.recv(_AT_ONCE), b""))
    status = _STATUS.match(answer)
    if status is None:
        raise ValueError(f"this is no HTTP: {answer[:40]!r}")
    return int(status[1]), answer.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()


def _refused(message: str, code: int = 1) -> int:
    sys.stderr.write(f"storehop: {message}\n")
    return code
