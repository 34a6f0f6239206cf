"""What requests leave behind on the lean way when their client takes them back."""

import h2.config
import h2.connection
import pytest
from mitmproxy.addons import proxyserver
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from storehop.host.layers.at_once import AT_ONCE
from storehop.host.layers.head import Gate
from storehop.host.layers.lean import LeanHttp
from storehop.host.layers.link import Link

UPSTREAM = ("127.0.0.1", 1)


@pytest.fixture
def layer():
    """Of a client that speaks HTTP/2."""
    with taddons.context(proxyserver.Proxyserver()) as tools:
        tools.options.keep_host_header = True
        client = Client(
            peername=("192.0.2.1", 1),
            sockname=("192.0.2.2", 2),
            timestamp_start=1,
            state=ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse("reverse:http://127.0.0.1:1"),
        )
        client.alpn = b"h2"
        context = Context(client, tools.options)
        context.server.address = UPSTREAM
        http = LeanHttp(context, Gate(lambda: "x-real-ip"), Link())
        tell(http, events.Start())
        yield http


def tell(layer, event):
    """Hooks are over at once, as where no handler waits."""
    for command in layer.handle_event(event):
        if isinstance(command, commands.StartHook) and getattr(command.blocking, "goes_on_at_once", False):
            command.blocking = AT_ONCE


def taken_back(layer, method):
    """Three requests that their client resets."""
    client = layer.context.client
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    peer.initiate_connection()
    for _ in range(3):
        stream = peer.get_next_available_stream_id()
        peer.send_headers(stream, [(":method", method), (":path", "/"), (":scheme", "http"), (":authority", "a")])
        tell(layer, events.DataReceived(client, peer.data_to_send()))
        peer.reset_stream(stream)
        tell(layer, events.DataReceived(client, peer.data_to_send()))


def test_a_request_that_is_taken_back_leaves_nothing(layer):
    taken_back(layer, "POST")

    assert (layer.streams, layer.command_sources) == ({}, {})


def test_no_client_chooses_the_upstream(layer):
    """A CONNECT names a target of the client's; hyper-h2 takes one in lower case for another method."""
    taken_back(layer, "connect")

    assert layer.context.server.address == UPSTREAM
