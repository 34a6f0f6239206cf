"""The demo's sidecar: where it listens."""

import socket

from storehop.cli import sidecar
from tests.support.processes import free_port

FIRST_OUTGOING = 32_768
"""Of the ports that Linux gives to outgoing connections, unless it is told otherwise."""


def test_no_connection_can_take_the_sidecars_port():
    """Waiting for the sidecar is connecting: to a port for outgoing connections, one could meet itself."""
    assert all(port < FIRST_OUTGOING for port in sidecar.free_ports(2))


def test_a_port_in_use_is_not_the_sidecars(monkeypatch):
    """Of two ports it gets the one that nobody has."""
    used, free = free_port(), free_port()
    monkeypatch.setattr(sidecar.random, "sample", lambda _ports, _number: [used, free])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", used))

        assert [free] == sidecar.free_ports(1)
