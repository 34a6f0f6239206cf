"""Chooses the layers of a client's connection. Further layers of ours (before TLS, in TLS, around HTTP) go here."""

from __future__ import annotations

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.tunnel import LayerStack

from storehop.host.layers.head import Gate
from storehop.host.layers.http1 import Http1Server
from storehop.host.layers.http2 import Http2Server
from storehop.host.layers.link import Link, Look
from storehop.host.layers.waits import PatientHttpLayer


def layers_for(context: Context, first_bytes: bytes, gate: Gate, link: Link | None = None) -> Layer | None:
    """The layers of a connection that begins with `first_bytes`; None: mitmproxy chooses. `link` is told what it does.

    It chooses outside reverse mode, where it is a debugging proxy, and for all but HTTP over TCP.
    """
    mode = context.client.proxy_mode
    if not isinstance(mode, ReverseMode) or mode.scheme not in {"http", "https"}:
        return None
    if context.client.transport_protocol != "tcp" or len(context.layers) != 1:
        return None
    stack = LayerStack()
    if mode.scheme == "https":
        stack /= ServerTLSLayer(context)
    if starts_like_tls_record(first_bytes):
        stack /= ClientTLSLayer(context)
    stack /= Http(context, gate, link or Link())
    return stack[0]


class Http(PatientHttpLayer):
    """Mitmproxy's HTTP layer, with our own reader on the client's side, and limits of time."""

    def __init__(self, context: Context, gate: Gate, link: Link) -> None:
        super().__init__(context, link)
        self._gate = gate

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Look):
            return self._look(event)
        client = self.context.client
        if isinstance(event, events.Start):  # TLS has agreed on a protocol by now
            server = Http2Server if client.alpn == b"h2" else Http1Server
            self.connections[client] = server(self.context.fork(), self._gate, self._link)
            self._link.has_layers = True
        handled: CommandGenerator[None] = super()._handle_event(event)
        return handled

    def _look(self, look: Look) -> CommandGenerator[None]:
        yield from self.end_waits()
        yield from self.event_to_child(self.connections[self.context.client], look)
