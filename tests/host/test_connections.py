"""The registry of clients' connections, without a network: handlers of mitmproxy's are stand-ins."""

import asyncio
import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest
import pytest_asyncio
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from storehop.host.connections import Connections
from storehop.host.layers.link import Limits, Look
from tests.support.patience import SOON_S

REVERSE = "reverse:http://ads.example:8000"
ANSWER_BYTES = 4 << 20
"""More than the kernel buffers."""


class Handler:
    """What mitmproxy has for a connection."""

    def __init__(self, client):
        self.client = client
        self.looks = []
        self.is_cut = False
        self.is_closed = False
        self.transports = {client: SimpleNamespace(handler=SimpleNamespace(cancel=self._cut), writer=self)}

    def _cut(self, _why):
        self.is_cut = True

    def close(self):
        self.is_closed = True

    def give(self, writer):
        """A real socket."""
        self.transports[self.client].writer = writer

    async def server_event(self, event):
        self.looks.append(event)


@pytest.fixture
def handlers():
    return {}


@pytest_asyncio.fixture
async def pair():
    """Both ends of a connection: our writer, and a client that reads nothing until it is asked to."""
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    theirs.setblocking(False)
    yield writer, theirs
    theirs.close()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def taken_from(client, size):
    """What a client reads, at last."""
    loop, got = asyncio.get_running_loop(), 0
    async with asyncio.timeout(SOON_S):
        while got < size and (data := await loop.sock_recv(client, 1 << 20)):
            got += len(data)
    return got


@pytest.fixture
def connect(handlers):
    """A client that comes, in this mode."""

    def make(connections, mode=REVERSE, writer=None):
        client = tflow.tclient_conn()
        client.id = f"client {len(handlers)}"
        client.state = ConnectionState.OPEN
        client.proxy_mode = ProxyMode.parse(mode)
        handlers[client.id] = Handler(client)
        if writer:
            handlers[client.id].give(writer)
        connections.client_connected(client)
        return client

    return make


@pytest.mark.parametrize(("mode", "expected"), [(REVERSE, 1), ("regular", 0), ("socks5", 0)])
def test_it_counts_those_of_a_reverse_proxy(handlers, connect, mode, expected):
    """A forward mode is a debugging proxy."""
    connections = Connections(handlers=lambda: handlers)
    client = connect(connections, mode)
    count = connections.count
    connections.client_disconnected(client)

    assert (expected, 0) == (count, connections.count)


async def test_somebody_can_wait_until_the_last_is_gone(handlers, connect):
    """At once where there is none, and not for ever where one stays."""
    connections = Connections(handlers=lambda: handlers)
    at_first = await connections.gone(0)
    client = connect(connections)
    meanwhile = await connections.gone(0.001)
    waiting = asyncio.create_task(connections.gone(SOON_S))
    await asyncio.sleep(0)
    connections.client_disconnected(client)

    assert (True, False, True) == (at_first, meanwhile, await waiting)


async def test_who_has_not_got_all_is_not_gone(handlers, connect, pair):
    """Mitmproxy is done with it, but the end of its answer is in a buffer of this process."""
    writer, client = pair
    connections = Connections(handlers=lambda: handlers)
    connected = connect(connections, writer=writer)
    writer.write(bytes(ANSWER_BYTES))
    writer.close()
    handlers[connected.id].transports.clear()
    connections.client_disconnected(connected)
    waiting = asyncio.create_task(connections.gone(SOON_S))
    flushing = asyncio.create_task(connections.flushed())
    early = await connections.gone(0.05), connections.count, flushing.done()
    got = await taken_from(client, ANSWER_BYTES)
    async with asyncio.timeout(SOON_S):
        await flushing

    assert ((False, 1, False), ANSWER_BYTES, True, 0) == (early, got, await waiting, connections.count)


async def test_a_client_that_breaks_off_is_gone(handlers, connect, pair):
    """It does not want the rest."""
    writer, client = pair
    connections = Connections(handlers=lambda: handlers)
    connected = connect(connections, writer=writer)
    writer.write(bytes(ANSWER_BYTES))
    writer.close()
    handlers[connected.id].transports.clear()
    connections.client_disconnected(connected)
    client.close()

    assert await connections.gone(SOON_S)


