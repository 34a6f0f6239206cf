"""What a connection's handler does with events and commands, one by one: its layer is a script."""

import asyncio
import logging
import types

import pytest
from mitmproxy.addons import core, proxyserver
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.server_hooks import ClientConnectedHook

from storehop.host.lean.handler import LeanHandler
from storehop.host.lean.hooks import HookTable


class Writer:
    """Keeps what is written, each write by itself."""

    def __init__(self):
        self.written = []
        self.is_gone = False

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self):
        return self.is_gone

    def write(self, data):
        self.written.append(data)

    def write_eof(self):
        self.written.append("FIN")


class Script(Layer):
    """For each event, what `act` yields; `seen` are the events."""

    def __init__(self, context, act):
        super().__init__(context)
        self.seen = []
        self._act = act

    def _handle_event(self, event):
        self.seen.append(event)
        yield from self._act(event)


@pytest.fixture
async def handler():
    """One whose client is there."""
    master = Master(Options())
    master._legacy_log_events.uninstall()
    master.addons = HookTable(master)
    master.addons.add(core.Core(), proxyserver.Proxyserver())
    writer = Writer()
    mode = ProxyMode.parse("reverse:http://127.0.0.1:1")
    made = LeanHandler(master, None, writer, master.options, mode)
    made.transports[made.client] = ConnectionIO(writer=writer, handler=asyncio.create_task(asyncio.Event().wait()))
    made.client.state = ConnectionState.OPEN
    yield made
    made.transports.get(made.client, ConnectionIO()).handler.cancel()


def run(handler, act, *happened):
    """What the client got when these events came."""
    handler.layer = Script(handler.layer.context, act)
    for event in happened or (events.Start(),):
        handler.handle(event)
    return handler.transports[handler.client].writer.written


def data(handler, content=b"a"):
    return events.DataReceived(handler.client, content)


async def test_what_an_event_sends_is_one_write(handler):
    """A head and its body are one packet."""

    def act(_event):
        yield commands.SendData(handler.client, b"a")
        yield commands.SendData(handler.client, b"b")

    assert [b"ab", b"ab"] == run(handler, act, data(handler), data(handler))


async def test_nothing_is_sent_behind_an_end(handler):
    """What comes before a half-close is written before it."""

    def act(_event):
        yield commands.SendData(handler.client, b"a")
        yield commands.CloseTcpConnection(handler.client, half_close=True)

    assert [b"a", "FIN"] == run(handler, act)


async def test_each_peer_gets_its_own(handler):
    """In the order in which it was sent."""
    server = Server(address=("127.0.0.1", 1))
    server.state = ConnectionState.OPEN
    handler.transports[server] = ConnectionIO(writer=Writer())

    def act(_event):
        for connection, content in ((handler.client, b"a"), (server, b"b"), (server, b"c"), (handler.client, b"d")):
            yield commands.SendData(connection, content)

    assert [b"a", b"d"] == run(handler, act)
    assert [b"bc"] == handler.transports[server].writer.written


async def test_what_was_sent_before_a_crash_is_sent(handler, caplog):
    """The failure is logged in mitmproxy's words, and the next event is handled."""

    def act(event):
        yield commands.SendData(handler.client, event.data)
        if event.data == b"bad":
            raise ZeroDivisionError

    assert [b"bad", b"good"] == run(handler, act, data(handler, b"bad"), data(handler, b"good"))
    assert ["mitmproxy has crashed!"] == [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]


async def test_commands_for_what_is_closed_do_nothing(handler, caplog):
    """Data, ends and half-ends: the connection may have ended while they were on their way."""
    gone = Server(address=("127.0.0.1", 1))

    def act(_event):
        yield commands.SendData(gone, b"a")
        yield commands.CloseTcpConnection(gone, half_close=True)
        yield commands.CloseConnection(gone)
        yield commands.SendData(handler.client, b"b")

    assert [b"b"] == run(handler, act)
    assert [] == [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_nothing_is_written_to_what_closes(handler):
    """It would be a warning of asyncio's."""
    handler.transports[handler.client].writer.is_gone = True

    assert [] == run(handler, lambda _event: iter([commands.SendData(handler.client, b"a")]))


async def test_an_event_within_an_event_waits(handler):
    """A command led to it (mitmproxy #7027): layers never see one in the midst of another."""

    def act(event):
        if isinstance(event, events.Start):
            handler.handle(data(handler))
        yield commands.SendData(handler.client, type(event).__name__.encode())

    assert [b"Start", b"DataReceived"] == run(handler, act)


async def test_a_hook_is_over_before_the_next_event(handler):
    """One without anybody to wait for, for a layer that does not go on at once."""

    def act(event):
        if isinstance(event, events.Start):
            handler.handle(data(handler))
            yield ClientConnectedHook(handler.client)
            yield commands.SendData(handler.client, b"hooked")
        else:
            yield commands.SendData(handler.client, b"next")

    assert [b"hookednext"] == run(handler, act)


async def test_a_coroutine_is_waited_for(handler):
    """Events that come meanwhile are the layer's to keep."""
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def wait(_client):
        await may_end.wait()

    handler.master.addons.add(types.SimpleNamespace(name="slow", client_connected=wait))

    def act(event):
        if isinstance(event, events.Start):
            yield ClientConnectedHook(handler.client)
            yield commands.SendData(handler.client, b"hooked")
        else:
            yield commands.SendData(handler.client, b"next")
            ended.set()

    written = run(handler, act, events.Start(), data(handler))
    assert [] == written
    may_end.set()
    await ended.wait()
    assert b"hookednext" == b"".join(written)


async def test_an_unknown_command_is_an_error(handler, caplog):
    """As in mitmproxy: it is logged."""
    run(handler, lambda _event: iter([commands.Command()]))

    assert ["mitmproxy has crashed!"] == [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]


async def test_nothing_is_sent_to_a_peer_that_was_told_of_the_end(handler, caplog):
    """TLS answers a bad record behind a half-close: a stranger would fill the log."""

    def act(event):
        if isinstance(event, events.Start):
            yield commands.CloseTcpConnection(handler.client, half_close=True)
        else:
            yield commands.SendData(handler.client, b"alert")

    assert ["FIN"] == run(handler, act, events.Start(), data(handler))
    assert [] == [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_write_that_fails_ends_neither_the_event_nor_the_next(handler, caplog):
    """As a layer's own failure."""
    writer = handler.transports[handler.client].writer
    writer.write = lambda _data: (_ for _ in ()).throw(RuntimeError("closed"))

    def act(_event):
        yield commands.SendData(handler.client, b"a")

    run(handler, act, data(handler), data(handler))

    assert 2 == len(handler.layer.seen)
    assert ["mitmproxy has crashed!"] * 2 == [
        one.getMessage() for one in caplog.records if one.levelno == logging.ERROR
    ]
