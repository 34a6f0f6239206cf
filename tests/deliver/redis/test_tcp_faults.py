"""The proxy that stands between storehop and a server in tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from tests.support.patience import SOON_S
from tests.support.standins import closed
from tests.support.tcp_faults import Fault, FaultyWay, FaultyWayAside


class Echo:
    """Says back what it hears."""

    def __init__(self):
        self.heard = b""
        self.more = asyncio.Event()

    async def serve(self, reader, writer):
        while data := await reader.read(100):
            self.heard += data
            self.more.set()
            writer.write(data)
        await closed(writer)


@pytest.fixture
async def echo():
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def way(echo):
    async with FaultyWay(echo.port) as made:
        yield made


@pytest.fixture
async def client(way):
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    yield reader, writer
    await closed(writer)


async def said_back(client, text):
    reader, writer = client
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), SOON_S)


async def hears_nothing(client):
    """Not for a while."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client[0].readexactly(1), 0.1)
    return True


async def test_without_a_fault_it_carries(client):
    """Both ways."""
    assert b"hello" == await said_back(client, b"hello")


async def test_a_delay_is_a_delay_each_way(way, client):
    """There and back."""
    way.delay_s = 0.1
    began = time.monotonic()

    await said_back(client, b"hello")

    assert time.monotonic() - began >= 0.2


async def test_replies_are_lost(way, client, echo):
    """The server has heard, and the client never hears; what is said later arrives."""
    await way.set(Fault.REPLIES_LOST)
    client[1].write(b"lost")
    await asyncio.wait_for(echo.more.wait(), SOON_S)

    assert await hears_nothing(client)
    await way.set(Fault.NONE)

    assert (b"lost", 4, b"hello") == (echo.heard, way.lost, await said_back(client, b"hello"))


async def test_a_black_hole_takes_all(way, client, echo):
    """A new client is let in, and heard by nobody."""
    await way.set(Fault.BLACK_HOLE)
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    writer.write(b"lost")

    assert await hears_nothing((reader, writer))
    assert b"" == echo.heard
    await closed(writer)


async def test_a_cut_ends_connections_and_lets_new_ones_in(way, client):
    """The client sees it at once."""
    await said_back(client, b"hello")

    await way.cut()

    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(client[0].readexactly(1), SOON_S)
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    assert b"again" == await said_back((reader, writer), b"again")
    await closed(writer)


async def test_a_refusal_ends_when_it_is_told_to(way):
    """On the same port as before."""
    await way.set(Fault.REFUSED)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", way.port)

    await way.set(Fault.NONE)

    _, writer = await asyncio.open_connection("127.0.0.1", way.port)
    await closed(writer)


def echo_once(listener):
    client, _ = listener.accept()
    with client:
        client.sendall(client.recv(100))


def test_a_client_that_blocks_has_one_aside():
    """In a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener, FaultyWayAside(listener.getsockname()[1]) as way:
        thread = threading.Thread(target=echo_once, args=(listener,))
        thread.start()
        with socket.create_connection(("127.0.0.1", way.port), SOON_S) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        thread.join()
        way.set(Fault.REFUSED)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", way.port), SOON_S)
