"""Why AppsFlyer can't be reached, in words that somebody on call understands."""

import asyncio
import errno
import itertools
import socket
import ssl

import pytest

from storehop.deliver.wire.causes import MAX_CHARACTERS, cause_of
from storehop.model import S2SCall
from tests.deliver.wire.standins import OK, SOON, listening, through


def call(origin):
    return S2SCall("c1", origin, "/x?af_ip=81.2.69.142", ())


@pytest.fixture
def refusing():
    """A port that nobody listens on while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_refused_connection(refusing):
    """To AppsFlyer, or to the proxy."""
    for way, origin in ((None, f"http://127.0.0.1:{refusing}"), (f"http://127.0.0.1:{refusing}", "http://af.test")):
        async with through(way) as wire:
            assert "Connection refused" == (await wire.send(call(origin), SOON)).cause


@pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128"], ids=["AppsFlyer", "proxy"])
async def test_an_unknown_name(monkeypatch, proxy):
    """What the resolver says."""

    def look_up(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with through(proxy) as wire:
        assert "Name or service not known" == (await wire.send(call("https://af.test"), SOON)).cause


async def test_a_name_that_takes_too_long(hanging_lookup):
    """A resolver that hangs is not a server that hangs."""
    async with through(None) as wire:
        assert "its name was not looked up in time" == (await wire.send(call("http://af.test"), 0.1)).cause


async def test_a_certificate(wire, tls):
    """What is wrong with it."""
    async with listening(OK, tls=tls) as server:
        outcome = await wire.send(call(f"https://127.0.0.1:{server.port}"), SOON)

    assert outcome.cause.startswith("IP address mismatch, certificate is not valid for '127.0.0.1'")


async def test_a_server_that_speaks_no_tls(wire):
    """What TLS says of its answer."""

    async def greet(reader, writer):
        await reader.read(65536)
        writer.write(b"220 hello\r\n")
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    outcome = await wire.send(call(f"https://localhost:{listener.sockets[0].getsockname()[1]}"), SOON)
    listener.close()

    assert outcome.cause in {"wrong version number", "record layer failure", "packet length too long"}


async def test_what_came_after_the_request_is_no_cause(wire, serve):
    """It might repeat the click."""
    async with serve(b"GET /x?af_ip=81.2.69.142 HTTP/1.1\r\n\r\n") as server:
        outcome = await wire.send(server.call(), SOON)

    assert (True, "") == (outcome.maybe_sent, outcome.cause)


def chained(*errors):
    """The last, raised from the one before it, and so on."""
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENETUNREACH, "Connect call failed ('10.0.0.1', 443)"), "Network is unreachable"),
        (ssl.SSLError(1, "bad record mac"), "bad record mac"),
        (ConnectionError("no number"), "no number"),
        (ValueError("a\nb\x00c"), "abc"),
        (ValueError("x" * 1000), "x" * MAX_CHARACTERS),
        (chained(OSError(errno.EHOSTUNREACH, "x"), RuntimeError("a"), ValueError("b")), "No route to host"),
    ],
)
def test_words(error, words):
    """The system's, of the error that was first; one line, with an end."""
    assert words == cause_of(error)