async def test_a_kept_connection_is_flushed_when_its_buffer_is_empty(handlers, connect, pair):
    """It stays open, and owes nothing."""
    writer, client = pair
    connections = Connections(handlers=lambda: handlers)
    connections.link_of(connect(connections, writer=writer)).rest()
    writer.write(bytes(ANSWER_BYTES))
    flushing = asyncio.create_task(connections.flushed())
    await asyncio.sleep(0.05)
    early = flushing.done()
    got = await taken_from(client, ANSWER_BYTES)
    async with asyncio.timeout(SOON_S):
        await flushing

    assert (False, ANSWER_BYTES, 1) == (early, got, connections.count)


async def test_a_request_under_way_is_waited_for(handlers, connect):
    """Its answer may be in HTTP/2's buffers, where no socket knows of it; a WebSocket has no end."""
    connections = Connections(handlers=lambda: handlers)
    busy, tunnel = (connections.link_of(connect(connections)) for _ in range(2))
    busy.begin_request()
    tunnel.begin_request()
    tunnel.is_tunnel = True
    flushing = asyncio.create_task(connections.flushed())
    await asyncio.sleep(0.05)
    early = flushing.done()
    busy.rest()
    async with asyncio.timeout(SOON_S):
        await flushing

    assert not early


async def test_what_is_overdue_is_looked_at(handlers, connect):
    """Its layers end it; where there are none yet, it is cut."""
    connections = Connections(Limits(head=0.001), handlers=lambda: handlers)
    speaking, silent, busy = (connect(connections) for _ in range(3))
    connections.link_of(speaking).has_layers = True
    connections.link_of(busy).begin_request()
    connections.running()
    async with asyncio.timeout(SOON_S):
        while not handlers[speaking.id].looks:
            await asyncio.sleep(0.001)
    connections.done()

    assert isinstance(handlers[speaking.id].looks[0], Look)
    assert [False, True, False] == [handlers[one.id].is_cut for one in (speaking, silent, busy)]


async def test_a_closed_socket_is_a_client_that_is_gone(handlers, connect, pair):
    """Nobody can ask the kernel about it any more."""
    writer, _ = pair
    connections = Connections(handlers=lambda: handlers)
    client = connect(connections, writer=writer)
    handlers[client.id].give(writer)
    connections.link_of(client).has_sent_all = True
    writer.close()
    await writer.wait_closed()
    connections.look()

    assert handlers[client.id].is_cut


async def test_the_watch_survives_a_look_that_fails(monkeypatch, caplog):
    """Else all limits would be off from then on. It is said once a minute."""
    connections = Connections(Limits(idle=0.004))
    looks, third = [], asyncio.Event()

    def look():
        looks.append(1)
        if len(looks) == 3:
            third.set()
        raise OSError("closed")

    monkeypatch.setattr(connections, "look", look)
    connections.running()
    async with asyncio.timeout(SOON_S):
        await third.wait()
    connections.done()

    assert ["looking at the connections failed in our own code"] == caplog.messages


async def test_what_is_idle_can_be_ended(handlers, connect):
    """A silent connection is as idle as one that is kept; a busy one is not."""
    connections = Connections(handlers=lambda: handlers)
    kept, silent, busy = (connect(connections) for _ in range(3))
    for one in (kept, busy):
        connections.link_of(one).has_layers = True
    connections.link_of(kept).rest()
    connections.link_of(busy).begin_request()
    connections.close_idle()
    await asyncio.sleep(0)

    assert [1, 0, 0] == [len(handlers[one.id].looks) for one in (kept, silent, busy)]
    assert [False, True, False] == [handlers[one.id].is_cut for one in (kept, silent, busy)]


def test_a_connection_that_is_just_ending_is_left_alone(handlers, connect):
    """Mitmproxy knows it no more, and its hook comes next."""
    connections = Connections(handlers=lambda: handlers)
    connect(connections)
    handlers.clear()
    connections.close_idle()

    assert 1 == connections.count


def test_no_socket_outlives_its_connection(handlers, connect):
    """Mitmproxy forgets one whose handler it cancels between two events; its own end takes the others out before."""
    connections = Connections(handlers=lambda: handlers)
    forgotten, ended = connect(connections), connect(connections)
    handlers[ended.id].transports.clear()
    for one in (forgotten, ended):
        connections.client_disconnected(one)

    assert [True, False] == [handlers[one.id].is_closed for one in (forgotten, ended)]


def test_what_a_client_left_at_the_ad_stack_is_closed(handlers, connect):
    """Mitmproxy ends its handlers then, and one that it meets between two events leaves its socket open."""
    connections = Connections(handlers=lambda: handlers)
    client = connect(connections)
    upstream = Handler(client)
    handlers[client.id].transports[tflow.tserver_conn()] = SimpleNamespace(handler=None, writer=upstream)
    connections.client_disconnected(client)

    assert upstream.is_closed
