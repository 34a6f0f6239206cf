"""Hosts that can be cut off from each other: network namespaces on two bridges, which takes root.

Over the first bridge, hosts reach each other: Redis, Sentinels. Over the second they reach the outside, which is the
tests' process: its users, its ad stack, its AppsFlyer. A cut of the first leaves the second as it is.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self

from tests.support.needs import missing, need
from tests.support.seats import Seat

_numbers = count()
NOBODY = "02:00:00:00:00:01"
"""The hardware address of no host."""


def need_namespaces() -> None:
    """Named network namespaces, which takes root."""
    name = f"s{os.getpid()}n{next(_numbers)}"
    tried = subprocess.run([need("ip"), "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        missing(f"may not make a network namespace: {tried.stderr.strip()}")
    _ip(f"netns del {name}")


@dataclass(frozen=True, slots=True)
class NetworkHost:
    """A machine of its own, as far as the network goes. Its disk is ours."""

    name: str
    """Of its namespace."""
    address: str
    """Other hosts find it there."""
    seen_at: str
    """The tests find it there."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command behind it runs on this host."""
        return ("ip", "netns", "exec", self.name)

    @property
    def seat(self) -> Seat:
        return Seat(self.address, self.seen_at, self.prefix)


@dataclass(slots=True)
class Network:
    """`with Network(3) as network:` has three hosts; `network.outside` is where they find the tests' process."""

    size: int
    name: str = field(init=False)
    hosts: list[NetworkHost] = field(init=False)
    outside: str = field(init=False)
    _reserved: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        need_namespaces()
        _tidy_up()
        self.name = f"s{os.getpid()}n{next(_numbers)}"
        self._reserved, inner, outer = _reserve()
        self.outside = f"{outer}.254"
        self.hosts = [NetworkHost(f"{self.name}h{n}", f"{inner}.{n}", f"{outer}.{n}") for n in range(1, self.size + 1)]
        try:
            _ip(*self._bridges(), *(line for host in self.hosts for line in self._plugs(host)))
            for host in self.hosts:
                _ip(*_addresses(host), host=host.name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        _remove(self.name)
        self._reserved.close()

    def _bridges(self) -> Iterable[str]:
        for kind in "io":
            yield f"link add {self.name}{kind} type bridge"
            yield f"link set {self.name}{kind} up"
        yield f"addr add {self.outside}/24 dev {self.name}o"

    def _plugs(self, host: NetworkHost) -> Iterable[str]:
        yield f"netns add {host.name}"
        for kind in "io":
            yield f"link add {host.name}{kind} type veth peer name {kind}net netns {host.name}"
            yield f"link set {host.name}{kind} master {self.name}{kind} up"

    def cut(self, host: NetworkHost) -> None:
        """Off from all other hosts: its cable is out of the bridge, and its own interface notices nothing."""
        _ip(f"link set {host.name}i nomaster")

    def heal(self, host: NetworkHost) -> None:
        """Undoes `cut`."""
        _ip(f"link set {host.name}i master {self.name}i")

    def cut_pair(self, one: NetworkHost, other: NetworkHost) -> None:
        """These two off from each other; all others reach both."""
        for here, there in ((one, other), (other, one)):
            _ip(f"neigh replace {there.address} lladdr {NOBODY} nud permanent dev inet", host=here.name)

    def heal_pair(self, one: NetworkHost, other: NetworkHost) -> None:
        """Undoes `cut_pair`."""
        for here, there in ((one, other), (other, one)):
            _ip(f"neigh del {there.address} dev inet", host=here.name)

    def cut_outside(self, host: NetworkHost) -> None:
        """Off from users, ad stack and AppsFlyer."""
        _ip(f"link set {host.name}o nomaster")

    def heal_outside(self, host: NetworkHost) -> None:
        """Undoes `cut_outside`."""
        _ip(f"link set {host.name}o master {self.name}o")


def _addresses(host: NetworkHost) -> Iterable[str]:
    yield "link set lo up"
    for kind, address in (("i", host.address), ("o", host.seen_at)):
        yield f"addr add {address}/24 dev {kind}net"
        yield f"link set {kind}net up"


def _reserve() -> tuple[socket.socket, str, str]:
    """Two networks that nobody on this machine uses, other test runs included, while the socket is open."""
    for _ in range(100):
        middle, end = random.randrange(64, 192), 2 * random.randrange(1, 126)
        inner, outer = f"10.{middle}.{end}", f"10.{middle}.{end + 1}"
        taken = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            taken.bind(f"\0storehop-test-network-{inner}")
            if not _is_ours(inner) and not _is_ours(outer):
                return taken, inner, outer
        taken.close()
    raise AssertionError("found no free network")


def _is_ours(network: str) -> bool:
    """Whether this machine has an address in it."""
    return f" {network}." in _ip("-o addr")


def _tidy_up() -> None:
    """What earlier test processes left because they were killed."""
    found = {(part[0], part[1]) for part in re.findall(r"\b(s(\d+)n\d+)", _ip("netns") + _ip("-o link"))}
    for name, pid in found:
        if not Path(f"/proc/{pid}").exists():
            with suppress(AssertionError):  # another test process is at it, too
                _remove(name)


def _remove(name: str) -> None:
    """The namespaces and links of one network; veths go with their namespaces."""
    for host in re.findall(rf"\b{name}h\d+\b", _ip("netns")):
        _ip(f"netns del {host}")
    for link in set(re.findall(rf"\b{name}[io]\b", _ip("-o link"))):
        _ip(f"link del {link}")


def _ip(*lines: str, host: str = "") -> str:
    """These commands of ip, in this namespace."""
    command = [need("ip"), *(["-n", host] if host else [])]
    if len(lines) == 1:
        command += lines[0].split()
        lines = ()
    else:
        command += ["-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
