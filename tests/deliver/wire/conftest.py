"""Both transports, with and without TLS, on both loops: what a test of the wire says of one holds for all of them."""

import asyncio
import socket
import threading

import pytest
import uvloop

from tests.deliver.wire.standins import SOON, listening, proxying, through
from tests.support.certificates import Authority, server_context


def pytest_asyncio_loop_factories():
    """The loop of an addon in mitmdump, and the sidecar's."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls(authority):
    """What a server named localhost speaks."""
    return server_context(authority.sign("localhost"))


@pytest.fixture
def trusted(authority, monkeypatch):
    """The wire trusts the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))


@pytest.fixture(params=["http", "https"])
def serve(request, trusted, tls):
    """Starts a server with these answers."""
    return lambda *answers: listening(*answers, tls=tls if request.param == "https" else None)


@pytest.fixture(params=["straight", "proxied"])
async def wire(request, trusted):
    if request.param == "straight":
        async with through(None) as straight:
            yield straight
    else:
        async with proxying() as proxy, through(proxy.url) as proxied:
            yield proxied


@pytest.fixture
def hanging_lookup(monkeypatch):
    """Names are looked up without end, until the test is over; these are."""
    is_over = threading.Event()
    names = []

    def hang(name, *_arguments, **_options):
        names.append(name)
        is_over.wait(10 * SOON)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield names
    is_over.set()
