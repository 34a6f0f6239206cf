"""Listening sockets: bound, and inherited from a service manager."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from storehop.addresses import Address
from storehop.listening.sockets import bind, of_service_manager
from tests.support.processes import ADDON, free_port

PASSED = """
import os, sys
from storehop.listening.sockets import of_service_manager
for number, passed in enumerate(map(int, sys.argv[1:]), 3):
    os.dup2(passed, number)
os.environ["LISTEN_PID"] = str(os.getpid())
got = of_service_manager(os.environ)
ports = [[one.getsockname()[1] for one in part] for part in (got.clients, got.admin)]
left = [name for name in os.environ if name.startswith("LISTEN")]
print(*ports, left, [os.get_inheritable(one.fileno()) for one in got.all])
"""
"""A process that gets two sockets as systemd passes them."""


def test_connections_of_a_run_before_do_not_hold_the_port():
    """A port is free though the kernel still remembers connections that a process before closed."""
    address = Address("127.0.0.1", free_port())  # one that no connection of others can take in between
    with socket.create_server(address) as server, socket.create_connection(address) as client:
        accepted, _ = server.accept()
        accepted.close()  # who closes first has to wait
        client.recv(1)
    (held,) = bind(address)
    with held:
        assert address == held.getsockname()


def test_both_families_of_a_name_have_one_port():
    """`localhost:0` is one free port, on IPv4 and IPv6."""
    sockets = bind(Address("localhost", 0))
    ports = {one.getsockname()[1] for one in sockets}
    for one in sockets:
        one.close()

    assert 1 == len(ports)


def test_a_bound_port_refuses_until_it_listens():
    """Nobody waits for a process that may never serve."""
    (held,) = bind(Address("127.0.0.1", 0))
    with held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(held.getsockname()).close()


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"}], ids=["none", "another's"])
def test_what_is_passed_to_nobody_or_another_process_is_not_taken(environment):
    """LISTEN_PID says for whom it is."""
    assert [] == of_service_manager(environment).all


@pytest.mark.process
def test_passed_sockets_are_told_apart_by_name():
    """Of two, the one named `admin` is the admin endpoints'; the variables are gone for further processes."""
    with socket.create_server(("127.0.0.1", 0)) as clients, socket.create_server(("127.0.0.1", 0)) as admin:
        ports = [one.getsockname()[1] for one in (clients, admin)]
        ran = subprocess.run(
            [sys.executable, "-c", PASSED, str(clients.fileno()), str(admin.fileno())],
            pass_fds=(clients.fileno(), admin.fileno()),
            env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "storehop.socket:admin", "PYTHONPATH": str(ADDON)},
            capture_output=True,
            text=True,
            check=True,
        )

    assert f"[{ports[0]}] [{ports[1]}] [] [False, False]" == ran.stdout.strip()
