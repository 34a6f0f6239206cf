"""`storehop restart`: new processes in the place of those that serve an address, without a refused connection."""

from __future__ import annotations

import typer

from storehop.addresses import parse_address
from storehop.cli.fail import fail
from storehop.listening.line import HandoverError
from storehop.listening.takeover import ask_to_restart

PATIENCE_S = 600.0
"""Workers are replaced one by one, each within a minute at the most."""


def restart(listen: str) -> None:
    """Returns when the new processes serve. Exits with 1 and a sentence where there are none, 2 for no address."""
    try:
        address = parse_address(listen)
    except ValueError as error:
        fail(f"--listen {listen!r}: {error}", 2)
    try:
        process = ask_to_restart(address, PATIENCE_S)
    except HandoverError as error:
        fail(str(error))
    if process is None:
        fail(f"no storehop serves {address}: --listen names where clients come in, as in its own command")
    typer.echo(f"storehop: process {process} is restarted; the clients of the processes before finish there")
