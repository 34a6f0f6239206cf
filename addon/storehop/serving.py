"""What a process does before it serves, whether it is a sidecar, a worker or their supervisor."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from storehop.addresses import OFF, Address, without_credentials
from storehop.listening.line import HandoverError
from storehop.listening.sockets import Listeners, bind, close_all, inherited, is_of, of_service_manager
from storehop.listening.takeover import TakenOver, take_over
from storehop.observe.batches import BatchHandler, log_to
from storehop.options import LogFormat, LogLevel, RunOptions

_QUIET = ("asyncio", "hpack", "tornado")
"""Loggers that have lines for every connection, of use to nobody."""
_CONNECTIONS = "mitmproxy.proxy.server"
"""Logs when each connection comes and goes."""
_LISTENERS = "mitmproxy.proxy.mode_servers"
"""Logs `*` for every address, be it of IPv4 or IPv6; `introduction` says it better."""


RETIRE = signal.SIGUSR1
"""A supervisor sends it to a worker that another one has replaced."""


class CannotServeError(Exception):
    """The options ask for something that can't be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The sockets of this process, and who had them before."""

    listeners: Listeners
    taken: TakenOver | None = None


def open_listeners(options: RunOptions, *, is_alone: bool = False) -> Opened:
    """Makes room for sockets and gets those that clients and probes come in by: they do not listen yet.

    They come from the supervisor, else from the service manager, else from a storehop that serves this address, else
    they are bound. Who `is_alone` binds them: a dry run would end a real one, or serve where that does.

    Raises CannotServeError.
    """
    _allow_many_files()
    if options.worker_fds:
        return Opened(Listeners(inherited(map(int, options.worker_fds.split(",")))))
    if options.web:
        close_all(_bind(options.web, "--web"))
    passed = Listeners() if is_alone else of_service_manager(os.environ)
    try:
        taken = None if passed.clients or is_alone else take_over(options.listen)
    except HandoverError as error:
        raise CannotServeError(str(error)) from error
    before = taken.listeners if taken else passed
    clients = before.clients or _bind(options.listen, "--listen")
    try:
        return Opened(Listeners(clients, passed.admin or _admin(options.admin, before.admin)), taken)
    except CannotServeError:
        close_all(clients)
        raise


def listen(options: RunOptions, opened: Opened) -> None:
    """From now on connections wait until somebody accepts them. Raises CannotServeError."""
    try:
        opened.listeners.listen()
    except OSError as error:  # another process bound it in the same moment
        raise cannot_listen(options.listen, error, "--listen") from error


def collect_garbage() -> None:
    """From now on, where `storehop.__main__` has put it off. What is there already lasts, and is never looked through.

    Spares the start 8 % of its processor time, and clients the pauses of looking through 95,000 objects.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _admin(address: Address | None, before: list[socket.socket]) -> list[socket.socket]:
    """The sockets of who was there before, where they are the ones that are asked for."""
    if address and before and all(is_of(address, one) for one in before):
        return before
    close_all(before)
    return _bind(address, "--admin") if address else []


def _bind(address: Address, flag: str) -> list[socket.socket]:
    try:
        return bind(address)
    except OSError as error:
        raise cannot_listen(address, error, flag) from error


def own_command(words: Sequence[str]) -> list[str]:
    """The command for a process like this one: the same Python with the words that this one was started with.

    Not made from the options: what stands in the environment, perhaps a secret, stays out of the list of processes.
    """
    python_options = ["-O"] if sys.flags.optimize else []
    return [sys.executable, *python_options, "-m", "storehop", *words]


def log_to_stderr(options: RunOptions) -> BatchHandler:
    """Raises nothing: a log that can't be written stops no click."""
    level = logging.getLevelNamesMapping()[options.log_level.upper()]
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    if options.log_level is not LogLevel.DEBUG:
        for name in (_CONNECTIONS, _LISTENERS):
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
    as_json = options.log_format is LogFormat.JSON
    return log_to(sys.stderr, as_json=as_json, level=level, worker=options.worker_place)


def introduction(options: RunOptions, listeners: Listeners) -> str:
    """What starts here, for the log. What it keeps of the rules, it says apart."""
    try:
        release = version("storehop")
    except PackageNotFoundError:  # a bare checkout
        release = "(not installed)"
    parts = (
        f"storehop {release} listens on {_where(listeners.clients)} for {options.upstream}",
        f"admin {_where(listeners.admin) or OFF}",
        f"outbox {without_credentials(options.outbox_location)}",
        f"{options.workers} worker{'' if options.workers == 1 else 's'}",
    )
    return "; ".join(parts)


def _where(sockets: Iterable[socket.socket]) -> str:
    names = (one.getsockname() for one in sockets)
    return " and ".join(str(Address(*name[:2]) if isinstance(name, tuple) else name) for name in names)


def cannot_listen(address: Address, error: OSError, flag: str) -> CannotServeError:
    return CannotServeError(f"cannot listen on {address} ({flag}): {error.strerror or error}")


def _allow_many_files() -> None:
    """As many sockets as the machine lets us have: a user may need two, and the usual limit is 1,024."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
