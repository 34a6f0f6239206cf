"""`storehop healthcheck`: asks /readyz, for containers, in milliseconds.

A container asks every few seconds, so `storehop.__main__` comes here before it imports the other commands: this module
needs the standard library and `storehop.addresses`, and nothing else.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

from storehop.addresses import parse_address

FLAG = "--admin"
VARIABLE = "STOREHOP_ADMIN"
DEFAULT = "127.0.0.1:9321"
"""As the table of options says them, which takes too long to import; a test compares."""
TIMEOUT_S = 2.0


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
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return _refused(f"nobody answers at {address}: {error}")
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004  RFC 9110 §15.3.1
        return _refused(f"not ready: {body}")
    sys.stdout.write(f"{body}\n")
    return 0


def _refused(message: str, code: int = 1) -> int:
    sys.stderr.write(f"storehop: {message}\n")
    return code
