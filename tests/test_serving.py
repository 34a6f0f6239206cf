"""What a process does before it serves."""

import socket
from pathlib import Path

import pytest

from storehop.addresses import Address
from storehop.options import RunOptions
from storehop.serving import CannotServeError, prepare

FREE = Address("127.0.0.1", 0)


def options(**changes):
    return RunOptions(upstream="http://legacy:80", rules=Path("rules"), **{"listen": FREE, "admin": None, **changes})


@pytest.fixture
def taken():
    """An address that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address(*server.getsockname())


def test_free_addresses_are_left_free():
    """They are bound for a moment only."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = Address(*probe.getsockname())
    prepare(options(listen=address))
    with socket.create_server(address):
        pass


@pytest.mark.parametrize("name", ["listen", "admin", "web"])
def test_an_address_that_is_taken_is_named(taken, name):
    """Before anything is started."""
    with pytest.raises(CannotServeError, match=f"^cannot listen on {taken}: Address already in use$"):
        prepare(options(**{name: taken}))


def test_a_host_that_is_not_there_is_named():
    """The message has the words of whoever looked it up."""
    with pytest.raises(CannotServeError, match=r"^cannot listen on none\.invalid:1: "):
        prepare(options(listen=Address("none.invalid", 1)))


def test_a_worker_shares_its_address(taken):
    """The supervisor holds it, so a worker does not ask."""
    prepare(options(listen=taken, worker_socket=Path("worker.sock")))
