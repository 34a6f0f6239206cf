"""What is done before any worker is started."""

from __future__ import annotations

import socket
import sys

from storehop.addresses import Address
from storehop.workers.start import command_of_worker, hold_port
from tests.support.processes import free_port


def test_connections_of_a_run_before_do_not_hold_the_port():
    """A port is free though the kernel still remembers connections that a process without workers closed."""
    port = free_port()  # one that no connection of others can take in between
    address = Address("127.0.0.1", port)
    with socket.create_server(address) as server, socket.create_connection(address) as client:
        accepted, _ = server.accept()
        accepted.close()  # who closes first has to wait
        client.recv(1)
    (held,) = hold_port(address)
    with held:
        assert address == held.getsockname()


def test_a_worker_has_the_same_words():
    """A worker knows what the supervisor knows, how many they are as well: its command has the same words."""
    words = ["run", "--upstream", "http://legacy", "--workers", "3"]
    command = command_of_worker(words)

    assert (sys.executable, ["storehop", *words]) == (command[0], command[-len(words) - 1 :])
