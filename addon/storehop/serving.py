"""What a process does before it serves, whether it is a sidecar, a worker or their supervisor."""

from __future__ import annotations

import logging
import resource
import socket
import sys
from contextlib import suppress

from storehop.addresses import Address
from storehop.observe.log import BatchHandler, log_to
from storehop.options import LogFormat, RunOptions

_QUIET = ("mitmproxy.proxy.server", "asyncio", "hpack", "tornado")
"""Loggers that have a line for every connection."""


class CannotServeError(Exception):
    """The options ask for something that can't be done; the message says why."""


def prepare(options: RunOptions) -> None:
    """Makes room for sockets, and finds out whether the addresses can be had. Raises CannotServeError."""
    _allow_many_files()
    if options.worker_socket is None:
        for address in filter(None, (options.listen, options.admin, options.web)):
            _check(address)


def log_to_stderr(options: RunOptions) -> BatchHandler:
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return log_to(sys.stderr, as_json=options.log_format is LogFormat.JSON)


def cannot_listen(address: Address, error: OSError) -> CannotServeError:
    return CannotServeError(f"cannot listen on {address}: {error.strerror or error}")


def _allow_many_files() -> None:
    """As many sockets as the machine lets us have: a user may need two, and the usual limit is 1,024."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _check(address: Address) -> None:
    """Binds once and lets go, to say what is wrong in one sentence before anything is started."""
    try:
        places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in places:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as error:
        raise cannot_listen(address, error) from error
