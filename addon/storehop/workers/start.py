"""`storehop run --workers N`: holds the port and runs the supervisor."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from storehop.addresses import Address
from storehop.options import RunOptions
from storehop.serving import cannot_listen, log_to_stderr, prepare
from storehop.workers.supervisor import Supervisor


def supervise(options: RunOptions) -> int:
    """Serves by `options.workers` processes until a signal ends it. Returns the exit code. Raises CannotServeError."""
    prepare(options)
    return asyncio.run(_supervise(options))


async def _supervise(options: RunOptions) -> int:
    log_to_stderr(options)
    try:
        shares = hold_port(options.listen)
    except OSError as error:
        raise cannot_listen(options.listen, error) from error
    try:
        # Not in the state folder: a path of a Unix socket has 107 bytes at the most.
        with TemporaryDirectory(prefix="storehop-") as sockets:
            command = command_of_worker(sys.argv[1:])
            supervisor = Supervisor(
                command, options.workers, Path(sockets), options.outbox_location, drain=options.drain
            )
            return await supervisor.run(options.admin)
    finally:
        for one in shares:
            one.close()


def hold_port(address: Address) -> list[socket.socket]:
    """Binds the port for the workers to share, without listening. Raises OSError where it can't be had."""
    sockets = []
    places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, place in places:
        one = socket.socket(family, kind, protocol)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a run before may linger
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(place)
        sockets.append(one)
    return sockets


def command_of_worker(words: Sequence[str]) -> list[str]:
    """The command for a worker: the same Python with the words that this process was started with.

    Not made from the options: what stands in the environment, perhaps a secret, stays out of the list of processes.
    """
    python_options = ["-O"] if sys.flags.optimize else []
    return [sys.executable, *python_options, "-m", "storehop", *words]
