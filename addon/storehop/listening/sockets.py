"""Listening sockets: bound by us, or inherited from a service manager or a supervisor (design §13)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field

from storehop.addresses import Address

BACKLOG = 4096
"""So many connections wait in the kernel while nobody accepts them; its own limit (`somaxconn`) may be lower."""
FIRST_PASSED_FD = 3
"""See sd_listen_fds(3)."""
ADMIN_NAME = "admin"
"""What a socket unit calls the admin endpoints' socket (`FileDescriptorName=admin`). Others are the clients'."""


@dataclass(slots=True)
class Listeners:
    """Who has these sockets open, in whatever process, keeps their queues of connections."""

    clients: list[socket.socket] = field(default_factory=list)
    admin: list[socket.socket] = field(default_factory=list)

    @property
    def all(self) -> list[socket.socket]:
        return [*self.clients, *self.admin]

    def listen(self) -> None:
        """From now on connections wait, and none is refused. Raises OSError where another process listens there."""
        for one in self.all:
            one.listen(BACKLOG)

    def close(self) -> None:
        """Closes this process's own ends."""
        close_all(self.all)


def bind(address: Address) -> list[socket.socket]:
    """A socket for each of the address's IP addresses, all on one port; none listens yet.

    Raises OSError where it can't be had.
    """
    places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in dict.fromkeys(places):
            one = socket.socket(family, kind, protocol)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a run before may linger
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = address.port or bound[0].getsockname()[1]
            one.bind((place[0], port, *place[2:]))
    except OSError:
        close_all(bound)
        raise
    return bound


def of_service_manager(environment: MutableMapping[str, str]) -> Listeners:
    """The sockets that systemd passes to this process, by sd_listen_fds(3). Empty where it passes none.

    Takes the variables out of `environment`, so that no process that we start thinks they are for it.
    """
    process, count, names = (environment.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if process != str(os.getpid()):
        return Listeners()
    names_of_fds = [*names.split(":"), *[""] * int(count)]
    passed = Listeners()
    for fd, name in zip(range(FIRST_PASSED_FD, FIRST_PASSED_FD + int(count)), names_of_fds, strict=False):
        os.set_inheritable(fd, False)
        (passed.admin if name == ADMIN_NAME else passed.clients).append(socket.socket(fileno=fd))
    return passed


def inherited(numbers: Iterable[int]) -> list[socket.socket]:
    """The sockets that a supervisor passed to this process by these file descriptors."""
    return [socket.socket(fileno=number) for number in numbers]


def is_of(address: Address, one: socket.socket) -> bool:
    """Whether `bind(address)` would have made this one. Raises OSError where the name is not known."""
    places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return one.getsockname()[:2] in {place[:2] for *_, place in places}


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Closes this process's own ends."""
    for one in sockets:
        one.close()
