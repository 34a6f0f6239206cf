"""`storehop healthcheck`: asks /readyz, for containers."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

import typer

from storehop.addresses import parse_address
from storehop.cli.fail import fail

TIMEOUT_S = 2.0


def healthcheck(address: str) -> None:
    """Exit 0 where /readyz says 200, else 1 and why."""
    try:
        host, port = parse_address(address)
    except ValueError as error:
        fail(f"--admin {address!r}: {error}", 2)
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        fail(f"nobody answers at {address}: {error}")
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004  RFC 9110 §15.3.1
        fail(f"not ready: {body}")
    typer.echo(body)
