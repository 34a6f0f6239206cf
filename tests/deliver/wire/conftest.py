"""Both transports, with and without TLS, on the sidecar's loop: what a test of the wire says of one holds for all."""

import asyncio
import socket
import threading

import pytest
import uvloop

from tests.deliver.wire.standins import SOON, listening, proxying, through
from tests.support.certificates import Authority, server_context

ON_BOTH_LOOPS = ("test_connections.py", "test_patience.py")


def pytest_asyncio_loop_factories(item):
    """The sidecar's loop; where timers and ends of connections matter, also that of an addon in mitmdump."""
    sidecar = {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, **sidecar} if item.path.name in ON_BOTH_LOOPS else sidecar


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
