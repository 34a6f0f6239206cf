"""Which layers a client's connection gets: the place for more of our own, before TLS, behind it or around HTTP."""

from __future__ import annotations

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, ServerTLSLayer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.tunnel import LayerStack

from storehop.host.layers.head import Gate
from storehop.host.layers.http1 import Http1Server
from storehop.host.layers.http2 import Http2Server


def layers_for(context: Context, received: bytes, gate: Gate) -> Layer | None:
    """The layers of a connection of which `received` is the beginning. None: mitmproxy's own are right.

    That is so outside reverse mode, where it is a debugging proxy, and for what is not HTTP over TCP.
    """
    mode = context.client.proxy_mode
    if not isinstance(mode, ReverseMode) or mode.scheme not in {"http", "https"}:
        return None
    if context.client.transport_protocol != "tcp" or len(context.layers) != 1:
        return None
    stack = LayerStack()
    if mode.scheme == "https":
        stack /= ServerTLSLayer(context)
    if starts_like_tls_record(received):
        stack /= ClientTLSLayer(context)
    stack /= Http(context, gate)
    return stack[0]


class Http(HttpLayer):
    """Mitmproxy's HTTP, with our own reader of what the client sends."""

    def __init__(self, context: Context, gate: Gate) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._gate = gate

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):  # by now TLS has agreed on a protocol
            client = self.context.client
            server = Http2Server if client.alpn == b"h2" else Http1Server
            self.connections[client] = server(self.context.fork(), self._gate)
            # What follows is not ours to look at, and costs nothing.
            self._handle_event = super()._handle_event  # type: ignore[method-assign]
        commands: CommandGenerator[None] = super()._handle_event(event)
        return commands
